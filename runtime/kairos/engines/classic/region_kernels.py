"""What label maps tell of two frames, counted by compiled loops over their pixels.

Imported by :mod:`kairos.engines.classic.counted` alone. Label maps are (H, W) int16, objects from 1 on, 0 the rest;
rows from ``top`` to ``bottom`` are of the frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.classic.even_kernels import eights, row_ended, row_fetched, span
from kairos.motion.compiled import PLANES, Planes, kernel, part
from kairos.motion.place_kernels import landed

Labels = npt.NDArray[np.int16]
Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int16]
Flags = npt.NDArray[np.uint8]
"""(W,), of eights."""

u = np.uintp
_LABELS = "i2[:,::1]"
_ZERO, _HALF, _ONE, _THREE = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(3.0)
_NO, _YES, _NONE, _REST = np.uint8(0), np.uint8(1), np.uint64(0), np.int16(0)


@part
def _changed(labels: Labels, changes: Flags) -> None:
    """Marks with 1 every pixel of a row whose next is of another object, and the last."""
    for x in range(len(labels) - 1):
        changes[u(x)] = _YES if labels[u(x)] != labels[u(x + 1)] else _NO
    changes[u(len(labels) - 1)] = _YES


@kernel(f"void({_LABELS}, i8[:,::1], i8, i8)")
def box_rows(labels: Labels, boxes: Counts, top: int, bottom: int) -> None:
    """Of every object (N, 4): its first row, the one behind its last, and so its columns, made wider by some rows."""
    width = labels.shape[1]
    changes = np.zeros(8 * eights(width), np.uint8)
    words = changes.view(np.uint64)
    for y in range(top, bottom):
        _changed(labels[y], changes)
        first = 0
        for block in range(len(words)):
            if words[u(block)] == _NONE:
                continue
            for x in range(8 * block, min(8 * block + 8, width)):
                if changes[u(x)] == _NO:
                    continue
                if labels[u(y), u(x)] > 0:
                    i = u(labels[u(y), u(x)])
                    boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], y), max(boxes[i, 1], y + 1)
                    boxes[i, 2], boxes[i, 3] = min(boxes[i, 2], first), max(boxes[i, 3], x + 1)
                first = x + 1


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
    size, mine, theirs = u(labels.size), labels.reshape(labels.size), other.reshape(other.size)
    moves, trusts = flow.reshape(flow.size), trust.reshape(trust.size)
    columns, rows = np.empty(width, np.int32), np.empty(width, np.int32)
    ends, known, met = np.empty(width, np.int16), np.empty(width, np.uint8), np.empty(width, np.uint8)
    changes, astray = np.zeros(8 * eights(width), np.uint8), np.zeros(8 * eights(width), np.uint8)
    changed, lost = changes.view(np.uint64), astray.view(np.uint64)
    for y in range(top, bottom):
        at = u(y) * u(width)
        landed(moves[at:], _ONE, _HALF, np.int32(0), np.int32(1), np.int32(width - 1), columns)
        landed(moves[at + size :], _ONE, _HALF, np.int32(y), np.int32(0), np.int32(height - 1), rows)
        for x in range(width):
            columns[u(x)] = np.int32(np.int32(rows[u(x)] * np.int32(width)) + columns[u(x)])
        for x in range(width):
            ends[u(x)] = theirs[u(columns[u(x)])]
        # One array to a loop: with more the compiler does not find the processor's vectors in them.
        for x in range(width):
            known[u(x)] = _YES if trusts[at + u(x)] > sure else _NO
        for x in range(width):
            met[u(x)] = known[u(x)] if mine[at + u(x)] == ends[u(x)] else _NO
        for x in range(width):
            astray[u(x)] = np.uint8(known[u(x)] - met[u(x)])
        _changed(labels[y], changes)
        # Neighbours are mostly of one object: they are counted together.
        first = 0
        for block in range(len(changed)):
            if changed[u(block)] == _NONE:
                continue
            for x in range(8 * block, min(8 * block + 8, width)):
                if changes[u(x)] == _NO:
                    continue
                number, begins, stays = u(max(mine[at + u(x)], _REST)), np.int32(0), np.int32(0)
                for i in range(first, x + 1):
                    begins, stays = np.int32(begins + known[u(i)]), np.int32(stays + met[u(i)])
                counts[0, number] += stays
                counts[2, number] += x + 1 - first
                counts[3, number] += begins
                first = x + 1
        for block in range(len(lost)):
            if lost[u(block)] == _NONE:
                continue
            for x in range(8 * block, min(8 * block + 8, width)):
                counts[1, u(max(ends[u(x)], _REST))] += astray[u(x)]


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, {_LABELS}, {PLANES}, f4, f8[:,::1], i8, i8)")
def unlike_rows(
    first: Planes,
    second: Planes,
    flow: Planes,
    rival: Planes,
    labels: Labels,
    other: Planes,
    most: np.float32,
    sums: Sums,
    top: int,
    bottom: int,
) -> None:
    """How unlike objects are what two flows take them to.

    Args:
        first, second: (3, H, W), the frame that vectors begin in and that they end in; fewer than 2**31 pixels.
        flow, rival: (2, H, W) pixels.
        labels: of the first.
        other: (1, H, W), of the second, as numbers to reckon with.
        most: what counts as nothing alike, as does ending on another object.
        sums: (N, 3), added to: of pixels that either flow takes to something alike how many, and how unlike what
            either takes them to is.
        top, bottom: rows.
    """
    height, width = labels.shape
    size, pitch, padded = u(labels.size), u(width), 8 * eights(width)
    here, there, named = first.reshape(first.size), second.reshape(second.size), other.reshape(other.size)
    columns, across = np.empty(width, np.int32), np.empty(width, np.float32)
    rows, down = np.empty(width, np.int32), np.empty(width, np.float32)
    apart, shown = np.ones(padded, np.uint8), np.zeros(padded, np.uint8)
    order, some, alike = np.empty(eights(width), np.int32), shown.view(np.uint64), np.empty(width, np.uint8)
    ends, seen, off = np.zeros(padded, np.float32), np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    unlike, whole = np.empty((2, width), np.float32), np.array([0, height, 0, width])
    for y in range(top, bottom):
        at, own = u(y) * pitch, labels[y]
        for x in range(width):
            shown[u(x)] = _YES if own[u(x)] > _REST else _NO
        begin, end = span(some)
        begun, done = 8 * begin, min(8 * end, width)
        if begin == end:
            continue
        for which in range(2):
            moves, found = (rival if which else flow).reshape(flow.size), unlike[which]
            many, others = row_ended(
                moves, size, at, y, begin, end, whole, some, columns, across, rows, down, apart, order
            )
            row_fetched(named, u(0), pitch, order, many, others, columns, across, rows, down, ends)
            for x in range(begun, done):
                off[u(x)] = _ZERO
            for channel in range(3):
                to = u(channel) * size
                row_fetched(there, to, pitch, order, many, others, columns, across, rows, down, seen)
                for x in range(begun, done):
                    off[u(x)] += abs(seen[u(x)] - here[to + at + u(x)])
            for x in range(begun, done):
                least = off[u(x)] / _THREE
                least = least if least < most else most
                found[u(x)] = least if abs(ends[u(x)] - np.float32(own[u(x)])) < _HALF else most
        for x in range(begun, done):
            near = (unlike[0, u(x)] < most) | (unlike[1, u(x)] < most)
            alike[u(x)] = shown[u(x)] if near else _NO
        # Neighbours are mostly of one object: they are summed up together.
        last = u(0)
        many, mine, theirs = sums[last, 0], sums[last, 1], sums[last, 2]
        for x in range(begun, done):
            if alike[u(x)] == _NO:
                continue
            number = u(own[u(x)])
            if number != last:
                sums[last, 0], sums[last, 1], sums[last, 2] = many, mine, theirs
                last = number
                many, mine, theirs = sums[last, 0], sums[last, 1], sums[last, 2]
            many += 1.0
            mine += unlike[0, u(x)]
            theirs += unlike[1, u(x)]
        sums[last, 0], sums[last, 1], sums[last, 2] = many, mine, theirs


@kernel(f"void({_LABELS}, i2[::1], {PLANES}, i8, i8)")
def share_rows(labels: Labels, numbers: Numbers, out: Planes, top: int, bottom: int) -> None:
    """How much of every pixel some objects are.

    Args:
        labels: (H, W).
        numbers: of these objects, one at least.
        out: (1, H, W).
        top, bottom: rows.
    """
    width = labels.shape[1]
    for y in range(top, bottom):
        row, shares = labels[y], out[0, y]
        for x in range(width):
            shares[u(x)] = _ONE if row[u(x)] == numbers[0] else _ZERO
        for each in range(1, len(numbers)):
            for x in range(width):
                shares[u(x)] = _ONE if row[u(x)] == numbers[each] else shares[u(x)]


@kernel(f"void({PLANES}, {PLANES}, u1[::1], u1[::1], i8, i8)")
def shown_rows(first: Planes, second: Planes, columns: Flags, rows: Flags, top: int, bottom: int) -> None:
    """Marks with 1 what holds anything above 0, in either of two planes.

    Args:
        first, second: (1, H, W).
        columns: (W,), of eights, of these rows.
        rows: (H,).
        top, bottom: rows.
    """
    width = first.shape[2]
    here = np.zeros(8 * eights(width), np.uint8)
    words = here.view(np.uint64)
    for y in range(top, bottom):
        one, two = first[0, y], second[0, y]
        for x in range(width):
            here[u(x)] = _YES if one[u(x)] > _ZERO else _NO
        for x in range(width):
            here[u(x)] = _YES if two[u(x)] > _ZERO else here[u(x)]
        for x in range(width):
            columns[u(x)] |= here[u(x)]
        some = _NONE
        for block in range(len(words)):
            some |= words[u(block)]
        rows[u(y)] = _YES if some != _NONE else _NO


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
