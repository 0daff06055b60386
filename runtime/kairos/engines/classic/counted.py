"""What label maps tell of two frames, by compiled kernels.

Every function here but :func:`usable` and :func:`renamed` is to be called only where that says so. Label maps are
(H, W) int16, objects from 1 on, 0 the rest.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Callable, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.motion import fast
from kairos.motion.fill import LEAST_WEIGHT

Labels = npt.NDArray[np.int16]
"""(H, W), 0 = the rest."""
Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

Ends = Tuple[int, int, int, int]
"""First row and the one behind the last, and so the columns."""

_STRIP = 64
"""Rows that are summed up together: always the same, so that sums are."""


def usable(*planes: Tensor) -> bool:
    """Whether the kernels can take these planes."""
    return fast.usable(*planes) and _kernels() is not None


def renamed(labels: Labels, names: Mapping[int, int], count: int) -> Labels:
    """A label map of numbers below ``count`` with other numbers; what has none becomes the rest."""
    table = np.zeros(count, np.int16)
    for number, name in names.items():
        if number < count:
            table[number] = name
    return table[labels]


def boxes(labels: Labels) -> Counts:
    """(N, 4) of every number: the first row, the one behind the last, and so the columns. Of nothing, the end is 0."""
    count = int(labels.max(initial=0)) + 1
    height, width = labels.shape
    nothing = np.tile(np.array([height, 0, width, 0], np.int64), (count, 1))
    tables = _in_strips(_loaded().box_rows, (labels,), nothing)
    return np.stack([tables[:, :, 0].min(0), tables[:, :, 1].max(0), tables[:, :, 2].min(0), tables[:, :, 3].max(0)], 1)


def ends(flow: Tensor, trust: Tensor, labels: Labels, other: Labels, count: int, sure: float) -> Counts:
    """(4, count) by number: vectors trusted more than ``sure`` that begin and end on it, those that end on it and begin
    elsewhere, its pixels, and all such vectors that begin on it.

    Args:
        flow: (2, H, W) pixels.
        trust: (1, H, W) in 0..1.
        labels, other: of the frame that the vectors begin in, and of that they end in; numbers below ``count``.
        count: of numbers.
        sure: see above.
    """
    given = fast.array(flow), fast.array(trust), labels, other, np.float32(sure)
    found: Counts = _in_strips(_loaded().end_rows, given, np.zeros((4, count), np.int64)).sum(0)
    return found


def unlike(
    pictures: Tuple[Tensor, Tensor], flows: Tuple[Tensor, Tensor], told: Tuple[Labels, Labels], most: float
) -> Sums:
    """(N, 3) by object: pixels that either flow takes to something alike, and how unlike what both take them to is,
    summed over these.

    Args:
        pictures: (3, H, W) each.
        flows: (2, H, W) pixels each, from the first picture to the second.
        told: label maps of both.
        most: difference that counts as nothing alike, as does ending on another object.
    """
    given = [fast.array(each) for each in (*pictures, *flows)]
    nothing = np.zeros((int(told[0].max(initial=0)) + 1, 3))
    reckoned = told[1].astype(np.float32)[None]
    found: Sums = _in_strips(_loaded().unlike_rows, (*given, told[0], reckoned, np.float32(most)), nothing).sum(0)
    return found


def believed(
    way: Tuple[Tensor, Tensor, Tensor, Tensor], inside: Tensor, corner: Tuple[int, int], astray: float, doubted: float,
    least: float,
) -> Tuple[Tensor, Tensor, Tuple[Tensor, Tensor]]:  # fmt: skip
    """Trust (1, h, w) in the vectors of some objects in their box; and (1, h, w) how far each vector is believed when
    what is not is filled in, with both at half the size, as :func:`kairos.motion.fill.fill_halved` takes it.

    Args:
        way: flow (2, H, W) pixels, trust (1, H, W), and how much of the pixels of the frame that it begins in, and ends
            in, is of these objects, (1, h, w) each.
        inside: (2, h, w), the flow in the box.
        corner: first row and column of the box.
        astray, doubted: see :mod:`kairos.engines.classic.parts`.
        least: of trust.
    """
    trust, weight = (torch.empty(1, *inside.shape[-2:]) for _ in range(2))
    height, width = ((side + 1) // 2 for side in inside.shape[-2:])
    halved = torch.empty(2, height, width), torch.empty(1, height, width)
    given = [fast.array(each) for each in way]
    numbers = [np.float32(each) for each in (astray, doubted, least)]
    planes = [each.numpy() for each in (trust, weight)]
    coarse = fast.array(inside), np.float32(LEAST_WEIGHT), *(each.numpy() for each in halved)
    work = partial(_belief().believe_and_halve_rows, *given, np.array(corner, np.int64), *numbers, *planes, *coarse)
    fast.in_bands(work, height, 4 * width)
    return trust, weight, halved


def shares(labels: Labels, numbers: Sequence[int]) -> Tensor:
    """(1, H, W) float32: 1 where any of these objects is, 0 elsewhere."""
    out, some = torch.empty(1, *labels.shape), np.array(numbers, np.int16)
    work = partial(_loaded().share_rows, np.ascontiguousarray(labels), some, out.numpy())
    fast.in_bands(work, *labels.shape)
    return out


def shown(first: Tensor, second: Tensor) -> Optional[Ends]:
    """Where all lies that is above 0 in either of two planes (1, H, W); None for nowhere."""
    height, width = first.shape[-2:]
    strips = -(-height // _STRIP)
    planes = fast.array(first), fast.array(second)
    columns, rows = np.zeros((strips, width), np.uint8), np.empty(height, np.uint8)

    def some(begin: int, end: int) -> None:
        for strip in range(begin, end):
            top, bottom = strip * _STRIP, min(height, (strip + 1) * _STRIP)
            _loaded().shown_rows(*planes, columns[strip], rows, top, bottom)

    fast.in_parts(some, strips, min(torch.get_num_threads(), height * width // fast.SMALL))
    down, across = np.flatnonzero(rows), np.flatnonzero(columns.any(0))
    return (int(down[0]), int(down[-1]) + 1, int(across[0]), int(across[-1]) + 1) if len(down) else None


def fits(flow: Tensor, trust: Tensor, labels: Labels, count: int, step: int, sure: float) -> Sums:
    """(count, 12) by number: what affine motion is fitted by, see ``fit_rows`` of the kernels.

    Args:
        flow: (2, H, W) pixels.
        trust: (1, H, W) in 0..1, the weights.
        labels: numbers below ``count``.
        count: of numbers.
        step: of so many rows and columns, one is asked.
        sure: trust over which a vector counts.
    """
    given = fast.array(flow), fast.array(trust), labels, step, np.float32(sure)
    found: Sums = _in_strips(_loaded().fit_rows, given, np.zeros((count, 12))).sum(0)
    return found


def votes(motions: Sums, labels: Labels, other: Labels, trust: Tensor, step: int, sure: float) -> Sums:
    """(N, N): how many pixels of an object (row), moved as a whole, come to lie on another (column).

    Args:
        motions: (N, 3, 2) by number, see ``vote_rows`` of the kernels.
        labels, other: of the frame that they begin in, and of that they end in.
        trust: (1, H, W) in 0..1, in the vectors of the other frame.
        step: of so many rows and columns, one is asked.
        sure: trust over which they say what is there.
    """
    given = np.ascontiguousarray(motions), labels, other, fast.array(trust), step, np.float32(sure)
    found: Sums = _in_strips(_loaded().vote_rows, given, np.zeros((len(motions), len(motions)))).sum(0)
    return found


def _in_strips(work: Callable[..., None], given: Sequence[object], begin: npt.NDArray[np.generic]) -> np.ndarray:
    """(strips, ...): what a kernel counts in each strip of rows, beginning with the same."""
    labels = next(each for each in given if isinstance(each, np.ndarray) and each.dtype == np.int16)
    height, width = labels.shape
    strips = -(-height // _STRIP)
    tables = np.repeat(begin[None], strips, 0)

    def some(first: int, end: int) -> None:
        for strip in range(first, end):
            work(*given, tables[strip], strip * _STRIP, min(height, (strip + 1) * _STRIP))

    fast.in_parts(some, strips, min(torch.get_num_threads(), height * width // fast.SMALL))
    return tables


def _loaded() -> ModuleType:
    kernels = _kernels()
    assert kernels is not None, "only after usable()"
    return kernels


def _belief() -> ModuleType:
    kernels = fast.compiled("kairos.engines.classic.belief_kernels")
    assert kernels is not None, "only after usable()"
    return kernels


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.region_kernels")
