"""Eight neighbours at once, for kernels that fetch from where vectors end: parts of theirs, which nobody else imports.

Vectors change slowly, so that what eight neighbours are fetched from are mostly neighbours too: these are read as
vectors, the others one by one. What is read as a vector may be rounded once where the other is rounded twice.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import load, spread, store
from kairos.motion.compiled import Plane, part
from kairos.motion.place_kernels import Places, ended, fetched

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


@part
def row_ended(
    moves: Plane, size: u, at: u, y: int, begin: int, end: int, box: Box, some: Words,
    columns: Places, across: Plane, rows: Places, down: Plane, apart: Flags, order: Places,
) -> Tuple[int, int]:  # fmt: skip
    """Where vectors of some eights of row ``y`` of a box end, and which of these are fetched from neighbours.

    Args:
        moves: of both axes, ``size`` each.
        at: of the box's first column in this row.
        begin, end: the first eight, and the one behind the last.
        box: (4,).
        some: (N,), marks: an eight without any is left out.
        columns, across, rows, down: (W,), for the answer, see :func:`kairos.motion.place_kernels.ended`.
        apart: see :func:`parted`.
        order: (N,), gets the eights that are fetched from neighbours, from the first place on, and the others, from the
            last one back.

    Returns:
        how many are fetched from neighbours, and the place of the last of the others.
    """
    first, last, left = 8 * begin, min(8 * end, len(columns)), np.int32(box[2])
    here = at + u(first)
    ended(
        moves[here:], np.int32(left + first), np.int32(1), left, np.int32(box[3] - 1),
        columns[first:last], across[first:last],
    )  # fmt: skip
    ended(
        moves[here + size :], np.int32(y), np.int32(0), np.int32(box[0]), np.int32(box[1] - 1),
        rows[first:last], down[first:last],
    )  # fmt: skip
    parted(columns[first:last], rows[first:last], apart[first:])
    joints, many, others = apart.view(np.uint64), 0, len(order)
    for block in range(begin, end):
        if some[u(block)] == np.uint64(0):
            continue
        if in_a_row(joints[u(block)], columns[u(8 * block)], rows[u(8 * block)]):
            order[u(many)] = np.int32(block)
            many += 1
        else:
            others -= 1
            order[u(others)] = np.int32(block)
    return many, others


@part
def row_fetched(
    planes: Plane, plane: u, pitch: u, order: Places, many: int, others: int,
    columns: Places, across: Plane, rows: Places, down: Plane, out: Plane,
) -> None:  # fmt: skip
    """What is fetched from a plane for some eights of a row.

    Args:
        planes: of which the plane begins at ``plane``; ``pitch`` pixels lie between its rows.
        order, many, others, columns, across, rows, down: of :func:`row_ended`.
        out: (at least W,), of eights, for the answer.
    """
    for place in range(many):
        e = u(8 * order[u(place)])
        i = plane + u(rows[e] >> 1) * pitch + u(columns[e] >> 1)
        store(out, e, fetched_eight(planes, i, pitch, across, down, e))
    for place in range(others, len(order)):
        e = u(8 * order[u(place)])
        for k in range(e, min(e + u(8), u(len(columns)))):
            i = plane + u(rows[k] >> 1) * pitch + u(columns[k] >> 1)
            out[k] = fetched(planes, i, u(columns[k] & 1), u(rows[k] & 1) * pitch, across[k], down[k])
