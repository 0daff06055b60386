"""Warping and splatting compiled for the CPU: one pass over a band of rows, no temporary planes.

Imported by :mod:`kairos.motion.fast` alone, when a frame first needs it. Every kernel works on the rows it is given
and needs no lock, so that bands can run on threads of their own; what a pixel gets does not depend on where the bands
begin. What kernels share is in this file: numba's cache tells by it alone whether what it kept is still true.
"""

from __future__ import annotations

import math
from typing import Tuple

import numpy as np
import numpy.typing as npt
from numba import njit

from kairos.motion.compiled import PLANES, Plane, Planes, kernel

Bits = npt.NDArray[np.int32]
"""(C, H, W), contiguous."""

Flags = npt.NDArray[np.uint8]
"""(H, W), contiguous."""
Reach = npt.NDArray[np.int64]
"""(H, 2), contiguous."""
_REACH = "i8[:,::1]"

AVERAGE, LINEAR, SOFTMAX = 0, 1, 2
"""Modes of :func:`splat_rows`."""

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_ONE_AND_HALF, _TWO, _TWO_AND_HALF = np.float32(1.5), np.float32(2.0), np.float32(2.5)
_FAR = np.float32(1 << 24)
_TINY = np.finfo(np.float32).tiny
_NOTHING = np.float32(-np.inf)
_THIRD_COS, _THIRD_SIN = 0.5, math.sqrt(3.0) / 2.0


@njit(nogil=True, error_model="numpy")
def _split(move: np.float32) -> Tuple[int, np.float32]:
    """Whole and fractional part of one coordinate of a vector; what is not a number moves nothing."""
    if move != move:
        move = _ZERO
    if move > _FAR:
        move = _FAR
    if move < -_FAR:
        move = -_FAR
    whole = np.floor(move)
    return int(whole), move - whole


@njit(nogil=True, error_model="numpy")
def _inside(place: int, size: int) -> np.uintp:
    return np.uintp(min(max(place, 0), size - 1))


@njit(nogil=True, error_model="numpy")
def _cubic(s: np.float32) -> Tuple[np.float32, np.float32, np.float32, np.float32]:
    s2 = s * s
    s3 = s2 * s
    return (
        -_HALF * s3 + s2 - _HALF * s,
        _ONE_AND_HALF * s3 - _TWO_AND_HALF * s2 + _ONE,
        -_ONE_AND_HALF * s3 + _TWO * s2 + _HALF * s,
        _HALF * s3 - _HALF * s2,
    )


@njit(nogil=True, error_model="numpy")
def _lanczos(fraction: np.float32, weights: npt.NDArray[np.float32]) -> None:
    """Weights of taps -2..3. The sines of all taps are those of the fraction, turned by whole thirds of pi."""
    for tap in range(6):
        weights[tap] = _ZERO
    if fraction == _ZERO:
        weights[2] = _ONE
        return
    exact = float(fraction)
    sine, cosine = math.sin(math.pi * exact / 3.0), math.cos(math.pi * exact / 3.0)
    plus, minus = sine * _THIRD_COS, cosine * _THIRD_SIN
    # sin(pi (f - k)) alternates its sign with k; its size is common to all taps and goes with the normalisation.
    a = (-sine * _THIRD_COS + cosine * _THIRD_SIN) / ((exact + 2.0) * (exact + 2.0))
    b = -(plus + minus) / ((exact + 1.0) * (exact + 1.0))
    c = sine / (exact * exact)
    d = -(plus - minus) / ((exact - 1.0) * (exact - 1.0))
    e = (-sine * _THIRD_COS - cosine * _THIRD_SIN) / ((exact - 2.0) * (exact - 2.0))
    f = sine / ((exact - 3.0) * (exact - 3.0))
    total = a + b + c + d + e + f
    weights[0] = np.float32(a / total)
    weights[1] = np.float32(b / total)
    weights[2] = np.float32(c / total)
    weights[3] = np.float32(d / total)
    weights[4] = np.float32(e / total)
    weights[5] = np.float32(f / total)


