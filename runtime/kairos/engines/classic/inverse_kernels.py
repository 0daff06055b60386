"""Dense inverse search compiled for the CPU: pictures of a pyramid, patches matched, and a field made of their motion.

Kroeger, Timofte, Dai and Van Gool, "Fast Optical Flow using Dense Inverse Search" (ECCV 2016). Imported by
:mod:`kairos.engines.classic.inverse_search` alone, when a search first needs it; its field is refined in
:mod:`kairos.engines.classic.refining_kernels`.

Pictures are float32 lines with a border of :data:`EDGE` repeated pixels on every side, so that no place that a patch
may take has to be asked for. A patch is eight vectors of eight pixels. What a kernel answers hangs on no thread: one
call does all of its work in one order.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
import numpy.typing as npt

from kairos.engines.vector_kernel import LANES, greater, halves, load, size, spread, store, sums
from kairos.motion.compiled import Line, kernel, part

Picture = npt.NDArray[np.float32]
"""(H, W), contiguous."""
Places = npt.NDArray[np.int64]

PATCH = 8
"""Side of a patch, pixels."""

EDGE = 16
"""Border of a picture, pixels."""

STATE = 8
"""Numbers kept of every patch: the inverse of its structure tensor (3) and its mean slopes (2), and of where it is now
its error and the slopes of that (2).
"""

_TURNS = 2
_0, _1, _HALF, _QUARTER, _EIGHTH, _MIDDLE = (np.float32(each) for each in (0, 1, 0.5, 0.25, 0.125, PATCH / 2))

_DAMPING = np.float32(20.0)
"""Added to the structure tensor's diagonal, grey levels squared: what is flat does not run away on its grain. For the
same reason the tensor keeps what the mean slopes add to it, though patterns are compared without their means.
"""

_STEP = np.float32(0.5)
"""Of the way that the slopes tell: in pictures with grain, half steps end nearer to the truth."""

_CLOSE = np.float32(1e-4)
"""Square of the distance, pixels, at which a neighbour's motion is the patch's own."""

_ENOUGH = np.float32(1e-6)
"""Square of the step, pixels, after which a patch has arrived."""

_FURTHEST = np.float32(PATCH * PATCH)
"""Square of the distance, pixels, after which a patch that moves on in one turn is lost."""

u = np.uintp


def pitch_of(width: int) -> int:
    """Numbers from row to row of a picture with its border."""
    return (width + 2 * EDGE + LANES - 1) // LANES * LANES


@part
def _bordered(out: Line, pitch: int, height: int, width: int) -> None:
    """Repeats the outermost pixels all around."""
    for y in range(EDGE, EDGE + height):
        row = y * pitch
        for x in range(EDGE):
            out[u(row + x)] = out[u(row + EDGE)]
        for x in range(EDGE + width, pitch):
            out[u(row + x)] = out[u(row + EDGE + width - 1)]
    for y in range(EDGE):
        above, below = EDGE * pitch, (EDGE + height - 1) * pitch
        for x in range(pitch):
            out[u(y * pitch + x)] = out[u(above + x)]
            out[u((EDGE + height + y) * pitch + x)] = out[u(below + x)]


@kernel("void(f4[:,::1], f4[::1], i8)", contract=True)
def frame_picture(picture: Picture, out: Line, pitch: int) -> None:
    """A picture with its border."""
    height, width = picture.shape
    for y in range(height):
        row = (y + EDGE) * pitch + EDGE
        for x in range(width):
            out[u(row + x)] = picture[u(y), u(x)]
    _bordered(out, pitch, height, width)


@kernel("void(f4[::1], i8, f4[::1], i8, i8, i8)", contract=True)
def halve_picture(fine: Line, fine_pitch: int, out: Line, pitch: int, height: int, width: int) -> None:
    """A picture of (height, width) from one twice the size: means of 2 by 2 pixels."""
    quarter = spread(_QUARTER)
    for y in range(height):
        row, above = (y + EDGE) * pitch + EDGE, (2 * y + EDGE) * fine_pitch + EDGE
        for x in range(0, width, LANES):
            if x + LANES <= width:
                one, two = halves(fine, u(above + 2 * x))
                three, four = halves(fine, u(above + fine_pitch + 2 * x))
                store(out, u(row + x), ((one + two) + (three + four)) * quarter)
                continue
            for k in range(x, width):
                p = u(above + 2 * k)
                q = p + u(fine_pitch)
                out[u(row + k)] = ((fine[p] + fine[p + u(1)]) + (fine[q] + fine[q + u(1)])) * _QUARTER
    _bordered(out, pitch, height, width)


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8, i8)", contract=True)
def find_slopes(picture: Line, across: Line, down: Line, pitch: int, height: int, width: int) -> None:
    """Slopes of a picture along x and y (Sobel's operator), grey levels per pixel; none beyond the picture."""
    eighth = spread(_EIGHTH)
    for y in range(height):
        row = (y + EDGE) * pitch + EDGE
        for x in range(0, width, LANES):
            p = u(row + x)
            q, r = p - u(pitch), p + u(pitch)
            one, two, three = load(picture, q - u(1)), load(picture, q), load(picture, q + u(1))
            four, five = load(picture, p - u(1)), load(picture, p + u(1))
            six, seven, eight = load(picture, r - u(1)), load(picture, r), load(picture, r + u(1))
            store(across, p, ((three - one) + (eight - six) + (five - four) + (five - four)) * eighth)
            store(down, p, ((six - one) + (eight - three) + (seven - two) + (seven - two)) * eighth)
        for x in range(width, (width + LANES - 1) // LANES * LANES):
            across[u(row + x)] = _0
            down[u(row + x)] = _0


@part
def _placed(x: np.float32, y: np.float32, pitch: int, height: int, width: int) -> Tuple[u, np.float32, np.float32]:
    """Where a patch at (x, y) begins in a picture, and its fractions of a pixel; one that has left it touches it."""
    if not x > np.float32(-PATCH):
        x = np.float32(-PATCH)
    if x > np.float32(width):
        x = np.float32(width)
    if not y > np.float32(-PATCH):
        y = np.float32(-PATCH)
    if y > np.float32(height):
        y = np.float32(height)
    x += np.float32(EDGE)
    y += np.float32(EDGE)
    column, row = int(x), int(y)
    return u(row * pitch + column), x - np.float32(column), y - np.float32(row)


@part
def _compared(
    second: Line, there: u, x: np.float32, y: np.float32, first: Line, across: Line, down: Line, here: u, pitch: u
) -> Tuple[np.float32, np.float32, np.float32, np.float32]:
    """Of the differences of a patch here and there: squares, sum, and sums of their products with both slopes."""
    right, lower = spread(x), spread(y)
    squares = spread(_0)
    plain, along_x, along_y = squares, squares, squares
    left = load(second, there)
    above = left + right * (load(second, there + u(1)) - left)
    for _ in range(PATCH):
        there += pitch
        left = load(second, there)
        below = left + right * (load(second, there + u(1)) - left)
        apart = above + lower * (below - above) - load(first, here)
        squares += apart * apart
        plain += apart
        along_x += apart * load(across, here)
        along_y += apart * load(down, here)
        above = below
        here += pitch
    found: Tuple[np.float32, np.float32, np.float32, np.float32] = sums(squares, plain, along_x, along_y)
    return found


@part
def _sampled(field: Line, height: int, width: int, x: np.float32, y: np.float32) -> Tuple[np.float32, np.float32]:
    """A field (height, width, 2) at a place, bilinear, its border repeated."""
    x = min(max(x, _0), np.float32(width - 1))
    y = min(max(y, _0), np.float32(height - 1))
    left, top = int(x), int(y)
    fx, fy = x - np.float32(left), y - np.float32(top)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    a, b = u(2 * (top * width + left)), u(2 * (top * width + right))
    c, d = u(2 * (bottom * width + left)), u(2 * (bottom * width + right))
    gx, gy = _1 - fx, _1 - fy
    one = (field[a] * gx + field[b] * fx) * gy + (field[c] * gx + field[d] * fx) * fy
    a, b, c, d = a + u(1), b + u(1), c + u(1), d + u(1)
    return one, (field[a] * gx + field[b] * fx) * gy + (field[c] * gx + field[d] * fx) * fy


@part
def _begun(
    first: Line, across: Line, down: Line, here: u, pitch: u, share: np.float32, states: Line, s: u
) -> None:  # fmt: skip
    """What holds of a patch wherever it goes."""
    xx = spread(_0)
    xy, yy, x, y = xx, xx, xx, xx
    for _ in range(PATCH):
        one, two = load(across, here), load(down, here)
        xx += one * one
        xy += one * two
        yy += two * two
        x += one
        y += two
        here += pitch
    a, b, c, mean_x = sums(xx, xy, yy, x)
    mean_y, _two, _three, _four = sums(y, y, y, y)
    a, c = a + _DAMPING, c + _DAMPING
    factor = -_STEP / (a * c - b * b)
    states[s], states[s + u(1)], states[s + u(2)] = c * factor, -b * factor, a * factor
    states[s + u(3)], states[s + u(4)] = mean_x * share, mean_y * share


@kernel(
    f"void({', '.join(['f4[::1]'] * 4)}, i8, i8, i8, i8[::1], i8[::1], f4[::1], i8, i8, f4, f4[::1], f4[::1], f4, i8)",
    contract=True,
)
def match_patches(
    first: Line, across: Line, down: Line, second: Line, pitch: int, height: int, width: int, tops: Places,
    lefts: Places, start: Line, start_height: int, start_width: int, scale: np.float32, states: Line, flows: Line,
    share: np.float32, iterations: int,
) -> None:  # fmt: skip
    """Where every patch of the first picture has gone in the second.

    Twice over: row by row from above left, and back from below right. Each time a patch begins from the best of its own
    motion and that of the two neighbours just moved, and then goes down its error's slope.

    Args:
        first, across, down, second: pictures (height, width) with their borders, the first's slopes with it.
        tops, lefts: rows and columns of the patches.
        start: (start_height, start_width, 2) motion to begin from, in pixels of its own grid.
        scale: pixels of the pictures that are as long as one of that grid.
        states: scratch, :data:`STATE` numbers for each patch.
        flows: gets (tops, lefts, 2) motion in pixels.
        share: what is taken off the squares of differences, of the square of their sum: 1 / 64 compares patterns alone,
            0 their brightness too.
        iterations: steps of each patch, at most.
    """
    many, wide = len(tops), len(lefts)
    back = _1 / scale
    step = u(pitch)
    for turn in range(_TURNS):
        for i in range(many):
            row = i if turn == 0 else many - 1 - i
            for j in range(wide):
                column = j if turn == 0 else wide - 1 - j
                patch = row * wide + column
                top, left = tops[u(row)], lefts[u(column)]
                here = u((top + EDGE) * pitch + left + EDGE)
                s, f = u(STATE * patch), u(2 * patch)
                x0, y0 = np.float32(left), np.float32(top)
                if turn == 0:
                    _begun(first, across, down, here, step, share, states, s)
                    move_x, move_y = _sampled(
                        start, start_height, start_width, (x0 + _MIDDLE) * back - _HALF, (y0 + _MIDDLE) * back - _HALF
                    )
                    move_x, move_y = move_x * scale, move_y * scale
                    there, fx, fy = _placed(x0 + move_x, y0 + move_y, pitch, height, width)
                    squares, plain, along_x, along_y = _compared(second, there, fx, fy, first, across, down, here, step)
                    error = squares - plain * plain * share
                    along_x -= plain * states[s + u(3)]
                    along_y -= plain * states[s + u(4)]
                else:
                    move_x, move_y = flows[f], flows[f + u(1)]
                    error, along_x, along_y = states[s + u(5)], states[s + u(6)], states[s + u(7)]
                for side in range(2):
                    if side == 0:
                        if j == 0:
                            continue
                        other = patch - 1 if turn == 0 else patch + 1
                    else:
                        if i == 0:
                            continue
                        other = patch - wide if turn == 0 else patch + wide
                    new_x, new_y = flows[u(2 * other)], flows[u(2 * other + 1)]
                    far_x, far_y = new_x - move_x, new_y - move_y
                    if far_x * far_x + far_y * far_y < _CLOSE:
                        continue
                    there, fx, fy = _placed(x0 + new_x, y0 + new_y, pitch, height, width)
                    squares, plain, new_along_x, new_along_y = _compared(
                        second, there, fx, fy, first, across, down, here, step
                    )
                    new_error = squares - plain * plain * share
                    if new_error < error:
                        error, move_x, move_y = new_error, new_x, new_y
                        along_x = new_along_x - plain * states[s + u(3)]
                        along_y = new_along_y - plain * states[s + u(4)]
                begin_x, begin_y = move_x, move_y
                for _ in range(iterations // _TURNS):
                    step_x = states[s] * along_x + states[s + u(1)] * along_y
                    step_y = states[s + u(1)] * along_x + states[s + u(2)] * along_y
                    new_x, new_y = move_x + step_x, move_y + step_y
                    far_x, far_y = new_x - begin_x, new_y - begin_y
                    if far_x * far_x + far_y * far_y > _FURTHEST or step_x * step_x + step_y * step_y < _ENOUGH:
                        break
                    there, fx, fy = _placed(x0 + new_x, y0 + new_y, pitch, height, width)
                    squares, plain, new_along_x, new_along_y = _compared(
                        second, there, fx, fy, first, across, down, here, step
                    )
                    new_error = squares - plain * plain * share
                    if not new_error < error:
                        break
                    error, move_x, move_y = new_error, new_x, new_y
                    along_x = new_along_x - plain * states[s + u(3)]
                    along_y = new_along_y - plain * states[s + u(4)]
                flows[f], flows[f + u(1)] = move_x, move_y
                states[s + u(5)], states[s + u(6)], states[s + u(7)] = error, along_x, along_y


@kernel(
    f"void({', '.join(['f4[::1]'] * 2)}, i8, i8, i8, i8[::1], i8[::1], {', '.join(['f4[::1]'] * 4)})", contract=True
)
def spread_patches(
    first: Line, second: Line, pitch: int, height: int, width: int, tops: Places, lefts: Places, flows: Line,
    weight: Line, across: Line, down: Line,
) -> None:  # fmt: skip
    """Sums over all patches of their motion at every pixel, by how well each fits there, and of what they weigh.

    Args:
        weight, across, down: get the sums, laid out as a picture with its border.
    """
    none, one = spread(_0), spread(_1)
    for p in range(0, (height + 2 * EDGE) * pitch, LANES):
        store(weight, u(p), none)
        store(across, u(p), none)
        store(down, u(p), none)
    step, wide = u(pitch), len(lefts)
    for i in range(len(tops)):
        for j in range(wide):
            patch = i * wide + j
            top, left = tops[u(i)], lefts[u(j)]
            here = u((top + EDGE) * pitch + left + EDGE)
            move_x, move_y = flows[u(2 * patch)], flows[u(2 * patch + 1)]
            there, fx, fy = _placed(np.float32(left) + move_x, np.float32(top) + move_y, pitch, height, width)
            right, lower, along_x, along_y = spread(fx), spread(fy), spread(move_x), spread(move_y)
            begin = load(second, there)
            above = begin + right * (load(second, there + u(1)) - begin)
            for _ in range(PATCH):
                there += step
                begin = load(second, there)
                below = begin + right * (load(second, there + u(1)) - begin)
                apart = size(above + lower * (below - above) - load(first, here))
                fit = one / greater(apart, one)
                store(weight, here, load(weight, here) + fit)
                store(across, here, load(across, here) + fit * along_x)
                store(down, here, load(down, here) + fit * along_y)
                above = below
                here += step


@kernel("void(f4[::1], f4[::1], f4[::1], i8, i8, i8, f4[::1])", contract=True)
def mean_field(weight: Line, across: Line, down: Line, pitch: int, height: int, width: int, field: Line) -> None:
    """The field (height, width, 2) that :func:`spread_patches` has summed up."""
    for y in range(height):
        row, to = u((y + EDGE) * pitch + EDGE), u(2 * y * width)
        for x in range(width):
            p, q = row + u(x), to + u(2 * x)
            part_of = _1 / weight[p]
            field[q] = across[p] * part_of
            field[q + u(1)] = down[p] * part_of
