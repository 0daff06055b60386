"""Where an object that was told apart has gone as a whole, by what it looks like and not by its outline alone.

An outline that something else cuts off tells little of how far an object has come; its texture tells it.
"""

from __future__ import annotations

from typing import Callable, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from kairos.engines.classic.regions import Box, Labels, boxes
from kairos.engines.classic.search import Flow, Picture

_SIDE = 320
"""Longer side of the pictures on which objects are looked for, pixels."""

_FEWEST = 24
"""Pixels of these that an object must have in both frames."""

_LEAST = 0.3
"""Part of the smaller of an object's two areas that must overlap where it looks most like itself."""

_ALIKE = 0.5
"""Difference, of that of textures that have nothing to do with each other, up to which both show the same."""

_OVERLAP = 0.5
"""What an overlap of nothing costs: as much as textures that have half to do with each other."""

_FAR = 0.2
"""What one picture's longer side of distance from the outline's way costs."""

_NOISE = 9.0
"""Variance that tells nothing, grey levels squared."""

Plane = npt.NDArray[np.float64]


def resembling(start: Flow, pictures: Tuple[Picture, Picture], labels: Labels, other: Labels) -> Flow:
    """Motion (H, W, 2) of every object as a whole, pixels, moved on to where it looks most like itself.

    Args:
        start: by outlines, see :func:`kairos.engines.classic.regions.travelled`; holds where nothing better is found.
        pictures: (H, W) grey levels, both frames.
        labels, other: of both frames.
    """
    return resembling_both((start,), pictures, (labels, other))[0]


def resembling_both(
    starts: Sequence[Flow],
    pictures: Tuple[Picture, Picture],
    labels: Tuple[Labels, Labels],
    each: Callable[..., Iterable[Optional[List[Plane]]]] = map,
) -> List[Flow]:
    """The same both ways: what an object looks like is compared once for both.

    Args:
        starts: from the first frame to the second, and back.
        pictures: (H, W) grey levels.
        labels: of both frames.
        each: does the work for each object, as ``map`` does.
    """
    height, width = labels[0].shape
    shrink = max(1.0, max(height, width) / _SIDE)
    size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    grey = [np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float64) for each in pictures]
    small = [np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_NEAREST), np.int16) for each in labels]
    scale = np.array([width / size[0], height / size[1]])
    before, after = boxes(small[0]), boxes(small[1])
    found = [start.copy() for start in starts]

    def ways(number: int) -> Optional[List[Plane]]:
        where = before[number], after[number]
        seen = [
            _Seen(plane[box.top : box.bottom, box.left : box.right], told[box.top : box.bottom, box.left : box.right])
            for plane, told, box in zip(grey, (plane == number for plane in small), where)
        ]
        outlines = [start[told == number].mean(0) / scale for start, told in zip(starts, labels)]
        return _best((seen[0], seen[1]), where, outlines)

    numbers = sorted(before.keys() & after.keys())
    for number, best in zip(numbers, each(ways, numbers)):
        for flow, told, way in zip(found, labels, best or ()):
            flow[told == number] = way * scale
    return found


class _Seen(NamedTuple):
    """An object in one frame, and around it."""

    picture: Plane
    mask: npt.NDArray[np.bool_]


def _best(seen: Tuple[_Seen, _Seen], where: Tuple[Box, Box], outlines: Sequence[Plane]) -> Optional[List[Plane]]:
    """(x, y) pixels that an object has come, and so far as ``outlines`` tell it back; None where too little of it is
    there.

    Mean squared difference of what both frames show of it, for every way at once by Fourier transforms (Padfield,
    "Masked Object Registration in the Fourier Domain", 2012).
    """
    areas = [int(mask.sum()) for _, mask in seen]
    if min(areas) < _FEWEST:
        return None
    spread = sum(float(picture[mask].var()) for picture, mask in seen) + _NOISE
    (first, mask0), (second, mask1) = (
        (picture - seen[0].picture.mean(), mask.astype(np.float64)) for picture, mask in seen
    )
    shape = [cv2.getOptimalDFTSize(one + two) for one, two in zip(first.shape, second.shape)]

    def spectrum(plane: Plane) -> npt.NDArray[np.complex128]:
        return np.asarray(np.fft.rfft2(plane, shape))

    def plane(spectrum: npt.NDArray[np.complex128]) -> Plane:
        return np.asarray(np.fft.irfft2(spectrum, shape))

    shown0, shown1 = first * mask0, second * mask1
    known0, known1 = spectrum(mask0).conj(), spectrum(mask1)
    overlap = plane(known0 * known1)
    apart = plane(
        spectrum(first * shown0).conj() * known1
        + known0 * spectrum(second * shown1)
        - 2 * spectrum(shown0).conj() * spectrum(shown1)
    )
    rows, columns = (
        (np.arange(length) + one) % length - one + offset
        for length, one, offset in zip(shape, first.shape, (where[1].top - where[0].top, where[1].left - where[0].left))
    )
    part = overlap / min(areas)
    unlike = apart / np.maximum(overlap, 1.0) / spread
    cost = unlike + _OVERLAP * (1 - part)
    cost[(part < _LEAST) | (unlike > _ALIKE)] = np.inf
    ways = []
    for outline, sign in zip(outlines, (1.0, -1.0)):
        away = np.hypot(columns - sign * outline[0], rows[:, None] - sign * outline[1]) / _SIDE
        row, column = np.unravel_index(int((cost + _FAR * away).argmin()), cost.shape)
        is_found = np.isfinite(cost[row, column])
        ways.append(sign * np.array([columns[column], rows[row]]) if is_found else np.asarray(outline))
    return ways
