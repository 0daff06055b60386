"""What speaks against motions that were found, and the best of them, compiled for the CPU; see
:mod:`kairos.engines.classic.fusion`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import fold, load, pair, size, spread
from kairos.motion.compiled import Line, Planes, kernel

MOST = 6
"""Motions of the way back that a motion is held against."""

RECORD = 16
"""Numbers that lie together for a pixel: four motions along x and as many along y; then the last two along x, red and
blue, the last two along y, green and 0.
"""

OWN = 8
"""Numbers of a pixel of the frame that motions begin in, as far apart as the second half of a record's."""

SIDE = 4
"""Planes that lie together for the means over windows: of two motions."""

Counts = npt.NDArray[np.int64]

_0, _1, _THIRD = np.float32(0), np.float32(1), np.float32(1 / 3)

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
                at, last = to + u(4 * axis), to + u(8 + 4 * axis)
                records[at], records[at + u(1)] = one[i + u(axis)], two[i + u(axis)]
                records[at + u(2)], records[at + u(3)] = three[i + u(axis)], four[i + u(axis)]
                records[last], records[last + u(1)] = five[i + u(axis)], six[i + u(axis)]
            records[to + u(10)], records[to + u(14)] = colour[u(y), u(x), u(0)], colour[u(y), u(x), u(1)]
            records[to + u(11)], records[to + u(15)] = colour[u(y), u(x), u(2)], _0


@kernel("void(f4[:,:,::1], f4[::1])")
def lay_colours(colour: Planes, own: Line) -> None:
    """Puts what is to be taken from the second half of a record for colours (H, W, 3) to places of :data:`OWN`."""
    height, width, _channels = colour.shape
    own[:] = _0
    for y in range(height):
        for x in range(width):
            to = u(y * width + x) * u(OWN)
            own[to + u(2)], own[to + u(6)] = -colour[u(y), u(x), u(0)], -colour[u(y), u(x), u(1)]
            own[to + u(3)] = -colour[u(y), u(x), u(2)]


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8, f4, f4, f4, f4, f4[::1])", contract=True)
def find_costs(
    own: Line, flow: Line, records: Line, height: int, width: int, cutoff: np.float32, furthest: np.float32,
    per_pixel: np.float32, shrink: np.float32, costs: Line,
) -> None:  # fmt: skip
    """Difference of colours at both ends, and distance from where the best way back ends.

    Args:
        own: of the frame that the motion begins in, see :func:`lay_colours`.
        flow: (H * W * 2) pixels.
        records: of the other frame.
        height, width: H and W.
        cutoff: difference after which colours are no more different.
        furthest: distance after which a way back has missed no more, pixels of the frame.
        per_pixel: what a pixel of it costs.
        shrink: pixels of the frame to one of these.
        costs: gets (H * W).
    """
    pitch, right, most_x, most_y = width + 1, u(RECORD), np.float32(width - 1), np.float32(height - 1)
    below = u(pitch) * right
    first, along, down = np.empty(width, np.uint32), np.empty(width, np.float32), np.empty(width, np.float32)
    # Of every pixel of a row the squares of four distances; those of two, and the difference of red and green, and of
    # blue.
    four, rest = np.empty(4 * width, np.float32), np.empty(4 * width, np.float32)
    ways, colours = np.empty(OWN, np.float32), np.empty(OWN, np.float32)
    for lane in range(OWN):
        ways[lane] = _1 if lane % 4 < 2 else _0
        colours[lane] = _1 - ways[lane]
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
            fold(four, u(4 * x), away * away)
            a, b, c, d = a + u(8), b + u(8), c + u(8), d + u(8)
            upper = load(records, a) + fx * (load(records, b) - load(records, a))
            lower = load(records, c) + fx * (load(records, d) - load(records, c))
            apart = size(upper + fy * (lower - upper) + (load(own, (line + u(x)) * u(OWN)) + way * load(ways, u(0))))
            # Distances are squared, differences of colours are not.
            fold(rest, u(4 * x), apart * (apart * load(ways, u(0)) + load(colours, u(0))))
        for x in range(width):
            at = u(4 * x)
            one = four[at] if four[at] < four[at + u(1)] else four[at + u(1)]
            two = four[at + u(2)] if four[at + u(2)] < four[at + u(3)] else four[at + u(3)]
            three = rest[at] if rest[at] < rest[at + u(1)] else rest[at + u(1)]
            one = one if one < two else two
            trip = np.sqrt(one if one < three else three) * shrink
            trip = trip if trip < furthest else furthest
            difference = (rest[at + u(2)] + rest[at + u(3)]) * _THIRD
            costs[line + u(x)] = (difference if difference < cutoff else cutoff) + per_pixel * trip


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
