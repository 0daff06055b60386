"""Every frame shows its time: counts, places, shutters, cuts, chunks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Dict

import numpy as np
import pytest

from kairos_nodes.timing import TimeMap
from support import made
from support.exr import read_exr
from support.jobs import frame_at, retime

EASED = """# eases in, holds, runs on
1001 1001 smooth
1007 1004 hold
1010 1004
1018 1008
"""

TOLERANCE = 0.1
"""Pixels: the acceptance line of the foundation."""

SIZE = (96, 144)
"""Height and width of clips whose time is looked at: room for a disc that goes 48 pixels."""


def eased_times() -> list[float]:
    return [float(time) - made.FIRST for time in TimeMap.from_text(EASED, 1001, 1009)]


CASES: Dict[str, Any] = {
    "half speed": ({"speed": "0.5"}, [k / 2 for k in range(17)]),
    "double speed": ({"speed": "2"}, [0, 2, 4, 6, 8]),
    "backwards": ({"speed": "-1"}, [8 - k for k in range(9)]),
    "backwards at a third": ({"speed": "-1/3"}, [8 - k / 3 for k in range(25)]),
    # 9 frames at 24 last 0.375 s: 22.5 frames at 60, the nearest whole number is 23; the last one holds the last frame.
    "24 to 60": ({"fps": "24", "to_fps": "60"}, [min(k * 24 / 60, 8) for k in range(23)]),
    "23.976 to 24": ({"fps": "23.976", "to_fps": "24"}, [k * 1000 / 1001 for k in range(9)]),
    "half speed, phase 0.5": ({"speed": "0.5", "phase": "0.5"}, [min((k + 0.5) / 2, 8) for k in range(17)]),
    "three between": ({"between": 3}, [k / 4 for k in range(33)]),
    "eased with a hold": ({"frame_map": "map"}, eased_times()),
}


@pytest.mark.parametrize("name", CASES)
def test_the_object_is_where_its_time_says(name: str, tmp_path: Path) -> None:
    settings, times = CASES[name]
    clip = made.moving_disc(tmp_path / "plate", velocity=(6.0, 2.0), frames=9, size=SIZE)
    if "frame_map" in settings:
        (tmp_path / "map.txt").write_text(EASED)
        settings = {"frame_map": str(tmp_path / "map.txt")}
    ran = retime(clip, tmp_path / "out", **settings)
    files = ran.files()
    assert len(files) == len(times)
    errors = {}
    for time, file in zip(times, files):
        found = made.centroid(read_exr(file)["G"], 1.0)
        assert clip.centre is not None
        errors[time] = math.dist(found, clip.centre(time))
    assert max(errors.values()) <= TOLERANCE, errors


def test_a_shutter_of_180_degrees_blurs_over_half_the_way(tmp_path: Path) -> None:
    clip = made.bar(tmp_path / "plate", velocity=20.0, frames=5)
    ran = retime(clip, tmp_path / "out", speed="1", shutter=180.0, shutter_samples=32, frames=str(frame_at(2)))
    middle = read_exr(ran.file(frame_at(2)))["G"][60:100].mean(0)
    left, right = 0.1, 1.0
    rise = (middle[75:110] - left) / (right - left)
    # Over a ramp of n pixels the share between 10 and 90 percent is 0.8 n wide.
    low, high = (np.interp(level, rise[:30], np.arange(30)) for level in (0.1, 0.9))
    assert (high - low) / 0.8 == pytest.approx(10.0, abs=1.0)


def test_no_shutter_leaves_source_frames_alone(tmp_path: Path) -> None:
    clip = made.bar(tmp_path / "plate", frames=3)
    ran = retime(clip, tmp_path / "out", speed="1")
    for source, output in zip(clip.files, ran.files()):
        assert np.array_equal(read_exr(source)["G"], read_exr(output)["G"])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"between": 3}, {"speed": "-1/4"}, {"between": 1, "shutter": 360.0}], ids=str)
def test_no_pixel_of_the_other_scene_on_either_side_of_a_cut(settings: Dict[str, Any], tmp_path: Path) -> None:
    clip = made.two_scenes(tmp_path / "plate", frames=6, cut=3, size=SIZE)
    ran = retime(clip, tmp_path / "out", **settings)
    for file in ran.files():
        planes = read_exr(file)
        assert planes["R"].max() == 0 or planes["B"].max() == 0, file
    assert any("cut" in warning for warning in ran.warnings())


def test_named_cuts_are_taken_at_their_word(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=4)
    ran = retime(clip, tmp_path / "out", between=3, cuts="1003")
    early, late = (read_exr(ran.file(frame_at(k)))["G"] for k in (5, 7))
    assert np.array_equal(early, read_exr(clip.files[1])["G"])
    assert np.array_equal(late, read_exr(clip.files[2])["G"])


def test_chunks_render_the_frames_of_the_whole_job(tmp_path: Path) -> None:
    clip = made.object_over(tmp_path / "plate", frames=4)
    whole = retime(clip, tmp_path / "whole", between=2, vectors="nuke", masks=True)
    for chunk in ("1001-1003", "1006", "1004,1009-1010"):
        part = retime(clip, tmp_path / chunk, between=2, vectors="nuke", masks=True, frames=chunk)
        for file in part.files():
            ours, theirs = read_exr(file), read_exr(whole.file(int(file.stem[-4:])))
            assert ours.keys() == theirs.keys()
            assert all(np.array_equal(ours[name], theirs[name]) for name in ours), (chunk, file.name)


def test_a_repeat_inside_a_movement_is_gone_over(tmp_path: Path) -> None:
    clip = made.moving_disc(tmp_path / "plate", velocity=(6.0, 2.0), frames=6, size=SIZE)
    clip.files[3].write_bytes(clip.files[2].read_bytes())
    smooth = retime(clip, tmp_path / "smooth", between=1)
    kept = retime(clip, tmp_path / "kept", between=1, repeats="keep")
    assert clip.centre is not None

    def error(ran: Any) -> float:
        return math.dist(made.centroid(read_exr(ran.file(frame_at(6)))["G"], 1.0), clip.centre(3.0))

    assert error(smooth) < 0.2
    assert error(kept) == pytest.approx(math.hypot(6.0, 2.0), abs=0.1)