@kernel(f"void(i4[:,:,::1], {PLANES}, i4[:,:,::1], i8, i8)")
def nearest_rows(planes: Bits, flow: Planes, out: Bits, top: int, bottom: int) -> None:
    """Rows of the source pixels nearest to where the vectors point, moved as bits."""
    channels, height, width = planes.shape
    for y in range(top, bottom):
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            across, _ = _split(u + _HALF)
            down, _ = _split(v + _HALF)
            column, row = _inside(x + across, width), _inside(y + down, height)
            for channel in range(channels):
                out[channel, y, x] = planes[channel, row, column]


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, i8, i8)")
def bilinear_rows(planes: Planes, flow: Planes, out: Planes, top: int, bottom: int) -> None:
    """Rows of a bilinear backward warp; a still pixel keeps its bits."""
    channels, height, width = planes.shape
    for y in range(top, bottom):
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            if u == _ZERO and v == _ZERO:
                for channel in range(channels):
                    out[channel, y, x] = planes[channel, y, x]
                continue
            across, fx = _split(u)
            down, fy = _split(v)
            left, right = _inside(x + across, width), _inside(x + across + 1, width)
            above, below = _inside(y + down, height), _inside(y + down + 1, height)
            gx, gy = _ONE - fx, _ONE - fy
            for channel in range(channels):
                first = planes[channel, above, left] * gx + planes[channel, above, right] * fx
                second = planes[channel, below, left] * gx + planes[channel, below, right] * fx
                out[channel, y, x] = first * gy + second * fy


@kernel(f"void({PLANES}, {PLANES}, u1[:,::1], {PLANES}, i8, i8)")
def unmixed_rows(planes: Planes, flow: Planes, smooth: Flags, out: Planes, top: int, bottom: int) -> None:
    """Rows of a bilinear backward warp on smooth cells and of nearest pixels elsewhere; a still pixel keeps its bits.

    ``smooth``: see :func:`kairos.motion.plane_kernels.smooth_rows`.
    """
    channels, height, width = planes.shape
    for y in range(top, bottom):
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            across, fx = _split(u)
            down, fy = _split(v)
            left, above = _inside(x + across, width), _inside(y + down, height)
            if (u == _ZERO and v == _ZERO) or smooth[above, left] == 0:
                column, row = _inside(x + _split(u + _HALF)[0], width), _inside(y + _split(v + _HALF)[0], height)
                for channel in range(channels):
                    out[channel, y, x] = planes[channel, row, column]
                continue
            right, below = _inside(x + across + 1, width), _inside(y + down + 1, height)
            gx, gy = _ONE - fx, _ONE - fy
            for channel in range(channels):
                first = planes[channel, above, left] * gx + planes[channel, above, right] * fx
                second = planes[channel, below, left] * gx + planes[channel, below, right] * fx
                out[channel, y, x] = first * gy + second * fy


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, b1[:,:,::1], i8, i8)")
def round_trip_rows(
    flow: Planes, back: Planes, error: Planes, inside: npt.NDArray[np.bool_], top: int, bottom: int
) -> None:
    """How far from a pixel the way along ``flow`` and back ends, and whether its vector ends inside the frame: rows of
    two planes (1, H, W).
    """
    _, height, width = flow.shape
    for y in range(top, bottom):
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            across, fx = _split(u)
            down, fy = _split(v)
            left, right = _inside(x + across, width), _inside(x + across + 1, width)
            above, below = _inside(y + down, height), _inside(y + down + 1, height)
            gx, gy = _ONE - fx, _ONE - fy
            first = back[0, above, left] * gx + back[0, above, right] * fx
            second = back[0, below, left] * gx + back[0, below, right] * fx
            away = u + (first * gy + second * fy)
            first = back[1, above, left] * gx + back[1, above, right] * fx
            second = back[1, below, left] * gx + back[1, below, right] * fx
            astray = v + (first * gy + second * fy)
            error[0, y, x] = np.sqrt(away * away + astray * astray)
            ends_x, ends_y = np.float32(x) + u, np.float32(y) + v
            within_x = ends_x > -_HALF and ends_x < np.float32(width) - _HALF
            inside[0, y, x] = within_x and ends_y > -_HALF and ends_y < np.float32(height) - _HALF


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, b1, i8, i8)")
def cubic_rows(planes: Planes, flow: Planes, out: Planes, clamp: bool, top: int, bottom: int) -> None:
    """Rows of a Catmull-Rom backward warp, clamped to the extremes of the 16 pixels it looks at where asked to."""
    channels, height, width = planes.shape
    for y in range(top, bottom):
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            if u == _ZERO and v == _ZERO:
                for channel in range(channels):
                    out[channel, y, x] = planes[channel, y, x]
                continue
            across, fx = _split(u)
            down, fy = _split(v)
            w0, w1, w2, w3 = _cubic(fx)
            h0, h1, h2, h3 = _cubic(fy)
            x0, x1 = _inside(x + across - 1, width), _inside(x + across, width)
            x2, x3 = _inside(x + across + 1, width), _inside(x + across + 2, width)
            y0, y1 = _inside(y + down - 1, height), _inside(y + down, height)
            y2, y3 = _inside(y + down + 1, height), _inside(y + down + 2, height)
            for channel in range(channels):
                total = _ZERO
                low = planes[channel, y0, x0]
                high = low
                for row, weight in ((y0, h0), (y1, h1), (y2, h2), (y3, h3)):
                    a, b = planes[channel, row, x0], planes[channel, row, x1]
                    c, d = planes[channel, row, x2], planes[channel, row, x3]
                    total += (a * w0 + b * w1 + c * w2 + d * w3) * weight
                    if clamp:
                        low = min(min(low, min(a, b)), min(c, d))
                        high = max(max(high, max(a, b)), max(c, d))
                if clamp:
                    if total < low:
                        total = low
                    if total > high:
                        total = high
                out[channel, y, x] = total


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, b1, i8, i8)")
def lanczos_rows(planes: Planes, flow: Planes, out: Planes, clamp: bool, top: int, bottom: int) -> None:
    """Rows of a Lanczos backward warp, clamped to the extremes of the 36 pixels it looks at where asked to."""
    channels, height, width = planes.shape
    over, along = np.empty(6, np.float32), np.empty(6, np.float32)
    columns, rows = np.empty(6, np.uintp), np.empty(6, np.uintp)
    for y in range(top, bottom):
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            if u == _ZERO and v == _ZERO:
                for channel in range(channels):
                    out[channel, y, x] = planes[channel, y, x]
                continue
            across, fx = _split(u)
            down, fy = _split(v)
            _lanczos(fx, along)
            _lanczos(fy, over)
            for tap in range(6):
                columns[tap] = _inside(x + across + tap - 2, width)
                rows[tap] = _inside(y + down + tap - 2, height)
            for channel in range(channels):
                total = _ZERO
                low = planes[channel, rows[0], columns[0]]
                high = low
                for line in range(6):
                    part = _ZERO
                    for tap in range(6):
                        value = planes[channel, rows[line], columns[tap]]
                        part += value * along[tap]
                        low, high = min(low, value), max(high, value)
                    total += part * over[line]
                if clamp:
                    if total < low:
                        total = low
                    if total > high:
                        total = high
                out[channel, y, x] = total


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, i8, i8)")
def mix_rows(first: Planes, second: Planes, amount: Planes, top: int, bottom: int) -> None:
    """Rows of ``first`` become ``second + amount * (first - second)``, from the nearer end; where both are equal they
    stay, sign of zero and all. ``amount`` is (1, H, W) in 0..1.
    """
    channels, _, width = first.shape
    for channel in range(channels):
        for y in range(top, bottom):
            for x in range(width):
                a, b, w = second[channel, y, x], first[channel, y, x], amount[0, y, x]
                mixed = a + w * (b - a) if w < _HALF else b - (b - a) * (_ONE - w)
                first[channel, y, x] = b if a == b else mixed


