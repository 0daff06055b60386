"""What the meeting network is told and its layers that see single cells, compiled for the CPU.

Imported by :mod:`kairos.engines.swift.quick` alone, when a frame first needs it. Planes are flat, H * W numbers each; a
cell is 4 by 4 pixels. What lies beyond the frame, up to whole cells, repeats its border. What arrives at the time is
told on half the grid, sides rounded up, and enlarged here, row by row, as :func:`kairos.motion.tiling.resize` does it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.product_kernel import BROAD, TOGETHER, add_broad, multiply_broad
from kairos.engines.vector_kernel import LANES, fold, greater, load, pair, spread, store
from kairos.engines.vector_kernel import size as absolute
from kairos.motion.compiled import Plane, kernel, part
from kairos.motion.place_kernels import fetched, grown, kept

Places = npt.NDArray[np.uint32]
Flags = npt.NDArray[np.uint8]

u = np.uintp
_0, _1, _2 = np.float32(0), np.float32(1), np.float32(2)
_HALF, _QUARTER, _THREE_QUARTERS = np.float32(0.5), np.float32(0.25), np.float32(0.75)
_FOUR, _SIXTEENTH = np.float32(4), np.float32(1 / 16)
_PIXELS = 16
"""Of a cell."""
_PICTURES = 6 * _PIXELS
_TOLD = 106
"""Numbers that a cell tells the network."""
_WAYS = 7
"""Rows of scratch from which on the ways to both frames lie; before them, all that arrives: velocity, trust, how far
either frame shows the point, and how far it lies from the straight line."""
_SUMMED = (7, 8, 9, 10, 3, 4, 2, 0, 1)
"""Rows of that scratch of which every cell gets the mean: ways, how far either frame shows it, trust, velocity."""


@part
def _sloped(line: Plane, at: u, bias: Plane, slope: np.float32) -> None:
    """The outputs of a cell with what each adds, and what is then less than 0 multiplied by the slope."""
    for k in range(BROAD):
        value = line[at + u(k)] + bias[u(k)]
        line[at + u(k)] = value if value >= _0 else value * slope


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8, i8, i8)")
def lay_rows(picture: Plane, hidden: Plane, out: Plane, height: int, width: int, top: int, bottom: int) -> None:
    """Rows of pixels of four numbers: a picture's three planes, from -1 to 1 what is ordinary, and what is hidden."""
    size = u(height * width)
    for y in range(top, bottom):
        at = u(y * width)
        for x in range(width):
            i, to = at + u(x), (at + u(x)) * u(4)
            out[to], out[to + u(1)] = (picture[i] - _HALF) * _2, (picture[size + i] - _HALF) * _2
            out[to + u(2)], out[to + u(3)] = (picture[size + size + i] - _HALF) * _2, hidden[i]


