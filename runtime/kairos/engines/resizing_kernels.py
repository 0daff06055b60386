"""Convolutions to half and to twice the size by minimal filtering, compiled for the CPU.

As in :mod:`kairos.engines.winograd_kernels`, whose ways of working with tiles and scratch these kernels share, but for
polynomials of two terms, F(4, 2): told at A, -A, B, -B and infinity, five products answer four pixels.

- To half the size, 3x3: a row of an answer sees every other pixel of its input by the outer two weights, which is
  F(4, 2), and those between by the middle one. 9x9 pixels become 4x4 by 81 products in place of 144.
- To twice the size, 4x4 transposed: the pixels with even and with odd places are two convolutions of two weights each
  along a row. 6x6 pixels become 8x8 by 100 products in place of 256.

Imported by :mod:`kairos.engines.winograd` alone, when a network first needs it.
"""

from __future__ import annotations

import numpy as np

from kairos.engines.product_kernel import BLOCK
from kairos.engines.winograd_kernels import Line, multiply
from kairos.motion.compiled import kernel, part

GREATEST = 512
"""Channels, in or out, that a tile may have."""

_LEAST, _LIKED = 16, 1024
"""Tiles of a group, and tiles times channels of one, as there."""
_NARROW = 128

_PITCH = np.uintp(_LEAST * GREATEST + 16)
_STEP = np.uintp(_NARROW + 16)
_EDGE = np.uintp(81) * _STEP
_BIAS = np.uintp(90) * _STEP
_SLOPE = _BIAS + np.uintp(GREATEST)
"""As there: from row to row of scratch; pixels of tiles at the border, and what each output adds."""

WIDE, SMALL = int(100 * _PITCH), int(_SLOPE) + GREATEST
"""Numbers of the scratch that a thread needs: the wide one twice, and the narrow one."""

_0, _HALF, _2, _BOTH = (np.float32(each) for each in (0, 0.5, 2, 2.5))
_A, _B, _A3, _B3 = (np.float32(each) for each in (2**-0.5, 2**0.5, 8**-0.5, 8**0.5))

u = np.uintp


@part
def _five(source: Line, place: u, row: u, out: Line, to: u, step: u, lanes: int) -> None:
    """Five numbers, ``row`` apart, told at the five points, ``step`` apart."""
    for k in range(lanes):
        p, o = place + u(k), to + u(k)
        d0, d1, d2 = source[p], source[p + row], source[p + u(2) * row]
        d3, d4 = source[p + u(3) * row], source[p + u(4) * row]
        a, b, c, d = d3 - _2 * d1, _A * (d2 - _2 * d0), d3 - _HALF * d1, _B * (d2 - _HALF * d0)
        out[o] = a + b
        out[o + step] = a - b
        out[o + u(2) * step] = c + d
        out[o + u(3) * step] = c - d
        out[o + u(4) * step] = d0 - _BOTH * d2 + d4


@part
def _four(source: Line, place: u, row: u, out: Line, to: u, step: u, lanes: int) -> None:
    """Four numbers as they are."""
    for k in range(lanes):
        p, o = place + u(k), to + u(k)
        out[o] = source[p]
        out[o + step] = source[p + row]
        out[o + u(2) * step] = source[p + u(2) * row]
        out[o + u(3) * step] = source[p + u(3) * row]


@part
def _ten(source: Line, place: u, row: u, out: Line, to: u, step: u, lanes: int) -> None:
    """Six numbers: the first five told at the five points, and then the last five."""
    for k in range(lanes):
        p, o = place + u(k), to + u(k)
        d0, d1, d2 = source[p], source[p + row], source[p + u(2) * row]
        d3, d4, d5 = source[p + u(3) * row], source[p + u(4) * row], source[p + u(5) * row]
        a, b, c, d = d3 - _2 * d1, _A * (d2 - _2 * d0), d3 - _HALF * d1, _B * (d2 - _HALF * d0)
        out[o] = a + b
        out[o + step] = a - b
        out[o + u(2) * step] = c + d
        out[o + u(3) * step] = c - d
        out[o + u(4) * step] = d0 - _BOTH * d2 + d4
        e, f, g, h = d4 - _2 * d2, _A * (d3 - _2 * d1), d4 - _HALF * d2, _B * (d3 - _HALF * d1)
        out[o + u(5) * step] = e + f
        out[o + u(6) * step] = e - f
        out[o + u(7) * step] = g + h
        out[o + u(8) * step] = g - h
        out[o + u(9) * step] = d1 - _BOTH * d3 + d5


@part
def _told(halving: bool, source: Line, place: u, row: u, out: Line, to: u, step: u, lanes: int) -> None:
    """A row or column of a tile of pixels, of nine or six, as nine or ten numbers."""
    if halving:
        _five(source, place, u(2) * row, out, to, step, lanes)
        _four(source, place + row, u(2) * row, out, to + u(5) * step, step, lanes)
    else:
        _ten(source, place, row, out, to, step, lanes)


