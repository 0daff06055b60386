"""Work on planes that stay where they are, compiled for the CPU: sizes, medians, smoothness.

As :mod:`kairos.motion.kernels`: rows from ``top`` to ``bottom`` of the answer, alike for any bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Line, Planes, kernel

Places = npt.NDArray[np.int64]
"""(N,), contiguous."""
Flags = npt.NDArray[np.uint8]
"""(H, W), contiguous."""

_ZERO, _QUARTER, _ONE, _THREE = np.float32(0.0), np.float32(0.25), np.float32(1.0), np.float32(3.0)
_HALF, _THREE_QUARTERS, _TWO = np.float32(0.5), np.float32(0.75), np.float32(2.0)
_ROUNDING = np.float32(1e-6)


@kernel(f"void({PLANES}, i8[::1], f4[::1], i8[::1], f4[::1], {PLANES}, i8, i8)")
def enlarge_rows(
    planes: Planes, rows: Places, down: Line, columns: Places, across: Line, out: Planes, top: int, bottom: int
) -> None:
    """Linear interpolation: each row and column of the answer lies a fraction after one of the source."""
    channels, height, width = planes.shape
    line = np.empty(width + 1, np.float32)
    for channel in range(channels):
        for y in range(top, bottom):
            first, second = rows[y], min(rows[y] + 1, height - 1)
            fraction = down[y]
            rest = _ONE - fraction
            for x in range(width):
                line[x] = planes[channel, first, x] * rest + planes[channel, second, x] * fraction
            line[width] = line[width - 1]
            for x in range(len(columns)):
                place = np.uintp(columns[x])
                out[channel, y, x] = line[place] * (_ONE - across[x]) + line[place + np.uintp(1)] * across[x]


@kernel(f"void({PLANES}, {PLANES}, i8, i8)")
def half_rows(planes: Planes, out: Planes, top: int, bottom: int) -> None:
    """Means over blocks of 2 by 2 pixels of what lies inside the frame; ``out`` has half the size, rounded up."""
    channels, height, width = planes.shape
    whole = width // 2
    for channel in range(channels):
        for y in range(top, bottom):
            # A row or column that is counted twice is as good as alone.
            above, below = np.uintp(2 * y), np.uintp(min(2 * y + 1, height - 1))
            for x in range(whole):
                i = np.uintp(2 * x)
                j = i + np.uintp(1)
                upper = planes[channel, above, i] + planes[channel, above, j]
                out[channel, y, x] = (upper + (planes[channel, below, i] + planes[channel, below, j])) * _QUARTER
            if width % 2:
                last = np.uintp(width - 1)
                out[channel, y, whole] = (planes[channel, above, last] + planes[channel, below, last]) * _HALF


@kernel(f"void({PLANES}, {PLANES}, f4, {PLANES}, {PLANES}, i8, i8)")
def halve_rows(
    values: Planes, weight: Planes, least: np.float32, out: Planes, out_weight: Planes, top: int, bottom: int
) -> None:
    """Weighted means over blocks of 2 by 2 pixels, and the blocks' mean weights; nothing lies outside the frame.

    Args:
        values: (C, H, W).
        weight: (1, H, W), at least 0.
        least: mean weight by which is divided where there is less.
        out: (C, h, w), half the size, rounded up, as is ``out_weight``, (1, h, w).
        top, bottom: rows of ``out``.
    """
    channels, height, width = values.shape
    upper, lower = np.zeros(width + 1, np.float32), np.zeros(width + 1, np.float32)
    for y in range(top, bottom):
        above, below = 2 * y, min(2 * y + 1, height - 1)
        counts = _ONE if 2 * y + 1 < height else _ZERO
        for x in range(width):
            upper[x], lower[x] = weight[0, above, x], weight[0, below, x] * counts
        for x in range(out.shape[2]):
            i, j = np.uintp(2 * x), np.uintp(2 * x + 1)
            out_weight[0, y, x] = (upper[i] + upper[j] + lower[i] + lower[j]) * _QUARTER
        for channel in range(channels):
            for x in range(width):
                upper[x] = values[channel, above, x] * weight[0, above, x]
                lower[x] = values[channel, below, x] * (weight[0, below, x] * counts)
            for x in range(out.shape[2]):
                i, j = np.uintp(2 * x), np.uintp(2 * x + 1)
                total = (upper[i] + upper[j] + lower[i] + lower[j]) * _QUARTER
                out[channel, y, x] = total / max(out_weight[0, y, x], least)


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, b1, i8, i8)")
def patch_rows(
    coarse: Planes, values: Planes, weight: Planes, out: Planes, softly: bool, top: int, bottom: int
) -> None:
    """Planes mixed with others of half their size, enlarged linearly.

    Args:
        coarse: (C, h, w), half the size, rounded up.
        values: (C, H, W); may be ``out``.
        weight: (1, H, W), of ``values``.
        out: (C, H, W).
        softly: mixed by a weight in 0..1; otherwise ``values`` are taken as they are where their weight is above 0.
        top, bottom: rows of ``out``.
    """
    channels, _, width = values.shape
    small_height, small_width = coarse.shape[1:]
    line, fine = np.empty(small_width, np.float32), np.empty(2 * small_width, np.float32)
    for y in range(top, bottom):
        middle = y // 2
        odd = y % 2 == 1
        first = middle if odd else max(middle - 1, 0)
        second = min(middle + 1, small_height - 1) if odd else middle
        fraction = _QUARTER if odd else _THREE_QUARTERS
        rest = _ONE - fraction
        for channel in range(channels):
            for x in range(small_width):
                line[x] = coarse[channel, first, x] * rest + coarse[channel, second, x] * fraction
            fine[0] = line[0]
            for x in range(1, small_width):
                i = np.uintp(x)
                j = np.uintp(2 * x)
                before, after = line[i - np.uintp(1)], line[i]
                fine[j - np.uintp(1)] = before * _THREE_QUARTERS + after * _QUARTER
                fine[j] = before * _QUARTER + after * _THREE_QUARTERS
            fine[2 * small_width - 1] = line[small_width - 1]
            if softly:
                for x in range(width):
                    a, b, w = fine[x], values[channel, y, x], weight[0, y, x]
                    away = b - a
                    out[channel, y, x] = a + w * away if w < _HALF else b - away * (_ONE - w)
            else:
                for x in range(width):
                    out[channel, y, x] = values[channel, y, x] if weight[0, y, x] > _ZERO else fine[x]


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, b1)")
def pull(values: Planes, weight: Planes, out: Planes, softly: bool) -> None:
    """A small picture filled from its surroundings, through all sizes down to a pixel.

    Args:
        values: (C, H, W).
        weight: (1, H, W): softly, how far each pixel is kept, 0..1; otherwise 1 where it is known, and 0.
        out: (C, H, W).
        softly: see :func:`patch_rows`.
    """
    channels, height, width = values.shape
    levels, total = 0, 0
    while height > 1 or width > 1:
        height, width = (height + 1) // 2, (width + 1) // 2
        total += height * width
        levels += 1
    smaller, weights, left = np.empty(total * channels, np.float32), np.empty(total, np.float32), 0
    _, height, width = values.shape
    at, least = 0, np.float32(1e-6 if softly else 1e-12)
    below, share = values, weight
    deepest = 0
    for _ in range(levels):
        height, width = (height + 1) // 2, (width + 1) // 2
        size = height * width
        coarse = smaller[at * channels : (at + size) * channels].reshape(channels, height, width)
        kept = weights[at : at + size].reshape(1, height, width)
        halve_rows(below, share, least, coarse, kept, 0, height)
        left = 0
        for y in range(height):
            for x in range(width):
                own = kept[0, y, x]
                if softly:
                    kept[0, y, x] = min(own * _TWO, _ONE)
                else:
                    kept[0, y, x] = _ONE if own > _ZERO else _ZERO
                    left += 0 if own > _ZERO else 1
        below, share = coarse, kept
        at += size
        deepest += 1
        if not softly and left == 0:
            break
    for level in range(deepest - 2, -2, -1):
        _, height, width = values.shape
        at = 0
        for _ in range(level + 1):
            height, width = (height + 1) // 2, (width + 1) // 2
            at += height * width
        if level < 0:
            patch_rows(below, values, weight, out, softly, 0, height)
        else:
            size = height * width
            at -= size
            finer = smaller[at * channels : (at + size) * channels].reshape(channels, height, width)
            kept = weights[at : at + size].reshape(1, height, width)
            patch_rows(below, finer, kept, finer, softly, 0, height)
            below = finer
    if not deepest:
        out[:] = values


@kernel(f"void({PLANES}, f4, {PLANES}, i8, i8)")
def mean_rows(planes: Planes, least: np.float32, out: Planes, top: int, bottom: int) -> None:
    """Means over 3 by 3 pixels, at least ``least``. The border is repeated."""
    channels, height, width = planes.shape
    line = np.empty(width + 2, np.float32)
    ninth = np.float32(1.0 / 9.0)
    for channel in range(channels):
        for y in range(top, bottom):
            above, below = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                line[x + 1] = planes[channel, above, x] + planes[channel, y, x] + planes[channel, below, x]
            line[0], line[width + 1] = line[1], line[width]
            for x in range(width):
                out[channel, y, x] = max((line[x] + line[x + 1] + line[x + 2]) * ninth, least)


@kernel(f"void({PLANES}, {PLANES}, i8, i8)")
def median_rows(planes: Planes, out: Planes, top: int, bottom: int) -> None:
    """Medians over 3 by 3 pixels: of the columns' least the greatest, of their middles the middle, of their greatest
    the least, and of those the middle. The border is repeated.
    """
    channels, height, width = planes.shape
    low, middle = np.empty(width + 2, np.float32), np.empty(width + 2, np.float32)
    high = np.empty(width + 2, np.float32)
    for channel in range(channels):
        for y in range(top, bottom):
            above, below = max(y - 1, 0), min(y + 1, height - 1)
            for x in range(width):
                a, b, c = planes[channel, above, x], planes[channel, y, x], planes[channel, below, x]
                less, more = min(a, b), max(a, b)
                low[x + 1], high[x + 1] = min(less, c), max(more, c)
                middle[x + 1] = max(less, min(more, c))
            for each in (low, middle, high):
                each[0], each[width + 1] = each[1], each[width]
            for x in range(width):
                a = max(low[x], max(low[x + 1], low[x + 2]))
                c = min(high[x], min(high[x + 1], high[x + 2]))
                less, more = min(middle[x], middle[x + 1]), max(middle[x], middle[x + 1])
                b = max(less, min(more, middle[x + 2]))
                less, more = min(a, b), max(a, b)
                out[channel, y, x] = max(less, min(more, c))


@kernel(f"void({PLANES}, {PLANES}, i8, i8)")
def spread_rows(planes: Planes, out: Planes, top: int, bottom: int) -> None:
    """Greatest less least of each cell of four pixels, (C, H + 4, W + 4): the cell at (2, 2) begins at the first
    pixel. The border is repeated.
    """
    channels, height, width = planes.shape
    low, high = np.empty(width, np.float32), np.empty(width, np.float32)
    for channel in range(channels):
        for y in range(top, bottom):
            above, below = min(max(y - 2, 0), height - 1), min(max(y - 1, 0), height - 1)
            for x in range(width):
                a, b = planes[channel, above, x], planes[channel, below, x]
                low[x], high[x] = min(a, b), max(a, b)
            for x in range(width - 1):
                out[channel, y, x + 2] = max(high[x], high[x + 1]) - min(low[x], low[x + 1])
            for x in range(2):
                out[channel, y, x] = high[0] - low[0]
            for x in range(width + 1, width + 4):
                out[channel, y, x] = high[width - 1] - low[width - 1]


@kernel(f"void({PLANES}, {PLANES}, u1[:,::1], i8, i8)")
def smooth_rows(planes: Planes, spread: Planes, smooth: Flags, top: int, bottom: int) -> None:
    """Which cells (H, W) may be interpolated: not constant, and in every channel no more spread than three times the
    least of the 5 by 5 cells around. ``spread`` is of :func:`spread_rows`.
    """
    channels, _, width = planes.shape
    least, varies = np.empty(width + 4, np.float32), np.empty(width, np.uint8)
    for y in range(top, bottom):
        for x in range(width):
            smooth[y, x], varies[x] = 1, 0
        for channel in range(channels):
            for x in range(width + 4):
                a = min(spread[channel, y, x], spread[channel, y + 1, x])
                b = min(spread[channel, y + 2, x], spread[channel, y + 3, x])
                least[x] = min(min(a, b), spread[channel, y + 4, x])
            for x in range(width):
                calm = min(min(least[x], least[x + 1]), min(min(least[x + 2], least[x + 3]), least[x + 4]))
                own = spread[channel, y + 2, x + 2]
                if not own <= _THREE * calm + _ROUNDING * abs(planes[channel, y, x]):
                    smooth[y, x] = 0
                if own > _ZERO:
                    varies[x] = 1
        for x in range(width):
            smooth[y, x] &= varies[x]
