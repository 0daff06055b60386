"""How unlike cells are where motions take them, compiled for the CPU.

Imported by :mod:`kairos.engines.hierarchical.proving` alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import LANES, load, size, spread, sums
from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8, i8, i8, i8, i8)", contract=True)
def unlike_cells(
    planes: Line, flows: Line, unlike: Line, pictures: int, channels: int, rows: int, columns: int, first: int,
    last: int,
) -> None:  # fmt: skip
    """Mean difference of cells to what is fetched from the other frame, bilinear, the border repeated.

    Args:
        planes: (pictures, rows, columns, channels), those of the other frame half the pictures further; channels are a
            multiple of 8.
        flows: (flows, pictures, 2, rows, columns) cells.
        unlike: (flows, pictures, rows, columns), for the answer.
        first, last: cells of all pictures.
    """
    cells = rows * columns
    many, wide = unlike.size // (pictures * cells), u(channels)
    most_x, most_y, share = np.float32(columns - 1), np.float32(rows - 1), _1 / np.float32(channels)
    for line in range(first // columns, (last + columns - 1) // columns):
        picture, y = line // rows, line % rows
        other = u((picture + pictures // 2) % pictures * cells)
        for x in range(max(0, first - line * columns), min(columns, last - line * columns)):
            own = u(line * columns + x) * wide
            for number in range(many):
                to = u((number * pictures + picture) * cells + y * columns + x)
                at = u((number * pictures + picture) * 2 * cells + y * columns + x)
                px, py = np.float32(np.int32(x)) + flows[at], np.float32(np.int32(y)) + flows[at + u(cells)]
                # In this order a number that is none becomes 0.
                px = px if px > _0 else _0
                px = px if px < most_x else most_x
                py = py if py > _0 else _0
                py = py if py < most_y else most_y
                left, top = np.int32(px), np.int32(py)
                fx, fy = px - np.float32(left), py - np.float32(top)
                right, below = wide if left < columns - 1 else u(0), u(columns) * wide if top < rows - 1 else u(0)
                # What the others leave, so that a fetch between alike cells changes nothing.
                both = fx * fy
                a, b, c, d = spread(_1 - fx - (fy - both)), spread(fx - both), spread(fy - both), spread(both)
                one = (other + u(top) * u(columns) + u(left)) * wide
                three = one + below
                total = spread(_0)
                for channel in range(0, channels, LANES):
                    i = u(channel)
                    upper = a * load(planes, one + i) + b * load(planes, one + right + i)
                    lower = c * load(planes, three + i) + d * load(planes, three + right + i)
                    total += size(load(planes, own + i) - (upper + lower))
                # Four are summed up as quickly as one.
                unlike[to] = sums(total, total, total, total)[0] * share