@part
def _taken_in(
    halving: bool, planes: Line, row: int, pixel: int, height: int, width: int, inputs: int, small: Line, wide: Line,
    across: int, begin: int, count: int,
) -> None:  # fmt: skip
    """Pixels of ``count`` tiles to rows of the wide scratch, tile by tile."""
    side, numbers, apart = (9, 9, 8) if halving else (6, 10, 4)
    together = max(1, _NARROW // inputs)
    close = min(row, pixel) < 15
    for first in range(0, count, together):
        many = min(together, count - first)
        for c in range(0, inputs, _NARROW):
            lanes = min(_NARROW, inputs - c)
            for number in range(many):
                tile = begin + first + number
                top, left = tile // across * apart - 1, tile % across * apart - 1
                to = u(number * lanes)
                if top >= 0 and left >= 0 and top + side <= height and left + side <= width:
                    # What follows in memory fills the last vector up, see winograd_kernels.
                    last = top + side == height and left + side == width
                    some = lanes if last or close else (lanes + 15) // 16 * 16
                    for x in range(side):
                        p = u(top * row + (left + x) * pixel + c)
                        _told(halving, planes, p, u(row), small, u(x) * _STEP + to, u(side) * _STEP, some)
                    continue
                for x in range(side):
                    for y in range(side):
                        q = _EDGE + u(y) * _STEP
                        if 0 <= top + y < height and 0 <= left + x < width:
                            p = u((top + y) * row + (left + x) * pixel + c)
                            for k in range(lanes):
                                small[q + u(k)] = planes[p + u(k)]
                        else:
                            for k in range(lanes):
                                small[q + u(k)] = _0
                    _told(halving, small, _EDGE, _STEP, small, u(x) * _STEP + to, u(side) * _STEP, lanes)
            some = (many * lanes + 15) // 16 * 16
            for y in range(numbers):
                to = u(numbers * y) * _PITCH + u(first * inputs + c)
                _told(halving, small, u(side * y) * _STEP, _STEP, wide, to, _PITCH, some)


@part
def _columns(halving: bool, wide: Line, p: u, step: u, small: Line, to: u, lanes: int) -> None:
    """Five products of a column, or nine, to four pixels."""
    rows = u(9 if halving else 5) * _STEP
    for k in range(lanes):
        q, o = p + u(k), to + u(k)
        m0, m1, m2, m3 = wide[q], wide[q + step], wide[q + u(2) * step], wide[q + u(3) * step]
        a, b, c, d = m0 + m1, m0 - m1, m2 + m3, m2 - m3
        y0, y1, y2 = a + c, _A * b + _B * d, _HALF * a + _2 * c
        y3 = _A3 * b + _B3 * d + wide[q + u(4) * step]
        if halving:
            y0 += wide[q + u(5) * step]
            y1 += wide[q + u(6) * step]
            y2 += wide[q + u(7) * step]
            y3 += wide[q + u(8) * step]
        small[o] = y0
        small[o + rows] = y1
        small[o + u(2) * rows] = y2
        small[o + u(3) * rows] = y3


@part
def _even(halving: bool, small: Line, at: u, c: u, answer: Line, p: u, pixel: u, lanes: int) -> None:
    """The first and third pixel of a row of a tile."""
    for k in range(lanes):
        o, j, q = at + u(k), c + u(k), p + u(k)
        a, b = small[o] + small[o + _STEP], small[o + u(2) * _STEP] + small[o + u(3) * _STEP]
        bias, slope = small[_BIAS + j], small[_SLOPE + j]
        first, third = a + b + bias, _HALF * a + _2 * b + bias
        if halving:
            first += small[o + u(5) * _STEP]
            third += small[o + u(7) * _STEP]
        answer[q] = first if first >= _0 else first * slope
        answer[q + u(2) * pixel] = third if third >= _0 else third * slope


@part
def _odd(halving: bool, small: Line, at: u, c: u, answer: Line, p: u, pixel: u, lanes: int) -> None:
    """The second and fourth."""
    for k in range(lanes):
        o, j, q = at + u(k), c + u(k), p + u(k)
        a, b = small[o] - small[o + _STEP], small[o + u(2) * _STEP] - small[o + u(3) * _STEP]
        bias, slope = small[_BIAS + j], small[_SLOPE + j]
        second, fourth = _A * a + _B * b + bias, _A3 * a + _B3 * b + small[o + u(4) * _STEP] + bias
        if halving:
            second += small[o + u(6) * _STEP]
            fourth += small[o + u(8) * _STEP]
        answer[q + pixel] = second if second >= _0 else second * slope
        answer[q + u(3) * pixel] = fourth if fourth >= _0 else fourth * slope


@part
def _given_out(
    halving: bool, wide: Line, at: u, small: Line, answer: Line, place: int, line: int, pixel: int, outputs: int,
    blocks: int, across: int, begin: int, count: int, real: int,
) -> None:  # fmt: skip
    """Of ``count`` tiles the first ``real``: products, from ``at`` on, to 4x4 pixels of each output.

    The answer's rows begin ``line`` numbers apart, its pixels ``pixel``; that of the first tile lies at ``place``.
    """
    columns, step = (9, u(9) * _PITCH) if halving else (5, u(10) * _PITCH)
    together = max(1, _NARROW // BLOCK // blocks)
    for first in range(0, real, together):
        many = min(together, real - first)
        for head in range(0, blocks, _NARROW // BLOCK):
            some = min(_NARROW // BLOCK, blocks - head)
            for block in range(some):
                for x in range(columns):
                    p = at + u(x) * _PITCH + u(((head + block) * count + first) * BLOCK)
                    _columns(halving, wide, p, step, small, u(x) * _STEP + u(block * many * BLOCK), many * BLOCK)
            for y in range(4):
                for number in range(many):
                    tile = begin + first + number
                    to = place + (tile // across * 4 + y) * line + tile % across * 4 * pixel
                    for block in range(some):
                        o = u(columns * y) * _STEP + u((block * many + number) * BLOCK)
                        c = u((head + block) * BLOCK)
                        p, lanes = u(to) + c, outputs - (head + block) * BLOCK
                        if lanes >= BLOCK:
                            _even(halving, small, o, c, answer, p, u(pixel), BLOCK)
                            _odd(halving, small, o, c, answer, p, u(pixel), BLOCK)
                        else:
                            _even(halving, small, o, c, answer, p, u(pixel), lanes)
                            _odd(halving, small, o, c, answer, p, u(pixel), lanes)


_SIGNATURE = f"void({', '.join(['f4[::1]'] * 8)}, {', '.join(['i8'] * 8)})"


@kernel(_SIGNATURE, contract=True)
def halve_rows(
    planes: Line, kernels: Line, bias: Line, slope: Line, answer: Line, wide: Line, products: Line, small: Line,
    row: int, pixel: int, height: int, width: int, inputs: int, outputs: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of tiles of a 3x3 convolution with a border of zeros, of every other pixel of every other row.

    Args are those of :func:`kairos.engines.winograd_kernels.convolve_rows`; kernels are (36, ...), those of the five
    points and the middle weight down times as many across.
    """
    across = ((width + 1) // 2 + 3) // 4
    blocks = (outputs + BLOCK - 1) // BLOCK
    for k in range(outputs):
        small[_BIAS + u(k)] = bias[u(k)]
        small[_SLOPE + u(k)] = slope[u(k)]
    group = max(_LEAST, _LIKED // max(inputs, blocks * BLOCK) // 4 * 4)
    begin, end = top * across, bottom * across
    pieces = (end - begin + group - 1) // group
    for piece in range(pieces):
        first = begin + (end - begin) * piece // pieces
        real = begin + (end - begin) * (piece + 1) // pieces - first
        count = (real + 3) // 4 * 4
        _taken_in(True, planes, row, pixel, height, width, inputs, small, wide, across, first, real)
        for n in range(81):
            which = min(n // 9, 5) * 6 + min(n % 9, 5)
            multiply(wide, kernels, products, u(n) * _PITCH, which, inputs, blocks, BLOCK, count)
        _given_out(
            True, products, u(0), small, answer, 0, 4 * across * outputs, outputs, outputs,
            blocks, across, first, count, real,
        )  # fmt: skip


@kernel(_SIGNATURE, contract=True)
def enlarge_rows(
    planes: Line, kernels: Line, bias: Line, slope: Line, answer: Line, wide: Line, products: Line, small: Line,
    row: int, pixel: int, height: int, width: int, inputs: int, outputs: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of tiles of a 4x4 transposed convolution to twice the size.

    Args are those of :func:`kairos.engines.winograd_kernels.convolve_rows`, but kernels are (100, ...), those of both
    convolutions' five points down times as many across, and the answer is (8 tiles down, 8 tiles across, outputs).
    """
    across = (width + 3) // 4
    blocks = (outputs + BLOCK - 1) // BLOCK
    for k in range(outputs):
        small[_BIAS + u(k)] = bias[u(k)]
        small[_SLOPE + u(k)] = slope[u(k)]
    group = max(_LEAST, _LIKED // max(inputs, blocks * BLOCK) // 4 * 4)
    begin, end = top * across, bottom * across
    pieces = (end - begin + group - 1) // group
    line = 8 * across * outputs
    for piece in range(pieces):
        first = begin + (end - begin) * piece // pieces
        real = begin + (end - begin) * (piece + 1) // pieces - first
        count = (real + 3) // 4 * 4
        _taken_in(False, planes, row, pixel, height, width, inputs, small, wide, across, first, real)
        for n in range(100):
            multiply(wide, kernels, products, u(n) * _PITCH, n, inputs, blocks, BLOCK, count)
        for y in range(2):
            for x in range(2):
                _given_out(
                    False, products, u(50 * y + 5 * x) * _PITCH, small, answer, y * line + x * outputs, 2 * line,
                    2 * outputs, outputs, blocks, across, first, count, real,
                )  # fmt: skip