@kernel(
    f"void({', '.join(['f4[::1]'] * 5)}, u1[::1], {', '.join(['f4[::1]'] * 7)}, u1[::1],"
    " f4, f4, f4, f4, i8, i8, i8, i8, i8)",
    contract=True,
)
def gather_rows(
    first: Plane, second: Plane, there: Plane, back: Plane, small: Plane, quiet: Flags, to_0: Plane, to_1: Plane,
    bright: Plane, told: Plane, weights: Plane, bias: Plane, found: Plane, loud: Flags, time: np.float32,
    speed: np.float32, slope: np.float32, white: np.float32, height: int, width: int, across: int, top: int,
    bottom: int,
) -> None:  # fmt: skip
    """Rows of cells, as the network is told them and its first layer, which sees single cells, answers.

    Args:
        first, second: either frame, of :func:`lay_rows`, and a pixel of 0 behind it.
        there, back: two planes each, pixels.
        small: what arrives, on half the grid and in its pixels: velocity, trust, how far either frame shows the point,
            and, where there are seven planes, how far it lies from the straight line.
        quiet: where nothing moves, on half the grid; one number where something moves everywhere.
        to_0, to_1: for the ways to both frames, two planes each, pixels.
        bright: for the brightest that was fetched, in the rows that are ``loud``, one number of each.
        told: for two planes: hidden in the first and in the second frame, fetched.
        weights, bias: of the layer, (106, BROAD) and (BROAD,); ``slope``: what is less than 0 is multiplied by.
        found: (rows of cells, across, BROAD), for its answer.
        speed: pixels that count as 1.
        white: over which a row is loud, as :func:`lay_rows` has it.
        across: cells in a row.
    """
    size, reach, high, wide = u(height * width), 4 * across, (height + 1) // 2, (width + 1) // 2
    area, planes = u(high * wide), len(small) // (high * wide)
    places, shares = np.empty(reach, np.uint32), np.empty((2, reach), np.float32)
    right, below = u(4 if width > 1 else 0), u(4 * width if height > 1 else 0)
    beside, under = u(1 if width > 1 else 0), u(width if height > 1 else 0)
    most_x, most_y = np.float32(width - 1), np.float32(height - 1)
    last_x, last_y = np.int32(max(0, width - 2)), np.int32(max(0, height - 2))
    between, arrives = np.empty(wide, np.float32), np.zeros((_WAYS + 4, reach), np.float32)
    pixels, cells = np.empty((2, 4 * reach), np.float32), np.empty(across * _TOLD, np.float32)
    sums, peaks = np.empty((9, across), np.float32), np.empty(LANES, np.float32)
    for cell_row in range(top, bottom):
        for each in range(9):
            for cell in range(across):
                sums[u(each), u(cell)] = _0
        for inner in range(4):
            y = 4 * cell_row + inner
            is_real = y < height
            y = min(y, height - 1)
            at = u(y * width)
            for each in range(planes):
                factor = _2 if each < 2 or each > 4 else _1
                grown(small, u(each) * area, high, wide, y, factor, between, arrives[each])
            if len(quiet) > 1:
                for x in range(width):
                    if quiet[u(y // 2 * wide + x // 2)]:
                        for each in range(planes):
                            rests = _1 if each == 3 or each == 4 else _0
                            arrives[u(each), u(x)] = arrives[u(2), u(x)] if each == 2 else rests
            for axis in range(2):
                for x in range(width):
                    moves, away = arrives[u(axis), u(x)], arrives[u(5 + axis), u(x)]
                    arrives[u(_WAYS + axis), u(x)] = -time * moves - away
                    arrives[u(_WAYS + 2 + axis), u(x)] = (_1 - time) * moves - away
            for each in range(_WAYS + 4):
                for x in range(width, reach):
                    arrives[u(each), u(x)] = arrives[u(each), u(width - 1)]
            if is_real:
                for axis in range(2):
                    to = u(axis) * size + at
                    for x in range(width):
                        to_0[to + u(x)] = arrives[u(_WAYS + axis), u(x)]
                        to_1[to + u(x)] = arrives[u(_WAYS + 2 + axis), u(x)]
            most = spread(_0)
            for side in range(2):
                for x in range(reach):
                    place_x = np.float32(np.int32(min(x, width - 1))) + arrives[u(_WAYS + 2 * side), u(x)]
                    place_y = np.float32(np.int32(y)) + arrives[u(_WAYS + 2 * side + 1), u(x)]
                    place_x, place_y = kept(place_x, most_x), kept(place_y, most_y)
                    column, row = np.int32(place_x), np.int32(place_y)
                    column, row = column if column < last_x else last_x, row if row < last_y else last_y
                    shares[0, u(x)], shares[1, u(x)] = place_x - np.float32(column), place_y - np.float32(row)
                    places[u(x)] = np.uint32(np.uint32(row) * np.uint32(width) + np.uint32(column))
                picture = first if side == 0 else second
                shown = pixels[side]
                for x in range(reach):
                    i, b = u(places[u(x)]) * u(4), shares[0, u(x)]
                    upper, lower = load(picture, i), load(picture, i + below)
                    fold(shown, u(4 * x), (upper + (lower - upper) * spread(shares[1, u(x)])) * pair(_1 - b, b))
                for x in range(0, 4 * reach, LANES):
                    most = greater(absolute(load(shown, u(x))), most)
                if is_real:
                    # What the second frame's pixel says of the first, and the reverse.
                    to = at + (size if side == 0 else u(0))
                    for x in range(width):
                        told[to + u(x)] = pixels[u(side), u(4 * x + 3)]
            store(peaks, u(0), most)
            peak = _0
            for each in range(LANES):
                peak = max(peak, peaks[each])
            loud[y] = peak > white
            if peak > white:
                for x in range(width):
                    brightest = white
                    for side in range(2):
                        for channel in range(3):
                            brightest = max(brightest, pixels[u(side), u(4 * x + channel)])
                    bright[at + u(x)] = brightest * _HALF + _HALF
            for side in range(2):
                if peak > _1:
                    for x in range(4 * reach):
                        centred = pixels[u(side), u(x)]
                        if abs(centred) > _1:
                            rolled = _1 + _HALF * np.log1p(abs(centred) - _1)
                            pixels[u(side), u(x)] = rolled if centred > _0 else -rolled
                for cell in range(across):
                    i, to = u(16 * cell), u(cell * _TOLD + 3 * side * _PIXELS + 4 * inner)
                    for channel in range(3):
                        for x in range(4):
                            cells[to + u(channel * _PIXELS + x)] = pixels[u(side), i + u(4 * x + channel)]
            for each in range(9):
                line = u(_SUMMED[each])
                for cell in range(across):
                    i = u(4 * cell)
                    left, more = (
                        arrives[line, i] + arrives[line, i + u(1)],
                        arrives[line, i + u(2)] + arrives[line, i + u(3)],
                    )
                    sums[u(each), u(cell)] += left + more
        for cell in range(across):
            to = u(cell * _TOLD + _PICTURES)
            speed_x, speed_y = sums[7, u(cell)] * _SIXTEENTH, sums[8, u(cell)] * _SIXTEENTH
            cells[to], cells[to + u(1)] = speed_x / speed, speed_y / speed
            for each in range(3):
                cells[to + u(2 + each)] = sums[u(4 + each), u(cell)] * _SIXTEENTH
            cells[to + u(5)] = time
            for side in range(2):
                place_x = (np.float32(np.int32(cell)) + _HALF) * _FOUR - _HALF + sums[u(2 * side), u(cell)] * _SIXTEENTH
                place_y = (
                    (np.float32(np.int32(cell_row)) + _HALF) * _FOUR
                    - _HALF
                    + sums[u(2 * side + 1), u(cell)] * _SIXTEENTH
                )
                place_x, place_y = kept(place_x, most_x), kept(place_y, most_y)
                column, row = np.int32(place_x), np.int32(place_y)
                column, row = column if column < last_x else last_x, row if row < last_y else last_y
                b, d = place_x - np.float32(column), place_y - np.float32(row)
                i = u(row * width + column)
                picture, motion = first if side == 0 else second, there if side == 0 else back
                sign = _1 if side == 0 else -_1
                cells[to + u(6 + side)] = fetched(picture, i * u(4) + u(3), right, below, b, d)
                apart_x = sign * fetched(motion, i, beside, under, b, d) - speed_x
                apart_y = sign * fetched(motion, size + i, beside, under, b, d) - speed_y
                cells[to + u(8 + side)] = np.log1p(np.sqrt(apart_x * apart_x + apart_y * apart_y))
        for cell in range(0, across, TOGETHER):
            to = u((cell_row * across + cell) * BROAD)
            multiply_broad(cells, weights, found, u(cell * _TOLD), u(_TOLD), u(0), u(BROAD), to, u(_TOLD))
            for k in range(TOGETHER):
                _sloped(found, to + u(k * BROAD), bias, slope)


@kernel(f"void({', '.join(['f4[::1]'] * 5)}, f4, {', '.join(['i8'] * 7)})", contract=True)
def join_rows(
    coarse: Plane, fine: Plane, weights: Plane, bias: Plane, out: Plane, slope: np.float32, row: int, pixel: int,
    inputs: int, across: int, high: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of cells of a layer that sees single cells of two kinds of planes, one of half the size, which is enlarged.

    Args:
        coarse: (high, across / 2, BROAD), what the layer makes of the smaller ones.
        fine: the others, all inputs of a cell in a row; rows begin ``row`` numbers apart, cells ``pixel``.
        weights: (inputs, BROAD), of the finer planes; bias: (BROAD,).
        out: (2 high, across, BROAD).
        slope: what is less than 0 is multiplied by.
    """
    wide = across // 2
    step = u(BROAD)
    between = np.empty(wide * BROAD, np.float32)
    for y in range(top, bottom):
        middle, odd = y // 2, y % 2 == 1
        one = u((middle if odd else max(middle - 1, 0)) * wide * BROAD)
        two = u((min(middle + 1, high - 1) if odd else middle) * wide * BROAD)
        fraction = _QUARTER if odd else _THREE_QUARTERS
        for k in range(wide * BROAD):
            between[u(k)] = coarse[one + u(k)] * (_1 - fraction) + coarse[two + u(k)] * fraction
        at = u(y * across * BROAD)
        for k in range(BROAD):
            out[at + u(k)] = between[u(k)]
            out[at + u((across - 1) * BROAD + k)] = between[u((wide - 1) * BROAD + k)]
        for cell in range(wide - 1):
            left, to = u(cell * BROAD), at + u((2 * cell + 1) * BROAD)
            for k in range(BROAD):
                before, after = between[left + u(k)], between[left + step + u(k)]
                out[to + u(k)] = before * _THREE_QUARTERS + after * _QUARTER
                out[to + step + u(k)] = before * _QUARTER + after * _THREE_QUARTERS
        for cell in range(0, across, TOGETHER):
            to = at + u(cell * BROAD)
            add_broad(fine, weights, out, u(y * row + cell * pixel), u(pixel), u(0), u(BROAD), to, u(inputs))
            for k in range(TOGETHER):
                _sloped(out, to + u(k * BROAD), bias, slope)
