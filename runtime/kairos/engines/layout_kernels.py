"""Planes put side by side, pixel by pixel, compiled for the CPU.

Imported by :mod:`kairos.engines.layout` alone, when a network first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]
"""Numbers in a row."""

u = np.uintp

_TOGETHER = 16
"""Pixels of a channel that one fetch from memory brings."""


@kernel("void(f4[::1], f4[::1], i8, i8, i8, i8, i8, i8, i8, i8, i8)")
def lay_rows(
    source: Line, out: Line, channels: int, plane: int, row: int, pixel: int, width: int, total: int, at: int,
    top: int, bottom: int,
) -> None:  # fmt: skip
    """Some rows of a picture, its channels to places ``at`` and on of the ``total`` of each pixel.

    Args:
        source: its channels are ``plane`` numbers apart, its rows ``row``, its pixels ``pixel``.
        out: (rows, width, total).
    """
    for y in range(top, bottom):
        if plane == 1:
            for x in range(width):
                p, q = u(y * row + x * pixel), u((y * width + x) * total + at)
                for channel in range(channels):
                    out[q + u(channel)] = source[p + u(channel)]
            continue
        # Of each channel some pixels at once, which come from memory together: planes are often so far apart that one
        # pixel of each would not stay in the cache until the next is asked for.
        for left in range(0, width, _TOGETHER):
            many = min(_TOGETHER, width - left)
            for channel in range(channels):
                p = u(y * row + left * pixel + channel * plane)
                q = u((y * width + left) * total + at + channel)
                for x in range(many):
                    out[q + u(x * total)] = source[p + u(x * pixel)]
