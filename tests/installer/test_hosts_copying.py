"""Files in a host's folder: put in, brought up to date, taken out, interrupted anywhere; nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, List

import pytest

from kairos_installer.hosts import System, install, uninstall
from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.home import known_home
from support.hosts import machine, small_kairos, tree, upgrade, write
from support.process import environment
from support.shared import ROOT

SCRIPTS = Path("opt/resolve/Fusion/Scripts")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A machine with a Resolve whose scripts folder holds scripts of somebody's."""
    write(tmp_path / SCRIPTS / "Edit" / "Mine.py", "mine\n")
    write(tmp_path / "opt/resolve/bin/resolve")
    found = machine("linux", tmp_path)
    monkeypatch.setenv("KAIROS_HOME_FILE", str(found.data / "home.json"))
    return found


@pytest.fixture
def kairos(tmp_path: Path) -> Path:
    """A Kairos to install."""
    return small_kairos(tmp_path / "kairos")


@pytest.fixture
def place(system: System) -> Path:
    """Resolve's scripts folder."""
    return system.root / SCRIPTS


@pytest.fixture
def said() -> List[str]:
    """What the installer says."""
    return []


@pytest.fixture
def put(system: System, kairos: Path, place: Path, said: List[str]) -> Callable[..., None]:
    """Installs."""
    return lambda **options: install("resolve", system, said.append, paths=[place], root=kairos, **options)


@pytest.fixture
def take(system: System, kairos: Path, said: List[str]) -> Callable[..., None]:
    """Uninstalls."""
    return lambda **options: uninstall("resolve", system, said.append, root=kairos, **options)


def test_an_uninstall_leaves_the_folder_as_it_was(
    place: Path, system: System, put: Callable[..., None], take: Callable[..., None], kairos: Path
) -> None:
    before = tree(place)
    put()
    assert (place / "kairos/kairos_nodes/errors.py").read_text() == "first\n"
    assert (place / "kairos/kairos_resolve/old.py").is_file()
    assert known_home() == kairos
    take()
    assert tree(place) == before
    assert list(tree(system.data)) == ["hosts.lock"]
    assert known_home() is None


def test_a_second_install_touches_nothing(place: Path, put: Callable[..., None], said: List[str]) -> None:
    put()
    times = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    put()
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == times
    assert "is there already" in said[-1]


def test_a_dry_run_writes_nothing_and_names_everything(
    tmp_path: Path, place: Path, put: Callable[..., None], take: Callable[..., None], said: List[str]
) -> None:
    before = tree(tmp_path)
    put(dry=True)
    assert tree(tmp_path) == before
    assert f"  write   {place / 'Edit' / 'Kairos Slow Motion.py'}" in said
    put()
    before = tree(tmp_path)
    take(dry=True)
    assert tree(tmp_path) == before
    assert f"  remove  {place / 'Edit' / 'Kairos Slow Motion.py'}" in said


def test_the_record_names_every_file_with_its_hash(place: Path, system: System, put: Callable[..., None]) -> None:
    put()
    (path,) = (system.data / "hosts").iterdir()
    record = json.loads(path.read_text())
    theirs = {str(place / "Edit" / "Mine.py")}
    assert set(record["files"]) == {str(one) for one in place.rglob("*") if one.is_file()} - theirs
    # By sha256sum.
    wanted = "b640e840b19d378660b32fb51ae18d67dccb4a8596a29e7bd72c1b2ae5928f41"
    assert record["files"][str(place / "kairos/kairos_nodes/errors.py")] == [wanted]
    assert (record["state"], record["version"], record["place"]) == ("installed", "1.0.0", str(place))


def test_an_upgrade_removes_what_is_gone_and_leaves_what_is_the_same(
    place: Path, put: Callable[..., None], take: Callable[..., None], kairos: Path, said: List[str]
) -> None:
    before = tree(place)
    put()
    same = place / "kairos" / "kairos_nodes" / "errors.py"
    time = same.stat().st_mtime_ns
    upgrade(kairos)
    put()
    assert "2 files written, 1 file of the old version removed" in said[-2]
    assert not (place / "kairos/kairos_resolve/old.py").exists()
    assert (place / "Tool/Kairos Time.py").read_text() == "new\n"
    assert same.stat().st_mtime_ns == time
    take()
    assert tree(place) == before


