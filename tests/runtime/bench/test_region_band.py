"""The bench of regions: its band, what it withholds, and a run through the command."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import cv2
import numpy as np
import pytest

from kairos.bench.metrics import psnr
from kairos.bench.region_band import band, compare, mean, psnr_within
from kairos.cli import main
from kairos.errors import BadRequest
from kairos_nodes.cache import CACHE_VARIABLE
from support.exr import write_exr

HEIGHT, WIDTH = 72, 128
FRAMES = 6
"""An even count: the last is left out."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def textured(seed: int, height: int, width: int) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((height, width)).astype(np.float32), (0, 0), 1.5)
    return np.asarray((noise - noise.min()) / np.ptp(noise))


def clip(folder: Path) -> Tuple[str, str]:
    """A box that goes 12 pixels a frame over still ground, and beside it the same as IDs, begun a frame earlier."""
    ground, thing = textured(1, HEIGHT, WIDTH), textured(2, 24, 24)
    write_exr(folder / "ids.10.exr", {"id": np.zeros((HEIGHT, WIDTH), np.float32)}, "float")
    for number in range(FRAMES):
        picture, ids = ground.copy(), np.zeros((HEIGHT, WIDTH), np.float32)
        place = slice(24, 48), slice(10 + 12 * number, 34 + 12 * number)
        picture[place], ids[place] = thing, 3
        colour = {name: picture * np.float32(gain) for name, gain in zip("RGB", (1, 0.8, 0.6))}
        write_exr(folder / f"shot.{11 + number}.exr", colour, "float")
        write_exr(folder / f"ids.{11 + number}.exr", {"id": ids}, "float")
    return str(folder / "shot.##.exr"), str(folder / "ids.##.exr")


def test_the_band_reaches_as_far_on_both_sides_of_a_border_and_knows_no_frame_edge() -> None:
    labels = np.zeros((20, 40), np.int16)
    labels[:, 20:] = 7
    assert np.array_equal(band(labels, 5).all(0), (np.arange(40) >= 15) & (np.arange(40) < 25))
    assert np.array_equal(band(labels, 1).any(0), (np.arange(40) >= 19) & (np.arange(40) < 21))
    assert not band(np.full((20, 40), 3, np.int16)).any()
    corner = np.zeros((20, 20), np.int16)
    corner[10:, 10:] = 1
    # Round a corner the distance counts: (6, 6) is 3 up and 4 to the left of (9, 10), which touches it.
    found = band(corner, 5)
    assert found[5, 12] and not found[4, 12] and found[7, 7] and not found[6, 6]


def test_psnr_within_everything_is_the_quality_benchs() -> None:
    one, two = (np.random.default_rng(seed).integers(0, 255, (9, 8, 3), dtype=np.uint8) for seed in (1, 2))
    every = np.ones((9, 8), np.bool_)
    assert psnr_within(one, two, every) == pytest.approx(psnr(one, two))
    assert np.isnan(psnr_within(one, two, ~every)) and psnr_within(one, one, every) == float("inf")
    assert mean([float("nan"), 20.0, 22.0]) == 21


def test_odd_frames_are_withheld_and_regions_beside_the_plate_follow_the_even_ones(tmp_path: Path) -> None:
    plate, ids = clip(tmp_path)
    found = compare(plate, ids, [("classic", ""), ("classic", ids)], device="cpu")
    assert found.numbers == [12, 14] and found.truths[0].shape == (HEIGHT, WIDTH, 3)
    # The box of frame 12 begins at column 22.
    assert found.bands[0][30, 22] and found.bands[0][30, 17] and not found.bands[0][30, 16]
    without, regions = found.rows
    assert (without.title, regions.title) == ("classic", f"classic --regions {ids}")
    # With another frame's IDs the box would be looked for where it is not.
    assert mean(regions.band) > 30 and mean(regions.whole) > 30


def test_the_command_prints_every_frame_and_draws_the_picture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plate, ids = clip(tmp_path)
    picture = tmp_path / "out" / "band.png"
    options = [
        "--regions",
        ids,
        "--engine",
        "classic",
        "--against",
        "classic",
        "--device",
        "cpu",
        "--out",
        str(picture),
    ]
    assert main(["bench", "regions", plate, *options]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"{plate}: 2 frames of 128x72 withheld, every odd one"
    assert [line.split()[0] for line in lines if line.startswith(("    12", "    14", "  mean"))] == [
        "12",
        "14",
        "mean",
    ]
    assert any(line.startswith("B over A: band ") for line in lines)
    shown = cv2.imread(str(picture))
    assert shown is not None and shown.shape[1] > 3 * 320


def test_a_clip_too_short_or_without_borders_is_refused(tmp_path: Path) -> None:
    plate, ids = clip(tmp_path)
    short = clip(tmp_path / "short")[0]
    for number in range(13, 11 + FRAMES):
        Path(short.replace("##", str(number))).unlink()
    with pytest.raises(BadRequest, match="three or more"):
        compare(short, ids, [("classic", "")])
    with pytest.raises(BadRequest, match="Say with --regions"):
        compare(plate, "", [("classic", "")])
    for number in range(FRAMES):
        nothing = {"id": np.zeros((HEIGHT, WIDTH), np.float32)}
        write_exr(tmp_path / "none" / f"none.{11 + number}.exr", nothing, "float")
    with pytest.raises(BadRequest, match="no withheld frame shows"):
        compare(plate, str(tmp_path / "none" / "none.##.exr"), [("classic", "")])
