"""Nothing of the plate is harmed: highlights, negatives, exact values, NaN."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from support import made
from support.exr import read_exr, rgb_of
from support.jobs import frame_at, retime

ENGINES = ("classic", "swift")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_still_hdr_plate_is_bit_identical_at_every_fractional_time(engine: str, tmp_path: Path) -> None:
    clip = made.still_hdr(tmp_path / "plate", frames=3)
    plate = rgb_of(read_exr(clip.files[0]))
    assert plate.min() == -8 and plate.max() == 65504
    for repeats in ("auto", "keep"):
        ran = retime(clip, tmp_path / repeats, speed="2/7", repeats=repeats, engine=engine)
        assert len(ran.files()) == 8
        for file in ran.files():
            assert np.array_equal(rgb_of(read_exr(file)), plate), (repeats, file.name)


@pytest.mark.parametrize("engine", ENGINES)
def test_pixels_that_a_moving_object_never_nears_are_bit_identical(engine: str, tmp_path: Path) -> None:
    clip = made.still_with_mover(tmp_path / "plate", frames=4)
    plate = rgb_of(read_exr(clip.files[0]))
    ran = retime(clip, tmp_path / "out", between=3, engine=engine)
    assert clip.quiet is not None
    for file in ran.files():
        assert np.array_equal(rgb_of(read_exr(file))[:, clip.quiet], plate[:, clip.quiet]), file.name


@pytest.mark.parametrize(("width", "engine"), [(7.0, "classic"), (12.0, "classic"), (7.0, "swift"), (12.0, "swift")])
def test_a_flat_moving_highlight_keeps_peak_and_energy(width: float, engine: str, tmp_path: Path) -> None:
    clip = made.highlight(tmp_path / "plate", width=width, value=5000.0, size=(112, 160))
    ran = retime(clip, tmp_path / "out", between=3, engine=engine)
    source = read_exr(clip.files[1])["G"].astype(np.float64)
    energy = source[source > 1].sum()
    for k in range(1, 16):
        plane = read_exr(ran.file(frame_at(k)))["G"].astype(np.float64)
        assert plane.max() == pytest.approx(5000, rel=0.02), k
        assert plane[plane > 1].sum() == pytest.approx(energy, rel=0.02), k


@pytest.mark.parametrize("engine", ENGINES)
def test_an_edge_against_black_rings_neither_under_nor_over(engine: str, tmp_path: Path) -> None:
    clip = made.hard_edge(tmp_path / "plate")
    sources = [rgb_of(read_exr(file)) for file in clip.files]
    ran = retime(clip, tmp_path / "out", between=3, engine=engine)
    for file in ran.files():
        rgb = rgb_of(read_exr(file))
        assert rgb.min() >= 0, file.name
        assert rgb.max() <= max(source.max() for source in sources), file.name


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_broken_pixels_do_not_spread(value: float, tmp_path: Path) -> None:
    clip = made.nan_plate(tmp_path / "plate", value)
    ran = retime(clip, tmp_path / "out", between=3)
    for k in range(13):
        broken = ~np.isfinite(rgb_of(read_exr(ran.file(frame_at(k)))))
        # A source frame has 9 broken pixels per channel and one more in green; nearest pixels of two sources at most.
        assert broken[0].sum() <= 2 * 9 and broken[1].sum() <= 2 * 10, k
    again = rgb_of(read_exr(ran.file(frame_at(4))))
    assert np.array_equal(again, rgb_of(read_exr(clip.files[1])), equal_nan=True)
