"""What is done to each number of a plane by itself, in one pass over the planes, compiled for the CPU.

Planes are (pixels, channels), all channels of a pixel in a row. Imported by :mod:`kairos.engines.pointwise` alone, when
a network first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]
"""Numbers in a row."""
Sums = npt.NDArray[np.float64]

u = np.uintp
_0 = np.float32(0)

_TOGETHER = 64
"""Pixels whose numbers are summed before they are added to the sums of all."""


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8)")
def add_rows(planes: Line, added: Line, slope: Line, first: int, last: int) -> None:
    """Adds to some pixels, and multiplies what is less than 0 then by the slope of its channel, in place."""
    channels = len(slope)
    for pixel in range(first, last):
        p = u(pixel * channels)
        for k in range(channels):
            value = planes[p + u(k)] + added[p + u(k)]
            planes[p + u(k)] = value if value >= _0 else value * slope[u(k)]


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i8, i8)")
def scale_rows(planes: Line, factor: Line, shift: Line, slope: Line, first: int, last: int) -> None:
    """Multiplies by a factor and adds a shift, both of the channel, and then as :func:`add_rows`."""
    channels = len(slope)
    for pixel in range(first, last):
        p = u(pixel * channels)
        for k in range(channels):
            value = planes[p + u(k)] * factor[u(k)] + shift[u(k)]
            planes[p + u(k)] = value if value >= _0 else value * slope[u(k)]


@kernel("void(f4[::1], f4[::1], f8[:,::1], i8, i8)")
def sum_rows(planes: Line, apart: Line, sums: Sums, first: int, last: int) -> None:
    """Adds how far each channel's numbers are from one of the channel to the first row of the sums (2, channels), and
    the squares of that to the second.
    """
    channels = len(apart)
    some = np.empty((2, channels), np.float32)
    for start in range(first, last, _TOGETHER):
        some[:] = _0
        for pixel in range(start, min(start + _TOGETHER, last)):
            p = u(pixel * channels)
            for k in range(channels):
                value = planes[p + u(k)] - apart[u(k)]
                some[0, u(k)] += value
                some[1, u(k)] += value * value
        for k in range(channels):
            sums[0, u(k)] += np.float64(some[0, u(k)])
            sums[1, u(k)] += np.float64(some[1, u(k)])
