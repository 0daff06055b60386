"""What label maps tell of two frames, counted by compiled loops over their pixels.

Imported by :mod:`kairos.engines.classic.counted` alone. Label maps are (H, W) int16, objects from 1 on, 0 the rest;
rows from ``top`` to ``bottom`` are of the frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Line, Planes, kernel, part
from kairos.motion.place_kernels import ended

Labels = npt.NDArray[np.int16]
Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]

u = np.uintp
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
    # Neighbours are mostly of one object: they are counted together.
    last, stays, begins, all_of_it = u(0), 0, 0, 0
    for y in range(top, bottom):
        for x in range(width):
            number = u(max(labels[u(y), u(x)], 0))
            if number != last:
                counts[0, last] += stays
                counts[2, last] += all_of_it
                counts[3, last] += begins
                last, stays, begins, all_of_it = number, 0, 0, 0
            all_of_it += 1
            if not trust[u(0), u(y), u(x)] > sure:
                continue
            begins += 1
            column = _within(x + int(np.floor(_limited(flow[u(0), u(y), u(x)] + _HALF))), width)
            row = _within(y + int(np.floor(_limited(flow[u(1), u(y), u(x)] + _HALF))), height)
            end = u(max(other[row, column], 0))
            if end == number:
                stays += 1
            else:
                counts[1, end] += 1
    counts[0, last] += stays
    counts[2, last] += all_of_it
    counts[3, last] += begins


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
        share, other: (1, H, W), how much of the pixels of the frame that vectors begin in, and end in, is theirs;
            fewer than 2**31 pixels.
        box: (4,), the first row in which the objects lie, the one behind the last, and so the columns.
        astray: what is left of the trust in a vector that ends on another object.
        doubted: trust up to which a vector says nothing, and from its opposite on it is not changed.
        least: of trust.
        out: (1, H, W), for trust.
        weight: (1, h, w), of the box, for how far vectors are believed.
        top, bottom: rows of the box.
    """
    size, width = u(share.size), u(share.shape[2])
    moves, trusts, shares = flow.reshape(flow.size), trust.reshape(trust.size), share.reshape(share.size)
    ends, trusted, weights = other.reshape(other.size), out.reshape(out.size), weight.reshape(weight.size)
    wide, scale = box[3] - box[2], _ONE / (_ONE - np.float32(2.0) * doubted)
    # Of each vector's end: the pixel before it, twice, and 1 more where there is another behind; how far it is from it.
    columns, across = np.empty(wide, np.int32), np.empty(wide, np.float32)
    rows, down = np.empty(wide, np.int32), np.empty(wide, np.float32)
    lands = np.zeros(wide, np.float32)
    for line in range(top, bottom):
        y = box[0] + line
        at, to = u(y) * width + u(box[2]), u(line) * u(wide)
        ended(moves[at:], np.int32(box[2]), np.int32(1), np.int32(box[2]), np.int32(box[3] - 1), columns, across)
        ended(moves[at + size :], np.int32(y), np.int32(0), np.int32(box[0]), np.int32(box[1] - 1), rows, down)
        for i in range(wide):
            if shares[at + u(i)] > _ZERO:
                fx, fy = across[u(i)], down[u(i)]
                beside, above = u(columns[u(i)] & 1), u(rows[u(i)] >> 1) * width + u(columns[u(i)] >> 1)
                below = above + u(rows[u(i)] & 1) * width
                upper = ends[above] * (_ONE - fx) + ends[above + beside] * fx
                lower = ends[below] * (_ONE - fx) + ends[below + beside] * fx
                lands[u(i)] = upper * (_ONE - fy) + lower * fy
        for i in range(wide):
            part = astray + (_ONE - astray) * lands[u(i)]
            believed = trusts[at + u(i)] * part * shares[at + u(i)]
            trusted[at + u(i)] = believed if believed > least else least
            known = (believed - doubted) * scale
            known = known if known > _ZERO else _ZERO
            known = known if known < _ONE else _ONE
            sure, some = known * known * (_THREE - np.float32(2.0) * known), least * believed
            weights[to + u(i)] = sure if sure > some else some


