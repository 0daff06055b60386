"""What speaks against motions that were found, and the best of them, compiled for the CPU; see
:mod:`kairos.engines.classic.fusion`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import fold, load, pair, spread, store
from kairos.motion.compiled import Line, Planes, kernel

MOST = 6
"""Motions of the way back that a motion is held against."""

RECORD = 16
"""Numbers that lie together for a pixel: four motions along x, as many along y, three colours and 0, and the last two
motions along x and along y.
"""

SIDE = 4
"""Planes that lie together for the means over windows: of two motions."""

Counts = npt.NDArray[np.int64]

_0, _THIRD = np.float32(0), np.float32(1 / 3)

u = np.uintp


@kernel("void(f4[:,:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1])")
def gather_records(
    colour: Planes, one: Line, two: Line, three: Line, four: Line, five: Line, six: Line, records: Line
) -> None:
    """Puts every pixel's motions of the way back (H * W * 2 each) and its colours (H, W, 3) to its record; the last row
    and the last column twice, (H + 1) * (W + 1) records.
    """
    height, width, _channels = colour.shape
    for line in range(height + 1):
        y = min(line, height - 1)
        for place in range(width + 1):
            x = min(place, width - 1)
            i, to = u(2) * u(y * width + x), u(line * (width + 1) + place) * u(RECORD)
            for axis in range(2):
                at, last = to + u(4 * axis), to + u(12 + 2 * axis)
                records[at], records[at + u(1)] = one[i + u(axis)], two[i + u(axis)]
                records[at + u(2)], records[at + u(3)] = three[i + u(axis)], four[i + u(axis)]
                records[last], records[last + u(1)] = five[i + u(axis)], six[i + u(axis)]
            for channel in range(3):
                records[to + u(8 + channel)] = colour[u(y), u(x), u(channel)]
            records[to + u(11)] = _0


@kernel("void(f4[:,:,::1], f4[::1], f4[::1], f4, f4, f4, f4, f4[::1])", contract=True)
def find_costs(
    colour: Planes, flow: Line, records: Line, cutoff: np.float32, furthest: np.float32, per_pixel: np.float32,
    shrink: np.float32, costs: Line,
) -> None:  # fmt: skip
    """Difference of colours at both ends, and distance from where the best way back ends.

    Args:
        colour: (H, W, 3) of the frame that the motion begins in.
        flow: (H * W * 2) pixels.
        records: of the other frame.
        cutoff: difference after which colours are no more different.
        furthest: distance after which a way back has missed no more, pixels of the frame.
        per_pixel: what a pixel of it costs.
        shrink: pixels of the frame to one of these.
        costs: gets (H * W).
    """
    height, width, _channels = colour.shape
    pitch, right, most_x, most_y = width + 1, u(RECORD), np.float32(width - 1), np.float32(height - 1)
    below = u(pitch) * right
    first, along, down = np.empty(width, np.uint32), np.empty(width, np.float32), np.empty(width, np.float32)
    squares, others = np.empty(4 * width, np.float32), np.empty(8 * width, np.float32)
    for y in range(height):
        line = u(y * width)
        for x in range(width):
            px = np.float32(np.int32(x)) + flow[u(2) * (line + u(x))]
            py = np.float32(y) + flow[u(2) * (line + u(x)) + u(1)]
            # In this order a number that is none becomes 0.
            px = px if px > _0 else _0
            px = px if px < most_x else most_x
            py = py if py > _0 else _0
            py = py if py < most_y else most_y
            column, row = np.int32(px), np.int32(py)
            along[u(x)], down[u(x)] = px - np.float32(column), py - np.float32(row)
            first[u(x)] = np.uint32(row) * np.uint32(pitch) + np.uint32(column)
        for x in range(width):
            a = u(first[u(x)]) * right
            b, c = a + right, a + below
            d = c + right
            fx, fy = spread(along[u(x)]), spread(down[u(x)])
            upper = load(records, a) + fx * (load(records, b) - load(records, a))
            lower = load(records, c) + fx * (load(records, d) - load(records, c))
            way = pair(flow[u(2) * (line + u(x))], flow[u(2) * (line + u(x)) + u(1)])
            away = upper + fy * (lower - upper) + way
            fold(squares, u(4 * x), away * away)
            a, b, c, d = a + u(8), b + u(8), c + u(8), d + u(8)
            upper = load(records, a) + fx * (load(records, b) - load(records, a))
            lower = load(records, c) + fx * (load(records, d) - load(records, c))
            store(others, u(8 * x), upper + fy * (lower - upper))
        for x in range(width):
            at, move_x, move_y = u(8 * x), flow[u(2) * (line + u(x))], flow[u(2) * (line + u(x)) + u(1)]
            away_x, more_x = others[at + u(4)] + move_x, others[at + u(5)] + move_x
            away_y, more_y = others[at + u(6)] + move_y, others[at + u(7)] + move_y
            # Written back, so that all squares are rounded before they are added, as the others are.
            others[at + u(4)], others[at + u(5)] = away_x * away_x, more_x * more_x
            others[at + u(6)], others[at + u(7)] = away_y * away_y, more_y * more_y
        for x in range(width):
            p, at = line + u(x), u(8 * x)
            one, two = squares[u(4 * x)], squares[u(4 * x + 1)]
            three, four = squares[u(4 * x + 2)], squares[u(4 * x + 3)]
            five, six = others[at + u(4)] + others[at + u(6)], others[at + u(5)] + others[at + u(7)]
            one, three = one if one < two else two, three if three < four else four
            five = five if five < six else six
            one = one if one < three else three
            trip = np.sqrt(one if one < five else five) * shrink
            trip = trip if trip < furthest else furthest
            red, green = others[at] - colour[u(y), u(x), u(0)], others[at + u(1)] - colour[u(y), u(x), u(1)]
            apart = (abs(red) + abs(green) + abs(others[at + u(2)] - colour[u(y), u(x), u(2)])) * _THIRD
            costs[p] = (apart if apart < cutoff else cutoff) + per_pixel * trip


@kernel("void(f4[::1], f4[::1], i8, f4[::1])")
def lay_costs(costs: Line, image: Line, place: int, laid: Line) -> None:
    """Puts costs, and what they are by a picture, to places ``place`` and the next of :data:`SIDE` for every pixel."""
    for p in range(costs.size):
        at = u(p) * u(SIDE) + u(place)
        laid[at], laid[at + u(1)] = costs[u(p)], image[u(p)] * costs[u(p)]


@kernel("void(f4[::1], f4[::1], f4[::1])")
def fit_lines(mean: Line, variance: Line, laid: Line) -> None:
    """Of every window the line that costs follow over a picture, from their means; both are replaced.

    Args:
        mean, variance: of the picture.
        laid: (pixels * SIDE) means of costs and of what they are by the picture: for slopes, and what is left.
    """
    for p in range(mean.size):
        for place in range(0, SIDE, 2):
            at = u(p) * u(SIDE) + u(place)
            slope = (laid[at + u(1)] - mean[u(p)] * laid[at]) / variance[u(p)]
            laid[at], laid[at + u(1)] = slope, laid[at] - slope * mean[u(p)]


@kernel("void(f4[::1], f4[::1], i8, f4[::1])")
def read_lines(laid: Line, image: Line, place: int, costs: Line) -> None:
    """Costs from the means of lines at places ``place`` and the next, see :func:`fit_lines`."""
    for p in range(costs.size):
        at = u(p) * u(SIDE) + u(place)
        costs[u(p)] = laid[at] * image[u(p)] + laid[at + u(1)]


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1])")
def take_better(flow: Line, costs: Line, best: Line, least: Line) -> None:
    """Puts motion (pixels * 2) and its costs (pixels) in the place of the best so far wherever they are lower."""
    for p in range(costs.size):
        i = u(2) * u(p)
        better = costs[u(p)] < least[u(p)]
        best[i] = flow[i] if better else best[i]
        best[i + u(1)] = flow[i + u(1)] if better else best[i + u(1)]
        least[u(p)] = costs[u(p)] if better else least[u(p)]
