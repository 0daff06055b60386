"""How alike cells of two frames are, and motion from cells to pixels, compiled for the CPU.

Imported by :mod:`kairos.engines.swift.looking` alone, when a frame first needs it. Planes are flat, one behind another.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]

u = np.uintp
_0, _1, _2, _HALF = np.float32(0), np.float32(1), np.float32(2), np.float32(0.5)
_LOG2 = np.float32(1.4426950408889634)
_LEAST = np.float32(-125)
_C1, _C2, _C3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.05550410866482158)
_C4, _C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
_C6 = np.float32(0.0001540353039338161)


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8, i8, i8, i8, i8)", contract=True)
def liken_rows(
    first: Line, second: Line, out: Line, channels: int, height: int, width: int, reach: int, top: int, bottom: int
) -> None:
    """Rows of the sums over channels of products of every cell with those around the same place.

    Args:
        first: (channels, height, width).
        second: (channels, height + 2 reach, width + 2 reach), 0 beyond the frame.
        out: ((2 reach + 1)^2, height, width).
    """
    side, wide, size = 2 * reach + 1, width + 2 * reach, height * width
    tall = height + 2 * reach
    sums = np.empty((side, width), np.float32)
    for y in range(top, bottom):
        for down in range(side):
            for across in range(side):
                for x in range(width):
                    sums[u(across), u(x)] = _0
            for channel in range(channels):
                i, j = u(channel * size + y * width), u((channel * tall + y + down) * wide)
                for across in range(side):
                    for x in range(width):
                        sums[u(across), u(x)] += first[i + u(x)] * second[j + u(x)]
                    j += u(1)
            for across in range(side):
                to = u((down * side + across) * size + y * width)
                for x in range(width):
                    out[to + u(x)] = sums[u(across), u(x)]


@kernel("void(f4[::1], f4[::1], f4, i8, i8, i8, i8, i8)", contract=True)
def weigh_rows(
    likeness: Line, out: Line, sharpness: np.float32, height: int, width: int, reach: int, top: int, bottom: int
) -> None:
    """Rows of what looks most alike around each cell, by a softmax over all that lies within reach.

    Args:
        likeness: of :func:`liken_rows`.
        out: four planes: the expected way across and down, cells; the greatest share; the expected likeness.
    """
    side, size = 2 * reach + 1, u(height * width)
    most, total, share = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    powers = np.empty(width, np.int32)
    lifted = powers.view(np.float32)
    for y in range(top, bottom):
        at = u(y * width)
        for x in range(width):
            most[u(x)], total[u(x)] = likeness[at + u(x)], _0
            for each in range(4):
                out[u(each) * size + at + u(x)] = _0
        for place in range(1, side * side):
            i = u(place) * size + at
            for x in range(width):
                most[u(x)] = max(most[u(x)], likeness[i + u(x)])
        for place in range(side * side):
            i = u(place) * size + at
            across, down = np.float32(place % side - reach), np.float32(place // side - reach)
            for x in range(width):
                power = max((likeness[i + u(x)] - most[u(x)]) * sharpness * _LOG2, _LEAST)
                whole = np.floor(power + _HALF)
                rest = power - whole
                powers[u(x)] = (np.int32(whole) + np.int32(127)) << np.int32(23)
                found = _C4 + rest * (_C5 + rest * _C6)
                share[u(x)] = _1 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * found)))
            for x in range(width):
                part = share[u(x)] * lifted[u(x)]
                total[u(x)] += part
                out[at + u(x)] += part * across
                out[size + at + u(x)] += part * down
                out[size + size + size + at + u(x)] += part * likeness[i + u(x)]
        for x in range(width):
            part = _1 / total[u(x)]
            out[at + u(x)] *= part
            out[size + at + u(x)] *= part
            out[size + size + at + u(x)] = part
            out[size + size + size + at + u(x)] *= part


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], i8, i8, i8, i8, i8, i8, i8, i8)", contract=True)
def mix_rows(
    planes: Line, weights: Line, base: Line, out: Line, channels: int, height: int, width: int, plane: int, row: int,
    pixel: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of planes at twice the size: every pixel a mean of the nine cells around, weighted by a softmax.

    Args:
        planes: (channels, height, width), the border repeated beyond.
        weights: 36 planes, ``plane`` numbers apart, their rows ``row``, their cells ``pixel``: for each of nine cells
            around its logits at the four pixels.
        base: (9, 4), added to these.
        out: (channels, 2 height, 2 width).
        top, bottom: rows of cells.
    """
    size = height * width
    logits, shares = np.empty((9, width), np.float32), np.empty((9, width), np.float32)
    powers, sums = np.empty(width, np.int32), np.empty(width, np.float32)
    lifted, total = powers.view(np.float32), np.empty(width, np.float32)
    near = np.empty((3, width + 2), np.float32)
    for y in range(top, bottom):
        for inner in range(4):
            for tap in range(9):
                start, added = u((4 * tap + inner) * plane + y * row), base[u(4 * tap + inner)]
                for x in range(width):
                    logits[u(tap), u(x)] = weights[start + u(x * pixel)] + added
            for x in range(width):
                sums[u(x)], total[u(x)] = logits[0, u(x)], _0
            for tap in range(1, 9):
                for x in range(width):
                    sums[u(x)] = max(sums[u(x)], logits[u(tap), u(x)])
            for tap in range(9):
                for x in range(width):
                    power = max((logits[u(tap), u(x)] - sums[u(x)]) * _LOG2, _LEAST)
                    whole = np.floor(power + _HALF)
                    rest = power - whole
                    powers[u(x)] = (np.int32(whole) + np.int32(127)) << np.int32(23)
                    found = _C4 + rest * (_C5 + rest * _C6)
                    shares[u(tap), u(x)] = _1 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * found)))
                for x in range(width):
                    shares[u(tap), u(x)] *= lifted[u(x)]
                    total[u(x)] += shares[u(tap), u(x)]
            for channel in range(channels):
                for down in range(3):
                    start = u(channel * size + min(max(y + down - 1, 0), height - 1) * width)
                    near[u(down), u(0)], near[u(down), u(width + 1)] = planes[start], planes[start + u(width - 1)]
                    for x in range(width):
                        near[u(down), u(x + 1)] = planes[start + u(x)]
                for x in range(width):
                    sums[u(x)] = _0
                for tap in range(9):
                    for x in range(width):
                        sums[u(x)] += near[u(tap // 3), u(x + tap % 3)] * shares[u(tap), u(x)]
                to = u((channel * 2 * height + 2 * y + inner // 2) * 2 * width + inner % 2)
                for x in range(width):
                    out[to + u(2 * x)] = sums[u(x)] / total[u(x)]


@kernel("void(f4[::1], f4[::1], i8, i8)", contract=True)
def squash_rows(image: Line, out: Line, first: int, last: int) -> None:
    """Some numbers of a picture, rolled off beyond -1..1."""
    many = np.int32(0)
    for i in range(first, last):
        centred = (image[u(i)] - _HALF) * _2
        out[u(i)] = centred
        many += np.int32(1) if abs(centred) > _1 else np.int32(0)
    if many:
        for i in range(first, last):
            beyond = abs(out[u(i)]) - _1
            if beyond > _0:
                rolled = _1 + _HALF * np.log1p(beyond)
                out[u(i)] = rolled if out[u(i)] > _0 else -rolled
