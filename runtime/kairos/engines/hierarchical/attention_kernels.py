"""Attention of every cell with those around where it is expected, compiled for the CPU.

Imported by :mod:`kairos.engines.hierarchical.attention` alone, when a pair first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)
_LANES = 16
_LEAST = np.float32(-np.inf)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], i8, i8, i8, i8, i8, i8, i8)", contract=True
)
def near_cells(
    queries: Line, keys: Line, values: Line, across: Line, down: Line, found: Line, offsets: Line, width: int,
    told: int, rows: int, columns: int, radius: int, first: int, last: int,
) -> None:  # fmt: skip
    """Some cells.

    Args:
        queries, keys: (cells, width), of all grids of a batch; ``width`` is a multiple of 16.
        values: (cells, told).
        across, down: (cells,) where each is expected, cells of its grid.
        found: (cells, told): what they are told.
        offsets: (cells, 2): the expected way from the middle of the window.
        rows, columns: of a grid.
        radius: of the window.
        first, last: cells from one to the other.
    """
    side = 2 * radius + 2
    likeness = np.empty((side, side), np.float32)
    shares, weights = np.empty((side - 1, side - 1), np.float32), np.empty((side, side), np.float32)
    sums, total = np.empty(_LANES, np.float32), np.empty(told, np.float32)
    for cell in range(first, last):
        x, y = across[cell], down[cell]
        left, top = int(np.floor(x)), int(np.floor(y))
        right, below = x - np.float32(left), y - np.float32(top)
        grid, query = cell // (rows * columns) * rows, u(cell * width)
        for j in range(side):
            row = (grid + min(max(top - radius + j, 0), rows - 1)) * columns
            for i in range(side):
                place = u((row + min(max(left - radius + i, 0), columns - 1)) * width)
                for lane in range(_LANES):
                    sums[u(lane)] = _0
                for channel in range(0, width, _LANES):
                    for lane in range(_LANES):
                        sums[u(lane)] += queries[query + u(channel + lane)] * keys[place + u(channel + lane)]
                # By halves: one after another, each sum would wait for the one before.
                for lane in range(8):
                    sums[u(lane)] += sums[u(lane + 8)]
                for lane in range(4):
                    sums[u(lane)] += sums[u(lane + 4)]
                likeness[j, i] = (sums[0] + sums[2]) + (sums[1] + sums[3])
                weights[j, i] = _0
        most = _LEAST
        for j in range(side - 1):
            place_y = y + np.float32(j - radius)
            inside_y = min(max(min(place_y, np.float32(rows - 1) - place_y) + _1, _0), _1)
            for i in range(side - 1):
                place_x = x + np.float32(i - radius)
                inside = inside_y * min(max(min(place_x, np.float32(columns - 1) - place_x) + _1, _0), _1)
                upper = likeness[j, i] + right * (likeness[j, i + 1] - likeness[j, i])
                lower = likeness[j + 1, i] + right * (likeness[j + 1, i + 1] - likeness[j + 1, i])
                told_so = upper + below * (lower - upper)
                shares[j, i] = told_so
                if inside < _1:
                    shares[j, i] = told_so + np.log(inside) if inside > _0 else _LEAST
                most = max(most, shares[j, i])
        whole, way_x, way_y = _0, _0, _0
        for j in range(side - 1):
            for i in range(side - 1):
                # Where all lies outside, nobody has a share.
                share = np.exp(shares[j, i] - most) if shares[j, i] > _LEAST else _0
                shares[j, i] = share
                whole += share
                way_x += share * np.float32(i - radius)
                way_y += share * np.float32(j - radius)
        scale = _1 / whole if whole > _0 else _0
        offsets[u(2 * cell)], offsets[u(2 * cell + 1)] = way_x * scale, way_y * scale
        for j in range(side - 1):
            for i in range(side - 1):
                share = shares[j, i] * scale
                weights[j, i] += share * (_1 - right) * (_1 - below)
                weights[j, i + 1] += share * right * (_1 - below)
                weights[j + 1, i] += share * (_1 - right) * below
                weights[j + 1, i + 1] += share * right * below
        for channel in range(told):
            total[u(channel)] = _0
        for j in range(side):
            row = (grid + min(max(top - radius + j, 0), rows - 1)) * columns
            for i in range(side):
                weight = weights[j, i]
                if weight > _0:
                    place = u((row + min(max(left - radius + i, 0), columns - 1)) * told)
                    for channel in range(told):
                        total[u(channel)] += values[place + u(channel)] * weight
        to = u(cell * told)
        for channel in range(told):
            found[to + u(channel)] = total[u(channel)]
