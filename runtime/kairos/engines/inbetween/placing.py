"""What it takes to place generated pictures on the plate, counted on the same plate made small.

Where things lie decides what is computed there, so that tensors without values do not do (compare
:mod:`kairos.engines.inbetween.plan`). All that is kept grows with the pixels, of the canvas and of the plate alike:
what is counted on a small plate with a small canvas, both shrunk by as much, is scaled up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic.motion import Found, Look
from kairos.engines.inbetween.canvas import MULTIPLE
from kairos.engines.inbetween.counting import Counter
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.plate import Plate, PlateSettings
from kairos.motion.inbetween import Inbetween

_AREA = 1 << 13
"""Pixels of a canvas at most that is counted on."""

_PICTURES = 3
"""Pictures that are counted on: two keys and what lies between."""

_KEPT = 2
"""Pictures on the plate that are kept while the next is made."""


@dataclass(frozen=True)
class Placing:
    """Bytes alive at once on the plate's device, over what is there before any picture is generated.

    Attributes:
        match: while pictures are matched with the keys.
        show: while one of them is made at the plate's size.
    """

    match: int
    show: int


def placing_of(
    plate: Tuple[int, int], settings: PlateSettings, frames: int, mover: Mover, device: torch.device
) -> Placing:
    """What placing takes.

    Args:
        plate: height and width, pixels.
        settings: of the plate; its canvas is the full one.
        frames: pictures that are generated.
        mover: finds the motion.
        device: of the plate.
    """
    canvas = _shrunk(settings.canvas)
    part = canvas[0] / settings.canvas[0], canvas[1] / settings.canvas[1]
    size = max(1, round(plate[0] * part[0])), max(1, round(plate[1] * part[1]))
    larger = 1 / (part[0] * part[1])
    drawn = _drawn(size).to(device)
    # What corresponds with nothing would take less.
    small = Plate(drawn, drawn.roll(1, 2), replace(settings, canvas=canvas))
    shown = small.shown()
    estimate = _Estimate(mover, shown)
    generated = [torch.stack([shown[0], *shown]).half()]
    matching = Counter(device, [*small.keys, *small.clean, *shown, *generated])
    estimate.told = matching
    with matching.counting():
        placed = small.place(generated, estimate)
    matched = matching.count()
    showing = Counter(device)
    kept: List[Inbetween] = []
    with showing.counting():
        for _ in range(_KEPT + 1):
            kept.append(placed.at(1))
    pictures = sum(each.nbytes for each in generated)
    every = (matched.after - matched.before + pictures) / _PICTURES
    scaled = partial(_scaled, larger=larger)
    return Placing(
        scaled(matched.peak - matched.after + frames * every),
        scaled(showing.count().peak + frames * (every - pictures / _PICTURES)),
    )


class _Estimate:
    """An estimator that has worked once: it answers the same from then on, and says what it took.

    Attributes:
        told: hears of it.
    """

    def __init__(self, mover: Mover, pictures: Tuple[Tensor, Tensor]) -> None:
        first, second = (Look(each, None) for each in pictures)
        # An engine reads its weights when it is first used.
        mover(first, second)
        counter = Counter(pictures[0].device)
        with counter.counting():
            self._found = mover(first, second)
        count = counter.count()
        self._taken, self.told = count.peak, counter

    def __call__(self, first: Look, second: Look) -> Found:
        """The motion both ways."""
        self.told.borrow(self._taken)
        return self._found._replace(there=self._found.there.clone(), back=self._found.back.clone())


def _scaled(size: float, larger: float) -> int:
    return math.ceil(size * larger)


def _shrunk(canvas: Tuple[int, int]) -> Tuple[int, int]:
    """A canvas of nearly the same aspect with :data:`_AREA` pixels at most."""
    share = min(1.0, math.sqrt(_AREA / (canvas[0] * canvas[1])))
    height, width = (max(MULTIPLE, int(side * share) // MULTIPLE * MULTIPLE) for side in canvas)
    return height, width


def _drawn(size: Tuple[int, int]) -> Tensor:
    """(3, H, W) encoded: soft blots."""
    source = torch.Generator().manual_seed(0)
    blots = torch.rand(1, 3, *(max(2, side // 8) for side in size), generator=source)
    return F.interpolate(blots, size, mode="bilinear", align_corners=False)[0]