def test_a_file_that_the_user_changed_is_kept_and_named(
    place: Path, put: Callable[..., None], take: Callable[..., None], said: List[str]
) -> None:
    put()
    changed = place / "kairos" / "kairos_nodes" / "errors.py"
    changed.write_text("mine now\n")
    take()
    assert changed.read_text() == "mine now\n"
    assert any("changed by hand" in line and str(changed) in line for line in said)
    assert {path.name for path in place.rglob("*") if path.is_file()} == {"Mine.py", "errors.py"}


def test_what_is_set_aside_in_the_same_moment_is_all_kept(
    tmp_path: Path, place: Path, system: System, kairos: Path
) -> None:
    places = [place, tmp_path / "second" / "Scripts"]
    places[1].mkdir(parents=True)
    install("resolve", system, print, paths=places, root=kairos)
    for index, one in enumerate(places):
        (one / "kairos/kairos_nodes/errors.py").write_text(f"mine {index}")
    install("resolve", system, print, paths=places, root=kairos)
    kept = (system.data / "kept").rglob("errors.py")
    assert sorted(path.read_text() for path in kept) == ["mine 0", "mine 1"]


def test_an_upgrade_sets_aside_what_the_user_changed(
    place: Path, system: System, put: Callable[..., None], kairos: Path, said: List[str]
) -> None:
    put()
    changed, gone = place / "kairos/kairos_nodes/__init__.py", place / "kairos/kairos_resolve/old.py"
    changed.write_text("mine now\n")
    gone.write_text("mine too\n")
    upgrade(kairos)
    put()
    (kept,) = (system.data / "kept").rglob("__init__.py")
    assert kept.read_text() == "mine now\n" and "2.0.0" in changed.read_text()
    assert gone.read_text() == "mine too\n"
    assert any(str(kept) in line for line in said) and any(str(gone) in line for line in said)


def test_a_file_of_somebody_elses_is_never_overwritten(
    tmp_path: Path, place: Path, put: Callable[..., None], system: System
) -> None:
    theirs = write(place / "Edit" / "Kairos Slow Motion.py", "theirs\n")
    before = tree(place)
    with pytest.raises(BadRequest, match="was not put there by this user's Kairos"):
        put()
    assert tree(place) == before and not (system.data / "hosts").exists()
    theirs.unlink()
    put()


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_sources_that_are_linked_into_the_host_are_not_written_to(
    place: Path, kairos: Path, put: Callable[..., None]
) -> None:
    (place / "kairos").symlink_to(kairos / "nodes")
    before = tree(kairos)
    with pytest.raises(BadRequest, match="is there already"):
        put()
    assert tree(kairos) == before


def test_byte_code_that_the_host_made_goes_with_its_source(
    place: Path, put: Callable[..., None], take: Callable[..., None]
) -> None:
    before = tree(place)
    put()
    for package in ("kairos_nodes", "kairos_resolve"):
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(place / "kairos" / package)], check=False)
    assert list((place / "kairos").rglob("*.pyc"))
    take()
    assert tree(place) == before


def test_a_folder_that_cannot_be_written_to_is_named_and_the_next_attempt_goes_on(
    place: Path, put: Callable[..., None], take: Callable[..., None], system: System
) -> None:
    before = tree(place)
    blocked = write(place / "kairos", "a file where the folder should be")
    with pytest.raises(KairosError, match=r"kairos.*Not a directory") as refusal:
        put()
    assert "run the same command again" in refusal.value.remedy
    assert json.loads(next((system.data / "hosts").iterdir()).read_text())["state"] == "under way"
    blocked.unlink()
    put()
    take()
    assert tree(place) == before


