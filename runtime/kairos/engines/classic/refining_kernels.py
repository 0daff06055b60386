"""A motion field refined by its pictures, compiled for the CPU.

What changes least from one picture to the other, in brightness and in slope, and is smooth but for jumps: Brox, Bruhn,
Papenberg and Weickert, "High Accuracy Optical Flow Estimation Based on a Theory for Warping" (ECCV 2004), with terms
normalised as Kroeger et al. (ECCV 2016) do it, and solved by successive over-relaxation over pixels of two colours.

A row's even pixels lie side by side, and behind them its odd ones: the four neighbours of a pixel are of the other
colour, and so eight of one colour are worked out at once. What is to be solved is written down row by row, and all
sweeps over the pixels follow one another at a row's distance: nothing of it leaves the core's own cache.
"""

from __future__ import annotations

import numpy as np

from kairos.engines.classic.inverse_kernels import EDGE
from kairos.engines.vector_kernel import LANES, load, root, spread, store
from kairos.motion.compiled import Line, kernel, part

SWEEPS = 5
"""Of the solver, each over all pixels of one colour and then of the other."""

ROWS = 16
"""Rows that are kept of what is to be solved: more than the sweeps are apart."""

PLANES, KEPT = 15, 7
"""Planes of a field's size that refining needs, and planes of a few rows."""

_U, _V, _A, _Z, _X, _Y, _P = 0, 1, 2, 3, 4, 5, 6
"""Planes: motion; mean of both pictures, their difference; slopes of the mean; and nine of what must not change."""

_BRIGHTNESS, _SLOPES, _SMOOTH, _OVER = (np.float32(each) for each in (5.0, 10.0, 20.0, 1.6))
"""Weights of brightness, slopes and smoothness, and relaxation. As Kroeger et al. have them, but twice as smooth: on
made scenes with grain, smoother fields are nearer to the truth.
"""

_NOISE, _SOFT = np.float32(1.0), np.float32(1e-4)
"""Squares of slopes, grey levels per pixel, that are told from none; and of errors and steps of the motion."""
_0, _HALF, _1, _TINY = (np.float32(each) for each in (0, 0.5, 1, 1e-9))

u = np.uintp


