"""Nothing that is finished is lost or made twice, and nobody's files are harmed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import pytest

from kairos.errors import BadRequest, Cancelled, FrameError, ImageError, KairosError
from kairos.retime import run_retime
from kairos_nodes.jobs import RetimeJob
from support import made
from support.exr import read_exr
from support.jobs import command, environment, frame_at, kairos, kairos_here, retime

Stamp = Tuple[int, int]

SMALL = (64, 96)
"""Height and width where the job is tested, and not what is in its frames."""


def stamps(directory: Path) -> Dict[str, Stamp]:
    """Inode and modification time of every finished frame: either changes where a frame is made again."""
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in directory.glob("out.*.exr")}


def pixels(directory: Path) -> Dict[str, bytes]:
    """Decoded pixels of every frame."""
    return {
        file.name: b"".join(plane.tobytes() for _, plane in sorted(read_exr(file).items()))
        for file in sorted(directory.glob("out.*.exr"))
    }


@pytest.mark.slow
def test_a_render_killed_at_random_moments_goes_on_and_ends_the_same(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = made.moving_disc(tmp_path / "plate", velocity=(4.0, 1.0), frames=12, size=(96, 144))
    settings = ["--between", "3", "--vectors", "nuke", "--device", "cpu"]
    whole = retime(clip, tmp_path / "whole", between=3, vectors="nuke")
    assert len(whole.files()) == 45
    directory = tmp_path / "killed"
    pattern = str(directory / "out.%04d.exr")
    chance = random.Random(7)
    known: Dict[str, Stamp] = {}
    for _ in range(3):
        process = subprocess.Popen(
            command("retime", clip.pattern, pattern, *settings),
            env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        goal = len(known) + chance.randint(2, 12)
        deadline = time.monotonic() + 60
        while process.poll() is None and len(stamps(directory)) < goal and time.monotonic() < deadline:
            time.sleep(chance.uniform(0.001, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = stamps(directory)
        assert {name: now.get(name) for name in known} == known, "a finished frame was made again"
        known = now
    assert 0 < len(known) < 45
    finished = kairos_here(capfd, "retime", clip.pattern, pattern, *settings)
    assert finished.returncode == 0, finished.stderr
    after = stamps(directory)
    assert {name: after[name] for name in known} == known
    assert pixels(directory) == pixels(tmp_path / "whole")
    assert {file.name for file in directory.iterdir()} == set(after), "something half-written was left behind"


def test_the_same_command_again_renders_nothing(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3, size=SMALL)
    first = retime(clip, tmp_path / "out", between=1)
    before = stamps(tmp_path / "out")
    second = retime(clip, tmp_path / "out", between=1)
    assert (len(first.outcome.rendered), len(second.outcome.rendered)) == (5, 0)
    assert stamps(tmp_path / "out") == before


def test_a_changed_source_frame_stops_the_job_naming_the_file(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3, size=SMALL)
    retime(clip, tmp_path / "out", between=1)
    os.utime(clip.files[2], ns=(1, 1))
    with pytest.raises(BadRequest, match=r"out\.\d{4}\.exr exists .*--overwrite"):
        retime(clip, tmp_path / "out", between=1)
    assert retime(clip, tmp_path / "out", between=1, overwrite=True).outcome.rendered


def test_files_of_other_settings_need_overwrite(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3, size=SMALL)
    retime(clip, tmp_path / "out", between=1)
    with pytest.raises(BadRequest, match="--overwrite"):
        retime(clip, tmp_path / "out", between=1, filter="lanczos")


def test_inputs_are_never_written_over(tmp_path: Path) -> None:
    clip = made.pan(tmp_path, frames=3)
    before = [file.read_bytes() for file in clip.files]
    job = RetimeJob(input=clip.pattern, output=clip.pattern, speed="1", overwrite=True)
    with pytest.raises(BadRequest, match="is an input of this job"):
        run_retime(job, lambda event: None)
    assert [file.read_bytes() for file in clip.files] == before


def test_several_frames_never_land_in_one_file(tmp_path: Path) -> None:
    clip = made.pan(tmp_path, frames=3)
    with pytest.raises(BadRequest, match="%04d"):
        run_retime(RetimeJob(input=clip.pattern, output=str(tmp_path / "one.exr"), speed="1"), lambda event: None)


def test_a_full_disk_stops_with_a_clear_line_and_the_render_goes_on_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", small]).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        clip = made.pan(tmp_path / "plate", frames=5)
        pattern = str(small / "out.%04d.exr")
        full = kairos("retime", clip.pattern, pattern, "--speed", "1/2", "--device", "cpu")
        assert full.returncode == 1, full.stderr
        assert "disk full" in full.stderr.lower() and "Traceback" not in full.stderr
        kept = stamps(small)
        assert kept and {file.name for file in small.iterdir()} == set(kept), "something half-written was left behind"
        for name in kept:
            read_exr(small / name)
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        again = kairos_here(capfd, "retime", clip.pattern, pattern, "--speed", "1/2", "--device", "cpu")
        assert again.returncode == 0, again.stderr
        after = stamps(small)
        assert len(after) == 9 and {name: after[name] for name in kept} == kept
    finally:
        subprocess.run(["umount", small], check=False)


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=5, size=SMALL)
    clip.files[2].unlink()
    with pytest.raises(KairosError, match="1003"):
        retime(clip, tmp_path / "out", between=1)


@pytest.mark.parametrize("way", ["hold", "blend"])
def test_missing_frames_can_be_stood_in_for_and_are_reported(way: str, tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=5, size=SMALL)
    neighbours = [read_exr(clip.files[index])["G"].astype(np.float64) for index in (1, 3)]
    clip.files[2].unlink()
    ran = retime(clip, tmp_path / "out", speed="1", on_missing=way)
    assert ran.outcome.exit_status == 3 and ran.outcome.missing == (1003,)
    found = read_exr(ran.file(frame_at(2)))["G"]
    expected = neighbours[0] if way == "hold" else (neighbours[0] + neighbours[1]) / 2
    assert np.allclose(found, expected, atol=1e-3)


def test_a_damaged_frame_in_the_middle_is_named_and_earlier_frames_stay(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=5, size=SMALL)
    clip.files[3].write_bytes(clip.files[3].read_bytes()[:3000])
    with pytest.raises(KairosError, match="1004"):
        retime(clip, tmp_path / "out", between=1)


def test_a_frame_of_another_resolution_is_named(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=4, size=SMALL)
    other = made.pan(tmp_path / "other", frames=4, size=(96, 128))
    shutil.copy(other.files[2], clip.files[2])
    with pytest.raises(FrameError, match="1003"):
        retime(clip, tmp_path / "out", between=1)


def test_a_cancelled_render_keeps_what_is_finished(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=5, size=SMALL)
    asked: List[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    job = RetimeJob(input=clip.pattern, output=str(tmp_path / "out" / "out.%04d.exr"), between=3, device="cpu")
    with pytest.raises(Cancelled):
        run_retime(job, lambda event: None, stop)
    kept = len(stamps(tmp_path / "out"))
    assert 0 < kept <= 4
    assert len(retime(clip, tmp_path / "out", between=3).outcome.skipped) == kept


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=2)
    (tmp_path / "wall").write_text("a file where a folder should be")
    job = RetimeJob(input=clip.pattern, output=str(tmp_path / "wall" / "out.%04d.exr"), speed="1", device="cpu")
    with pytest.raises(ImageError, match="wall"):
        run_retime(job, lambda event: None)
