"""The real extension into a Blender's folder: by Blender's own tool where it can be asked, else unpacked.

The tool here is a stand-in that does what Blender's does to the files; ``tests/hosts`` has the real one.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Callable, List

import pytest

from kairos_installer.hosts import HOSTS, System, install, states, uninstall
from kairos_nodes import __version__
from kairos_nodes.errors import BadRequest
from support.hosts import machine, tree, write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a program made by a script")

STAND_IN = """#!{python}
# Blender's command line as far as it is asked: its version, and its tool for extensions.
import shutil, sys, zipfile
from pathlib import Path
here = Path({here!r})
with (here / "asked.txt").open("a") as stream:
    print(*sys.argv[1:], file=stream)
if "--version" in sys.argv:
    print("Blender 4.5.1 LTS")
elif "install-file" in sys.argv and not (here / "broken").exists():
    place = Path({place!r}) / "kairos_retimer"
    shutil.rmtree(place, ignore_errors=True)
    zipfile.ZipFile(sys.argv[-1]).extractall(place)
elif "remove" in sys.argv:
    shutil.rmtree(Path({place!r}) / "kairos_retimer")
else:
    sys.exit(1)
"""


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A machine with Blender's settings of one version, and nothing in them but another extension."""
    found = machine("linux", tmp_path)
    monkeypatch.setenv("KAIROS_HOME_FILE", str(found.data / "home.json"))
    write(found.home / ".config/blender/4.5/config/userpref.blend", "preferences")
    write(found.home / ".config/blender/4.5/extensions/user_default/theirs/__init__.py", "theirs")
    return found


@pytest.fixture
def place(system: System) -> Path:
    """Blender's own repository of extensions."""
    return system.home / ".config/blender/4.5/extensions/user_default"


@pytest.fixture
def program(tmp_path: Path, place: Path) -> Path:
    """A Blender that is not in a standard place."""
    folder = tmp_path / "tools"
    text = STAND_IN.format(python=sys.executable, here=str(folder), place=str(place))
    return write(folder / "blender", text, 0o755)


@pytest.fixture
def said() -> List[str]:
    """What the installer says."""
    return []


@pytest.fixture
def put(system: System, said: List[str]) -> Callable[..., None]:
    """Installs."""
    return lambda *paths: install("blender", system, said.append, paths=paths)


def _asked(program: Path) -> List[str]:
    """What Blender's tool for extensions was asked."""
    path = program.parent / "asked.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if "--command" in line and " build " not in line]


def test_unpacked_it_is_the_extensions_zip_and_uninstalled_it_is_gone(
    tmp_path: Path, system: System, place: Path, put: Callable[..., None], said: List[str]
) -> None:
    before = tree(place)
    (target,) = HOSTS["blender"].find(system)
    wanted = HOSTS["blender"].plan(Path(__file__).parents[2], target, tmp_path / "scratch", dry=True).files
    put()
    (archive,) = (tmp_path / "scratch").glob("*.zip")
    names = {name for name in zipfile.ZipFile(archive).namelist() if not name.endswith("/")}
    folder = place / "kairos_retimer"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == names >= {"blender_manifest.toml", "__init__.py"}
    assert all(path.read_bytes() == content for path, content in wanted.items())
    assert any("tick" in line for line in said)
    assert states(system)[0].installed == __version__
    during = tree(place)
    put()
    assert tree(place) == during
    uninstall("blender", system, said.append)
    assert tree(place) == before


def test_blenders_own_tool_enables_it_and_takes_it_out_again(
    system: System, place: Path, program: Path, put: Callable[..., None], said: List[str]
) -> None:
    before = tree(place)
    put(program)
    (asked,) = _asked(program)
    assert "extension install-file --repo user_default --enable" in asked and asked.endswith(".zip")
    assert any("enabled" in line for line in said)
    # Named once, it is remembered.
    uninstall("blender", system, said.append)
    assert _asked(program)[1:] == ["--command extension remove user_default.kairos_retimer"]
    assert tree(place) == before


def test_one_that_was_interrupted_is_enabled_all_the_same(
    system: System, program: Path, put: Callable[..., None], said: List[str]
) -> None:
    put(program)
    (record,) = (system.data / "hosts").iterdir()
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "under way"}))
    put()
    assert [line.split()[2] for line in _asked(program)] == ["install-file", "install-file"]
    assert "an interrupted installation finished" in said[-2] and "enabled" in said[-1]


def test_what_blenders_tool_cannot_do_is_done_without_it(
    place: Path, program: Path, put: Callable[..., None], said: List[str]
) -> None:
    write(program.parent / "broken")
    put(program)
    assert len(_asked(program)) == 1
    assert (place / "kairos_retimer" / "blender_manifest.toml").is_file()
    assert any("tick" in line for line in said)


def test_the_tool_that_clears_the_whole_folder_is_not_asked_where_something_else_lies_there(
    system: System, place: Path, program: Path, put: Callable[..., None], said: List[str]
) -> None:
    theirs = write(place / "kairos_retimer" / "presets" / "theirs.json", "theirs")
    put(program)
    assert _asked(program) == []
    uninstall("blender", system, said.append)
    assert _asked(program) == [] and theirs.read_text() == "theirs"
    assert [path.name for path in (place / "kairos_retimer").iterdir()] == ["presets"]


def test_one_that_was_installed_by_hand_is_left_to_the_artist(
    system: System, place: Path, program: Path, put: Callable[..., None], said: List[str]
) -> None:
    write(place / "kairos_retimer" / "blender_manifest.toml", 'version = "0.0.1"\n')
    (state,) = states(system)
    assert "its plugin is Kairos 0.0.1" in state.trouble and "Remove it there" in state.mend
    before = tree(place)
    with pytest.raises(BadRequest, match="Remove it, in the host itself"):
        put(program)
    uninstall("blender", system, said.append)
    assert tree(place) == before and "was not put there" in said[-2]


def test_one_in_another_repository_is_not_doubled(system: System, place: Path, put: Callable[..., None]) -> None:
    write(place.parent / "studio" / "kairos_retimer" / "blender_manifest.toml", f'version = "{__version__}"\n')
    assert states(system)[0].installed == __version__
    with pytest.raises(BadRequest, match=r"has Kairos already, in .*studio"):
        put()


def test_a_blender_that_was_never_started_is_not_made_to_save_preferences(
    tmp_path: Path, program: Path, said: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = machine("linux", tmp_path / "fresh", PATH=str(program.parent))
    monkeypatch.setenv("KAIROS_HOME_FILE", str(fresh.data / "home.json"))
    install("blender", fresh, said.append)
    assert _asked(program) == []
    assert not (fresh.home / ".config/blender/4.5/config").exists()
    assert (fresh.home / ".config/blender/4.5/extensions/user_default/kairos_retimer").is_dir()
