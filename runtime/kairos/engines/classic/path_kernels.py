"""Acceleration gathered and told to every pixel, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.path` alone, when a frame first needs it. Planes are flat, H * W numbers each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import Plane, kernel, part
from kairos.motion.place_kernels import kept

Places = npt.NDArray[np.uint32]
Edges = npt.NDArray[np.int64]

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)


@part
def _between(a: np.float32, b: np.float32, c: np.float32, d: np.float32, x: np.float32, y: np.float32) -> np.float32:
    return (a * (_1 - x) + b * x) * (_1 - y) + (c * (_1 - x) + d * x) * y


@kernel(
    "void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4, f4[:,:,::1], i8[:,::1], i8[:,::1], i8, i8,"
    " i8, i8)",
    contract=True,
)
def gather_rows(
    half0: Plane, half1: Plane, trust0: Plane, trust1: Plane, velocity: Plane, seen0: Plane, seen1: Plane,
    time: np.float32, cells: npt.NDArray[np.float32], rows: Edges, columns: Edges, height: int, width: int, top: int,
    bottom: int,
) -> None:  # fmt: skip
    """Rows of cells: the mean over their pixels of what both sources tell, by trust and by how far they show it.

    Args:
        half0, half1, velocity: two planes each.
        cells: (3, h, w): half the acceleration times its weight, and the weight.
        rows, columns: (h, 2) and (w, 2), where each cell begins, and one behind its last pixel.
    """
    size = u(height * width)
    places, shares = np.empty(width, np.uint32), np.empty((2, width), np.float32)
    line, sums = np.empty((3, width), np.float32), np.empty((3, len(columns)), np.float32)
    right, below = u(1 if width > 1 else 0), u(width if height > 1 else 0)
    most_x, most_y = np.float32(width - 1), np.float32(height - 1)
    last_x, last_y = np.int32(max(0, width - 2)), np.int32(max(0, height - 2))
    for cell_row in range(top, bottom):
        for each in range(3):
            for cell in range(len(columns)):
                sums[u(each), u(cell)] = _0
        for y in range(rows[cell_row, 0], rows[cell_row, 1]):
            at = u(y * width)
            for side in range(2):
                half, trust, seen = (half0, trust0, seen0) if side == 0 else (half1, trust1, seen1)
                part_of = -time if side == 0 else _1 - time
                for x in range(width):
                    place_x = kept(np.float32(np.int32(x)) + velocity[at + u(x)] * part_of, most_x)
                    place_y = kept(np.float32(np.int32(y)) + velocity[size + at + u(x)] * part_of, most_y)
                    column, row = np.int32(place_x), np.int32(place_y)
                    column, row = column if column < last_x else last_x, row if row < last_y else last_y
                    shares[0, u(x)], shares[1, u(x)] = place_x - np.float32(column), place_y - np.float32(row)
                    places[u(x)] = np.uint32(np.uint32(row) * np.uint32(width) + np.uint32(column))
                for x in range(width):
                    i, b, d = u(places[u(x)]), shares[0, u(x)], shares[1, u(x)]
                    j, k, m = i + right, i + below, i + below + right
                    p, q, r, s = trust[i], trust[j], trust[k], trust[m]
                    shows = seen[at + u(x)]
                    across = _between(half[i] * p, half[j] * q, half[k] * r, half[m] * s, b, d) * shows
                    i, j, k, m = size + i, size + j, size + k, size + m
                    down = _between(half[i] * p, half[j] * q, half[k] * r, half[m] * s, b, d) * shows
                    told = _between(p, q, r, s, b, d) * shows
                    line[0, u(x)] = across if side == 0 else line[0, u(x)] + across
                    line[1, u(x)] = down if side == 0 else line[1, u(x)] + down
                    line[2, u(x)] = told if side == 0 else line[2, u(x)] + told
            for each in range(3):
                for cell in range(len(columns)):
                    total = _0
                    for x in range(columns[cell, 0], columns[cell, 1]):
                        total += line[u(each), u(x)]
                    sums[u(each), u(cell)] += total
        for cell in range(len(columns)):
            count = (rows[cell_row, 1] - rows[cell_row, 0]) * (columns[cell, 1] - columns[cell, 0])
            for each in range(3):
                cells[each, cell_row, cell] = sums[u(each), u(cell)] / np.float32(count)


@kernel(
    "void(f4[:,:,::1], f4[::1], f4[::1], f4, f4, f4, f4, i8, i8, i8, i8)",
    contract=True,
)
def bend_rows(
    cells: npt.NDArray[np.float32], velocity: Plane, away: Plane, time: np.float32, prior: np.float32,
    furthest: np.float32, pixel: np.float32, height: int, width: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of how far pixels lie from the straight path, two planes, from cells that were gathered.

    Args:
        prior: weight of a straight path.
        furthest: most that a path may bend, as a part of the motion, besides ``pixel``.
    """
    size, (_, many, wide) = u(height * width), cells.shape
    bent = time * time - time
    line, found = np.empty((3, wide), np.float32), np.empty((3, width), np.float32)
    left, share = np.empty(width, np.uint32), np.empty(width, np.float32)
    for x in range(width):
        place = (np.float32(np.int32(x)) + np.float32(0.5)) * np.float32(wide) / np.float32(width) - np.float32(0.5)
        place = kept(place, np.float32(wide - 1))
        column = min(np.int32(place), np.int32(max(0, wide - 2)))
        left[u(x)], share[u(x)] = np.uint32(column), place - np.float32(column)
    beside = u(1 if wide > 1 else 0)
    for y in range(top, bottom):
        at = u(y * width)
        place = (np.float32(np.int32(y)) + np.float32(0.5)) * np.float32(many) / np.float32(height) - np.float32(0.5)
        place = kept(place, np.float32(many - 1))
        row = min(int(place), max(0, many - 2))
        part_below, next_row = place - np.float32(row), min(row + 1, many - 1)
        for each in range(3):
            for cell in range(wide):
                upper, lower = cells[each, row, cell], cells[each, next_row, cell]
                line[u(each), u(cell)] = upper * (_1 - part_below) + lower * part_below
            for x in range(width):
                i = u(left[u(x)])
                found[u(each), u(x)] = line[u(each), i] * (_1 - share[u(x)]) + line[u(each), i + beside] * share[u(x)]
        for x in range(width):
            factor = bent / (found[2, u(x)] + prior)
            across, down = found[0, u(x)] * factor, found[1, u(x)] * factor
            i, j = at + u(x), size + at + u(x)
            limit = furthest * np.sqrt(velocity[i] * velocity[i] + velocity[j] * velocity[j]) + pixel
            length = max(np.sqrt(across * across + down * down), np.float32(1e-6))
            held = min(limit / length, _1)
            away[i], away[j] = across * held, down * held