def lanes_of(width: int) -> int:
    """Pixels of either colour in a row."""
    return ((width + 1) // 2 + LANES - 1) // LANES * LANES


def row_of(width: int) -> int:
    """Numbers from row to row of a plane."""
    return 2 * lanes_of(width) + 3 * LANES


@part
def _turned(line: Line, row: int, lanes: int) -> None:
    """Repeats the first and the last pixel of a row beyond it."""
    line[u(row + lanes + 2 * LANES - 1)] = line[u(row + LANES)]
    line[u(row + lanes + LANES)] = line[u(row + 2 * lanes + 2 * LANES - 1)]


@part
def _warped(
    first: Line, second: Line, pitch: int, height: int, width: int, weight: Line, across: Line, down: Line,
    work: Line, plane: int, row: int, lanes: int,
) -> None:  # fmt: skip
    """The field, and where it points: mean and difference of both pictures, even and odd pixels apart."""
    for y in range(height):
        at, base = (y + EDGE) * pitch + EDGE, (y + 1) * row
        for x in range(2 * lanes):
            column = min(x, width - 1)
            p = u(at + column)
            part_of = _1 / weight[p]
            move_x, move_y = across[p] * part_of, down[p] * part_of
            px = min(max(np.float32(column) + move_x, -_1), np.float32(width)) + np.float32(EDGE)
            py = min(max(np.float32(y) + move_y, -_1), np.float32(height)) + np.float32(EDGE)
            left, top = int(px), int(py)
            fx, fy = px - np.float32(left), py - np.float32(top)
            q = u(top * pitch + left)
            r = q + u(pitch)
            above = second[q] + fx * (second[q + u(1)] - second[q])
            below = second[r] + fx * (second[r + u(1)] - second[r])
            there, here = above + fy * (below - above), first[p]
            to = u(base + LANES + (x >> 1) + (x & 1) * (lanes + LANES))
            work[to] = move_x
            work[u(_V * plane) + to] = move_y
            work[u(_A * plane) + to] = _HALF * (here + there)
            work[u(_Z * plane) + to] = there - here
        _turned(work, _A * plane + base, lanes)
        _turned(work, _Z * plane + base, lanes)


@part
def _sloped(work: Line, plane: int, height: int, row: int, lanes: int) -> None:
    """Slopes of the mean of both pictures."""
    half = spread(_HALF)
    for y in range(height):
        base = _A * plane + (y + 1) * row
        above, below = row if y > 0 else 0, row if y < height - 1 else 0
        for colour in range(2):
            begin = base + LANES + colour * (lanes + LANES)
            left = base + LANES + (lanes + LANES - 1 if colour == 0 else 0)
            for k in range(0, lanes, LANES):
                o, p = u(begin + k), u(left + k)
                store(work, o + u((_X - _A) * plane), (load(work, p + u(1)) - load(work, p)) * half)
                store(work, o + u((_Y - _A) * plane), (load(work, o + u(below)) - load(work, o - u(above))) * half)
        _turned(work, _X * plane + (y + 1) * row, lanes)
        _turned(work, _Y * plane + (y + 1) * row, lanes)


@part
def _kept(work: Line, plane: int, height: int, row: int, lanes: int) -> None:
    """What must not change from picture to picture, each as two slopes and a difference of the motion itself."""
    half, noise, one = spread(_HALF), spread(_NOISE), spread(_1)
    for y in range(height):
        above, below = u(row if y > 0 else 0), u(row if y < height - 1 else 0)
        for colour in range(2):
            begin = (y + 1) * row + LANES + colour * (lanes + LANES)
            left = (y + 1) * row + LANES + (lanes + LANES - 1 if colour == 0 else 0)
            for k in range(0, lanes, LANES):
                o, p = u(begin + k), u(left + k)
                move_x, move_y = load(work, o), load(work, o + u(_V * plane))
                x, y_, z = o + u(_X * plane), o + u(_Y * plane), o + u(_Z * plane)
                a, b, c = load(work, x), load(work, y_), load(work, z)
                by = one / root(a * a + b * b + noise)
                a, b, c = a * by, b * by, c * by
                to = o + u(_P * plane)
                store(work, to, a)
                store(work, to + u(plane), b)
                store(work, to + u(2 * plane), c - a * move_x - b * move_y)
                q = p + u(_X * plane)
                a = (load(work, q + u(1)) - load(work, q)) * half
                b = (load(work, x + below) - load(work, x - above)) * half
                q = p + u(_Z * plane)
                c = (load(work, q + u(1)) - load(work, q)) * half
                by = one / root(a * a + b * b + noise)
                a, d, c = a * by, b * by, c * by
                store(work, to + u(3 * plane), a)
                store(work, to + u(4 * plane), d)
                store(work, to + u(5 * plane), c - a * move_x - d * move_y)
                a = (load(work, y_ + below) - load(work, y_ - above)) * half
                c = (load(work, z + below) - load(work, z - above)) * half
                by = one / root(a * a + b * b + noise)
                a, b, c = a * by, b * by, c * by
                store(work, to + u(6 * plane), b)
                store(work, to + u(7 * plane), a)
                store(work, to + u(8 * plane), c - b * move_x - a * move_y)


@part
def _written(work: Line, plane: int, y: int, height: int, row: int, lanes: int, inside: Line, kept: Line) -> None:
    """A row of what is to be solved."""
    some = ROWS * row
    soft = spread(_SOFT)
    smooth, bright, slope = spread(_SMOOTH), spread(_BRIGHTNESS), spread(_SLOPES)
    ring = (y & (ROWS - 1)) * row
    over = ((y - 1) & (ROWS - 1)) * row
    last = spread(_1 if y < height - 1 else _0)
    for colour in range(2):
        begin = LANES + colour * (lanes + LANES)
        right = LANES + (lanes + LANES if colour == 0 else 1)
        for k in range(0, lanes, LANES):
            o, p, r = u((y + 1) * row + begin + k), u((y + 1) * row + right + k), u(ring + begin + k)
            move_x, move_y = load(work, o), load(work, o + u(_V * plane))
            within = load(inside, u(begin + k))
            a, b = (load(work, p) - move_x) * within, (load(work, p + u(_V * plane)) - move_y) * within
            c = (load(work, o + u(row)) - move_x) * last
            d = (load(work, o + u(row) + u(_V * plane)) - move_y) * last
            stiff = smooth / root((a * a + b * b) + (c * c + d * d) + soft)
            store(kept, r, stiff * within)
            store(kept, r + u(some), stiff * last)
            to = o + u(_P * plane)
            ax, ay, az = load(work, to), load(work, to + u(plane)), load(work, to + u(2 * plane))
            bx, by, bz = load(work, to + u(3 * plane)), load(work, to + u(4 * plane)), load(work, to + u(5 * plane))
            cx, cy, cz = load(work, to + u(6 * plane)), load(work, to + u(7 * plane)), load(work, to + u(8 * plane))
            one = az + ax * move_x + ay * move_y
            two = bz + bx * move_x + by * move_y
            three = cz + cx * move_x + cy * move_y
            first = bright / root(one * one + soft)
            second = slope / root(two * two + three * three + soft)
            store(kept, r + u(2 * some), first * ax * ay + second * (bx * by + cx * cy))
            store(kept, r + u(3 * some), first * ax * az + second * (bx * bz + cx * cz))
            store(kept, r + u(4 * some), first * ay * az + second * (by * bz + cy * cz))
            store(kept, r + u(5 * some), first * ax * ax + second * (bx * bx + cx * cx))
            store(kept, r + u(6 * some), first * ay * ay + second * (by * by + cy * cy))
    relaxed, tiny = spread(_OVER), spread(_TINY)
    for colour in range(2):
        begin = LANES + colour * (lanes + LANES)
        left = LANES + (lanes + LANES - 1 if colour == 0 else 0)
        for k in range(0, lanes, LANES):
            r = u(ring + begin + k)
            around = load(kept, r) + load(kept, u(ring + left + k))
            around = around + (load(kept, r + u(some)) + load(kept, u(some + over + begin + k))) + tiny
            store(kept, r + u(5 * some), relaxed / (load(kept, r + u(5 * some)) + around))
            store(kept, r + u(6 * some), relaxed / (load(kept, r + u(6 * some)) + around))


@part
def _swept(work: Line, plane: int, y: int, colour: int, row: int, lanes: int, kept: Line) -> None:
    """Solves a row's pixels of one colour for the neighbours' motion as it is."""
    some = ROWS * row
    ring, over = (y & (ROWS - 1)) * row, ((y - 1) & (ROWS - 1)) * row
    begin = LANES + colour * (lanes + LANES)
    left = LANES + (lanes + LANES - 1 if colour == 0 else 0)
    base = (y + 1) * row
    rest = spread(_1 - _OVER)
    for k in range(0, lanes, LANES):
        o, p = u(base + begin + k), u(base + left + k)
        r = u(ring + begin + k)
        before, behind = load(kept, u(ring + left + k)), load(kept, r)
        above, below = load(kept, u(some + over + begin + k)), load(kept, r + u(some))
        cross = load(kept, r + u(2 * some))
        q, w = o + u(_V * plane), p + u(_V * plane)
        old_x, old_y = load(work, o), load(work, q)
        pulled = before * load(work, p) + behind * load(work, p + u(1))
        pulled = pulled + (above * load(work, o - u(row)) + below * load(work, o + u(row)))
        new_x = rest * old_x + load(kept, r + u(5 * some)) * (pulled - cross * old_y - load(kept, r + u(3 * some)))
        pulled = before * load(work, w) + behind * load(work, w + u(1))
        pulled = pulled + (above * load(work, q - u(row)) + below * load(work, q + u(row)))
        new_y = rest * old_y + load(kept, r + u(6 * some)) * (pulled - cross * new_x - load(kept, r + u(4 * some)))
        store(work, o, new_x)
        store(work, q, new_y)


@kernel(
    f"void({', '.join(['f4[::1]'] * 5)}, i8, i8, i8, i8, {', '.join(['f4[::1]'] * 4)})",
    contract=True,
)
def refine_field(
    first: Line, second: Line, weight: Line, across: Line, down: Line, pitch: int, height: int, width: int,
    refinements: int, work: Line, kept: Line, inside: Line, field: Line,
) -> None:  # fmt: skip
    """A motion field that fits its pictures better, and is smooth but for jumps.

    Args:
        first, second: pictures (height, width) with their borders.
        weight, across, down: sums of :func:`kairos.engines.classic.inverse_kernels.spread_patches`.
        refinements: how often the equations are written down anew and swept over.
        work: scratch of :data:`PLANES` planes (height + 2, :func:`row_of` width), of zeros.
        kept: scratch of :data:`KEPT` planes of 16 such rows, of zeros.
        inside: scratch of one such row, of zeros.
        field: gets (height, width, 2), pixels.
    """
    lanes = ((width + 1) // 2 + LANES - 1) // LANES * LANES
    row = 2 * lanes + 3 * LANES
    plane = (height + 2) * row
    for x in range(width - 1):
        inside[u(LANES + (x >> 1) + (x & 1) * (lanes + LANES))] = _1
    _warped(first, second, pitch, height, width, weight, across, down, work, plane, row, lanes)
    _sloped(work, plane, height, row, lanes)
    _kept(work, plane, height, row, lanes)
    for _ in range(refinements):
        for x in range(row):
            kept[u((2 * ROWS - 1) * row + x)] = _0
        for step in range(height + 2 * SWEEPS):
            if step < height:
                _written(work, plane, step, height, row, lanes, inside, kept)
            for sweep in range(2 * SWEEPS):
                y = step - 1 - sweep
                if 0 <= y < height:
                    _swept(work, plane, y, (y + sweep) & 1, row, lanes, kept)
    for y in range(height):
        base, to = (y + 1) * row + LANES, 2 * y * width
        for x in range(width):
            p, q = u(base + (x >> 1) + (x & 1) * (lanes + LANES)), u(to + 2 * x)
            field[q] = work[p]
            field[q + u(1)] = work[p + u(_V * plane)]
