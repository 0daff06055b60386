"""The runtime is made in stages that survive an interruption."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import ClassVar, List, Mapping, Optional, Sequence

import pytest

from kairos_installer import machine, runtime
from kairos_installer.commands import CommandFailed, Commands
from kairos_installer.runtime import MARKER, Builder, Runtime, ensure
from kairos_nodes.errors import BadRequest, KairosError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="paths of a POSIX environment")

PYPROJECT = """
[project]
name = "tiny"
dependencies = ["numpy"]
[project.optional-dependencies]
cpu = ["onnxruntime"]
gpu = ["onnxruntime-gpu"]
dev = ["pytest"]
"""


class FakePip(Commands):
    """Real commands, except that pip and the import check only say that they ran; ``breaks`` makes one fail."""

    calls: ClassVar[List[str]] = []
    breaks: ClassVar[str] = ""

    def run(self, arguments: Sequence[str], extra: Optional[Mapping[str, str]] = None) -> str:
        line = " ".join(arguments)
        for word in ("requirements.txt", "check.py", "torch==2.13.0", "--version", "repair.py"):
            if word in line and "venv" not in line:
                self.calls.append(word)
                if word == self.breaks:
                    raise CommandFailed("The disk is full.", f"The full log is {self.log}.", "error: cv2 is broken")
                return "pip 24.0 from here"
        if " -m venv " in line:
            self.calls.append("venv")
            return super().run([*arguments, "--without-pip"], extra)
        return super().run(arguments, extra)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny checkout; the installer's commands are :class:`FakePip`."""
    folder = tmp_path / "checkout"
    for name in ("runtime", "nodes", "installer"):
        (folder / name).mkdir(parents=True)
    (folder / "runtime" / "tiny_kairos.py").write_text("print('here')", encoding="utf-8")
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    monkeypatch.setattr(runtime, "Commands", FakePip)
    monkeypatch.setattr(machine, "has_nvidia", lambda: False)
    monkeypatch.setattr(FakePip, "calls", [])
    monkeypatch.setattr(FakePip, "breaks", "")
    return folder


def _calls() -> List[str]:
    made, FakePip.calls = FakePip.calls, []
    return made


