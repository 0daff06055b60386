"""What cells know told to pixels, compiled for the CPU.

Imported by :mod:`kairos.engines.hierarchical.plugged_swift` alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Planes, kernel

Labels = npt.NDArray[np.int16]

u = np.uintp
_LABELS = "i2[:,::1]"
_HALF, _ONE = np.float32(0.5), np.float32(1.0)


@kernel(f"void({PLANES}, {_LABELS}, {_LABELS}, f4, f4, f4, {PLANES}, i8, i8)")
def told_rows(
    planes: Planes,
    cells: Labels,
    pixels: Labels,
    stride: np.float32,
    apart: np.float32,
    another: np.float32,
    out: Planes,
    top: int,
    bottom: int,
) -> None:
    """Planes of cells interpolated at pixels, among the four cells around that have the pixel's own label.

    Args:
        planes: (C, h, w).
        cells, pixels: label maps (h, w) and (H, W).
        stride: pixels that a cell is wide.
        apart: least weight of a cell.
        another: weight of one with another label, of what it would otherwise have.
        out: (C, H, W), for the answer.
        top, bottom: its rows.
    """
    channels, rows, columns = planes.shape
    width = out.shape[2]
    befores, across = np.empty(width, np.int32), np.empty(width, np.float32)
    for place in range(width):
        x = (np.float32(place) + _HALF) / stride - _HALF
        befores[u(place)], across[u(place)] = np.int32(np.floor(x)), x - np.floor(x)
    weights = np.empty((4, width), np.float32)
    for line in range(top, bottom):
        y = (np.float32(line) + _HALF) / stride - _HALF
        first = np.floor(y)
        fy = y - first
        above, below = min(max(int(first), 0), rows - 1), min(max(int(first) + 1, 0), rows - 1)
        begin = 0
        while begin < width:
            # Pixels between the same cells, which their labels and their own numbers have to be fetched for once.
            end, before = begin + 1, befores[u(begin)]
            while end < width and befores[u(end)] == before:
                end += 1
            left, right = min(max(int(before), 0), columns - 1), min(max(int(before) + 1, 0), columns - 1)
            one, two, three, four = cells[above, left], cells[above, right], cells[below, left], cells[below, right]
            for place in range(begin, end):
                own, fx = pixels[u(line), u(place)], across[u(place)]
                a = max((_ONE - fy) * (_ONE - fx), apart) * (_ONE if one == own else another)
                b = max((_ONE - fy) * fx, apart) * (_ONE if two == own else another)
                c = max(fy * (_ONE - fx), apart) * (_ONE if three == own else another)
                d = max(fy * fx, apart) * (_ONE if four == own else another)
                whole = _ONE / (a + b + c + d)
                weights[u(0), u(place)], weights[u(1), u(place)] = a * whole, b * whole
                weights[u(2), u(place)], weights[u(3), u(place)] = c * whole, d * whole
            for channel in range(channels):
                a, b = planes[channel, above, left], planes[channel, above, right]
                c, d = planes[channel, below, left], planes[channel, below, right]
                for place in range(begin, end):
                    upper = a * weights[u(0), u(place)] + b * weights[u(1), u(place)]
                    lower = c * weights[u(2), u(place)] + d * weights[u(3), u(place)]
                    out[u(channel), u(line), u(place)] = upper + lower
            begin = end
