"""Layers of motion at one time between two frames, compiled for the CPU: what arrives, what is seen, and where from.

Imported by :mod:`kairos.engines.classic.layered` alone. Planes of the frame are (C, H, W); a ``box`` holds the first
row and column of the part of the frame in which a layer can be seen, and those one behind its last. Rows from ``top``
to ``bottom`` are of the answer, which is alike for any bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.classic.even_kernels import both_ended, eights, fetched_eight, in_a_row, parted
from kairos.engines.classic.even_kernels import span as span_of
from kairos.engines.vector_kernel import LANES, load, seven, spread, store
from kairos.motion.compiled import PLANES, Line, Planes, kernel, part
from kairos.motion.place_kernels import Places, fetched

Box = npt.NDArray[np.int64]
"""(4,): top, bottom, left, right."""
Spans = npt.NDArray[np.int64]
"""(h, 2)."""
Flags = npt.NDArray[np.uint8]
"""(H, W)."""

u = np.uintp
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_NO, _YES, _NONE = np.uint8(0), np.uint8(1), np.uint64(0)
_FAR, _TINY = np.float32(1 << 24), np.finfo(np.float32).tiny


@part
def _limited(move: np.float32) -> np.float32:
    """One coordinate of a vector; what is not a number moves nothing."""
    return min(max(move, -_FAR), _FAR) if move == move else _ZERO


@part
def _ends_inside(x: np.int32, y: np.int32, u: np.float32, v: np.float32, width: int, height: int) -> np.float32:
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
    wide, width, size = box[3] - box[2], flow.shape[2], u(flow.shape[1] * flow.shape[2])
    moves = flow.reshape(-1)
    for y in range(top, bottom):
        at = u((box[0] + y) * width + box[2])
        least, most = _FAR, -_FAR
        for x in range(wide):
            across, down = moves[at + u(x)] * share, moves[size + at + u(x)] * share
            lost = not (abs(across) < _FAR and abs(down) < _FAR)
            least, most = min(least, _FAR if lost else down), max(most, -_FAR if lost else down)
        spans[y, 0], spans[y, 1] = y + int(np.floor(least)), y + int(np.floor(most)) + 1


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
    wide, width, step = box[3] - box[2], flow.shape[2], u(LANES)
    size = u(flow.shape[1] * width)
    moves, trusts, fronts, shares = flow.reshape(-1), trust.reshape(-1), front.reshape(-1), share.reshape(-1)
    hidden, weights = above.reshape(-1), np.empty(wide, np.float32)
    places, parts = np.empty((2, wide), np.int32), np.empty((2, wide), np.float32)
    arrived[:] = _ZERO
    for y in range(box[1] - box[0]):
        if spans[y, 1] < top or spans[y, 0] >= bottom:
            continue
        at, own = u((box[0] + y) * width + box[2]), u(y * wide)
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
                (_ONE - hidden[own + u(x)]) * weight, weight, _ONE,
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
    wide, mine, size = box[3] - box[2], np.float32(index), u(height * width)
    padded, pitch = 8 * eights(wide), u(width)
    columns, rows = np.empty(wide, np.int32), np.empty(wide, np.int32)
    across, down = np.empty(wide, np.float32), np.empty(wide, np.float32)
    off, astray, own = np.zeros(padded, np.float32), np.zeros(padded, np.float32), np.ones(padded, np.float32)
    apart, theirs = np.ones(padded, np.uint8), np.zeros(padded, np.uint8)
    joints, some = apart.view(np.uint64), theirs.view(np.uint64)
    moves, flows, shares, tops = way.reshape(-1), flow.reshape(-1), share.reshape(-1), shown.reshape(-1)
    speeds, answers = velocity.reshape(-1), seen.reshape(-1)
    for line in range(top, bottom):
        y = box[0] + line
        at = u(y * width + box[2])
        for x in range(wide):
            theirs[u(x)] = _YES if tops[at + u(x)] == mine else _NO
        begin, end = span_of(some)
        if begin == end:
            continue
        first, last = 8 * begin, min(8 * end, wide)
        both_ended(
            moves, size, at, y, first, box,
            columns[first:last], across[first:last], rows[first:last], down[first:last],
        )  # fmt: skip
        parted(columns[first:last], rows[first:last], apart[first:])
        for block in range(begin, end):
            x = u(8 * block)
            if some[u(block)] == _NONE:
                continue
            if in_a_row(joints[u(block)], columns[x], rows[x]):
                i = u(rows[x] >> 1) * pitch + u(columns[x] >> 1)
                store(off, x, fetched_eight(flows, i, pitch, across, down, x))
                store(astray, x, fetched_eight(flows, size + i, pitch, across, down, x))
                if several:
                    store(own, x, fetched_eight(shares, i, pitch, across, down, x))
                continue
            for k in range(x, min(x + u(8), u(wide))):
                i, right = u(rows[k] >> 1) * pitch + u(columns[k] >> 1), u(columns[k] & 1)
                below, fx, fy = u(rows[k] & 1) * pitch, across[k], down[k]
                off[k] = fetched(flows, i, right, below, fx, fy)
                astray[k] = fetched(flows, size + i, right, below, fx, fy)
                if several:
                    own[k] = fetched(shares, i, right, below, fx, fy)
        for x in range(first, last):
            i = at + u(x)
            p, q = speeds[i], speeds[size + i]
            least = slack + slack_share * np.sqrt(p * p + q * q)
            one, two = off[u(x)] * sign - p, astray[u(x)] * sign - q
            found = own[u(x)] / (_ONE + (one * one + two * two) / (least * least))
            column, row = np.int32(box[2] + x), np.int32(y)
            found *= _ends_inside(column, row, moves[i], moves[size + i], width, height)
            answers[i] = found if theirs[u(x)] == _YES else answers[i]


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
    high, wide, mine, size = box[1] - box[0], box[3] - box[2], np.float32(index), u(height * width)
    padded, pitch, here = 8 * eights(wide), u(wide), np.array([0, high, 0, wide])
    columns, rows = np.empty(wide, np.int32), np.empty(wide, np.int32)
    across, down, own = np.empty(wide, np.float32), np.empty(wide, np.float32), np.zeros(padded, np.float32)
    apart, theirs = np.ones(padded, np.uint8), np.zeros(padded, np.uint8)
    joints, some = apart.view(np.uint64), theirs.view(np.uint64)
    moves, shares, tops, answers = way.reshape(-1), clear.reshape(-1), shown.reshape(-1), out.reshape(-1)
    for line in range(top, bottom):
        y = box[0] + line
        at = u(y * width + box[2])
        for x in range(wide):
            theirs[u(x)] = _YES if tops[at + u(x)] == mine else _NO
        begin, end = span_of(some)
        if begin == end:
            continue
        first, last = 8 * begin, min(8 * end, wide)
        both_ended(
            moves, size, at, line, first, here,
            columns[first:last], across[first:last], rows[first:last], down[first:last],
        )  # fmt: skip
        parted(columns[first:last], rows[first:last], apart[first:])
        for block in range(begin, end):
            x = u(8 * block)
            if some[u(block)] == _NONE:
                continue
            if in_a_row(joints[u(block)], columns[x], rows[x]):
                i = u(rows[x] >> 1) * pitch + u(columns[x] >> 1)
                store(own, x, fetched_eight(shares, i, pitch, across, down, x))
                continue
            for k in range(x, min(x + u(8), u(wide))):
                i, right = u(rows[k] >> 1) * pitch + u(columns[k] >> 1), u(columns[k] & 1)
                own[k] = fetched(shares, i, right, u(rows[k] & 1) * pitch, across[k], down[k])
        for x in range(first, last):
            i = at + u(x)
            column, row = np.int32(box[2] + x), np.int32(y)
            room = _ends_inside(column, row, moves[i], moves[size + i], width, height)
            answers[i] = own[u(x)] * room if theirs[u(x)] == _YES else answers[i]


@part
def _before(
    moves: Line, part_of: np.float32, start: np.int32, step: np.int32, last: np.int32, places: Places
) -> None:
    """The places before where parts of vectors end along an axis, within 0 and the last. They begin at ``start``, so
    many pixels from one another.
    """
    for i in range(len(places)):
        move = moves[u(i)] * part_of
        move = move if move == move else _ZERO
        move = move if move > -_FAR else -_FAR
        move = move if move < _FAR else _FAR
        place = np.int32(np.int32(start + np.int32(np.int32(i) * step)) + np.int32(np.floor(move)))
        place = place if place > np.int32(0) else np.int32(0)
        places[u(i)] = place if place < last else last


@kernel(f"void({PLANES}, {PLANES}, b1[:,:,::1], u1[:,::1], f4, f4, i8[::1], u1[:,::1], i8, i8)")
def near_rows(
    flow: Planes,
    trust: Planes,
    still: npt.NDArray[np.bool_],
    asked: Flags,
    part_of: np.float32,
    trusted: np.float32,
    box: Box,
    reached: Flags,
    top: int,
    bottom: int,
) -> None:
    """Marks the pixels that something of a layer that moves comes to.

    Args:
        flow: (2, H, W) pixels; fewer than 2**31 in all.
        trust: (1, H, W).
        still: (1, H, W), both frames are the same.
        asked: (H, W), 1 where a pixel, the one right of it or any of both below are asked about; what comes elsewhere
            is not marked.
        part_of: of the vectors.
        trusted: trust over which a vector counts.
        box: of the layer.
        reached: (H, W), gets 1: whoever writes, writes the same.
        top, bottom: rows of the box that it comes from.
    """
    least, height, width, wide = np.float32(1e-3), flow.shape[1], flow.shape[2], box[3] - box[2]
    size, padded = u(height * width), 8 * eights(wide)
    moves, trusts, stays, wanted = flow.reshape(-1), trust.reshape(-1), still.reshape(-1), asked.reshape(-1)
    columns, rows = np.empty(wide, np.int32), np.empty(wide, np.int32)
    comes = np.zeros(padded, np.uint8)
    words = comes.view(np.uint64)
    for line in range(top, bottom):
        y = box[0] + line
        at = u(y * width + box[2])
        _before(moves[at:], part_of, np.int32(box[2]), np.int32(1), np.int32(width - 1), columns)
        _before(moves[at + size :], part_of, np.int32(y), np.int32(0), np.int32(height - 1), rows)
        for x in range(wide):
            columns[u(x)] = np.int32(np.int32(rows[u(x)] * np.int32(width)) + columns[u(x)])
        for x in range(wide):
            comes[u(x)] = wanted[u(columns[u(x)])]
        for x in range(wide):
            comes[u(x)] = comes[u(x)] if trusts[at + u(x)] > trusted else _NO
        for x in range(wide):
            comes[u(x)] = _NO if stays[at + u(x)] else comes[u(x)]
        for block in range(len(words)):
            if words[u(block)] == _NONE:
                continue
            for x in range(8 * block, min(8 * block + 8, wide)):
                right, below = moves[at + u(x)] * part_of, moves[size + at + u(x)] * part_of
                if comes[u(x)] == _NO or not (np.isfinite(right) and np.isfinite(below)):
                    continue
                right, below = _limited(right), _limited(below)
                floor_x, floor_y = np.floor(right), np.floor(below)
                fx, fy = right - floor_x, below - floor_y
                column, row = box[2] + x + int(floor_x), y + int(floor_y)
                for lower in range(2):
                    for further in range(2):
                        i, j = row + lower, column + further
                        share = (fy if lower else _ONE - fy) * (fx if further else _ONE - fx)
                        if share > least and i >= box[0] and i < box[1] and j >= box[2] and j < box[3]:
                            reached[u(i), u(j)] = _YES
