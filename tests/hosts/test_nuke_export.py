"""The menu entry that writes a network for Nuke's Inference node."""

from __future__ import annotations

import stat
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import pytest

from kairos.cli.export import exportable
from support import nuke_session


@pytest.fixture
def nuke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    yield from nuke_session.session(monkeypatch, tmp_path)


@pytest.fixture
def launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A launcher that runs this Python's Kairos, from a folder with a space."""
    path = tmp_path / "my tools" / "kairos"
    path.parent.mkdir()
    folders = ":".join(each for each in sys.path if each)
    path.write_text(f"#!/bin/sh\nPYTHONPATH='{folders}' exec '{sys.executable}' -m kairos \"$@\"\n", encoding="utf-8")
    path.chmod(stat.S_IRWXU)
    monkeypatch.setenv("KAIROS_LAUNCHER", str(path))
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "weights"))
    return path


def press(nuke: Any, answers: Optional[Dict[str, str]]) -> Any:
    nuke.GUI, nuke.Panel._answers = True, answers
    thread = nuke_session.plugin("exporting").asked()
    if thread is not None:
        thread.join(120)
    return thread


def test_the_menu_offers_what_the_command_can_write(nuke: Any) -> None:
    assert set(nuke_session.plugin("exporting").NETWORKS) == set(exportable())


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a shell script")
def test_a_network_is_written_and_the_artist_is_told_where(nuke: Any, launcher: Path, tmp_path: Path) -> None:
    press(nuke, {"Network": "swift", "TorchScript file": str(tmp_path / "swift for nuke")})
    (message,) = nuke.messages
    assert message.startswith(f"swift was written to {tmp_path / 'swift for nuke.pt'}.") and "CatFileCreator" in message
    assert (tmp_path / "swift for nuke.pt").stat().st_size > 1_000_000


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher is a shell script")
@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"Network": "rife", "TorchScript file": "out.pt"}, "rife was not exported: There are no weights of rife yet."),
        ({"Network": "swift", "TorchScript file": ""}, "There is no file to write to."),
    ],
)
def test_what_goes_wrong_is_a_message(nuke: Any, launcher: Path, answers: Dict[str, str], said: str) -> None:
    press(nuke, answers)
    (message,) = nuke.messages
    assert message.startswith(said) and "Traceback" not in message


def test_a_missing_runtime_is_a_message(nuke: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_LAUNCHER", str(tmp_path / "nowhere"))
    press(nuke, {"Network": "swift", "TorchScript file": str(tmp_path / "swift.pt")})
    (message,) = nuke.messages
    assert message.startswith("Kairos' runtime was not found")


def test_an_artist_who_cancels_is_left_alone(nuke: Any) -> None:
    assert press(nuke, None) is None and not nuke.messages
