"""Eight neighbours at once, for kernels that fetch from where vectors end: parts of theirs, which nobody else imports.

Vectors change slowly, so that what eight neighbours are fetched from are mostly neighbours too: these are read as
vectors, the others one by one. What is read as a vector may be rounded once where the other is rounded twice.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import load, spread
from kairos.motion.compiled import Plane, part
from kairos.motion.place_kernels import Places, ended

Box = npt.NDArray[np.int64]
"""(4,): top, bottom, left, right."""
Flags = npt.NDArray[np.uint8]
"""(at least W,), of eights."""
Words = npt.NDArray[np.uint64]
"""The same, eight flags each."""

u = np.uintp
_1, _2, _NONE = np.float32(1.0), np.int32(2), np.int32(0)
_YES, _NO = np.uint8(1), np.uint8(0)

JOINTS = np.uint64(0x00FFFFFFFFFFFFFF)
"""Of eight flags, those of the joints between eight pixels."""


@part
def eights(wide: int) -> int:
    """Eights that so many pixels begin."""
    return (wide + 7) // 8


@part
def span(marks: Words) -> Tuple[int, int]:
    """The first eight of a row in which anything is marked, and the one behind the last."""
    begin, end = 0, len(marks)
    while begin < end and marks[u(begin)] == np.uint64(0):
        begin += 1
    while begin < end and marks[u(end - 1)] == np.uint64(0):
        end -= 1
    return begin, end


@part
def both_ended(
    moves: Plane, size: u, at: u, y: int, first: int, box: Box,
    columns: Places, across: Plane, rows: Places, down: Plane,
) -> None:  # fmt: skip
    """Where vectors end, see :func:`kairos.motion.place_kernels.ended`, from a place of row ``y`` of a box on.

    Args:
        moves: of both axes, ``size`` each.
        at: of the box's first column in this row.
        first: of its columns.
        box: (4,).
        columns, across, rows, down: for the answer.
    """
    here, left = at + u(first), np.int32(box[2])
    ended(moves[here:], np.int32(left + first), np.int32(1), left, np.int32(box[3] - 1), columns, across)
    ended(moves[here + size :], np.int32(y), np.int32(0), np.int32(box[0]), np.int32(box[1] - 1), rows, down)


@part
def parted(columns: Places, rows: Places, apart: Flags) -> None:
    """Marks with 1 every pixel whose next is not fetched from the pixel right of its own; the last is not looked at.
    Places are those of :func:`kairos.motion.place_kernels.ended`.
    """
    for i in range(len(columns) - 1):
        right = np.int32(np.int32(columns[u(i + 1)] - columns[u(i)]) - _2)
        below = np.int32(rows[u(i + 1)] - rows[u(i)])
        apart[u(i)] = _YES if right | below != _NONE else _NO


@part
def in_a_row(joints: np.uint64, column: np.int32, row: np.int32) -> bool:
    """Whether eight pixels are fetched from neighbours, all of which have another right of them and below: by their
    marks, and the first one's places.
    """
    return bool(joints & JOINTS == np.uint64(0) and column & row & np.int32(1) != np.int32(0))


@part
def fetched_eight(planes: Plane, i: u, below: u, b: Plane, d: Plane, x: u):  # type: ignore[no-untyped-def]
    """What :func:`kairos.motion.place_kernels.fetched` fetches for eight neighbours: ``i`` is of the first, ``b`` and
    ``d`` are of all pixels of the line, and of these from ``x`` on.
    """
    right, down, one = load(b, x), load(d, x), spread(_1)
    left, j = one - right, i + below
    upper = load(planes, i) * left + load(planes, i + u(1)) * right
    lower = load(planes, j) * left + load(planes, j + u(1)) * right
    return upper * (one - down) + lower * down
