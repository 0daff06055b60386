"""Which source pixels layers are seen in at one time between two frames, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.layered` alone. Planes and boxes are those of
:mod:`kairos.engines.classic.layer_kernels`; rows from ``top`` to ``bottom`` are of the answer, which is alike for any
bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.classic.even_kernels import eights, row_ended, row_fetched, span
from kairos.motion.compiled import PLANES, Planes, kernel, part
from kairos.motion.place_kernels import landed

Box = npt.NDArray[np.int64]
"""(4,): top, bottom, left, right."""
Flags = npt.NDArray[np.uint8]
"""(H, W)."""

u = np.uintp
_ZERO, _ONE, _FAR = np.float32(0.0), np.float32(1.0), np.float32(1 << 24)
_NO, _YES, _NONE = np.uint8(0), np.uint8(1), np.uint64(0)


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
        flow: (2, h, w) pixels, of the source, in the layer's box.
        share: (1, h, w), how much of the source's pixels there is the layer's.
        shown: (1, H, W), index of the layer seen.
        velocity: (2, H, W) pixels, of what is seen.
        way: (2, H, W) pixels, to the source.
        box: of the layer.
        seen: (1, H, W), for the answer.
        top, bottom: rows of the box.
    """
    height, width = shown.shape[1:]
    high, wide, mine, size = box[1] - box[0], box[3] - box[2], np.float32(index), u(height * width)
    padded, pitch, plane, here = 8 * eights(wide), u(wide), u(high * wide), np.array([0, high, 0, wide])
    columns, rows = np.empty(wide, np.int32), np.empty(wide, np.int32)
    across, down = np.empty(wide, np.float32), np.empty(wide, np.float32)
    off, astray, own = np.zeros(padded, np.float32), np.zeros(padded, np.float32), np.ones(padded, np.float32)
    apart, theirs = np.ones(padded, np.uint8), np.zeros(padded, np.uint8)
    order, some = np.empty(eights(wide), np.int32), theirs.view(np.uint64)
    moves, flows, shares, tops = way.reshape(-1), flow.reshape(-1), share.reshape(-1), shown.reshape(-1)
    speeds, answers = velocity.reshape(-1), seen.reshape(-1)
    for line in range(top, bottom):
        y = box[0] + line
        at = u(y * width + box[2])
        for x in range(wide):
            theirs[u(x)] = _YES if tops[at + u(x)] == mine else _NO
        begin, end = span(some)
        if begin == end:
            continue
        many, others = row_ended(
            moves, size, at, line, begin, end, here, some, columns, across, rows, down, apart, order
        )
        row_fetched(flows, u(0), pitch, order, many, others, columns, across, rows, down, off)
        row_fetched(flows, plane, pitch, order, many, others, columns, across, rows, down, astray)
        if several:
            row_fetched(shares, u(0), pitch, order, many, others, columns, across, rows, down, own)
        for x in range(8 * begin, min(8 * end, wide)):
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
    order, some = np.empty(eights(wide), np.int32), theirs.view(np.uint64)
    moves, shares, tops, answers = way.reshape(-1), clear.reshape(-1), shown.reshape(-1), out.reshape(-1)
    for line in range(top, bottom):
        y = box[0] + line
        at = u(y * width + box[2])
        for x in range(wide):
            theirs[u(x)] = _YES if tops[at + u(x)] == mine else _NO
        begin, end = span(some)
        if begin == end:
            continue
        many, others = row_ended(
            moves, size, at, line, begin, end, here, some, columns, across, rows, down, apart, order
        )
        row_fetched(shares, u(0), pitch, order, many, others, columns, across, rows, down, own)
        for x in range(8 * begin, min(8 * end, wide)):
            i = at + u(x)
            column, row = np.int32(box[2] + x), np.int32(y)
            room = _ends_inside(column, row, moves[i], moves[size + i], width, height)
            answers[i] = own[u(x)] * room if theirs[u(x)] == _YES else answers[i]


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
        flow: (2, h, w) pixels, of the layer's box; of the frame, fewer than 2**31 in all.
        trust: (1, h, w).
        still: (1, H, W), both frames are the same.
        asked: (H, W), 1 where a pixel, the one right of it or any of both below are asked about; what comes elsewhere
            is not marked.
        part_of: of the vectors.
        trusted: trust over which a vector counts.
        box: of the layer.
        reached: (H, W), gets 1: whoever writes, writes the same.
        top, bottom: rows of the box that it comes from.
    """
    least, height, width, wide = np.float32(1e-3), still.shape[1], still.shape[2], flow.shape[2]
    size, padded = u(flow.shape[1] * wide), 8 * eights(wide)
    moves, trusts, stays, wanted = flow.reshape(-1), trust.reshape(-1), still.reshape(-1), asked.reshape(-1)
    columns, rows = np.empty(wide, np.int32), np.empty(wide, np.int32)
    comes = np.zeros(padded, np.uint8)
    words = comes.view(np.uint64)
    for line in range(top, bottom):
        y = box[0] + line
        at, here = u(line * wide), u(y * width + box[2])
        landed(moves[at:], part_of, _ZERO, np.int32(box[2]), np.int32(1), np.int32(width - 1), columns)
        landed(moves[at + size :], part_of, _ZERO, np.int32(y), np.int32(0), np.int32(height - 1), rows)
        for x in range(wide):
            columns[u(x)] = np.int32(np.int32(rows[u(x)] * np.int32(width)) + columns[u(x)])
        for x in range(wide):
            comes[u(x)] = wanted[u(columns[u(x)])]
        for x in range(wide):
            comes[u(x)] = comes[u(x)] if trusts[at + u(x)] > trusted else _NO
        for x in range(wide):
            comes[u(x)] = _NO if stays[here + u(x)] else comes[u(x)]
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
