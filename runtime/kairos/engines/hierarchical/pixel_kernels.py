"""What cells know told to pixels, compiled for the CPU.

Imported by :mod:`kairos.engines.hierarchical.plugged_swift` alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Line, Planes, kernel

Labels = npt.NDArray[np.int16]

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
    shares: Line = np.empty(4, np.float32)
    for line in range(top, bottom):
        y = (np.float32(line) + _HALF) / stride - _HALF
        first = np.floor(y)
        fy = y - first
        above, below = min(max(int(first), 0), rows - 1), min(max(int(first) + 1, 0), rows - 1)
        for place in range(width):
            x = (np.float32(place) + _HALF) / stride - _HALF
            before = np.floor(x)
            fx = x - before
            left, right = min(max(int(before), 0), columns - 1), min(max(int(before) + 1, 0), columns - 1)
            own = pixels[line, place]
            shares[0] = max((_ONE - fy) * (_ONE - fx), apart) * (_ONE if cells[above, left] == own else another)
            shares[1] = max((_ONE - fy) * fx, apart) * (_ONE if cells[above, right] == own else another)
            shares[2] = max(fy * (_ONE - fx), apart) * (_ONE if cells[below, left] == own else another)
            shares[3] = max(fy * fx, apart) * (_ONE if cells[below, right] == own else another)
            weight = _ONE / (shares[0] + shares[1] + shares[2] + shares[3])
            for channel in range(channels):
                upper = planes[channel, above, left] * shares[0] + planes[channel, above, right] * shares[1]
                lower = planes[channel, below, left] * shares[2] + planes[channel, below, right] * shares[3]
                out[channel, line, place] = (upper + lower) * weight
