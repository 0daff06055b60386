"""Where objects that the artist told apart have gone, each as a whole.

Label maps are (H, W) int16, see :meth:`kairos.engines.base.ShotView.regions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Optional, Tuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from torch import Tensor

from kairos.engines.classic.search import Flow

Labels = npt.NDArray[np.int16]
"""(H, W), 0 = the rest."""

_FEWEST = 12
"""Pixels that an object must have in both frames for its place to tell anything."""


@dataclass(frozen=True)
class Box:
    """Where an object lies, pixels; ``bottom`` and ``right`` are one behind."""

    top: int
    bottom: int
    left: int
    right: int


def labels_of(first: Optional[Tensor], second: Optional[Tensor]) -> Optional[Tuple[Labels, Labels]]:
    """Both label maps, or None where either is missing."""
    if first is None or second is None:
        return None
    one, two = (np.asarray(labels.cpu(), np.int16) for labels in (first, second))
    return one, two


def travelled(labels: Labels, other: Labels, otherwise: Flow) -> Flow:
    """Motion (H, W, 2) of every object as a whole, pixels; of the rest that of another search.

    By how far an object's middle has come. Along an axis on which the frame cuts the object off at one side, by how
    far the other side has come; where it cuts both off the middle is all there is.
    """
    here, there, found = boxes(labels), boxes(other), otherwise.copy()
    for number, box in here.items():
        if number not in there:
            continue
        before, after = labels == number, other == number
        if min(int(before.sum()), int(after.sum())) < _FEWEST:
            continue
        ends = there[number]
        middles = [np.nonzero(each) for each in (before, after)]
        across = _gone((box.left, box.right), (ends.left, ends.right), labels.shape[1], *(each[1] for each in middles))
        down = _gone((box.top, box.bottom), (ends.top, ends.bottom), labels.shape[0], *(each[0] for each in middles))
        found[before] = across, down
    return found


def _gone(before: Tuple[int, int], after: Tuple[int, int], length: int, places: Labels, places_after: Labels) -> float:
    """How far an object has come along an axis, by its first and last place (and one) and all its pixels' places."""
    starts, ends = min(before[0], after[0]) > 0, max(before[1], after[1]) < length
    if starts == ends:
        return float(places_after.mean() - places.mean())
    return float(after[0] - before[0] if starts else after[1] - before[1])


def boxes(labels: Labels) -> Dict[int, Box]:
    """Of all objects, by number."""
    found = ndimage.find_objects(np.maximum(labels, 0).astype(np.int32))
    return {
        number: Box(place[0].start, place[0].stop, place[1].start, place[1].stop)
        for number, place in enumerate(found, start=1)
        if place is not None
    }
