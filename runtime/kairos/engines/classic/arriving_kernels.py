"""What of a layer that is alone arrives at one time between two frames, and is seen of both, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.arriving` alone, when a frame first needs it. Planes are flat, H * W numbers
each. Rows from ``top`` to ``bottom`` are of the answer, which is alike for any bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import LANES, five, load, spread, store
from kairos.motion.compiled import Plane, kernel
from kairos.motion.place_kernels import fetched, kept

Spans = npt.NDArray[np.int64]
"""(H, 2)."""

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)
_FAR, _TINY = np.float32(1 << 24), np.finfo(np.float32).tiny
_FLOW, _TRUST, _WEIGHT, _AREA = 0, 2, 3, 4
"""Of the numbers that are kept of every pixel on which something arrives: sums of both coordinates of the motion and of
the trust, each times its weight; of the weights; and how much arrived by area."""


@kernel("void(f4[::1], f4, i8[:,::1], i8, i8, i8, i8)")
def span_rows(flow: Plane, share: np.float32, spans: Spans, height: int, width: int, top: int, bottom: int) -> None:
    """First and last row that something of each row goes to, by a share of its vectors; the last before the first for
    none.
    """
    size = u(height * width)
    for y in range(top, bottom):
        at = u(y * width)
        least, most = _FAR, -_FAR
        for x in range(width):
            across, down = flow[at + u(x)] * share, flow[size + at + u(x)] * share
            lost = not (abs(across) < _FAR and abs(down) < _FAR)
            least, most = min(least, _FAR if lost else down), max(most, -_FAR if lost else down)
        spans[y, 0], spans[y, 1] = y + int(np.floor(least)), y + int(np.floor(most)) + 1


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], f4, f4, f4, i8[:,::1], f4[::1], i8, i8, i8, i8)", contract=True)
def arrive_rows(
    flow: Plane, trust: Plane, front: Plane, share: Plane, in_front: np.float32, part_of: np.float32,
    least: np.float32, spans: Spans, arrived: Plane, height: int, width: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """What arrives on some rows, carried along a part of its vectors. Vectors that are not finite carry nothing.

    Args:
        flow: two planes, pixels.
        trust, front, share: as :class:`kairos.engines.classic.motion.Layer` has them.
        in_front: how much more a pixel says that is known to hide others.
        least: shares of a pixel not above it count as none.
        spans: of :func:`span_rows`.
        arrived: (rows * W * LANES,), for the answer.
    """
    size, step = u(height * width), u(LANES)
    weights = np.empty(width, np.float32)
    places, shares = np.empty((2, width), np.int32), np.empty((2, width), np.float32)
    arrived[:] = _0
    for y in range(height):
        if spans[y, 1] < top or spans[y, 0] >= bottom:
            continue
        at = u(y * width)
        for x in range(width):
            i = at + u(x)
            weights[u(x)] = trust[i] * (_1 + in_front * front[i]) * max(share[i], np.float32(1e-3))
        for x in range(width):
            i = at + u(x)
            across, down = flow[i] * part_of, flow[size + i] * part_of
            goes = abs(across) < _FAR and abs(down) < _FAR
            across, down = across if goes else _0, down if goes else _0
            floor_x, floor_y = np.floor(across), np.floor(down)
            shares[0, u(x)], shares[1, u(x)] = across - floor_x, down - floor_y
            places[0, u(x)] = np.int32(x) + np.int32(floor_x)
            places[1, u(x)] = np.int32(y) + np.int32(floor_y) if goes else np.int32(-2)
        for x in range(width):
            column, row = np.int64(places[0, u(x)]), np.int64(places[1, u(x)])
            if row + 1 < top or row >= bottom or column + 1 < 0 or column >= width:
                continue
            right, below = shares[0, u(x)], shares[1, u(x)]
            i, weight = at + u(x), weights[u(x)]
            numbers = five(flow[i] * weight, flow[size + i] * weight, trust[i] * weight, weight, _1)
            for lower in range(2):
                if row + lower < top or row + lower >= bottom:
                    continue
                part_down = below if lower else _1 - below
                first, second = part_down * (_1 - right), part_down * right
                q = u(((row + lower - top) * width + column) * LANES)
                if first > least and column >= 0:
                    store(arrived, q, load(arrived, q) + numbers * spread(first))
                if second > least and column + 1 < width:
                    store(arrived, q + step, load(arrived, q + step) + numbers * spread(second))


@kernel("void(f4[::1], f4[::1], f4, f4[::1], i8, i8, i8, i8)", contract=True)
def meet_rows(
    first: Plane, second: Plane, reached: np.float32, out: Plane, height: int, width: int, top: int, bottom: int
) -> None:
    """What arrived from both frames put together.

    Args:
        first, second: of :func:`arrive_rows`, for these rows alone.
        reached: part of a pixel that must arrive to count.
        out: four planes: velocity, trust, and 1 where anything tells the velocity.
    """
    size = u(height * width)
    lines = np.empty((2, LANES, width), np.float32)
    for y in range(top, bottom):
        for side in range(2):
            arrived = first if side == 0 else second
            for each in range(_AREA + 1):
                at = u((y - top) * width * LANES + each)
                for x in range(width):
                    lines[u(side), u(each), u(x)] = arrived[at + u(x * LANES)]
        at = u(y * width)
        for x in range(width):
            weight0, weight1 = lines[0, _WEIGHT, u(x)], lines[1, _WEIGHT, u(x)]
            one = _1 / max(weight0, _TINY) if weight0 > _0 else _0
            two = _1 / max(weight1, _TINY) if weight1 > _0 else _0
            trust0 = lines[0, _TRUST, u(x)] * one if lines[0, _AREA, u(x)] > reached else _0
            trust1 = lines[1, _TRUST, u(x)] * two if lines[1, _AREA, u(x)] > reached else _0
            total = trust0 + trust1
            by = _1 / max(total, np.float32(1e-9))
            part0, part1 = one * trust0 * by, two * trust1 * by
            i = at + u(x)
            out[i] = lines[0, 0, u(x)] * part0 - lines[1, 0, u(x)] * part1
            out[size + i] = lines[0, 1, u(x)] * part0 - lines[1, 1, u(x)] * part1
            out[size + size + i] = max(trust0, trust1)
            out[size + size + size + i] = _1 if total > np.float32(1e-4) else _0


@kernel(f"void({', '.join(['f4[::1]'] * 7)}, f4, f4, i8, i8, i8, i8)", contract=True)
def show_rows(
    there: Plane, back: Plane, velocity: Plane, to_0: Plane, to_1: Plane, seen0: Plane, seen1: Plane,
    slack: np.float32, slack_share: np.float32, height: int, width: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """How far the pixels of either frame that vectors come from move the same way, 0..1; 0 outside the frame.

    Args:
        there, back: two planes each, pixels, the motion of either frame to the other.
        velocity: two planes, of what is seen.
        to_0, to_1: two planes each, to both frames.
        seen0, seen1: for the answers.
        slack, slack_share: disagreement that halves the answer, pixels and part of the speed.
    """
    size = u(height * width)
    places, shares = np.empty(width, np.uint32), np.empty((2, width), np.float32)
    room, least, off = np.empty(width, np.float32), np.empty(width, np.float32), np.empty((2, width), np.float32)
    right, below = u(1 if width > 1 else 0), u(width if height > 1 else 0)
    most_x, most_y = np.float32(width - 1), np.float32(height - 1)
    last_x, last_y = np.int32(max(0, width - 2)), np.int32(max(0, height - 2))
    for y in range(top, bottom):
        at = u(y * width)
        for x in range(width):
            across, down = velocity[at + u(x)], velocity[size + at + u(x)]
            allowed = slack + slack_share * np.sqrt(across * across + down * down)
            least[u(x)] = allowed * allowed
        for side in range(2):
            way, flow, sign = (to_0, there, _1) if side == 0 else (to_1, back, -_1)
            for x in range(width):
                place_x = np.float32(np.int32(x)) + way[at + u(x)]
                place_y = np.float32(np.int32(y)) + way[size + at + u(x)]
                inside = min(min(place_x, most_x - place_x), min(place_y, most_y - place_y)) + _1
                room[u(x)] = min(max(inside, _0), _1)
                place_x, place_y = kept(place_x, most_x), kept(place_y, most_y)
                column, row = np.int32(place_x), np.int32(place_y)
                column, row = column if column < last_x else last_x, row if row < last_y else last_y
                shares[0, u(x)], shares[1, u(x)] = place_x - np.float32(column), place_y - np.float32(row)
                places[u(x)] = np.uint32(np.uint32(row) * np.uint32(width) + np.uint32(column))
            for x in range(width):
                i, b, d = u(places[u(x)]), shares[0, u(x)], shares[1, u(x)]
                off[0, u(x)] = fetched(flow, i, right, below, b, d)
                off[1, u(x)] = fetched(flow, size + i, right, below, b, d)
            seen = seen0 if side == 0 else seen1
            for x in range(width):
                across = off[0, u(x)] * sign - velocity[at + u(x)]
                down = off[1, u(x)] * sign - velocity[size + at + u(x)]
                seen[at + u(x)] = room[u(x)] * least[u(x)] / (least[u(x)] + (across * across + down * down))