def test_what_could_not_even_begin_leaves_nothing_behind(tmp_path: Path, system: System, kairos: Path) -> None:
    folder = tmp_path / "studio"
    folder.mkdir()
    # A link into a folder that is a file: it can be neither read as a script nor written.
    (folder / "init.py").symlink_to(write(tmp_path / "file") / "init.py")
    before = tree(folder)
    with pytest.raises(KairosError, match=r"init\.py"):
        install("nuke", system, print, paths=[folder], root=kairos)
    assert tree(folder) == before
    assert list(tree(system.data)) == ["hosts.lock"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permissions mean nothing to this user")
def test_a_folder_without_permission_is_named(place: Path, put: Callable[..., None]) -> None:
    place.chmod(0o555)
    try:
        with pytest.raises(KairosError, match="Permission denied"):
            put()
    finally:
        place.chmod(0o755)


@pytest.mark.parametrize("blocked", ["", "hosts", "home.json"])
def test_where_nothing_can_be_recorded_nothing_is_changed(
    place: Path, put: Callable[..., None], system: System, blocked: str
) -> None:
    before = tree(place)
    if blocked == "home.json":
        (system.data / blocked).mkdir(parents=True)
    else:
        write(system.data / blocked, "a file where the folder should be")
    with pytest.raises(KairosError, match="cannot be recorded") as refusal:
        put()
    assert str(system.data) in str(refusal.value) and "nothing was changed" in str(refusal.value)
    assert tree(place) == before


def test_one_host_that_fails_does_not_hold_up_the_others(
    tmp_path: Path, system: System, kairos: Path, place: Path, said: List[str]
) -> None:
    other = tmp_path / "other" / "Scripts"
    write(other / "Edit" / "Kairos Slow Motion.py", "theirs\n")
    with pytest.raises(KairosError, match="1 of 2 failed"):
        install("resolve", system, said.append, paths=[other, place], root=kairos)
    assert (place / "Edit" / "Kairos Slow Motion.py").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="a home made by HOME")
def test_installations_at_once_wait_for_each_other(tmp_path: Path, place: Path, kairos: Path, system: System) -> None:
    before = tree(place)
    code = (
        "import sys; from pathlib import Path; from kairos_installer.hosts import System, install, uninstall\n"
        "root, place, kairos = map(Path, sys.argv[1:])\n"
        "system = System('linux', {}, root / 'home' / 'ada', root)\n"
        "for work in (install, uninstall, install): work('resolve', system, print, paths=[place], root=kairos)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(place), str(kairos)]
    running = [subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [one.wait(60) for one in running] == [0, 0, 0, 0]
    uninstall("resolve", system, print, root=kairos)
    assert tree(place) == before


CRASHING = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[1].split(os.pathsep)
from kairos_installer.hosts import System, install, uninstall
left, root = int(sys.argv[2]), sys.argv[3]
system = System("linux", {}, Path(root, "home", "ada"), Path(root))

def watch(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "open") and str(arguments[0]).startswith(root):
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
work = {"install": install, "uninstall": uninstall}[sys.argv[4]]
work("resolve", system, lambda line: None, paths=[Path(sys.argv[5])], root=Path(sys.argv[6]))
"""
"""Installs or uninstalls, and is killed before its n-th change to a file or folder."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("work", ["install", "upgrade", "uninstall"])
def test_killed_anywhere_the_next_attempt_finishes_it(
    tmp_path: Path, system: System, kairos: Path, place: Path, work: str
) -> None:
    pristine = tree(place)
    if work != "install":
        install("resolve", system, print, paths=[place], root=kairos)
    begun = tmp_path / "begun"
    _copy(tmp_path, begun)
    if work == "upgrade":
        upgrade(kairos)
    # What an undisturbed installation of this Kairos makes.
    install("resolve", system, print, paths=[place], root=kairos)
    wanted = tree(place)
    deaths = 0
    for step in range(500):
        _restore(tmp_path, begun)
        status = _killed(step, tmp_path, "uninstall" if work == "uninstall" else "install", place, kairos)
        broken = tmp_path / "broken"
        _copy(tmp_path, broken)
        install("resolve", system, print, paths=[place], root=kairos)
        assert tree(place) == wanted, f"an install after step {step}"
        _restore(tmp_path, broken)
        uninstall("resolve", system, print, root=kairos)
        assert tree(place) == pristine, f"an uninstall after step {step}"
        assert not list((system.data / "hosts").glob("*.json"))
        shutil.rmtree(broken)
        if status == 0:
            break
        deaths += 1
    assert deaths > 8


def _killed(step: int, root: Path, work: str, place: Path, kairos: Path) -> int:
    paths = os.pathsep.join(str(ROOT / name) for name in ("nodes", "installer"))
    arguments = [paths, str(step), str(root), work, str(place), str(kairos)]
    variables = {**environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", CRASHING, *arguments], env=variables, capture_output=True, text=True)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


def _copy(root: Path, into: Path) -> None:
    """Keeps the host and the user's home."""
    for name in ("opt", "home"):
        shutil.copytree(root / name, into / name, symlinks=True)


def _restore(root: Path, kept: Path) -> None:
    for name in ("opt", "home"):
        shutil.rmtree(root / name)
        shutil.copytree(kept / name, root / name, symlinks=True)
