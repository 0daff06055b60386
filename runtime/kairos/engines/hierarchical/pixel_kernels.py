"""What cells know told to pixels, and what pixels know to cells, compiled for the CPU.

Imported by :mod:`kairos.engines.hierarchical.plugged_swift` alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Planes, kernel

Labels = npt.NDArray[np.int16]

u = np.uintp
_LABELS = "i2[:,::1]"
_SOME = 128
"""Pixels of a row that are worked out together."""
_0, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


@kernel(f"void({PLANES}, {_LABELS}, {_LABELS}, f4, f4, f4, {PLANES}, {PLANES}, i8, i8)")
def told_rows(
    planes: Planes, cells: Labels, pixels: Labels, stride: np.float32, apart: np.float32, another: np.float32,
    prior: Planes, out: Planes, top: int, bottom: int,
) -> None:  # fmt: skip
    """Planes of cells interpolated at pixels, among the four cells around that have the pixel's own label.

    Args:
        planes: (C, h, w).
        cells, pixels: label maps (h, w) and (H, W).
        stride: pixels that a cell is wide.
        apart: least weight of a cell.
        another: weight of one with another label, of what it would otherwise have.
        prior: (C - 1, H, W), mixed with all planes but the last one, which is the share of these; or none.
        out: (C, H, W) for the planes, or (C - 1, H, W) for what is mixed.
        top, bottom: its rows.
    """
    channels, rows, columns = planes.shape
    width, is_mixed = out.shape[2], prior.shape[0] > 0
    lefts, rights = np.empty(_SOME, np.int32), np.empty(_SOME, np.int32)
    # Of some pixels of a row: the labels of the four cells around, and in one line the cells' weights, how far behind
    # the left ones the pixels lie, the share, and the planes of the cells.
    marks, line = np.empty(4 * _SOME, np.int16), np.empty((6 + 4 * channels) * _SOME, np.float32)
    one, two, three, four, five = u(_SOME), u(2 * _SOME), u(3 * _SOME), u(4 * _SOME), u(5 * _SOME)
    for begin in range(0, width, _SOME):
        many = min(_SOME, width - begin)
        for i in range(many):
            x = (np.float32(begin + i) + _HALF) / stride - _HALF
            before = int(np.floor(x))
            lefts[u(i)], rights[u(i)] = min(max(before, 0), columns - 1), min(max(before + 1, 0), columns - 1)
            line[four + u(i)] = x - np.floor(x)
        last = -2
        for row in range(top, bottom):
            y = (np.float32(row) + _HALF) / stride - _HALF
            first, fy = int(np.floor(y)), y - np.floor(y)
            if first != last:
                last = first
                above, below = u(min(max(first, 0), rows - 1)), u(min(max(first + 1, 0), rows - 1))
                for i in range(many):
                    left, right = u(lefts[u(i)]), u(rights[u(i)])
                    marks[u(i)], marks[one + u(i)] = cells[above, left], cells[above, right]
                    marks[two + u(i)], marks[three + u(i)] = cells[below, left], cells[below, right]
                for channel in range(channels):
                    plane, to = u(channel), u((6 + 4 * channel) * _SOME)
                    for i in range(many):
                        left, right = u(lefts[u(i)]), u(rights[u(i)])
                        line[to + u(i)], line[to + one + u(i)] = planes[plane, above, left], planes[plane, above, right]
                        line[to + two + u(i)] = planes[plane, below, left]
                        line[to + three + u(i)] = planes[plane, below, right]
            own = pixels[u(row), u(begin) :]
            for i in range(many):
                fx = line[four + u(i)]
                a, b, c, d = (_ONE - fy) * (_ONE - fx), (_ONE - fy) * fx, fy * (_ONE - fx), fy * fx
                a, b = a if a > apart else apart, b if b > apart else apart
                c, d = c if c > apart else apart, d if d > apart else apart
                a *= _ONE if marks[u(i)] == own[u(i)] else another
                b *= _ONE if marks[one + u(i)] == own[u(i)] else another
                c *= _ONE if marks[two + u(i)] == own[u(i)] else another
                d *= _ONE if marks[three + u(i)] == own[u(i)] else another
                whole = _ONE / (a + b + c + d)
                line[u(i)], line[one + u(i)] = a * whole, b * whole
                line[two + u(i)], line[three + u(i)] = c * whole, d * whole
            if is_mixed:
                at = u((6 + 4 * (channels - 1)) * _SOME)
                for i in range(many):
                    upper = line[at + u(i)] * line[u(i)] + line[at + one + u(i)] * line[one + u(i)]
                    lower = line[at + two + u(i)] * line[two + u(i)] + line[at + three + u(i)] * line[three + u(i)]
                    line[five + u(i)] = upper + lower
            for channel in range(out.shape[0]):
                answer, at = out[u(channel), u(row), u(begin) :], u((6 + 4 * channel) * _SOME)
                for i in range(many):
                    upper = line[at + u(i)] * line[u(i)] + line[at + one + u(i)] * line[one + u(i)]
                    lower = line[at + two + u(i)] * line[two + u(i)] + line[at + three + u(i)] * line[three + u(i)]
                    answer[u(i)] = upper + lower
                if is_mixed:
                    given = prior[u(channel), u(row), u(begin) :]
                    for i in range(many):
                        answer[u(i)] = given[u(i)] + line[five + u(i)] * (answer[u(i)] - given[u(i)])


@kernel(f"void({PLANES}, i8, {PLANES}, i8, i8)")
def mean_rows(planes: Planes, stride: int, out: Planes, top: int, bottom: int) -> None:
    """The mean of every cell's pixels, in cells.

    Args:
        planes: (C, H, W) pixels; beyond them, the border is repeated.
        stride: pixels that a cell is wide.
        out: (C, h, w).
        top, bottom: its rows.
    """
    channels, rows, columns = planes.shape
    width = out.shape[2]
    sums, share = np.empty(stride * width, np.float32), _ONE / np.float32(stride * stride * stride)
    for channel in range(channels):
        for line in range(top, bottom):
            sums[:] = _0
            for row in range(line * stride, (line + 1) * stride):
                y = u(min(row, rows - 1))
                for x in range(min(columns, stride * width)):
                    sums[u(x)] += planes[u(channel), y, u(x)]
                for x in range(columns, stride * width):
                    sums[u(x)] += planes[u(channel), y, u(columns - 1)]
            for cell in range(width):
                total = _0
                for x in range(cell * stride, (cell + 1) * stride):
                    total += sums[u(x)]
                out[u(channel), u(line), u(cell)] = total * share
