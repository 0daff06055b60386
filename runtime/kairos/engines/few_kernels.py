"""A convolution to few outputs, compiled for the CPU.

Processors compute sixteen numbers at once: here these are neighbours in a row and not, as elsewhere, outputs, of which
there are too few. Imported by :mod:`kairos.engines.few` alone, when a network first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.product_kernel import BLOCK, TOGETHER, add_tiles
from kairos.motion.compiled import kernel, part

Line = npt.NDArray[np.float32]
"""Numbers in a row."""

u = np.uintp
_0 = np.float32(0)

_PITCH = 48
"""Pixels of a channel that lie side by side: those of a block, and around them as many as the greatest kernel sees."""


@part
def _laid(planes: Line, place: int, pixel: int, inputs: int, width: int, reach: int, lines: Line, to: int) -> None:
    """A row of pixels, block by block, each channel's side by side, and those around the block too."""
    for left in range(0, width, BLOCK):
        begin, end = max(0, left - reach), min(width, left + BLOCK + reach)
        before, many = begin - (left - reach), end - begin
        for channel in range(inputs):
            p, q = u(place + begin * pixel + channel), u(to + channel * _PITCH + before)
            for x in range(many):
                lines[q + u(x)] = planes[p + u(x * pixel)]
        to += inputs * _PITCH


@kernel(f"void({', '.join(['f4[::1]'] * 5)}, {', '.join(['i8'] * 9)})", contract=True)
def few_rows(
    planes: Line, weights: Line, bias: Line, slope: Line, out: Line, row: int, pixel: int, height: int, width: int,
    inputs: int, outputs: int, size: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of a convolution with a border of zeros that leaves the size as it is.

    Args:
        planes: of one picture; its rows begin ``row`` numbers apart, its pixels ``pixel``, channels lie side by side.
        weights: (outputs / TOGETHER rounded up, size, size, TOGETHER, inputs).
        bias, slope: (outputs): added; and what less than 0 is multiplied by.
        out: (outputs, height, width).
        size: of the kernels, odd.
    """
    reach = size // 2
    slot = (width + BLOCK - 1) // BLOCK * inputs * _PITCH
    # Zeros: what lies beside the picture is not written to.
    lines, sums = np.zeros(size * slot, np.float32), np.zeros(TOGETHER * BLOCK, np.float32)
    for y in range(top, bottom):
        for near in range(y - reach if y == top else y + reach, y + reach + 1):
            to = (near + size) % size * slot
            if 0 <= near < height:
                _laid(planes, near * row, pixel, inputs, width, reach, lines, to)
            else:
                lines[to : to + slot] = _0
        for left in range(0, width, BLOCK):
            for first in range(0, outputs, TOGETHER):
                sums[:] = _0
                for down in range(size):
                    place = (y + down - reach + size) % size * slot + left // BLOCK * inputs * _PITCH
                    for across in range(size):
                        at = ((first // TOGETHER * size + down) * size + across) * TOGETHER * inputs
                        add_tiles(weights, lines, sums, u(at), u(inputs), u(place + across), u(_PITCH), u(0), u(inputs))
                for number in range(min(TOGETHER, outputs - first)):
                    output, to = first + number, ((first + number) * height + y) * width + left
                    for x in range(min(BLOCK, width - left)):
                        value = sums[u(number * BLOCK + x)] + bias[u(output)]
                        out[u(to + x)] = value if value >= _0 else value * slope[u(output)]
