"""Layers of motion at one time between two frames, compiled for the CPU: what arrives, and what is seen.

Imported by :mod:`kairos.engines.classic.layered` alone. Planes of the frame are (C, H, W), those of a layer are of its
box, (C, h, w): the part of the frame in which it can be seen. A ``box`` holds its first row, the one behind its last,
and so the columns. Rows from ``top`` to ``bottom`` are of the answer, which is alike for any bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import LANES, load, seven, spread, store
from kairos.motion.compiled import PLANES, Line, Planes, kernel

Box = npt.NDArray[np.int64]
"""(4,): top, bottom, left, right."""
Spans = npt.NDArray[np.int64]
"""(h, 2)."""

u = np.uintp
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_FAR, _TINY = np.float32(1 << 24), np.finfo(np.float32).tiny


@kernel(f"void({PLANES}, f4, i8[:,::1], i8, i8)")
def span_rows(flow: Planes, share: np.float32, spans: Spans, top: int, bottom: int) -> None:
    """First and last row of the box that something of each of its rows goes to, by a share of its vectors; the last
    before the first for none.
    """
    wide, size = flow.shape[2], u(flow.shape[1] * flow.shape[2])
    moves = flow.reshape(-1)
    for y in range(top, bottom):
        at = u(y * wide)
        least, most = _FAR, -_FAR
        for x in range(wide):
            across, down = moves[at + u(x)] * share, moves[size + at + u(x)] * share
            lost = not (abs(across) < _FAR and abs(down) < _FAR)
            least, most = min(least, _FAR if lost else down), max(most, -_FAR if lost else down)
        spans[y, 0], spans[y, 1] = y + int(np.floor(least)), y + int(np.floor(most)) + 1


@kernel(
    f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, {PLANES}, f4, f4, f4, i8[:,::1], f4[::1], i8, i8)",
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
    spans: Spans,
    arrived: Line,
    top: int,
    bottom: int,
) -> None:
    """What of a layer arrives on some rows of its box, carried along a part of its vectors.

    Args:
        flow: (2, h, w) pixels.
        trust, front, share: (1, h, w), as :class:`kairos.engines.classic.motion.Layer` has them.
        above: (1, h, w), how much of each pixel is in front of the layer.
        in_front: how much more a pixel says that is known to hide others.
        part_of: of the vectors.
        least: shares of a pixel not above it count as none.
        spans: of :func:`span_rows`.
        arrived: (rows * w * LANES,), for the answer: sums of flow x and y, trust, share and what is not hidden, each
            times its weight, of the weights, and how much arrived by area.
        top, bottom: rows of the box.
    """
    high, wide, step = flow.shape[1], flow.shape[2], u(LANES)
    size = u(high * wide)
    moves, trusts, fronts, shares = flow.reshape(-1), trust.reshape(-1), front.reshape(-1), share.reshape(-1)
    hidden, weights = above.reshape(-1), np.empty(wide, np.float32)
    places, parts = np.empty((2, wide), np.int32), np.empty((2, wide), np.float32)
    arrived[:] = _ZERO
    for y in range(high):
        if spans[y, 1] < top or spans[y, 0] >= bottom:
            continue
        at = u(y * wide)
        for x in range(wide):
            i = at + u(x)
            weights[u(x)] = trusts[i] * (_ONE + in_front * fronts[i]) * max(shares[i], np.float32(1e-3))
        for x in range(wide):
            i = at + u(x)
            across, down = moves[i] * part_of, moves[size + i] * part_of
            goes = abs(across) < _FAR and abs(down) < _FAR
            across, down = across if goes else _ZERO, down if goes else _ZERO
            floor_x, floor_y = np.floor(across), np.floor(down)
            parts[0, u(x)], parts[1, u(x)] = across - floor_x, down - floor_y
            places[0, u(x)] = np.int32(x) + np.int32(floor_x)
            places[1, u(x)] = np.int32(y) + np.int32(floor_y) if goes else np.int32(-2)
        for x in range(wide):
            column, row = np.int64(places[0, u(x)]), np.int64(places[1, u(x)])
            if row + 1 < top or row >= bottom or column + 1 < 0 or column >= wide:
                continue
            right, below, weight = parts[0, u(x)], parts[1, u(x)], weights[u(x)]
            i = at + u(x)
            numbers = seven(
                moves[i] * weight, moves[size + i] * weight, trusts[i] * weight, shares[i] * weight,
                (_ONE - hidden[i]) * weight, weight, _ONE,
            )  # fmt: skip
            for lower in range(2):
                if row + lower < top or row + lower >= bottom:
                    continue
                part_down = below if lower else _ONE - below
                first, second = part_down * (_ONE - right), part_down * right
                q = u(((row + lower - top) * wide + column) * LANES)
                if first > least and column >= 0:
                    store(arrived, q, load(arrived, q) + numbers * spread(first))
                if second > least and column + 1 < wide:
                    store(arrived, q + step, load(arrived, q + step) + numbers * spread(second))


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
    wide, size = out.shape[2], u(out.shape[1] * out.shape[2])
    rest, planes = _ONE - time, out.reshape(-1)
    lines = np.empty((2, LANES, wide), np.float32)
    for y in range(top, bottom):
        for side in range(2):
            arrived = first if side == 0 else second
            for each in range(7):
                at = u((y - top) * wide * LANES + each)
                for x in range(wide):
                    lines[u(side), u(each), u(x)] = arrived[at + u(x * LANES)]
        one_side, other_side = lines[0].reshape(-1), lines[1].reshape(-1)
        for x in range(wide):
            q, i = u(x), u(y * wide + x)
            line = u(wide)
            weight0, weight1 = one_side[q + u(5) * line], other_side[q + u(5) * line]
            one = _ONE / max(weight0, _TINY) if weight0 > _ZERO else _ZERO
            two = _ONE / max(weight1, _TINY) if weight1 > _ZERO else _ZERO
            there0, there1 = one_side[q + u(6) * line] > reached, other_side[q + u(6) * line] > reached
            trust0 = one_side[q + u(2) * line] * one if there0 else _ZERO
            trust1 = other_side[q + u(2) * line] * two if there1 else _ZERO
            total = trust0 + trust1
            by = _ONE / max(total, np.float32(1e-9))
            part0, part1 = one * trust0 * by, two * trust1 * by
            planes[i] = one_side[q] * part0 - other_side[q] * part1
            planes[size + i] = one_side[q + line] * part0 - other_side[q + line] * part1
            planes[u(2) * size + i] = _ONE if total > np.float32(1e-4) else _ZERO
            planes[u(3) * size + i] = max(trust0, trust1)
            say0 = rest * (one_side[q + u(4) * line] * one) if there0 else _ZERO
            say1 = time * (other_side[q + u(4) * line] * two) if there1 else _ZERO
            say = say0 + say1
            shown = (one_side[q + u(3) * line] * one) * say0 + (other_side[q + u(3) * line] * two) * say1
            planes[u(4) * size + i] = shown / max(say, np.float32(1e-6))
            planes[u(5) * size + i] = _ONE if say > known else _ZERO


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
