"""Highlights and negatives through the engine ``siren``: nothing is clipped on the way."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair
from kairos.engines.registry import engine
from kairos.motion.encode import decode
from support.exr import read_exr
from support.scenes import MemoryShot
from support.shared import shared_data
from support.siren import silent

SIDE = 32
"""Of the frames, pixels."""

LIFT = 0.05
"""Taken off the plate, so that its shadows are negative."""

HALF = 65504.0
"""The largest half-precision number."""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "cache"))


def garden() -> Tensor:
    """(493, 874) float32, scene-linear: a photograph of up to 10."""
    planes = read_exr(shared_data("exr-variety", "openexr-images_LuminanceChroma_Garden.exr"))
    return torch.from_numpy(np.array(planes["Y"], np.float32)).reshape(493, 874)


def frames_of(plate: Tensor, corner: Tuple[int, int], gain: float) -> List[Tensor]:
    """Three frames and the two between them: a window on the plate that goes 1 pixel to the right each time."""
    tints = torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    top, left = corner
    return [(plate[top : top + SIDE, left + step : left + step + SIDE] * tints - LIFT) * gain for step in range(5)]


def corner_of(value: Tensor, plate: Tensor) -> Tuple[int, int]:
    """Where a window lies that has the first pixel of that value in its middle."""
    row, column = (int(place) for place in (plate == value).nonzero()[0])
    reach = SIDE // 2
    return min(max(row - reach, 0), 493 - SIDE), min(max(column - reach, 0), 874 - SIDE - 5)


def painted(frames: List[Tensor], base: str) -> Tensor:
    """(3, H, W) scene-linear, half-way from the first frame to the second."""
    known = frames[::2]

    def motion(source: int, target: int) -> Tensor:
        return torch.tensor([-2.0, 0.0])[:, None, None].expand(2, SIDE, SIDE) * (target - source)

    shot = MemoryShot(known, motion=motion)
    settings = EngineSettings(options={"base": base, "steps": 100, "batch": 2048})
    (answer,) = engine("siren").open(shot, settings, silent).at(Pair(0, 1, after=2), [0.5])
    assert answer.image is not None
    return decode(answer.image, shot.exposure)


@pytest.mark.parametrize(
    ("base", "gain"), [("warp", 1.0), ("none", 6000.0)], ids=["over the base, as shot", "alone, to the end of half"]
)
def test_highlights_come_through_as_bright_as_they_are(base: str, gain: float) -> None:
    plate = garden()
    frames = frames_of(plate, corner_of(plate.max(), plate), gain)
    # The half-precision plate as a file would hold it.
    frames = [frame.clamp(max=HALF).half().float() for frame in frames]
    shown, truth = painted(frames, base), frames[1]
    assert bool(shown.isfinite().all()) and float(truth.max()) > 9 * gain
    peaks = [float(frame.max()) for frame in frames[0:3:2]]
    assert 0.8 * min(peaks) < float(shown.max()) < 1.25 * max(peaks)
    bright = truth > truth.flatten().quantile(0.98)
    # Within a quarter of a stop, over the brightest fiftieth.
    stops = torch.log2(shown[bright].clamp(min=1e-6) / truth[bright])
    assert float(stops.abs().mean()) < 0.25 and abs(float(stops.mean())) < 0.1


@pytest.mark.parametrize("base", ["warp", "none"])
def test_negatives_stay_negative(base: str) -> None:
    plate = garden()
    frames = frames_of(plate, corner_of(plate.min(), plate), 1.0)
    shown, truth = painted(frames, base), frames[1]
    assert float(truth.min()) < -0.02
    dark = truth < truth.min() * 0.5
    assert float((shown[dark] < 0).float().mean()) > 0.98
    assert float((shown[dark] - truth[dark]).abs().mean()) < 0.2 * -float(truth[dark].mean())