@kernel(f"void({_LABELS}, f4[::1], {PLANES}, i8[:,::1], i8, i8)")
def share_rows(labels: Labels, table: Line, out: Planes, edges: Counts, top: int, bottom: int) -> None:
    """How much of every pixel some objects are.

    Args:
        labels: (H, W).
        table: by number.
        out: (1, H, W).
        edges: (H, 2), for the first column in which any of it is and the one behind the last; of nothing both are 0.
        top, bottom: rows.
    """
    width = labels.shape[1]
    for y in range(top, bottom):
        first, last = width, 0
        for x in range(width):
            share = table[np.uintp(max(labels[y, x], 0))]
            out[0, y, x] = share
            first, last = min(first, x if share > _ZERO else width), max(last, x + 1 if share > _ZERO else 0)
        edges[y, 0], edges[y, 1] = min(first, last), last


@kernel(f"void({PLANES}, {PLANES}, {_LABELS}, i8, f4, f8[:,::1], i8, i8)")
def fit_rows(
    flow: Planes, trust: Planes, labels: Labels, step: int, sure: np.float32, sums: Sums, top: int, bottom: int
) -> None:
    """What affine motion of every object is fitted by: weighted sums over its pixels.

    Args:
        flow: (2, H, W) pixels.
        trust: (1, H, W), the weights.
        labels: (H, W).
        step: of so many rows and columns, one is asked.
        sure: trust over which a vector counts.
        sums: (N, 12), added to: of 1, x, y, xx, xy, yy, then of u, ux, uy, and of v, vx, vy; places as
            :func:`vote_rows` tells them.
        top, bottom: rows.
    """
    height, width = labels.shape
    across, down = (width + step - 1) // step, (height + step - 1) // step
    for y in range((top + step - 1) // step * step, bottom, step):
        b = (np.float64(y // step) - down / 2.0) / across
        for x in range(0, width, step):
            number, weight = labels[y, x], np.float64(trust[0, y, x])
            if number <= 0 or not weight > sure:
                continue
            u, v = np.float64(flow[0, y, x]), np.float64(flow[1, y, x])
            if not (np.isfinite(u) and np.isfinite(v)):
                continue
            a, i = (np.float64(x // step) - across / 2.0) / across, np.uintp(number)
            wide, high = weight * a, weight * b
            sums[i, 0] += weight
            sums[i, 1] += wide
            sums[i, 2] += high
            sums[i, 3] += wide * a
            sums[i, 4] += wide * b
            sums[i, 5] += high * b
            sums[i, 6] += weight * u
            sums[i, 7] += wide * u
            sums[i, 8] += high * u
            sums[i, 9] += weight * v
            sums[i, 10] += wide * v
            sums[i, 11] += high * v


@kernel(f"void(f8[:,:,::1], {_LABELS}, {_LABELS}, {PLANES}, i8, f4, f8[:,::1], i8, i8)")
def vote_rows(
    motions: npt.NDArray[np.float64],
    labels: Labels,
    other: Labels,
    trust: Planes,
    step: int,
    sure: np.float32,
    votes: Sums,
    top: int,
    bottom: int,
) -> None:
    """Pixels of objects that, moved as a whole, come to lie on others.

    Args:
        motions: (N, 3, 2) pixels, by number: at the frame's middle, and how much more a frame width to the right and
            one further down; not a number where it is not known.
        labels, other: of the frame that they begin in, and of that they end in.
        trust: (1, H, W), in the vectors of the other frame.
        step: of so many rows and columns, one is asked.
        sure: trust over which they say what is there.
        votes: (N, N), added to: by the object that vanishes and the one that it vanishes under.
        top, bottom: rows.
    """
    height, width = labels.shape
    across, down = (width + step - 1) // step, (height + step - 1) // step
    for y in range((top + step - 1) // step * step, bottom, step):
        b = (np.float64(y // step) - down / 2.0) / across
        for x in range(0, width, step):
            if labels[y, x] <= 0:
                continue
            number, a = np.uintp(labels[y, x]), (np.float64(x // step) - across / 2.0) / across
            u = np.rint(motions[number, 0, 0] + motions[number, 1, 0] * a + motions[number, 2, 0] * b)
            v = np.rint(motions[number, 0, 1] + motions[number, 1, 1] * a + motions[number, 2, 1] * b)
            # What is not a number is not inside.
            if not (-x <= u < width - x and -y <= v < height - y):
                continue
            row, column = np.uintp(y + int(v)), np.uintp(x + int(u))
            end = np.uintp(max(other[row, column], 0))
            if end != number and trust[0, row, column] > sure:
                votes[number, end] += 1.0
