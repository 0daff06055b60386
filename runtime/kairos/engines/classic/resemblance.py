"""Where an object that was told apart has gone as a whole, by what it looks like and not by its outline alone.

An outline that something else cuts off tells little of how far an object has come; its texture tells it.
"""

from __future__ import annotations

from types import ModuleType
from typing import Callable, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from kairos.engines.classic.regions import Box, Labels, boxes
from kairos.engines.classic.search import Flow, Picture
from kairos.motion import fast

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

Counts = npt.NDArray[np.int64]

Number = TypeVar("Number", bound=np.generic)


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
    numbers = sorted(before.keys() & after.keys())
    outlines = [_means(start, told, numbers) / scale for start, told in zip(starts, labels)]

    def ways(number: int, *outline: Plane) -> Optional[List[Plane]]:
        where = before[number], after[number]
        first, second = (
            _Seen(_inside(box, plane), _inside(box, told) == number) for box, plane, told in zip(where, grey, small)
        )
        return _best((first, second), where, outline)

    found = list(each(ways, numbers, *outlines))
    told = []
    for side, (start, marks) in enumerate(zip(starts, labels)):
        gone = {number: best[side] * scale for number, best in zip(numbers, found) if best is not None}
        told.append(_told(start, marks, gone))
    return told


def _means(flow: Flow, labels: Labels, numbers: Sequence[int]) -> Plane:
    """The mean motion (n, 2) of some objects."""
    kernels = _kernels()
    if kernels is None:
        return np.array([flow[labels == number].mean(0) for number in numbers], np.float64).reshape(-1, 2)
    many = int(labels.max(initial=0)) + 1
    sums, counts = np.zeros((many, 2), np.float32), np.zeros(many, np.int64)
    kernels.sum_ways(np.ascontiguousarray(labels), np.ascontiguousarray(flow, np.float32), sums, counts)
    return np.asarray(sums[numbers] / counts[numbers, None].astype(np.float32), np.float64)


def _told(flow: Flow, labels: Labels, ways: Mapping[int, Plane]) -> Flow:
    """A motion, some objects of which move as a whole instead."""
    kernels, out = _kernels(), np.array(flow, np.float32)
    if kernels is None:
        for number, way in ways.items():
            out[labels == number] = way
        return out
    many = int(labels.max(initial=0)) + 1
    table, known = np.zeros((many, 2), np.float32), np.zeros(many, np.uint8)
    for number, way in ways.items():
        table[number], known[number] = way, 1
    kernels.tell_ways(np.ascontiguousarray(labels), table, known, out)
    return out


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.resemblance_kernels")