def test_all_stages_run_once_and_the_checkouts_packages_are_found(checkout: Path) -> None:
    made = Runtime.of(checkout, {})
    assert made.directory == checkout / ".runtime"
    assert not made.is_ready()
    ensure(made, {"HOME": str(checkout)})
    assert made.is_ready()
    # The environment, pip's version, what torch pip offers, torch itself, the others, the check.
    assert _calls() == ["venv", "--version", "torch==2.13.0", "torch==2.13.0", "requirements.txt", "check.py"]
    answer = subprocess.run(
        [str(made.python), "-I", "-c", "import tiny_kairos"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "here"
    assert (made.directory / "requirements.txt").read_text().split() == ["numpy", "onnxruntime"]
    ensure(made, {})
    assert _calls() == []


def test_an_interrupted_installation_goes_on_where_it_stopped(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Runtime.of(checkout, {})
    monkeypatch.setattr(FakePip, "breaks", "requirements.txt")
    with pytest.raises(KairosError, match=r"The disk is full.*install\.log"):
        ensure(made, {})
    assert not made.is_ready()
    _calls()
    monkeypatch.setattr(FakePip, "breaks", "")
    ensure(made, {})
    assert _calls() == ["repair.py", "requirements.txt", "check.py"]
    assert made.is_ready()


def test_a_half_made_environment_is_made_anew(checkout: Path) -> None:
    made = Runtime.of(checkout, {})
    ensure(made, {})
    _calls()
    made.ready_file.unlink()
    made.python.unlink()
    ensure(made, {})
    assert _calls()[0] == "venv"
    assert made.is_ready()


def test_changed_dependencies_are_installed_around_the_torch_that_is_there(checkout: Path) -> None:
    made = Runtime.of(checkout, {})
    ensure(made, {})
    _calls()
    (checkout / "pyproject.toml").write_text(PYPROJECT.replace("numpy", "numpy>=2"), encoding="utf-8")
    assert not made.is_ready()
    ensure(made, {})
    assert _calls() == ["requirements.txt", "check.py"]
    assert (made.directory / "constraints.txt").read_text().strip() == "torch==2.13.0"


def test_another_build_of_torch_on_demand(checkout: Path) -> None:
    made = Runtime.of(checkout, {})
    ensure(made, {"KAIROS_TORCH": "cpu"})
    _calls()
    ensure(made, {"KAIROS_TORCH": "cpu"})
    assert _calls() == []
    ensure(made, {"KAIROS_TORCH": "cuda"})
    assert "torch==2.13.0" in _calls()
    assert "onnxruntime-gpu" in (made.directory / "requirements.txt").read_text()


def test_libraries_that_do_not_load_are_named_and_installed_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Runtime.of(checkout, {})
    monkeypatch.setattr(FakePip, "breaks", "check.py")
    with pytest.raises(KairosError, match="cv2 is broken"):
        ensure(made, {})
    _calls()
    monkeypatch.setattr(FakePip, "breaks", "")
    ensure(made, {})
    assert "requirements.txt" in _calls()


def test_the_test_tools_are_a_stage_of_their_own(checkout: Path) -> None:
    made = Runtime.of(checkout, {})
    ensure(made, {}, testing=True)
    assert _calls().count("requirements.txt") == 2
    ensure(made, {}, testing=True)
    assert _calls() == []
    assert made.is_ready()


def test_stages_hold_those_before_them(checkout: Path) -> None:
    made = Runtime.of(checkout, {})
    commands = FakePip(made.log, {}, lambda word: None)
    cpu = Builder(made, {}, commands, nvidia=False).stages(testing=False)
    gpu = Builder(made, {}, commands, nvidia=True).stages(testing=False)
    assert cpu[0].key == gpu[0].key
    assert all(one.key != other.key for one, other in zip(cpu[1:], gpu[1:], strict=True))


def test_the_runtime_goes_where_the_artist_says_or_where_it_may(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Runtime.of(checkout, {"KAIROS_RUNTIME": str(tmp_path / "r")}).directory == tmp_path / "r"
    monkeypatch.setattr(runtime.os, "access", lambda path, mode: False)
    data = Runtime.of(checkout, {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path)}).directory
    assert data.parent == tmp_path / "data" / "kairos" or sys.platform == "darwin"
    assert data != Runtime.of(checkout / "other", {"XDG_DATA_HOME": str(tmp_path / "data")}).directory


def test_somebody_elses_folder_is_not_touched(checkout: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    (precious / "env").mkdir(parents=True)
    with pytest.raises(BadRequest, match="not empty"):
        ensure(Runtime(checkout, precious), {})
    assert sorted(path.name for path in precious.iterdir()) == ["env"]
    assert not (precious / MARKER).exists()


def test_a_place_that_cannot_be_written_to_is_a_clear_error(checkout: Path) -> None:
    with pytest.raises(KairosError, match="cannot be made"):
        ensure(Runtime(checkout, checkout / "pyproject.toml" / "runtime"), {})


def test_a_failing_command_is_explained_and_logged(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "log", {"PATH": "/usr/bin:/bin"}, lambda word: None)
    with pytest.raises(CommandFailed, match=r"No such thing.*log") as caught:
        commands.run(["sh", "-c", "echo working; echo 'ERROR: No such thing'; exit 3"])
    assert "working" in caught.value.output
    assert "ERROR: No such thing" in (tmp_path / "log").read_text()
    with pytest.raises(CommandFailed, match="cannot be started"):
        commands.run([str(tmp_path / "missing")])
    with pytest.raises(CommandFailed, match="killed by signal 9"):
        commands.run(["sh", "-c", "kill -9 $$"])
