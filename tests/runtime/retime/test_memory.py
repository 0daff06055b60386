"""Memory does not grow with the clip."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import made
from support.jobs import environment

PEAK = """
import sys
from kairos.allocator import keep_memory
keep_memory()
from kairos.cli import main
status = main(sys.argv[1:])
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.exit(status)
"""
"""As ``python -m kairos`` does it. Not getrusage: its maximum is handed down from the process that started this one."""


def peak(clip: made.Clip, count: int, directory: Path) -> int:
    """Peak resident memory (KiB) of a render of ``count`` output frames."""
    last = made.FIRST + count // 4
    done = subprocess.run(
        [sys.executable, "-c", PEAK, "retime", clip.pattern, str(directory / "out.%04d.exr"), "--between", "3",
         "--range", f"{made.FIRST}-{last}", "--device", "cpu"],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(list(directory.glob("*.exr"))) == count + 1
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_four_hundred_frames_need_no_more_memory_than_forty(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=8, size=(135, 240))
    # The same eight frames over and over: 101 files, 39 MB of pixels in memory, and four times that in the output.
    for index in range(8, 101):
        shutil.copy(clip.files[index % 8], tmp_path / "plate" / f"pan.{made.FIRST + index:04d}.exr")
    short = peak(clip, 40, tmp_path / "short")
    long = peak(clip, 400, tmp_path / "long")
    assert long <= 1.10 * short, f"{short / 1024:.0f} MiB for 40 frames, {long / 1024:.0f} MiB for 400"