def _inside(box: Box, plane: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """What of a plane (H, W) is in a box."""
    return plane[box.top : box.bottom, box.left : box.right]


class _Seen(NamedTuple):
    """An object in one frame, and around it."""

    picture: Plane
    mask: npt.NDArray[np.bool_]

    def planes(self, middle: float, size: Tuple[int, int]) -> Tuple[Picture, Picture, Picture]:
        """Where it is, what it shows from a grey level on, and that squared, each (H, W), and 0 wherever it is not."""
        out, kernels = np.empty((3, *size), np.float32), _kernels()
        if kernels is not None:
            kernels.lay_object(self.picture, self.mask, middle, out)
        else:
            height, width = self.mask.shape
            shown = (self.picture - middle) * self.mask
            out[:] = 0
            out[:, :height, :width] = self.mask, shown, shown * shown
        return out[0], out[1], out[2]


class _Axis:
    """How far an object may have come along one axis, by how many of its pixels are in each place of its two boxes.

    Args:
        before, after: pixels of the object in each row, or column, of its box.
        least: pixels of it that have to overlap.

    Attributes:
        length: of a Fourier transform that tells all of these ways apart.
        places: where they lie in its answer.
        shifts: how far they are, from box to box, pixels.
    """

    def __init__(self, before: Counts, after: Counts, least: float) -> None:
        here, there = len(before), len(after)
        shifts = np.arange(1 - here, there)
        # No more can overlap than either has where both are.
        sums = [np.concatenate([[0], each.cumsum()]) for each in (before, after)]
        mine = sums[0][np.minimum(here, there - shifts)] - sums[0][np.maximum(0, -shifts)]
        theirs = sums[1][np.minimum(there, here + shifts)] - sums[1][np.maximum(0, shifts)]
        enough = shifts[np.minimum(mine, theirs) >= least]
        first, last = (int(enough[0]), int(enough[-1])) if enough.size else (0, -1)
        # Ways that are further than these come to lie beside them when they wrap around.
        self.length = cv2.getOptimalDFTSize(max(here, there, here + last, there - first))
        self.places = np.sort(np.arange(first, last + 1) % self.length)
        self.shifts = np.where(self.places > last, self.places - self.length, self.places)


def _best(seen: Tuple[_Seen, _Seen], where: Tuple[Box, Box], outlines: Sequence[Plane]) -> Optional[List[Plane]]:
    """(x, y) pixels that an object has come, and so far as ``outlines`` tell it back; None where too little of it is
    there.

    Mean squared difference of what both frames show of it, for every way at once by Fourier transforms (Padfield,
    "Masked Object Registration in the Fourier Domain", 2012).
    """
    areas = [int(mask.sum()) for _, mask in seen]
    if min(areas) < _FEWEST:
        return None
    spread, least = sum(float(picture[mask].var()) for picture, mask in seen) + _NOISE, _LEAST * min(areas)
    rows, columns = (_Axis(seen[0].mask.sum(axis), seen[1].mask.sum(axis), least) for axis in (1, 0))
    middle, size = float(seen[0].picture.mean()), (rows.length, columns.length)
    known0, shown0, squared0 = (_spectrum(plane) for plane in seen[0].planes(middle, size))
    known1, shown1, squared1 = (_spectrum(plane) for plane in seen[1].planes(middle, size))
    apart = _product(squared0, known1) + _product(known0, squared1) - 2 * _product(shown0, shown1)
    # Sums of whole numbers.
    overlap = np.rint(_at(_product(known0, known1), rows, columns))
    enough = np.flatnonzero(overlap >= least)
    overlap = overlap[enough]
    unlike = _at(apart, rows, columns)[enough] / overlap / spread
    alike = unlike <= _ALIKE
    cost = unlike[alike] + _OVERLAP * (1 - overlap[alike] / min(areas))
    row, column = np.divmod(enough[alike], len(columns.shifts))
    down = rows.shifts[row] + (where[1].top - where[0].top)
    across = columns.shifts[column] + (where[1].left - where[0].left)
    ways = []
    for outline, sign in zip(outlines, (1.0, -1.0)):
        if not cost.size:
            ways.append(np.asarray(outline))
            continue
        away = np.hypot(across - sign * outline[0], down - sign * outline[1]) / _SIDE
        best = int((cost + _FAR * away).argmin())
        ways.append(sign * np.array([across[best], down[best]]))
    return ways


def _spectrum(plane: Picture) -> Picture:
    """As OpenCV packs that of real numbers."""
    return np.asarray(cv2.dft(plane), np.float32)


def _product(one: Picture, other: Picture) -> Picture:
    """The spectrum of what one plane and another, moved in every way, have in common."""
    return np.asarray(cv2.mulSpectrums(other, one, 0, conjB=True), np.float32)


def _at(spectrum: Picture, rows: _Axis, columns: _Axis) -> Plane:
    """Its numbers for some ways, row after row."""
    every = cv2.dft(spectrum, flags=cv2.DFT_INVERSE | cv2.DFT_REAL_OUTPUT | cv2.DFT_SCALE)
    return np.asarray(every[rows.places][:, columns.places], np.float64).ravel()
