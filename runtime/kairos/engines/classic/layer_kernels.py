"""Layers of motion at one time between two frames, compiled for the CPU: what arrives, what is seen, and where from.

Imported by :mod:`kairos.engines.classic.layered` alone. Planes of the frame are (C, H, W); a ``box`` holds the first
row and column of the part of the frame in which a layer can be seen, and those one behind its last. Rows from ``top``
to ``bottom`` are of the answer, which is alike for any bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Line, Planes, kernel, part

Box = npt.NDArray[np.int64]
"""(4,): top, bottom, left, right."""
Spans = npt.NDArray[np.int64]
"""(h, 2)."""
Flags = npt.NDArray[np.uint8]
"""(H, W)."""

LANES = 8
"""Numbers that are kept of every pixel on which something arrives."""

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_FAR, _TINY = np.float32(1 << 24), np.finfo(np.float32).tiny


@part
def _limited(move: np.float32) -> np.float32:
    """One coordinate of a vector; what is not a number moves nothing."""
    return min(max(move, -_FAR), _FAR) if move == move else _ZERO


@part
def _within(place: int, first: int, end: int) -> np.uintp:
    return np.uintp(min(max(place, first), end - 1))


@part
def _ends_inside(x: int, y: int, u: np.float32, v: np.float32, width: int, height: int) -> np.float32:
    """1 where a vector ends inside the frame, fading out over one pixel."""
    across, down = np.float32(x) + u, np.float32(y) + v
    room = min(
        min(across, np.float32(width - 1) - across),
        min(down, np.float32(height - 1) - down),
    )
    return min(max(_ONE + room, _ZERO), _ONE)


@kernel(f"void({PLANES}, f4, i8[::1], i8[:,::1], i8, i8)")
def span_rows(flow: Planes, share: np.float32, box: Box, spans: Spans, top: int, bottom: int) -> None:
    """First and last row of the box that something of each of its rows goes to, by a share of its vectors; the last
    before the first for none.
    """
    left, right, rows = box[2], box[3], box[1] - box[0]
    for y in range(top, bottom):
        first, last = rows, -1
        for x in range(left, right):
            u, v = flow[0, box[0] + y, x] * share, flow[1, box[0] + y, x] * share
            if not (np.isfinite(u) and np.isfinite(v)):
                continue
            row = y + int(np.floor(_limited(v)))
            first, last = min(first, row), max(last, row + 1)
        spans[y, 0], spans[y, 1] = first, last


@kernel(
    f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, {PLANES}, f4, f4, f4, i8[::1], i8[:,::1], f4[::1], i8, i8)",
    contract=True,
)
def arrive_rows(
    flow: Planes,
    trust: Planes,
    front: Planes,
    share: Planes,
    above: Planes,
    in_front: np.float32,
    part_of: np.float32,
    least: np.float32,
    box: Box,
    spans: Spans,
    arrived: Line,
    top: int,
    bottom: int,
) -> None:
    """What of a layer arrives on some rows of its box, carried along a part of its vectors.

    Args:
        flow: (2, H, W) pixels.
        trust, front, share: (1, H, W), as :class:`kairos.engines.classic.motion.Layer` has them.
        above: (1, h, w), of the box: how much of each pixel is in front of the layer.
        in_front: how much more a pixel says that is known to hide others.
        part_of: of the vectors.
        least: shares of a pixel not above it count as none.
        box: of the layer.
        spans: of :func:`span_rows`.
        arrived: (rows * w * LANES,), for the answer: sums of flow x and y, trust, share and what is not hidden, each
            times its weight, of the weights, and how much arrived by area.
        top, bottom: rows of the box.
    """
    wide, first_row, left = box[3] - box[2], box[0], box[2]
    arrived[:] = _ZERO
    floor = np.float32(1e-3)
    for y in range(box[1] - box[0]):
        if spans[y, 1] < top or spans[y, 0] >= bottom:
            continue
        for x in range(wide):
            i, j = np.uintp(first_row + y), np.uintp(left + x)
            u, v = flow[0, i, j], flow[1, i, j]
            across, down = u * part_of, v * part_of
            if not (np.isfinite(across) and np.isfinite(down)):
                continue
            across, down = _limited(across), _limited(down)
            floor_x, floor_y = np.floor(across), np.floor(down)
            column, row = x + int(floor_x), y + int(floor_y)
            if row + 1 < top or row >= bottom or column + 1 < 0 or column >= wide:
                continue
            fx, fy = across - floor_x, down - floor_y
            own, seen = trust[0, i, j], share[0, i, j]
            w = own * (_ONE + in_front * front[0, i, j]) * max(seen, floor)
            a, b, c, d = u * w, v * w, own * w, seen * w
            e = (_ONE - above[0, np.uintp(y), np.uintp(x)]) * w
            for lower in range(2):
                if row + lower < top or row + lower >= bottom:
                    continue
                share_down = fy if lower else _ONE - fy
                for further in range(2):
                    if column + further < 0 or column + further >= wide:
                        continue
                    s = share_down * (fx if further else _ONE - fx)
                    if not s > least:
                        continue
                    q = np.uintp(((row + lower - top) * wide + column + further) * LANES)
                    arrived[q] += a * s
                    arrived[q + np.uintp(1)] += b * s
                    arrived[q + np.uintp(2)] += c * s
                    arrived[q + np.uintp(3)] += d * s
                    arrived[q + np.uintp(4)] += e * s
                    arrived[q + np.uintp(5)] += w * s
                    arrived[q + np.uintp(6)] += s


@kernel(f"void(f4[::1], f4[::1], f4, f4, f4, {PLANES}, i8, i8)")
def meet_rows(
    first: Line, second: Line, time: np.float32, reached: np.float32, known: np.float32, out: Planes,
    top: int, bottom: int,
) -> None:  # fmt: skip
    """What arrived from both frames put together.

    Args:
        first, second: of :func:`arrive_rows`, for these rows alone.
        time: 0..1.
        reached: part of a pixel that must arrive to count.
        known: say of both frames over which it is known how much of a pixel is the layer's.
        out: (6, h, w): velocity x and y, 1 where anything tells it, trust, how much of the pixel is the layer's, and 1
            where that is known.
        top, bottom: rows of ``out``.
    """
    wide = out.shape[2]
    rest = _ONE - time
    for y in range(top, bottom):
        for x in range(wide):
            q = np.uintp(((y - top) * wide + x) * LANES)
            weight0, weight1 = first[q + np.uintp(5)], second[q + np.uintp(5)]
            one = _ONE / max(weight0, _TINY) if weight0 > _ZERO else _ZERO
            two = _ONE / max(weight1, _TINY) if weight1 > _ZERO else _ZERO
            there0, there1 = first[q + np.uintp(6)] > reached, second[q + np.uintp(6)] > reached
            trust0 = first[q + np.uintp(2)] * one if there0 else _ZERO
            trust1 = second[q + np.uintp(2)] * two if there1 else _ZERO
            total = trust0 + trust1
            part0, part1 = one * trust0, two * trust1
            by = _ONE / max(total, np.float32(1e-9))
            out[0, y, x] = (first[q] * part0 - second[q] * part1) * by
            out[1, y, x] = (first[q + np.uintp(1)] * part0 - second[q + np.uintp(1)] * part1) * by
            out[2, y, x] = _ONE if total > np.float32(1e-4) else _ZERO
            out[3, y, x] = max(trust0, trust1)
            say0 = rest * (first[q + np.uintp(4)] * one) if there0 else _ZERO
            say1 = time * (second[q + np.uintp(4)] * two) if there1 else _ZERO
            say = say0 + say1
            shares = (first[q + np.uintp(3)] * one) * say0 + (second[q + np.uintp(3)] * two) * say1
            out[4, y, x] = shares / max(say, np.float32(1e-6))
            out[5, y, x] = _ONE if say > known else _ZERO


@kernel(f"void(i8, {PLANES}, {PLANES}, {PLANES}, i8[::1], {PLANES}, {PLANES}, {PLANES}, {PLANES}, i8, i8)")
def cover_rows(
    index: int,
    velocity: Planes,
    trust: Planes,
    cover: Planes,
    box: Box,
    seen: Planes,
    seen_trust: Planes,
    level: Planes,
    shown: Planes,
    top: int,
    bottom: int,
) -> None:
    """A layer laid over those behind it where it covers most of a pixel, or, where nothing does, more than all others.

    Args:
        index: of the layer; the furthest has 0.
        velocity, trust, cover: of the layer in its box.
        box: of the layer.
        seen, seen_trust: (2, H, W) and (1, H, W), of what is seen.
        level: (1, H, W), the most that any layer covers so far.
        shown: (1, H, W), index of the layer seen.
        top, bottom: rows of the box.
    """
    wide = box[3] - box[2]
    for y in range(top, bottom):
        for x in range(wide):
            i, j = np.uintp(box[0] + y), np.uintp(box[2] + x)
            own, most = cover[0, y, x], level[0, i, j]
            if index == 0 or own > _HALF:
                over = True
            else:
                over = most <= _HALF and (own > most or (own == most and shown[0, i, j] > _ZERO))
            level[0, i, j] = max(most, own)
            if over:
                seen[0, i, j], seen[1, i, j] = velocity[0, y, x], velocity[1, y, x]
                seen_trust[0, i, j] = trust[0, y, x]
                shown[0, i, j] = np.float32(index)


@kernel(
    f"void(i8, b1, f4, f4, f4, {PLANES}, {PLANES}, {PLANES}, {PLANES}, {PLANES}, i8[::1], {PLANES}, i8, i8)",
    contract=True,
)
def visible_rows(
    index: int,
    several: bool,
    sign: np.float32,
    slack: np.float32,
    slack_share: np.float32,
    flow: Planes,
    share: Planes,
    shown: Planes,
    velocity: Planes,
    way: Planes,
    box: Box,
    seen: Planes,
    top: int,
    bottom: int,
) -> None:
    """How far the source pixel that a vector comes from moves the same way and belongs to the same layer, 0..1, where
    that layer is seen.

    Args:
        index: of the layer.
        several: there are other layers.
        sign: by which the source's vectors are multiplied.
        slack, slack_share: disagreement that halves the answer, pixels and part of the speed.
        flow: (2, H, W) pixels, of the source.
        share: (1, H, W), how much of the source's pixels is the layer's.
        shown: (1, H, W), index of the layer seen.
        velocity: (2, H, W) pixels, of what is seen.
        way: (2, H, W) pixels, to the source.
        box: of the layer.
        seen: (1, H, W), for the answer.
        top, bottom: rows of the box.
    """
    height, width = shown.shape[1:]
    for line in range(top, bottom):
        y = box[0] + line
        for x in range(box[2], box[3]):
            if shown[0, y, x] != np.float32(index):
                continue
            u, v = way[0, y, x], way[1, y, x]
            across, down = _limited(u), _limited(v)
            floor_x, floor_y = np.floor(across), np.floor(down)
            fx, fy = across - floor_x, down - floor_y
            column, row = x + int(floor_x), y + int(floor_y)
            left, right = _within(column, box[2], box[3]), _within(column + 1, box[2], box[3])
            above, below = _within(row, box[0], box[1]), _within(row + 1, box[0], box[1])
            gx, gy = _ONE - fx, _ONE - fy
            a = (flow[0, above, left] * gx + flow[0, above, right] * fx) * gy
            a += (flow[0, below, left] * gx + flow[0, below, right] * fx) * fy
            b = (flow[1, above, left] * gx + flow[1, above, right] * fx) * gy
            b += (flow[1, below, left] * gx + flow[1, below, right] * fx) * fy
            p, q = velocity[0, y, x], velocity[1, y, x]
            least = slack + slack_share * np.sqrt(p * p + q * q)
            off, astray = a * sign - p, b * sign - q
            own = _ONE / (_ONE + (off * off + astray * astray) / (least * least))
            if several:
                part_here = (share[0, above, left] * gx + share[0, above, right] * fx) * gy
                own *= part_here + (share[0, below, left] * gx + share[0, below, right] * fx) * fy
            seen[0, y, x] = own * _ends_inside(x, y, u, v, width, height)


@kernel(f"void(i8, {PLANES}, {PLANES}, {PLANES}, i8[::1], {PLANES}, i8, i8)", contract=True)
def fetch_rows(
    index: int, clear: Planes, shown: Planes, way: Planes, box: Box, out: Planes, top: int, bottom: int
) -> None:
    """Where a layer is seen, how much of the source pixel that a vector comes from is clearly the layer's.

    Args:
        index: of the layer.
        clear: (1, h, w), of its box.
        shown: (1, H, W), index of the layer seen.
        way: (2, H, W) pixels, to the source.
        box: of the layer.
        out: (1, H, W), for the answer.
        top, bottom: rows of the box.
    """
    height, width = shown.shape[1:]
    high, wide = box[1] - box[0], box[3] - box[2]
    for line in range(top, bottom):
        y = box[0] + line
        for place in range(wide):
            x = box[2] + place
            if shown[0, y, x] != np.float32(index):
                continue
            u, v = way[0, y, x], way[1, y, x]
            across, down = _limited(u), _limited(v)
            floor_x, floor_y = np.floor(across), np.floor(down)
            fx, fy = across - floor_x, down - floor_y
            column, row = place + int(floor_x), line + int(floor_y)
            left, right = _within(column, 0, wide), _within(column + 1, 0, wide)
            above, below = _within(row, 0, high), _within(row + 1, 0, high)
            gx = _ONE - fx
            upper = clear[0, above, left] * gx + clear[0, above, right] * fx
            lower = clear[0, below, left] * gx + clear[0, below, right] * fx
            out[0, y, x] = (upper * (_ONE - fy) + lower * fy) * _ends_inside(x, y, u, v, width, height)


@kernel(f"void({PLANES}, {PLANES}, b1[:,:,::1], f4, f4, i8[::1], u1[:,::1], i8, i8)")
def near_rows(
    flow: Planes,
    trust: Planes,
    still: npt.NDArray[np.bool_],
    part_of: np.float32,
    trusted: np.float32,
    box: Box,
    reached: Flags,
    top: int,
    bottom: int,
) -> None:
    """Marks the pixels that something of a layer that moves comes to.

    Args:
        flow: (2, H, W) pixels.
        trust: (1, H, W).
        still: (1, H, W), both frames are the same.
        part_of: of the vectors.
        trusted: trust over which a vector counts.
        box: of the layer.
        reached: (H, W), gets 1: whoever writes, writes the same.
        top, bottom: rows of the box that it comes from.
    """
    least = np.float32(1e-3)
    for line in range(top, bottom):
        y = box[0] + line
        for x in range(box[2], box[3]):
            if still[0, y, x] or not trust[0, y, x] > trusted:
                continue
            u, v = flow[0, y, x] * part_of, flow[1, y, x] * part_of
            if not (np.isfinite(u) and np.isfinite(v)):
                continue
            u, v = _limited(u), _limited(v)
            floor_x, floor_y = np.floor(u), np.floor(v)
            fx, fy = u - floor_x, v - floor_y
            column, row = x + int(floor_x), y + int(floor_y)
            for lower in range(2):
                for further in range(2):
                    i, j = row + lower, column + further
                    share = (fy if lower else _ONE - fy) * (fx if further else _ONE - fx)
                    if share > least and i >= box[0] and i < box[1] and j >= box[2] and j < box[3]:
                        reached[np.uintp(i), np.uintp(j)] = 1
