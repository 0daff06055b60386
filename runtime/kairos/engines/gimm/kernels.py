"""What is looked up at the ends of motions, compiled for the CPU: one pass, no planes between.

Imported by :mod:`kairos.engines.gimm.quick` alone, when a frame first needs it.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
import numpy.typing as npt
from numba import njit

from kairos.motion.compiled import kernel

Table = npt.NDArray[np.float32]
"""(N, C), contiguous."""
Cube = npt.NDArray[np.float32]
"""Three dimensions, contiguous."""
Numbers = npt.NDArray[np.int64]
"""(N,), contiguous."""
Offsets = npt.NDArray[np.int64]
"""(K, 2), contiguous."""

_ZERO, _ONE, _EIGHT, _TEN = np.float32(0.0), np.float32(1.0), np.float32(8.0), np.float32(10.0)
_QUARTER, _LEAST, _TENTH = np.float32(0.25), np.float32(0.05), np.float32(0.1)


@njit(nogil=True, error_model="numpy")
def _level(pixels: np.float32) -> np.float32:
    return np.float32(math.log2(pixels + _LEAST)) * _QUARTER


@njit(nogil=True, error_model="numpy")
def _long(x: np.float32, y: np.float32) -> np.float32:
    return np.float32(math.sqrt(x * x + y * y))


@njit(nogil=True, error_model="numpy")
def _looked(x: np.float32, y: np.float32, height: int, width: int) -> Tuple[int, int, np.float32]:
    """The nearest pixel, and how far beyond the frame the place lies, up to 8 pixels, in 0..1."""
    column: int = min(max(int(np.rint(x)), 0), width - 1)
    row: int = min(max(int(np.rint(y)), 0), height - 1)
    off = max(max(-x, x - np.float32(width - 1)), max(-y, y - np.float32(height - 1)))
    return row, column, min(max(off, _ZERO), _EIGHT) / _EIGHT


@kernel(
    "void(f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], i8[::1], i8[:,::1], i8, i8, i8, f4, "
    "f4[:,:,::1], f4[:,:,::1], i8, i8)"
)
def told_rows(
    base: Table,
    rows_0: Table,
    rows_1: Table,
    latent_0: Table,
    latent_1: Table,
    asked: Numbers,
    places: Offsets,
    height: int,
    width: int,
    cell: int,
    time: np.float32,
    motions: Cube,
    told: Cube,
    first: int,
    end: int,
) -> None:
    """Of the asked pixels from ``first`` to before ``end``.

    Args:
        base: (H * W, 4) velocity and bend that have arrived.
        rows_0, rows_1: (H * W, 5) of the ends.
        latent_0, latent_1: (h * w, C).
        asked: (N,) pixels; places: (K, 2) rows and columns away.
        height, width: H and W; cell: pixels per cell of the latents.
        time: 0..1.
        motions: (N, 3 K, 4), for the answer, as is ``told``, (K, N, 16 + 2 C).
    """
    count, channels = len(places), latent_0.shape[1]
    cells = (width + cell - 1) // cell
    share = time * (_ONE - time)
    for n in range(first, end):
        row, column = asked[n] // width, asked[n] % width
        nearest = np.float32(np.inf)
        for k in range(count):
            down, right = places[k, 0], places[k, 1]
            own = base[min(max(row + down, 0), height - 1) * width + min(max(column + right, 0), width - 1)]
            u, v, bu, bv = own[0], own[1], own[2], own[3]
            au, av = bu * share, bv * share
            y0, x0, off_0 = _looked(
                np.float32(column) + (-u * time - au), np.float32(row) + (-v * time - av), height, width
            )
            y1, x1, off_1 = _looked(
                np.float32(column) + (u * (_ONE - time) - au), np.float32(row) + (v * (_ONE - time) - av), height, width
            )
            zero, one = rows_0[y0 * width + x0], rows_1[y1 * width + x1]
            for c in range(4):
                motions[n, 3 * k, c], motions[n, 3 * k + 1, c], motions[n, 3 * k + 2, c] = own[c], zero[c], one[c]
            missed_0, missed_1 = _long(zero[0] - u, zero[1] - v), _long(one[0] - u, one[1] - v)
            nearest = min(nearest, min(missed_0, missed_1))
            apart_u, apart_v = u - motions[n, 0, 0], v - motions[n, 0, 1]
            reach = np.float32(max(max(abs(down), abs(right)), 1))
            parting = (apart_u * np.float32(right) + apart_v * np.float32(down)) / reach
            turned = np.float32(math.log2(_ONE + abs(parting))) * _QUARTER
            line = told[k, n]
            line[0], line[1] = _level(missed_0), _level(missed_1)
            line[3] = _level(_long(zero[0] - one[0], zero[1] - one[1]))
            line[4], line[5] = _level(zero[4]), _level(one[4])
            line[6], line[7] = off_0, off_1
            line[9] = _level(_long(apart_u, apart_v))
            line[10] = turned if parting >= _ZERO else -turned
            line[11] = _level(_long(u, v))
            line[12] = time
            here = down == 0 and right == 0
            line[13], line[14] = (_ONE if here else _ZERO), (_ZERO if here else reach / _TEN)
            line[15] = _level(_long(bu, bv))
            near = latent_0[y0 // cell * cells + x0 // cell]
            far = latent_1[y1 // cell * cells + x1 // cell]
            for c in range(channels):
                line[16 + c], line[16 + channels + c] = near[c], far[c]
        best = _level(nearest)
        for k in range(count):
            told[k, n, 2] = best
            told[k, n, 8] = _ONE
        for k in range(count):
            for other in range(k + 1, count):
                x = motions[n, 3 * k, 0] - motions[n, 3 * other, 0]
                y = motions[n, 3 * k, 1] - motions[n, 3 * other, 1]
                alike = np.float32(math.exp(-(x * x + y * y)))
                told[k, n, 8] += alike
                told[other, n, 8] += alike
        for k in range(count):
            told[k, n, 8] /= np.float32(count)


@kernel("void(f4[:,::1], f4[:,::1], f4[:,::1], i8, i8, f4, f4[:,::1], i8, i8)")
def bend_rows(
    velocity: Table,
    rows_0: Table,
    rows_1: Table,
    height: int,
    width: int,
    time: np.float32,
    bend: Table,
    top: int,
    bottom: int,
) -> None:
    """Some rows of :func:`kairos.engines.gimm.ends.bends_at`.

    Args:
        velocity: (2, H * W).
        rows_0, rows_1: (H * W, 5) of the ends.
        height, width: H and W.
        time: 0..1.
        bend: (2, H * W), for the answer.
        top, bottom: the rows.
    """
    rest, share = _ONE - time, time * (_ONE - time)
    for row in range(top, bottom):
        for column in range(width):
            place = row * width + column
            u, v = velocity[0, place], velocity[1, place]
            bu, bv = _ZERO, _ZERO
            # The ends of a path hang on its bend: looked up once more, they are near enough.
            for _ in range(2):
                x, y = np.float32(column) - bu * share, np.float32(row) - bv * share
                y0, x0, _off = _looked(x - u * time, y - v * time, height, width)
                y1, x1, _off = _looked(x + u * rest, y + v * rest, height, width)
                zero, one = rows_0[y0 * width + x0], rows_1[y1 * width + x1]
                off_0 = (abs(zero[0] - u) + abs(zero[1] - v) + _TENTH) * time
                off_1 = (abs(one[0] - u) + abs(one[1] - v) + _TENTH) * rest
                say = off_1 / (off_1 + off_0)
                bu, bv = zero[2] * say + one[2] * (_ONE - say), zero[3] * say + one[3] * (_ONE - say)
            bend[0, place], bend[1, place] = bu, bv
