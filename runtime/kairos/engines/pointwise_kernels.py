"""What is done to each number of a plane by itself, in one pass over the planes, compiled for the CPU.

Planes are (pixels, channels), all channels of a pixel in a row. Imported by :mod:`kairos.engines.pointwise` alone, when
a network first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel, part

Line = npt.NDArray[np.float32]
"""Numbers in a row."""
Sums = npt.NDArray[np.float64]
"""Of each channel."""

u = np.uintp
_0 = np.float32(0)


@part
def _sloped(value: np.float32, slope: np.float32) -> np.float32:
    """What is no number stays so, and minus infinity becomes 0 where the slope is."""
    below = value * slope if slope != _0 else _0
    return below if value < _0 else value


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8)")
def add_rows(planes: Line, added: Line, slope: Line, first: int, last: int) -> None:
    """Adds to some pixels, and multiplies what is less than 0 then by the slope of its channel, in place."""
    channels = len(slope)
    for pixel in range(first, last):
        p = u(pixel * channels)
        for k in range(channels):
            planes[p + u(k)] = _sloped(planes[p + u(k)] + added[p + u(k)], slope[u(k)])


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i8, i8)")
def scale_rows(planes: Line, mean: Line, factor: Line, slope: Line, first: int, last: int) -> None:
    """Takes a mean off and multiplies by a factor, both of the channel, and then as :func:`add_rows`."""
    channels = len(slope)
    for pixel in range(first, last):
        p = u(pixel * channels)
        for k in range(channels):
            planes[p + u(k)] = _sloped((planes[p + u(k)] - mean[u(k)]) * factor[u(k)], slope[u(k)])


@kernel("void(f4[::1], f8[::1], f8[::1], i8, i8)")
def sum_rows(planes: Line, sums: Sums, means: Sums, first: int, last: int) -> None:
    """Adds each channel's numbers to its sum; where there are means, the squares of how far they are from these.

    Both in double precision: a flat plane has no digits to lose.
    """
    channels = len(sums)
    for pixel in range(first, last):
        p = u(pixel * channels)
        if len(means):
            for k in range(channels):
                apart = np.float64(planes[p + u(k)]) - means[u(k)]
                sums[u(k)] += apart * apart
        else:
            for k in range(channels):
                sums[u(k)] += np.float64(planes[p + u(k)])
