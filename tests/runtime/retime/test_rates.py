"""Rates, timecode and movies: what the editor relies on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenImageIO as oiio  # noqa: N813 - the name everybody uses
import pytest

from kairos.images import open_shot
from kairos.retime import run_retime
from kairos_nodes.jobs import RetimeJob
from support import made
from support.jobs import frame_at, retime

FILM = Fraction(24000, 1001)


def test_timecode_ticks_once_per_output_frame_at_a_quarter_speed(tmp_path: Path) -> None:
    clip = made.timecoded(tmp_path / "plate", rate=FILM, timecode=(1, 0, 0, 22), frames=5)
    ran = retime(clip, tmp_path / "out", speed="0.25")
    with open_shot(ran.pattern) as shot:
        assert shot.rate == FILM
        # 23.976 counts 24 frames to the second, without dropping any.
        codes = [shot.header(position).timecode for position in range(17)]
    assert codes[:4] == ["01:00:00:22", "01:00:00:23", "01:00:01:00", "01:00:01:01"]
    assert codes[16] == "01:00:01:14"


def test_timecode_of_a_rate_conversion_is_the_same_instant_in_the_new_count(tmp_path: Path) -> None:
    clip = made.timecoded(tmp_path / "plate", rate=Fraction(24), timecode=(1, 0, 0, 12), frames=5)
    ran = retime(clip, tmp_path / "out", to_fps="30")
    with open_shot(ran.pattern) as shot:
        assert shot.rate == 30
        # 12 frames at 24 are half a second: 15 frames at 30.
        assert [shot.header(position).timecode for position in (0, 1)] == ["01:00:00:15", "01:00:00:16"]


def test_timecode_above_thirty_frames_counts_pairs_and_reads_back(tmp_path: Path) -> None:
    clip = made.timecoded(tmp_path / "plate", rate=Fraction(24), timecode=(1, 0, 0, 20), frames=5)
    ran = retime(clip, tmp_path / "out", to_fps="60")
    with open_shot(ran.pattern) as shot:
        # 20 frames at 24 are 50 at 60.
        assert [shot.header(position).timecode for position in (0, 9, 10)] == [
            "01:00:00:50", "01:00:00:59", "01:00:01:00",
        ]  # fmt: skip


def sound_of(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


def test_a_movie_keeps_rate_range_timecode_and_sound_when_its_duration_is_kept(tmp_path: Path) -> None:
    source = made.movie(tmp_path / "in.mov", rate=FILM, frames=24)
    target = tmp_path / "out.mov"
    run_retime(RetimeJob(str(source), str(target), to_fps="48000/1001", device="cpu"), lambda event: None)
    with open_shot(str(source)) as before, open_shot(str(target)) as after:
        assert after.rate == 2 * FILM and len(after) == 2 * len(before)
        assert after.header(0).timecode == "01:00:00:00"
        first, last = before.read(5).parts[0].planes, after.read(10).parts[0].planes
        assert first.shape == last.shape
        # The same frame after one more 10-bit ProRes generation: no range or matrix shift, only coding noise.
        assert np.abs(first - last).mean() < 0.004 and abs(first.mean() - last.mean()) < 0.001
    assert np.array_equal(sound_of(source), sound_of(target))


def test_slow_motion_of_a_movie_has_no_sound_and_moves_the_picture(tmp_path: Path) -> None:
    source = made.movie(tmp_path / "in.mov", rate=FILM, frames=8)
    target = tmp_path / "out.mov"
    run_retime(RetimeJob(str(source), str(target), speed="0.5", device="cpu"), lambda event: None)
    with av.open(str(target)) as container:
        assert not container.streams.audio
    with open_shot(str(target)) as after:
        assert after.rate == FILM and len(after) == 15
        for k in (0, 3, 7, 10):
            green = after.read(k).parts[0].planes[1]
            # 4 px per source frame, 2 px per output frame.
            assert made.centroid(green, 0.3)[0] == pytest.approx(24.0 + 2.0 * k, abs=0.15)


def test_a_movie_becomes_a_scene_linear_sequence_and_frames_become_a_movie(tmp_path: Path) -> None:
    source = made.movie(tmp_path / "in.mov", rate=FILM, frames=4)
    job = RetimeJob(str(source), str(tmp_path / "exr" / "f.%04d.exr"), speed="1", device="cpu")
    run_retime(job, lambda event: None)
    with open_shot(str(source)) as movie, open_shot(job.output) as frames:
        assert frames.scene_linear and not movie.scene_linear
        assert frames.rate == FILM and len(frames) == 4
        # Scene-linear is darker than the encoded picture in the mid-tones.
        assert frames.read(0).parts[0].planes.mean() < movie.read(0).parts[0].planes.mean()
    back = tmp_path / "back.mov"
    run_retime(RetimeJob(job.output, str(back), speed="1", device="cpu"), lambda event: None)
    with open_shot(str(source)) as first, open_shot(str(back)) as last:
        difference = np.abs(first.read(2).parts[0].planes - last.read(2).parts[0].planes[:3])
        assert difference.mean() < 0.01


def test_a_finished_movie_is_not_made_again_and_an_unfinished_one_leaves_nothing(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3)
    target = tmp_path / "out" / "movie.mov"
    target.parent.mkdir()
    job = RetimeJob(clip.pattern, str(target), between=1, fps="24", device="cpu")
    run_retime(job, lambda event: None)
    stamp = target.stat().st_mtime_ns
    assert run_retime(job, lambda event: None).rendered == ()
    assert target.stat().st_mtime_ns == stamp
    assert [file.name for file in target.parent.iterdir()] == ["movie.mov"]


def test_display_referred_frames_come_back_to_the_last_code(tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3)
    png = str(tmp_path / "png" / "f.%04d.png")
    run_retime(RetimeJob(clip.pattern, png, speed="1", device="cpu"), lambda event: None)
    again = str(tmp_path / "again" / "f.%04d.png")
    run_retime(RetimeJob(png, again, between=1, device="cpu"), lambda event: None)
    with open_shot(png) as first, open_shot(again) as second:
        for k in range(3):
            assert np.array_equal(first.read(k).parts[0].planes, second.read(2 * k).parts[0].planes)
    assert frame_at(0) == first.numbers[0]


def test_straight_alpha_moves_premultiplied_and_comes_back_straight(tmp_path: Path) -> None:
    """A white disc on black, with the colour under alpha 0 unseen: no dark rim may appear between frames."""
    x, y = np.meshgrid(np.arange(96, dtype=np.float32), np.arange(64, dtype=np.float32))
    for k in range(3):
        alpha = made.disc(x, y, (30.0 + 6.0 * k, 32.0), 12.0)
        spec = oiio.ImageSpec(96, 64, 4, "uint16")
        spec.attribute("oiio:UnassociatedAlpha", 1)
        pixels = np.dstack([np.where(alpha > 0, 1.0, 0.0)] * 3 + [alpha]).astype(np.float32)
        output = oiio.ImageOutput.create(str(tmp_path / f"a.{k:04d}.png"))
        assert output.open(str(tmp_path / f"a.{k:04d}.png"), spec) and output.write_image(pixels) and output.close()
    job = RetimeJob(str(tmp_path / "a.%04d.png"), str(tmp_path / "out" / "a.%04d.png"), between=1, device="cpu")
    run_retime(job, lambda event: None)
    with open_shot(job.input) as source, open_shot(job.output) as found:
        assert np.array_equal(source.read(1).parts[0].planes, found.read(2).parts[0].planes)
        between = found.read(3).parts[0].planes
    seen = between[3] > 0.05
    assert seen.any() and between[:3, seen].min() > 0.95
