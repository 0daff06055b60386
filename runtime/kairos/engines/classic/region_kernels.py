"""What label maps tell of two frames, counted by compiled loops over their pixels.

Imported by :mod:`kairos.engines.classic.counted` alone. Label maps are (H, W) int16, objects from 1 on, 0 the rest;
rows from ``top`` to ``bottom`` are of the frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Planes, kernel, part

Labels = npt.NDArray[np.int16]
Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

_LABELS = "i2[:,::1]"
_ZERO, _HALF, _ONE, _THREE = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(3.0)
_FAR = np.float32(1 << 24)


@part
def _limited(move: np.float32) -> np.float32:
    """One coordinate of a vector; what is not a number moves nothing."""
    return min(max(move, -_FAR), _FAR) if move == move else _ZERO


@part
def _within(place: int, size: int) -> np.uintp:
    return np.uintp(min(max(place, 0), size - 1))


@kernel(f"void({_LABELS}, i8[:,::1], i8, i8)")
def box_rows(labels: Labels, boxes: Counts, top: int, bottom: int) -> None:
    """Of every object (N, 4): its first row, the one behind its last, and so its columns, made wider by some rows."""
    width = labels.shape[1]
    for y in range(top, bottom):
        for x in range(width):
            number = labels[y, x]
            if number > 0:
                i = np.uintp(number)
                boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], y), max(boxes[i, 1], y + 1)
                boxes[i, 2], boxes[i, 3] = min(boxes[i, 2], x), max(boxes[i, 3], x + 1)


@kernel(f"void({PLANES}, {PLANES}, {_LABELS}, {_LABELS}, f4, i8[:,::1], i8, i8)")
def end_rows(
    flow: Planes, trust: Planes, labels: Labels, other: Labels, sure: np.float32, counts: Counts, top: int, bottom: int
) -> None:
    """Where vectors end, to the nearest pixel.

    Args:
        flow: (2, H, W) pixels.
        trust: (1, H, W).
        labels, other: of the frame they begin in, and of that they end in.
        sure: trust over which a vector counts.
        counts: (4, N), added to, by object: sure vectors that begin and end on it, those that end on it and begin
            elsewhere, its pixels, and sure vectors that begin on it.
        top, bottom: rows.
    """
    height, width = labels.shape
    for y in range(top, bottom):
        for x in range(width):
            number = np.uintp(max(labels[y, x], 0))
            counts[2, number] += 1
            if not trust[0, y, x] > sure:
                continue
            column = _within(x + int(np.floor(_limited(flow[0, y, x] + _HALF))), width)
            row = _within(y + int(np.floor(_limited(flow[1, y, x] + _HALF))), height)
            end = np.uintp(max(other[row, column], 0))
            if end == number:
                counts[0, number] += 1
            else:
                counts[1, end] += 1
            counts[3, number] += 1


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, {_LABELS}, {_LABELS}, f4, f8[:,::1], i8, i8)")
def unlike_rows(
    first: Planes,
    second: Planes,
    flow: Planes,
    rival: Planes,
    labels: Labels,
    other: Labels,
    most: np.float32,
    sums: Sums,
    top: int,
    bottom: int,
) -> None:
    """How unlike objects are what two flows take them to.

    Args:
        first, second: (3, H, W), the frame that vectors begin in and that they end in.
        flow, rival: (2, H, W) pixels.
        labels, other: of both frames.
        most: what counts as nothing alike, as does ending on another object.
        sums: (N, 3), added to: of pixels that either flow takes to something alike how many, and how unlike what
            either takes them to is.
        top, bottom: rows.
    """
    height, width = labels.shape
    for y in range(top, bottom):
        for x in range(width):
            number = labels[y, x]
            if number <= 0:
                continue
            mine = np.float32(number)
            one = two = most
            for which in range(2):
                u = _limited(rival[0, y, x] if which else flow[0, y, x])
                v = _limited(rival[1, y, x] if which else flow[1, y, x])
                floor_x, floor_y = np.floor(u), np.floor(v)
                fx, fy = u - floor_x, v - floor_y
                gx, gy = _ONE - fx, _ONE - fy
                column, row = x + int(floor_x), y + int(floor_y)
                left, right = _within(column, width), _within(column + 1, width)
                above, below = _within(row, height), _within(row + 1, height)
                upper = np.float32(other[above, left]) * gx + np.float32(other[above, right]) * fx
                lower = np.float32(other[below, left]) * gx + np.float32(other[below, right]) * fx
                if not abs(upper * gy + lower * fy - mine) < _HALF:
                    continue
                apart = _ZERO
                for channel in range(3):
                    upper = second[channel, above, left] * gx + second[channel, above, right] * fx
                    lower = second[channel, below, left] * gx + second[channel, below, right] * fx
                    apart += abs(upper * gy + lower * fy - first[channel, y, x])
                if which:
                    two = min(apart / _THREE, most)
                else:
                    one = min(apart / _THREE, most)
            if min(one, two) < most:
                i = np.uintp(number)
                sums[i, 0] += 1.0
                sums[i, 1] += one
                sums[i, 2] += two


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, i8[::1], f4, f4, f4, {PLANES}, {PLANES}, i8, i8)")
def believe_rows(
    flow: Planes,
    trust: Planes,
    share: Planes,
    other: Planes,
    box: Counts,
    astray: np.float32,
    doubted: np.float32,
    least: np.float32,
    out: Planes,
    weight: Planes,
    top: int,
    bottom: int,
) -> None:
    """Trust in the vectors of some objects, and how far each is believed when what is not is filled in.

    Args:
        flow: (2, H, W) pixels.
        trust: (1, H, W) in 0..1.
        share, other: (1, H, W), how much of the pixels of the frame that vectors begin in, and end in, is theirs.
        box: (4,), the first row in which the objects lie, the one behind the last, and so the columns.
        astray: what is left of the trust in a vector that ends on another object.
        doubted: trust up to which a vector says nothing, and from its opposite on it is not changed.
        least: of trust.
        out: (1, H, W), for trust.
        weight: (1, h, w), of the box, for how far vectors are believed.
        top, bottom: rows of the box.
    """
    first_row, end, left_edge, right_edge = box[0], box[1], box[2], box[3]
    span = _ONE - np.float32(2.0) * doubted
    for line in range(top, bottom):
        y = first_row + line
        for x in range(left_edge, right_edge):
            own = share[0, y, x]
            believed = _ZERO
            if own > _ZERO:
                u, v = _limited(flow[0, y, x]), _limited(flow[1, y, x])
                floor_x, floor_y = np.floor(u), np.floor(v)
                fx, fy = u - floor_x, v - floor_y
                gx = _ONE - fx
                column, row = x + int(floor_x), y + int(floor_y)
                left = np.uintp(min(max(column, left_edge), right_edge - 1))
                right = np.uintp(min(max(column + 1, left_edge), right_edge - 1))
                above, below = (
                    np.uintp(min(max(row, first_row), end - 1)),
                    np.uintp(min(max(row + 1, first_row), end - 1)),
                )
                upper = other[0, above, left] * gx + other[0, above, right] * fx
                lower = other[0, below, left] * gx + other[0, below, right] * fx
                lands = upper * (_ONE - fy) + lower * fy
                believed = trust[0, y, x] * (astray + (_ONE - astray) * lands) * own
            out[0, y, x] = max(believed, least)
            known = min(max((believed - doubted) / span, _ZERO), _ONE)
            sure = known * known * (_THREE - np.float32(2.0) * known)
            weight[0, line, x - left_edge] = max(sure, least * believed)
