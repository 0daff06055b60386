"""A 3x3 convolution by minimal filtering, compiled for the CPU.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016), F(4x4, 3x3): 4x4 pixels of an answer
from 6x6 of the input by 36 products where 144 were needed. Imported by :mod:`kairos.engines.winograd` alone, when a
convolution first needs it.

A thread takes tiles of 4x4 pixels group by group: all three steps of a group (36 numbers of each tile and channel,
their products with the kernels, 16 pixels from 36 numbers) work on scratch that stays in the core's own cache. What a
tile gets does not depend on the group or thread that it falls to.

Everything is one row of numbers and is reached by unsigned places: that, and a pitch known beforehand, is what lets the
compiler see that what is read and what is written lie apart, and use the processor's vectors. Loops over single numbers
are :data:`_LANES` long, or as long as there are channels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.product_kernel import BLOCK, BROAD, TOGETHER, multiply_broad, multiply_tiles
from kairos.motion.compiled import kernel, part

Line = npt.NDArray[np.float32]
"""Numbers in a row."""

GREATEST = 1024
"""Channels, in or out, that a tile may have."""
_LEAST, _LIKED = 16, 2048
"""Tiles of a group, and tiles times channels of one whose scratch stays in a core's own cache. Of many channels as many
tiles as the least are taken all the same, for the kernels come from further away with every group.
"""
_NARROW = 256
_LANES = 16
"""Outputs that are written at once."""

_PITCH = np.uintp(_LEAST * GREATEST + 16)
_STEP = np.uintp(_NARROW + 16)
"""From row to row of the wide and of the narrow scratch: not by powers of two, which would fall on one another in the
cache."""
_EDGE = np.uintp(36) * _STEP
_BIAS = np.uintp(42) * _STEP
_SLOPE = _BIAS + np.uintp(GREATEST)
"""Places in the narrow scratch, behind its 36 rows: pixels of tiles at the border, and what each output adds."""

WIDE, SMALL = int(36 * _PITCH), int(_SLOPE) + GREATEST
"""Numbers of the scratch that a thread needs: the wide one twice, and the narrow one."""

_0, _HALF, _2, _BOTH = (np.float32(each) for each in (0, 0.5, 2, 2.5))
_A, _B, _A3, _B3 = (np.float32(each) for each in (2**-0.5, 2**0.5, 8**-0.5, 8**0.5))
"""Polynomials are told at 0, A, -A, B, -B and infinity; the squares of A and B are 1/2 and 2. With the usual 1 and 2
the greatest error is five times as large.
"""

u = np.uintp


@part
def _columns(source: Line, place: u, row: u, small: Line, to: u, lanes: int) -> None:
    """Six pixels below one another, ``row`` numbers apart, to as many numbers, six rows of scratch apart."""
    for k in range(lanes):
        p, o = place + u(k), to + u(k)
        d0, d1, d2 = source[p], source[p + row], source[p + row * u(2)]
        d3, d4, d5 = source[p + row * u(3)], source[p + row * u(4)], source[p + row * u(5)]
        a, b, c, d = d4 - _2 * d2, _A * (d3 - _2 * d1), d4 - _HALF * d2, _B * (d3 - _HALF * d1)
        small[o] = d0 - _BOTH * d2 + d4
        small[o + u(6) * _STEP] = a + b
        small[o + u(12) * _STEP] = a - b
        small[o + u(18) * _STEP] = c + d
        small[o + u(24) * _STEP] = c - d
        small[o + u(30) * _STEP] = d1 - _BOTH * d3 + d5


@part
def _rows(small: Line, at: u, wide: Line, to: u, lanes: int) -> None:
    """Six numbers beside one another, which lie in rows of scratch, to as many rows of the wide one."""
    for k in range(lanes):
        o, q = at + u(k), to + u(k)
        d0, d1, d2 = small[o], small[o + _STEP], small[o + u(2) * _STEP]
        d3, d4, d5 = small[o + u(3) * _STEP], small[o + u(4) * _STEP], small[o + u(5) * _STEP]
        a, b, c, d = d4 - _2 * d2, _A * (d3 - _2 * d1), d4 - _HALF * d2, _B * (d3 - _HALF * d1)
        wide[q] = d0 - _BOTH * d2 + d4
        wide[q + _PITCH] = a + b
        wide[q + u(2) * _PITCH] = a - b
        wide[q + u(3) * _PITCH] = c + d
        wide[q + u(4) * _PITCH] = c - d
        wide[q + u(5) * _PITCH] = d1 - _BOTH * d3 + d5


@part
def _taken_in(
    planes: Line, row: int, pixel: int, height: int, width: int, inputs: int, small: Line, wide: Line,
    across: int, begin: int, count: int,
) -> None:  # fmt: skip
    """Pixels of ``count`` tiles to 36 numbers of each and each input: rows of the wide scratch, tile by tile."""
    together = max(1, _NARROW // inputs)
    close = min(row, pixel) < 15
    for first in range(0, count, together):
        many = min(together, count - first)
        for c in range(0, inputs, _NARROW):
            lanes = min(_NARROW, inputs - c)
            for number in range(many):
                tile = begin + first + number
                top, left = tile // across * 4 - 1, tile % across * 4 - 1
                to = u(number * lanes)
                if top >= 0 and left >= 0 and top + 6 <= height and left + 6 <= width:
                    # What follows in memory fills the last vector up, and is written over or not looked at. Behind the
                    # last pixel nothing follows, and too little behind others that are close by.
                    last = top + 6 == height and left + 6 == width
                    some = lanes if last or close else (lanes + 15) // 16 * 16
                    for x in range(6):
                        _columns(planes, u(top * row + (left + x) * pixel + c), u(row), small, u(x) * _STEP + to, some)
                    continue
                for x in range(6):
                    for y in range(6):
                        q = _EDGE + u(y) * _STEP
                        if 0 <= top + y < height and 0 <= left + x < width:
                            p = u((top + y) * row + (left + x) * pixel + c)
                            for k in range(lanes):
                                small[q + u(k)] = planes[p + u(k)]
                        else:
                            for k in range(lanes):
                                small[q + u(k)] = _0
                    _columns(small, _EDGE, _STEP, small, u(x) * _STEP + to, lanes)
            for y in range(6):
                some = (many * lanes + 15) // 16 * 16
                _rows(small, u(6 * y) * _STEP, wide, u(6 * y) * _PITCH + u(first * inputs + c), some)


@part
def multiply(
    wide: Line, kernels: Line, out: Line, at: u, which: int, inputs: int, blocks: int, block: int, count: int
) -> None:
    """All inputs of a row of scratch, from ``at`` on, by kernels number ``which`` to all outputs, in blocks of
    ``block``, which is :data:`BLOCK` or :data:`BROAD`; ``count`` is a multiple of four.
    """
    for number in range(blocks):
        for tile in range(0, count, TOGETHER):
            first, to = at + u(tile * inputs), at + u((number * count + tile) * block)
            packed = u((which * blocks + number) * inputs * block)
            if block == BROAD:
                multiply_broad(wide, kernels, out, first, u(inputs), packed, u(BROAD), to, u(inputs))
            else:
                multiply_tiles(wide, kernels, out, first, u(inputs), packed, u(BLOCK), to, u(inputs))


@part
def _even(small: Line, at: u, c: u, answer: Line, p: u, pixel: u, lanes: int) -> None:
    """The first and third pixel of a row of a tile."""
    for k in range(lanes):
        o, j, q = at + u(k), c + u(k), p + u(k)
        m0, m1, m2 = small[o], small[o + _STEP], small[o + u(2) * _STEP]
        m3, m4 = small[o + u(3) * _STEP], small[o + u(4) * _STEP]
        bias, slope = small[_BIAS + j], small[_SLOPE + j]
        a, b = m1 + m2, m3 + m4
        first, third = m0 + a + b + bias, _HALF * a + _2 * b + bias
        answer[q] = first if first >= _0 else first * slope
        answer[q + u(2) * pixel] = third if third >= _0 else third * slope


@part
def _odd(small: Line, at: u, c: u, answer: Line, p: u, pixel: u, lanes: int) -> None:
    """The second and fourth."""
    for k in range(lanes):
        o, j, q = at + u(k), c + u(k), p + u(k)
        m1, m2 = small[o + _STEP], small[o + u(2) * _STEP]
        m3, m4, m5 = small[o + u(3) * _STEP], small[o + u(4) * _STEP], small[o + u(5) * _STEP]
        bias, slope = small[_BIAS + j], small[_SLOPE + j]
        a, b = m1 - m2, m3 - m4
        second, fourth = _A * a + _B * b + bias, _A3 * a + _B3 * b + m5 + bias
        answer[q + pixel] = second if second >= _0 else second * slope
        answer[q + u(3) * pixel] = fourth if fourth >= _0 else fourth * slope


@part
def _given_out(
    wide: Line, small: Line, answer: Line, outputs: int, blocks: int, block: int, across: int, begin: int, count: int,
    real: int,
) -> None:  # fmt: skip
    """Of ``count`` tiles the first ``real``: 36 numbers of each output to 16 pixels, with what each output adds."""
    together = max(1, _NARROW // block // blocks)
    for first in range(0, real, together):
        many = min(together, real - first)
        for head in range(0, blocks, _NARROW // block):
            some = min(_NARROW // block, blocks - head)
            for number in range(some):
                for x in range(6):
                    p = u(x) * _PITCH + u(((head + number) * count + first) * block)
                    to = u(x) * _STEP + u(number * many * block)
                    for k in range(many * block):
                        q, o = p + u(k), to + u(k)
                        m0, m1, m2 = wide[q], wide[q + u(6) * _PITCH], wide[q + u(12) * _PITCH]
                        m3, m4, m5 = wide[q + u(18) * _PITCH], wide[q + u(24) * _PITCH], wide[q + u(30) * _PITCH]
                        a, b, c, d = m1 + m2, m1 - m2, m3 + m4, m3 - m4
                        small[o] = m0 + a + c
                        small[o + u(6) * _STEP] = _A * b + _B * d
                        small[o + u(12) * _STEP] = _HALF * a + _2 * c
                        small[o + u(18) * _STEP] = _A3 * b + _B3 * d + m5
            for y in range(4):
                for each in range(many):
                    tile = begin + first + each
                    place = ((tile // across * 4 + y) * across + tile % across) * 4 * outputs
                    for number in range(some):
                        at = u(6 * y) * _STEP + u((number * many + each) * block)
                        c = u((head + number) * block)
                        left = min(block, outputs - (head + number) * block)
                        for _ in range(left // _LANES):
                            _even(small, at, c, answer, u(place) + c, u(outputs), _LANES)
                            _odd(small, at, c, answer, u(place) + c, u(outputs), _LANES)
                            at, c = at + u(_LANES), c + u(_LANES)
                        if left % _LANES:
                            _even(small, at, c, answer, u(place) + c, u(outputs), left % _LANES)
                            _odd(small, at, c, answer, u(place) + c, u(outputs), left % _LANES)


@kernel(f"void({', '.join(['f4[::1]'] * 8)}, {', '.join(['i8'] * 8)})", contract=True)
def convolve_rows(
    planes: Line, kernels: Line, bias: Line, slope: Line, answer: Line, wide: Line, products: Line, small: Line,
    row: int, pixel: int, height: int, width: int, inputs: int, outputs: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of tiles of a convolution with a border of zeros.

    Args:
        planes: of one picture; its rows begin ``row`` numbers apart, its pixels ``pixel``, channels lie side by side.
        kernels: (36, blocks of outputs, inputs, block); a block is :data:`BLOCK`, or :data:`BROAD` where an odd number
            of these makes up all of them.
        bias: (outputs), added.
        slope: (outputs); what is less than 0 is multiplied by it.
        answer: (4 tiles down, 4 tiles across, outputs); tiles may reach beyond the picture.
        wide, products, small: scratch, of :data:`WIDE`, :data:`WIDE` and :data:`SMALL` numbers.
        top, bottom: rows of tiles.
    """
    across = (width + 3) // 4
    filled = len(kernels) // (36 * inputs)
    block = BROAD if filled % BLOCK else BLOCK
    blocks = filled // block
    for k in range(outputs):
        small[_BIAS + u(k)] = bias[u(k)]
        small[_SLOPE + u(k)] = slope[u(k)]
    group = max(_LEAST, _LIKED // max(inputs, filled) // 4 * 4)
    begin, end = top * across, bottom * across
    pieces = (end - begin + group - 1) // group
    for piece in range(pieces):
        first = begin + (end - begin) * piece // pieces
        real = begin + (end - begin) * (piece + 1) // pieces - first
        count = (real + 3) // 4 * 4
        _taken_in(planes, row, pixel, height, width, inputs, small, wide, across, first, real)
        for n in range(36):
            multiply(wide, kernels, products, u(n) * _PITCH, n, inputs, blocks, block, count)
        _given_out(products, small, answer, outputs, blocks, block, across, first, count, real)
