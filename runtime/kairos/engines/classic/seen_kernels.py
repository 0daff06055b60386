"""How far either source shows the pixels of an in-between, and what follows from it, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.layered` alone. Rows from ``top`` to ``bottom`` are of the answer, which is
alike for any bands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Line, Planes, kernel, part

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_QUARTER, _THREE_QUARTERS = np.float32(0.25), np.float32(0.75)


@kernel(f"void({PLANES}, f4[::1], {PLANES}, i8, i8)")
def across_rows(planes: Planes, taps: Line, out: Planes, top: int, bottom: int) -> None:
    """Means over 2 by 2 pixels, of what lies inside, then weighted along the rows; the border is repeated.

    Args:
        planes: (1, H, W).
        taps: (2 radius + 1,).
        out: (1, h, w), half the size, rounded up.
        top, bottom: rows of ``out``.
    """
    _, height, width = planes.shape
    wide, radius = out.shape[2], len(taps) // 2
    line = np.empty(wide + 2 * radius, np.float32)
    for y in range(top, bottom):
        above, below = 2 * y, min(2 * y + 1, height - 1)
        for x in range(wide):
            i = np.uintp(2 * x)
            j = np.uintp(min(2 * x + 1, width - 1))
            upper, lower = planes[0, above, i] + planes[0, above, j], planes[0, below, i] + planes[0, below, j]
            line[radius + x] = (upper + lower) * _QUARTER
        line[:radius] = line[radius]
        line[radius + wide :] = line[radius + wide - 1]
        for x in range(wide):
            out[0, y, x] = _ZERO
        for tap in range(len(taps)):
            weight = taps[tap]
            for x in range(wide):
                out[0, y, x] += line[np.uintp(x) + np.uintp(tap)] * weight


@kernel(f"void({PLANES}, f4[::1], b1[:,:,::1], {PLANES}, i8, i8)")
def down_rows(planes: Planes, taps: Line, quiet: npt.NDArray[np.bool_], out: Planes, top: int, bottom: int) -> None:
    """The rest of a Gaussian mean: weighted along the columns and enlarged linearly; 1 where nothing passes.

    Args:
        planes: (1, h, w) of :func:`across_rows`.
        taps: the same.
        quiet: (1, H, W).
        out: (1, H, W).
        top, bottom: rows of ``out``.
    """
    _, high, wide = planes.shape
    width, radius = out.shape[2], len(taps) // 2
    lines, fine = np.zeros((2, wide), np.float32), np.empty(2 * wide, np.float32)
    for y in range(top, bottom):
        middle = y // 2
        odd = y % 2 == 1
        first = middle if odd else max(middle - 1, 0)
        second = min(middle + 1, high - 1) if odd else middle
        fraction = _QUARTER if odd else _THREE_QUARTERS
        if odd or y == top:
            # Both rows of a pair of rows between lie between the same two.
            for number in range(2):
                at = first if number == 0 else second
                for x in range(wide):
                    lines[number, x] = _ZERO
                for tap in range(len(taps)):
                    row, weight = np.uintp(min(max(at + tap - radius, 0), high - 1)), taps[tap]
                    for x in range(wide):
                        lines[number, x] += planes[0, row, x] * weight
        rest = _ONE - fraction
        for x in range(wide):
            fine[2 * x] = lines[0, x] * rest + lines[1, x] * fraction
        before = fine[0]
        for x in range(wide - 1):
            here, after = fine[2 * x], fine[2 * x + 2]
            fine[2 * x] = here if x == 0 else before * _QUARTER + here * _THREE_QUARTERS
            fine[2 * x + 1] = here * _THREE_QUARTERS + after * _QUARTER
            before = here
        last = fine[2 * wide - 2]
        fine[2 * wide - 2] = last if wide == 1 else before * _QUARTER + last * _THREE_QUARTERS
        fine[2 * wide - 1] = last
        for x in range(width):
            out[0, y, x] = _ONE if quiet[0, y, x] else fine[x]


@part
def _fraction(value: np.float32) -> np.float32:
    return min(max(value, _ZERO), _ONE)


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, b1[:,:,::1], f4, f4, {PLANES}, i8, i8)")
def told_rows(
    seen0: Planes,
    seen1: Planes,
    trust: Planes,
    quiet: npt.NDArray[np.bool_],
    time: np.float32,
    doubt: np.float32,
    out: Planes,
    top: int,
    bottom: int,
) -> None:
    """Rows of (4, H, W): weight of the first source, what either hides, and how far the answer is to be trusted.

    Args:
        seen0, seen1, trust: (1, H, W) in 0..1.
        quiet: (1, H, W), nothing passes.
        time: 0..1.
        doubt: weight of a source that does not show a pixel.
        out: for the answer.
        top, bottom: its rows.
    """
    for y in range(top, bottom):
        for x in range(out.shape[2]):
            a, b = seen0[0, y, x], seen1[0, y, x]
            one, two = (_ONE - time) * (a + doubt), time * (b + doubt)
            out[0, y, x] = one / (one + two)
            out[1, y, x] = _fraction((b - a - np.float32(0.2)) / np.float32(0.4))
            out[2, y, x] = _fraction((a - b - np.float32(0.2)) / np.float32(0.4))
            out[3, y, x] = _ONE if quiet[0, y, x] else _fraction(trust[0, y, x] * max(a, b))


@kernel(
    f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, {PLANES}, b1[:,:,::1], f4, {PLANES}, i8, i8)",
)
def apart_rows(
    blend: Planes,
    hidden0: Planes,
    hidden1: Planes,
    own0: Planes,
    own1: Planes,
    quiet: npt.NDArray[np.bool_],
    alien: np.float32,
    out: Planes,
    top: int,
    bottom: int,
) -> None:
    """Rows of (3, H, W): weight of the first source, and what either hides, once each source counts as far as it shows
    the layer seen.

    Args:
        blend, hidden0, hidden1: (1, H, W), before that.
        own0, own1: (1, H, W) of :func:`fetch_rows`.
        quiet: (1, H, W), nothing passes.
        alien: say of a source that shows another layer.
        out: for the answer.
        top, bottom: its rows.
    """
    for y in range(top, bottom):
        for x in range(out.shape[2]):
            first, one, two = blend[0, y, x], own0[0, y, x] + alien, own1[0, y, x] + alien
            here = not quiet[0, y, x]
            weight0, weight1 = first * one, (_ONE - first) * two
            out[0, y, x] = weight0 / max(weight0 + weight1, np.float32(1e-9)) if here else first
            out[1, y, x] = max(hidden0[0, y, x], _fraction(two - one) if here else _ZERO)
            out[2, y, x] = max(hidden1[0, y, x], _fraction(one - two) if here else _ZERO)
