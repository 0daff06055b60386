"""Attention of every cell with those around where it is expected, compiled for the CPU.

Imported by :mod:`kairos.engines.hierarchical.attention` alone, when a pair first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import LANES, load, spread, store, sums
from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]

u = np.uintp
_0, _1, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_FAR = np.float32(-3e38)
_LOG2 = np.float32(1.4426950408889634)
_LEAST = np.float32(-125)
_C1, _C2, _C3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.05550410866482158)
_C4, _C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
_C6 = np.float32(0.0001540353039338161)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], i8, i8, i8, i8, i8, i8, i8)", contract=True
)
def near_cells(
    queries: Line, keys: Line, values: Line, across: Line, down: Line, found: Line, offsets: Line, width: int,
    told: int, rows: int, columns: int, radius: int, first: int, last: int,
) -> None:  # fmt: skip
    """Some cells.

    Args:
        queries, keys: (cells, width), of all grids of a batch; ``width`` is a multiple of 8.
        values: (cells, told).
        across, down: (cells,) where each is expected, cells of its grid.
        found: (cells, told): what they are told.
        offsets: (cells, 2): the expected way from the middle of the window.
        rows, columns: of a grid.
        radius: of the window.
        first, last: cells from one to the other.
    """
    side, steps = 2 * radius + 2, 2 * radius + 1
    many, some = side * side, steps * steps
    places, weights, likeness = np.empty(many, np.uintp), np.empty(many, np.float32), np.empty(many, np.float32)
    shares, powers = np.empty(some, np.float32), np.empty(some, np.int32)
    inside_x, inside_y = np.empty(steps, np.float32), np.empty(steps, np.float32)
    lifted = powers.view(np.float32)
    for cell in range(first, last):
        x, y = across[u(cell)], down[u(cell)]
        left, top = int(np.floor(x)), int(np.floor(y))
        right, below = x - np.float32(left), y - np.float32(top)
        grid, query = cell // (rows * columns) * rows, u(cell * width)
        for j in range(side):
            row = (grid + min(max(top - radius + j, 0), rows - 1)) * columns
            for i in range(side):
                places[u(j * side + i)] = u(row + min(max(left - radius + i, 0), columns - 1))
        for place in range(0, many, 4):
            one, two = places[u(place)] * u(width), places[u(place + 1)] * u(width)
            three, four = places[u(place + 2)] * u(width), places[u(place + 3)] * u(width)
            asked = load(queries, query)
            a, b = asked * load(keys, one), asked * load(keys, two)
            c, d = asked * load(keys, three), asked * load(keys, four)
            for channel in range(LANES, width, LANES):
                asked = load(queries, query + u(channel))
                a += asked * load(keys, one + u(channel))
                b += asked * load(keys, two + u(channel))
                c += asked * load(keys, three + u(channel))
                d += asked * load(keys, four + u(channel))
            dots = sums(a, b, c, d)
            for each in range(4):
                likeness[u(place + each)] = dots[each]
                weights[u(place + each)] = _0
        whole_x = whole_y = True
        for step in range(steps):
            place_x, place_y = x + np.float32(step - radius), y + np.float32(step - radius)
            in_x = min(max(min(place_x, np.float32(columns - 1) - place_x) + _1, _0), _1)
            in_y = min(max(min(place_y, np.float32(rows - 1) - place_y) + _1, _0), _1)
            inside_x[u(step)], inside_y[u(step)] = in_x, in_y
            whole_x, whole_y = whole_x and in_x == _1, whole_y and in_y == _1
        for j in range(steps):
            for i in range(steps):
                at = u(j * side + i)
                upper = likeness[at] + right * (likeness[at + u(1)] - likeness[at])
                at += u(side)
                lower = likeness[at] + right * (likeness[at + u(1)] - likeness[at])
                shares[u(j * steps + i)] = upper + below * (lower - upper)
        if not (whole_x and whole_y):
            for j in range(steps):
                for i in range(steps):
                    inside = inside_y[u(j)] * inside_x[u(i)]
                    if inside < _1:
                        more = np.log(inside) if inside > _0 else _FAR
                        shares[u(j * steps + i)] = shares[u(j * steps + i)] + more if inside > _0 else _FAR
        most = _FAR
        for place in range(some):
            most = shares[u(place)] if shares[u(place)] > most else most
        for place in range(some):
            power = (shares[u(place)] - most) * _LOG2
            power = power if power > _LEAST else _LEAST
            floor = np.floor(power + _HALF)
            rest = power - floor
            powers[u(place)] = (np.int32(floor) + np.int32(127)) << np.int32(23)
            higher = _C4 + rest * (_C5 + rest * _C6)
            shares[u(place)] = _1 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * higher)))
        whole, way_x, way_y = _0, _0, _0
        for j in range(steps):
            for i in range(steps):
                at = u(j * steps + i)
                # Where all lies outside, nobody has a share.
                share = shares[at] * lifted[at] if inside_y[u(j)] * inside_x[u(i)] > _0 else _0
                shares[at] = share
                whole += share
                way_x += share * np.float32(i - radius)
                way_y += share * np.float32(j - radius)
        scale = _1 / whole if whole > _0 else _0
        offsets[u(2 * cell)], offsets[u(2 * cell + 1)] = way_x * scale, way_y * scale
        for j in range(steps):
            for i in range(steps):
                at, share = u(j * side + i), shares[u(j * steps + i)] * scale
                weights[at] += share * (_1 - right) * (_1 - below)
                weights[at + u(1)] += share * right * (_1 - below)
                at += u(side)
                weights[at] += share * (_1 - right) * below
                weights[at + u(1)] += share * right * below
        to, even = u(cell * told), told // LANES * LANES
        for channel in range(0, even, LANES):
            a = b = c = d = spread(_0)
            for place in range(0, many, 4):
                a += spread(weights[u(place)]) * load(values, places[u(place)] * u(told) + u(channel))
                b += spread(weights[u(place + 1)]) * load(values, places[u(place + 1)] * u(told) + u(channel))
                c += spread(weights[u(place + 2)]) * load(values, places[u(place + 2)] * u(told) + u(channel))
                d += spread(weights[u(place + 3)]) * load(values, places[u(place + 3)] * u(told) + u(channel))
            store(found, to + u(channel), (a + b) + (c + d))
        for channel in range(even, told):
            total = _0
            for place in range(many):
                total += weights[u(place)] * values[places[u(place)] * u(told) + u(channel)]
            found[to + u(channel)] = total
