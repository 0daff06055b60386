"""``kairos install`` and ``kairos doctor`` as an artist runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

from kairos.cli import doctor
from kairos_nodes import __version__
from kairos_nodes.client.rendezvous import Rendezvous, write_rendezvous
from support import service
from support.hosts import write
from support.process import command, environment
from support.shared import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a home made by HOME")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with a Nuke."""
    (tmp_path / "home" / ".nuke").mkdir(parents=True)
    return tmp_path / "home"


def _run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    hidden = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "OCIO")
    variables = {name: value for name, value in environment().items() if name not in hidden}
    variables.update(HOME=str(home), PATH="/nowhere", KAIROS_SERVICE=str(home / "service"))
    return subprocess.run(list(command(*arguments)), env=variables, capture_output=True, text=True)


def _doctor(home: Path) -> Dict[str, Any]:
    done = _run(home, "doctor", "--json")
    found: Dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["well"] else 1), done.stderr
    return found


def test_install_list_and_uninstall(home: Path) -> None:
    assert "Nuke: without Kairos; kairos install nuke puts it there" in _run(home, "install", "--list").stdout
    assert "would install" in _run(home, "install", "nuke", "--dry-run").stdout
    assert not (home / ".nuke" / "init.py").exists()
    done = _run(home, "install", "nuke")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(ROOT / "plugin" / "nuke") in (home / ".nuke" / "init.py").read_text()
    assert f"Nuke: Kairos {__version__}" in _run(home, "install", "--list").stdout
    assert _run(home, "install", "nuke", "--uninstall").returncode == 0
    assert list((home / ".nuke").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Which host?"),
        (("maya",), "Kairos has no plugin for maya."),
        (("nuke", "--host-path", "/no/such/folder"), "/no/such/folder is no folder."),
    ],
)
def test_a_request_that_cannot_be_is_refused_in_one_line(home: Path, arguments: tuple[str, ...], words: str) -> None:
    done = _run(home, "install", *arguments)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1


def test_the_scripts_find_what_they_import_where_they_were_copied(home: Path) -> None:
    data = home / (
        "Library/Application Support/Blackmagic Design/DaVinci Resolve"
        if sys.platform == "darwin"
        else ".local/share/DaVinciResolve"
    )
    data.mkdir(parents=True)
    assert _run(home, "install", "resolve").returncode == 0
    scripts = sorted((data / "Fusion" / "Scripts").glob("*/*.py"))
    assert [path.name for path in scripts if path.name.startswith("Kairos ")]
    for script in scripts:
        # Without site-packages, where this checkout may be; without Resolve, which the scripts then miss.
        done = subprocess.run([sys.executable, "-S", "-I", str(script)], capture_output=True, text=True, cwd="/")
        assert done.returncode == 0 and "was not found" not in done.stdout + done.stderr
        assert done.stdout.startswith("Kairos: ")


def test_installing_loads_no_torch(home: Path) -> None:
    code = (
        "import sys; from kairos.cli import main; status = main(['install', 'nuke']);"
        "sys.exit(status or len({'torch', 'OpenImageIO', 'cv2', 'av'} & set(sys.modules)))"
    )
    variables = {**environment(), "HOME": str(home)}
    assert subprocess.run([sys.executable, "-c", code], env=variables, stdout=subprocess.DEVNULL).returncode == 0


def test_the_doctor_finds_all_well(home: Path) -> None:
    _run(home, "install", "nuke")
    found = _doctor(home)
    # What the machine itself lacks is for those to mend who own it.
    assert [one for one in found["findings"] if one["trouble"] and one["section"] != "machine"] == []
    (host,) = (one for one in found["hosts"] if one["host"] == "nuke")
    assert (host["installed"], host["trouble"]) == (__version__, "")
    topics = {one["topic"] for one in found["findings"]}
    assert {"kairos", "python", "gpu", "cache", "torch", "colour", "engine", "service", "nuke"} <= topics
    assert not (home / "service").exists()


def test_the_doctor_says_what_to_mend(home: Path) -> None:
    _run(home, "install", "nuke")
    (record,) = (home / ".local/share/kairos/hosts").iterdir()
    record.write_text(json.dumps({**json.loads(record.read_text()), "state": "under way"}))
    done = _run(home, "doctor")
    assert done.returncode == 1
    assert "! nuke" in done.stdout
    assert " to mend:\n" in done.stdout
    assert "\n  nuke: Finish it: kairos install nuke\n" in done.stdout
    assert _run(home, "install", "nuke").returncode == 0
    assert not any(one["trouble"] for one in _doctor(home)["hosts"])


def _service(folder: Path, monkeypatch: pytest.MonkeyPatch) -> doctor.Finding:
    monkeypatch.setenv("KAIROS_SERVICE", str(folder))
    return doctor.service_finding()


def test_a_runtime_that_serves_is_asked_and_an_older_one_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service.use_this_checkout(monkeypatch)
    folder = tmp_path / "service"
    with service.client(folder):
        found = _service(folder, monkeypatch)
        assert not found.trouble and found.text.startswith(f"Kairos {__version__} serves (process ")
        monkeypatch.setattr(doctor, "__version__", "99.0")
        found = _service(folder, monkeypatch)
        assert found.trouble and "kairos serve --stop" in found.mend
        service.end(folder)
    assert not _service(folder, monkeypatch).trouble


def test_a_runtime_that_died_is_no_trouble_and_one_open_to_others_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    write_rendezvous(folder, Rendezvous(str(folder / "gone"), "00", os.getpid(), "log", 1, __version__))
    assert not _service(folder, monkeypatch).trouble
    folder.chmod(0o755)
    found = _service(folder, monkeypatch)
    assert found.trouble and "chmod" in found.mend


def test_a_cache_that_cannot_hold_results_is_named(tmp_path: Path) -> None:
    found = doctor.disk_finding("cache", write(tmp_path / "file"), "KAIROS_CACHE")
    assert found.trouble and "KAIROS_CACHE" in found.mend
    assert not doctor.disk_finding("cache", tmp_path / "not" / "yet", "KAIROS_CACHE").trouble


def test_the_machine_says_how_much_memory_it_has() -> None:
    assert doctor.memory() > 2**28
