"""Two launchers at once do not collide, and a killed one blocks nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kairos_installer.lock import locked
from support.shared import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

HOLD = """
import sys, time
sys.path[:0] = sys.argv[2:4]
from pathlib import Path
from kairos_installer.commands import Commands
from kairos_installer.lock import locked
path = Path(sys.argv[1])
with locked(path, print) as descriptor:
    print("held", flush=True)
    if sys.argv[4] == "child":
        Commands(path.with_name("log"), {"PATH": "/usr/bin:/bin"}, lambda word: None, descriptor).run(
            ["sh", "-c", f"touch '{path}.begun'; sleep 2"]
        )
    time.sleep(60)
"""


def _holder(path: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-c", HOLD, str(path), str(ROOT / "installer"), str(ROOT / "nodes"), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_launcher_waits_and_is_told_for_whom(tmp_path: Path) -> None:
    holder, told = _holder(tmp_path / "lock", "alone"), []
    timer = threading.Timer(0.5, _kill, [holder])
    timer.start()
    begun = time.monotonic()
    with locked(tmp_path / "lock", told.append, poll=0.05):
        waited = time.monotonic() - begun
    timer.join()
    assert told == [str(holder.pid)]
    assert waited >= 0.4


def test_the_lock_of_a_killed_launcher_is_free(tmp_path: Path) -> None:
    holder, told = _holder(tmp_path / "lock", "alone"), []
    _kill(holder)
    with locked(tmp_path / "lock", told.append):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert told == []


def test_an_installation_that_outlives_its_launcher_keeps_the_lock(tmp_path: Path) -> None:
    holder, told = _holder(tmp_path / "lock", "child"), []
    while not (tmp_path / "lock.begun").exists():
        assert holder.poll() is None
        time.sleep(0.01)
    _kill(holder)
    begun = time.monotonic()
    with locked(tmp_path / "lock", told.append, poll=0.05):
        waited = time.monotonic() - begun
    # The child sleeps 2 s, nearly all of which are left.
    assert waited > 0.8
    assert told == [str(holder.pid)]