@kernel(f"void({PLANES}, {_REACH}, i8, i8)")
def reach_rows(flow: Planes, reach: Reach, top: int, bottom: int) -> None:
    """First and last target row that something of each source row goes to; the last before the first for none."""
    height, width = flow.shape[1:]
    for y in range(top, bottom):
        first, last = height, -1
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            if not (np.isfinite(u) and np.isfinite(v)):
                continue
            row = y + _split(v)[0]
            first, last = min(first, row), max(last, row + 1)
        reach[y, 0], reach[y, 1] = first, last


@kernel(f"void({PLANES}, {PLANES}, {_REACH}, f4, f4[::1], i8, i8)")
def greatest_rows(
    flow: Planes,
    importance: Planes,
    reach: Reach,
    least: np.float32,
    greatest: Plane,
    top: int,
    bottom: int,
) -> None:
    """The greatest importance (H * W,) that arrives at each pixel of some target rows; -inf where nothing does."""
    height, width = flow.shape[1:]
    greatest[top * width : bottom * width] = _NOTHING
    for y in range(height):
        if reach[y, 1] < top or reach[y, 0] >= bottom:
            continue
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            if not (np.isfinite(u) and np.isfinite(v)):
                continue
            across, fx = _split(u)
            down, fy = _split(v)
            for row, share_down in ((y + down, _ONE - fy), (y + down + 1, fy)):
                if row < top or row >= bottom:
                    continue
                for column, share_across in ((x + across, _ONE - fx), (x + across + 1, fx)):
                    if column < 0 or column >= width or not share_down * share_across > least:
                        continue
                    place = np.uintp(row * width + column)
                    greatest[place] = max(greatest[place], importance[0, y, x])


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, f4[::1], {_REACH}, i8, f4, f4[:,::1], f4[::1], f4[::1], i8, i8)")
def splat_rows(
    values: Planes,
    flow: Planes,
    importance: Planes,
    greatest: Plane,
    reach: Reach,
    mode: int,
    least: np.float32,
    mean: Plane,
    weights: Plane,
    coverage: Plane,
    top: int,
    bottom: int,
) -> None:
    """Some target rows of a splat: what arrives is added in the order of the source's pixels, whatever the rows.

    Args:
        values: (C, H, W).
        flow: (2, H, W).
        importance: (1, H, W), unread for :data:`AVERAGE`.
        greatest: (H * W,) of :func:`greatest_rows`, unread but for :data:`SOFTMAX`.
        reach: of :func:`reach_rows`.
        mode: :data:`AVERAGE`, :data:`LINEAR` or :data:`SOFTMAX`.
        least: shares not above it count as none.
        mean: (C, H * W), for the answer, as is ``coverage``, (H * W,).
        weights: (H * W,), for the sum of the weights.
        top, bottom: the rows.
    """
    channels, height, width = values.shape
    first, end = top * width, bottom * width
    mean[:, first:end] = _ZERO
    weights[first:end] = _ZERO
    coverage[first:end] = _ZERO
    # Of each pixel of a source row: the four places it is shared among, and the share of each, 0 for outside.
    places, shares = np.empty((4, width), np.uintp), np.empty((4, width), np.float32)
    p0, p1, p2, p3 = places[0], places[1], places[2], places[3]
    s0, s1, s2, s3 = shares[0], shares[1], shares[2], shares[3]
    for y in range(height):
        if reach[y, 1] < top or reach[y, 0] >= bottom:
            continue
        for x in range(width):
            u, v = flow[0, y, x], flow[1, y, x]
            across, fx = _split(u)
            down, fy = _split(v)
            row, column = y + down, x + across
            finite = np.isfinite(u) and np.isfinite(v)
            upper = _ONE - fy if finite and row >= top and row < bottom else _ZERO
            lower = fy if finite and row + 1 >= top and row + 1 < bottom else _ZERO
            left = _ONE - fx if column >= 0 and column < width else _ZERO
            right = fx if column + 1 >= 0 and column + 1 < width else _ZERO
            above = min(max(row, top), bottom - 1) * width
            below = min(max(row + 1, top), bottom - 1) * width
            near, far = min(max(column, 0), width - 1), min(max(column + 1, 0), width - 1)
            p0[x], p1[x], p2[x], p3[x] = above + near, above + far, below + near, below + far
            share = upper * left
            s0[x] = share if share > least else _ZERO
            share = upper * right
            s1[x] = share if share > least else _ZERO
            share = lower * left
            s2[x] = share if share > least else _ZERO
            share = lower * right
            s3[x] = share if share > least else _ZERO
        for x in range(width):
            coverage[p0[x]] += s0[x]
            coverage[p1[x]] += s1[x]
            coverage[p2[x]] += s2[x]
            coverage[p3[x]] += s3[x]
        if mode == LINEAR:
            for x in range(width):
                own = importance[0, y, x]
                s0[x] *= own
                s1[x] *= own
                s2[x] *= own
                s3[x] *= own
        elif mode == SOFTMAX:
            for x in range(width):
                own = importance[0, y, x]
                s0[x] = s0[x] * np.exp(own - greatest[p0[x]]) if s0[x] > _ZERO else _ZERO
                s1[x] = s1[x] * np.exp(own - greatest[p1[x]]) if s1[x] > _ZERO else _ZERO
                s2[x] = s2[x] * np.exp(own - greatest[p2[x]]) if s2[x] > _ZERO else _ZERO
                s3[x] = s3[x] * np.exp(own - greatest[p3[x]]) if s3[x] > _ZERO else _ZERO
        for x in range(width):
            weights[p0[x]] += s0[x]
            weights[p1[x]] += s1[x]
            weights[p2[x]] += s2[x]
            weights[p3[x]] += s3[x]
        for channel in range(channels):
            target, source = mean[channel], values[channel, y]
            for x in range(width):
                value = source[x]
                a0, a1, a2, a3 = p0[x], p1[x], p2[x], p3[x]
                target[a0] += value * s0[x]
                target[a1] += value * s1[x]
                target[a2] += value * s2[x]
                target[a3] += value * s3[x]
    for channel in range(channels):
        for place in range(first, end):
            weight = weights[place]
            mean[channel, place] = mean[channel, place] / max(weight, _TINY) if weight > _ZERO else _ZERO
