"""Planes fetched from where a flow points, compiled for the CPU.

Imported by :mod:`kairos.engines.fetching` alone, when a network first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel, part

Line = npt.NDArray[np.float32]
"""Numbers in a row."""
Places = npt.NDArray[np.uint32]
Shares = npt.NDArray[np.float32]
"""(2, n): of the pixel behind, and of the row below."""

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)


@part
def _between(
    planes: Line, first: Places, shares: Shares, right: u, below: u, wide: int, out: Line, to: u, apart: u, behind: u,
    many: int,
) -> None:  # fmt: skip
    """A row of ``many`` planes, ``apart`` numbers from each other; in ``out``, ``behind``."""
    for x in range(wide):
        i, o = u(first[u(x)]), to + u(x)
        j = i + below
        b, d = shares[0, u(x)], shares[1, u(x)]
        a, c = _1 - b, _1 - d
        for _ in range(many):
            upper, lower = planes[i] * a + planes[i + right] * b, planes[j] * a + planes[j + right] * b
            out[o] = upper * c + lower * d
            i += apart
            j += apart
            o += behind


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i8, i8, i8, i8, i8, i8, i8)", contract=True)
def fetch_rows(
    planes: Line, across: Line, down: Line, out: Line, channels: int, height: int, width: int, wide: int, step: int,
    top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of planes fetched bilinearly, the border repeated; what points nowhere fetches from the first row or column.

    Args:
        planes: (channels, height, width), fewer than 2**32 numbers.
        across, down: (rows, wide), in pixels of the planes.
        out: (channels, rows, wide).
        step: 1 where these are a flow, 0 where they are places.
    """
    apart, behind = u(height * width), u(out.size // channels)
    first, shares = np.empty(wide, np.uint32), np.empty((2, wide), np.float32)
    right, below = u(1 if width > 1 else 0), u(width if height > 1 else 0)
    most_x, most_y = np.float32(width - 1), np.float32(height - 1)
    last_x, last_y = np.int32(max(0, width - 2)), np.int32(max(0, height - 2))
    for y in range(top, bottom):
        line = u(y * wide)
        for x in range(wide):
            place_x = np.float32(np.int32(step) * np.int32(x)) + across[line + u(x)]
            place_y = np.float32(step * y) + down[line + u(x)]
            # In this order a number that is none becomes 0.
            place_x = place_x if place_x > _0 else _0
            place_x = place_x if place_x < most_x else most_x
            place_y = place_y if place_y > _0 else _0
            place_y = place_y if place_y < most_y else most_y
            column, row = np.int32(place_x), np.int32(place_y)
            column, row = column if column < last_x else last_x, row if row < last_y else last_y
            shares[0, u(x)], shares[1, u(x)] = place_x - np.float32(column), place_y - np.float32(row)
            first[u(x)] = np.uint32(np.uint32(row) * np.uint32(width) + np.uint32(column))
        for channel in range(0, channels - 2, 3):
            plane, to = u(channel) * apart, line + u(channel) * behind
            _between(planes[plane:], first, shares, right, below, wide, out, to, apart, behind, 3)
        for channel in range(channels // 3 * 3, channels):
            plane, to = u(channel) * apart, line + u(channel) * behind
            _between(planes[plane:], first, shares, right, below, wide, out, to, apart, behind, 1)
