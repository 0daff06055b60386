"""What speaks against motions that were found, compiled for the CPU; see :mod:`kairos.engines.classic.fusion`."""

from __future__ import annotations

import numpy as np

from kairos.engines.vector_kernel import load, pair, quads, spread
from kairos.motion.compiled import Line, Planes, kernel

MOST = 4
"""Motions of the way back that a motion is held against."""

RECORD = 16
"""Numbers that lie together for a pixel: :data:`MOST` motions along x, as many along y, and three colours."""

_0, _THIRD = np.float32(0), np.float32(1 / 3)

u = np.uintp


@kernel("void(f4[:,:,::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1])")
def gather_records(colour: Planes, one: Line, two: Line, three: Line, four: Line, records: Line) -> None:
    """Puts every pixel's motions of the way back (H * W * 2 each) and its colours (H, W, 3) to its record."""
    height, width, _channels = colour.shape
    for y in range(height):
        for x in range(width):
            p = u(y * width + x)
            to, i = p * u(RECORD), u(2) * p
            for axis in range(2):
                at = to + u(MOST * axis)
                records[at], records[at + u(1)] = one[i + u(axis)], two[i + u(axis)]
                records[at + u(2)], records[at + u(3)] = three[i + u(axis)], four[i + u(axis)]
            to += u(2 * MOST)
            for channel in range(3):
                records[to + u(channel)], records[to + u(channel + 4)] = colour[u(y), u(x), u(channel)], _0
            records[to + u(3)] = records[to + u(7)] = _0


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1])")
def gather_motions(one: Line, two: Line, three: Line, four: Line, motions: Line) -> None:
    """Puts motions of the way back (H * W * 2 each) side by side: of each pixel four along x, then as many along y."""
    for p in range(one.size // 2):
        i, to = u(2 * p), u(p) * u(2 * MOST)
        for axis in range(2):
            at = to + u(MOST * axis)
            motions[at], motions[at + u(1)] = one[i + u(axis)], two[i + u(axis)]
            motions[at + u(2)], motions[at + u(3)] = three[i + u(axis)], four[i + u(axis)]


@kernel("void(f4[::1], f4[::1], i8, i8, f4[::1])", contract=True)
def find_trips(flow: Line, motions: Line, height: int, width: int, trips: Line) -> None:
    """Distance from where the best of some ways back ends, pixels, where it is less than what ``trips`` (H * W) holds.

    Args:
        flow: (H * W * 2) pixels.
        motions: of the other frame, from :func:`gather_motions`.
    """
    for y in range(height):
        for x in range(width):
            p = u(y * width + x)
            move_x, move_y = flow[u(2) * p], flow[u(2) * p + u(1)]
            px = min(max(np.float32(x) + move_x, _0), np.float32(width - 1))
            py = min(max(np.float32(y) + move_y, _0), np.float32(height - 1))
            left, top = int(px), int(py)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            fx, fy = px - np.float32(left), py - np.float32(top)
            a, b = u(top * width + left) * u(2 * MOST), u(top * width + right) * u(2 * MOST)
            c, d = u(bottom * width + left) * u(2 * MOST), u(bottom * width + right) * u(2 * MOST)
            along, down = spread(fx), spread(fy)
            above = load(motions, a) + along * (load(motions, b) - load(motions, a))
            below = load(motions, c) + along * (load(motions, d) - load(motions, c))
            away = above + down * (below - above) + pair(move_x, move_y)
            one, two, three, four = quads(away * away)
            trips[p] = min(np.sqrt(min(min(one, two), min(three, four))), trips[p])


@kernel("void(f4[:,:,::1], f4[::1], f4[::1], f4[::1], f4, f4, f4, f4, f4[::1])", contract=True)
def find_costs(
    colour: Planes, flow: Line, records: Line, trips: Line, cutoff: np.float32, furthest: np.float32,
    per_pixel: np.float32, shrink: np.float32, costs: Line,
) -> None:  # fmt: skip
    """Difference of colours at both ends, and distance from where the best way back ends.

    Args:
        colour: (H, W, 3) of the frame that the motion begins in.
        flow: (H * W * 2) pixels.
        records: of the other frame.
        trips: distance from where the best of further ways back ends (H * W), pixels of these; none where there are
            no further ones.
        cutoff: difference after which colours are no more different.
        furthest: distance after which a way back has missed no more, pixels of the frame.
        per_pixel: what a pixel of it costs.
        shrink: pixels of the frame to one of these.
        costs: gets (H * W).
    """
    height, width, _channels = colour.shape
    further = trips.size > 0
    for y in range(height):
        for x in range(width):
            p = u(y * width + x)
            move_x, move_y = flow[u(2) * p], flow[u(2) * p + u(1)]
            px = min(max(np.float32(x) + move_x, _0), np.float32(width - 1))
            py = min(max(np.float32(y) + move_y, _0), np.float32(height - 1))
            left, top = int(px), int(py)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            fx, fy = px - np.float32(left), py - np.float32(top)
            a, b = u(top * width + left) * u(RECORD), u(top * width + right) * u(RECORD)
            c, d = u(bottom * width + left) * u(RECORD), u(bottom * width + right) * u(RECORD)
            along, down = spread(fx), spread(fy)
            above = load(records, a) + along * (load(records, b) - load(records, a))
            below = load(records, c) + along * (load(records, d) - load(records, c))
            away = above + down * (below - above) + pair(move_x, move_y)
            one, two, three, four = quads(away * away)
            trip = np.sqrt(min(min(one, two), min(three, four)))
            if further:
                trip = min(trip, trips[p])
            trip = min(trip * shrink, furthest)
            a, b, c, d = a + u(2 * MOST), b + u(2 * MOST), c + u(2 * MOST), d + u(2 * MOST)
            above = load(records, a) + along * (load(records, b) - load(records, a))
            below = load(records, c) + along * (load(records, d) - load(records, c))
            red, green, blue, _none = quads(above + down * (below - above))
            apart = abs(red - colour[u(y), u(x), u(0)]) + abs(green - colour[u(y), u(x), u(1)])
            apart = (apart + abs(blue - colour[u(y), u(x), u(2)])) * _THIRD
            costs[p] = min(apart, cutoff) + per_pixel * trip
