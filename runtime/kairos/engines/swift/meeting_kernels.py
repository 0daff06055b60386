"""What happens around the meeting network, in two passes over the frame, compiled for the CPU.

Imported by :mod:`kairos.engines.swift.quick` alone, when a frame first needs it. Planes are flat, H * W numbers each; a
cell is 4 by 4 pixels. What lies beyond the frame, up to whole cells, repeats its border.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import Plane, kernel
from kairos.motion.place_kernels import fetched, kept

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
_ANSWERS = 31
_WEIGHT, _HIDDEN = 4, 20
"""Which of its answers the weight's begin with, and those on what is hidden."""
_LOG2 = np.float32(1.4426950408889634)
_FURTHEST = np.float32(80)
_C1, _C2, _C3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.05550410866482158)
_C4, _C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
_C6 = np.float32(0.0001540353039338161)


@kernel(
    "void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4[::1],"
    " f4[::1], f4[::1], f4[::1], f4, f4, i8, i8, i8, i8, i8)",
    contract=True,
)
def gather_rows(
    first: Plane, second: Plane, hidden0: Plane, hidden1: Plane, there: Plane, back: Plane, to_0: Plane, to_1: Plane,
    velocity: Plane, seen0: Plane, seen1: Plane, trust: Plane, cells: Plane, bright: Plane, told: Plane,
    time: np.float32, speed: np.float32, height: int, width: int, across: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of cells, as the network is told them.

    Args:
        first, second: three planes of either frame; hidden0, hidden1: hidden in the other frame.
        there, back, to_0, to_1, velocity: two planes each, pixels.
        cells: (rows of cells, across, 106): both frames fetched and rolled off, and what is known.
        bright: the brightest that was fetched.
        told: two planes: hidden in the first and in the second frame, fetched.
        speed: pixels that count as 1.
        across: cells in a row.
    """
    size, wide = u(height * width), 4 * across
    places, shares = np.empty(wide, np.uint32), np.empty((2, wide), np.float32)
    right, below = u(1 if width > 1 else 0), u(width if height > 1 else 0)
    most_x, most_y = np.float32(width - 1), np.float32(height - 1)
    last_x, last_y = np.int32(max(0, width - 2)), np.int32(max(0, height - 2))
    line = np.empty((3, wide), np.float32)
    sums = np.empty((9, across), np.float32)
    for cell_row in range(top, bottom):
        base = u(cell_row * across * _TOLD)
        for each in range(9):
            for cell in range(across):
                sums[u(each), u(cell)] = _0
        for inner in range(4):
            y = 4 * cell_row + inner
            is_real = y < height
            y = min(y, height - 1)
            at = u(y * width)
            for side in range(2):
                flow = to_0 if side == 0 else to_1
                for x in range(width):
                    place_x = kept(np.float32(np.int32(x)) + flow[at + u(x)], most_x)
                    place_y = kept(np.float32(np.int32(y)) + flow[size + at + u(x)], most_y)
                    column, row = np.int32(place_x), np.int32(place_y)
                    column, row = column if column < last_x else last_x, row if row < last_y else last_y
                    shares[0, u(x)], shares[1, u(x)] = place_x - np.float32(column), place_y - np.float32(row)
                    places[u(x)] = np.uint32(np.uint32(row) * np.uint32(width) + np.uint32(column))
                picture = first if side == 0 else second
                for x in range(width):
                    i, b, d = u(places[u(x)]), shares[0, u(x)], shares[1, u(x)]
                    line[0, u(x)] = fetched(picture, i, right, below, b, d)
                    line[1, u(x)] = fetched(picture, size + i, right, below, b, d)
                    line[2, u(x)] = fetched(picture, size + size + i, right, below, b, d)
                if is_real:
                    gone = hidden1 if side == 1 else hidden0
                    # What the second frame's pixel says of the first, and the reverse.
                    to = at + (size if side == 0 else u(0))
                    for x in range(width):
                        told[to + u(x)] = fetched(gone, u(places[u(x)]), right, below, shares[0, u(x)], shares[1, u(x)])
                    for x in range(width):
                        most = max(line[0, u(x)], max(line[1, u(x)], line[2, u(x)]))
                        bright[at + u(x)] = most if side == 0 else max(bright[at + u(x)], most)
                for channel in range(3):
                    many = np.int32(0)
                    for x in range(width):
                        centred = (line[u(channel), u(x)] - _HALF) * _2
                        line[u(channel), u(x)] = centred
                        many += np.int32(1) if abs(centred) > _1 else np.int32(0)
                    if many:
                        for x in range(width):
                            centred = line[u(channel), u(x)]
                            if abs(centred) > _1:
                                rolled = _1 + _HALF * np.log1p(abs(centred) - _1)
                                line[u(channel), u(x)] = rolled if centred > _0 else -rolled
                    for x in range(width, wide):
                        line[u(channel), u(x)] = line[u(channel), u(width - 1)]
                    to = base + u((3 * side + channel) * _PIXELS + 4 * inner)
                    for cell in range(across):
                        for x in range(4):
                            cells[to + u(x)] = line[u(channel), u(4 * cell + x)]
                        to += u(_TOLD)
            for each in range(9):
                plane = to_0
                start = at
                if each == 1:
                    start = size + at
                elif each == 2:
                    plane = to_1
                elif each == 3:
                    plane, start = to_1, size + at
                elif each == 4:
                    plane = seen0
                elif each == 5:
                    plane = seen1
                elif each == 6:
                    plane = trust
                elif each == 7:
                    plane = velocity
                elif each == 8:
                    plane, start = velocity, size + at
                whole = width // 4
                for cell in range(whole):
                    i = start + u(4 * cell)
                    sums[u(each), u(cell)] += (plane[i] + plane[i + u(1)]) + (plane[i + u(2)] + plane[i + u(3)])
                for cell in range(whole, across):
                    for x in range(4 * cell, 4 * cell + 4):
                        sums[u(each), u(cell)] += plane[start + u(min(x, width - 1))]
        for cell in range(across):
            to = base + u(cell * _TOLD + _PICTURES)
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
                gone, motion = hidden0 if side == 0 else hidden1, there if side == 0 else back
                sign = _1 if side == 0 else -_1
                cells[to + u(6 + side)] = fetched(gone, i, right, below, b, d)
                apart_x = sign * fetched(motion, i, right, below, b, d) - speed_x
                apart_y = sign * fetched(motion, size + i, right, below, b, d) - speed_y
                cells[to + u(8 + side)] = np.log1p(np.sqrt(apart_x * apart_x + apart_y * apart_y))


@kernel(
    "void(f4[::1], f4[::1], f4[::1], u1[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4, f4, f4, i8, i8, i8, i8, i8)",
    contract=True,
)
def decide_rows(
    seen0: Plane, seen1: Plane, trust: Plane, quiet: Flags, told: Plane, calm: Plane, answers: Plane, decided: Plane,
    time: np.float32, doubt: np.float32, sure: np.float32, height: int, width: int, across: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of the first frame's weight, of what is hidden in either frame, and of the confidence.

    Args:
        told: two planes; calm: how far weights are corrected; of one number for all.
        answers: (rows of cells, across, 31), the network's.
        decided: four planes.
        doubt: weight of a source that does not show the pixel.
        sure: least and, from 1, most that is said to be hidden before the network corrects it.
    """
    size, wide = u(height * width), 4 * across
    odds, powers = np.empty((3, wide), np.float32), np.empty((3, wide), np.int32)
    lifted = powers.view(np.float32)
    half = np.empty((2, 2 * across), np.float32)
    halves = 2 * (answers.size // (across * _ANSWERS))
    is_even = calm.size == 1
    for y in range(top, bottom):
        at = u(y * width)
        line = u((y // 4) * across * _ANSWERS + _WEIGHT + 4 * (y % 4))
        for cell in range(across):
            for x in range(4):
                odds[0, u(4 * cell + x)] = answers[line + u(x)]
            line += u(_ANSWERS)
        if is_even:
            for x in range(width):
                odds[0, u(x)] = odds[0, u(x)] * calm[0]
        else:
            for x in range(width):
                odds[0, u(x)] = odds[0, u(x)] * calm[at + u(x)]
        for x in range(width):
            odds[0, u(x)] = odds[0, u(x)] if quiet[at + u(x)] == 0 else _0
        near = y // 2
        far = min(near + 1, halves - 1) if y % 2 else max(near - 1, 0)
        for side in range(2):
            one = u((near // 2) * across * _ANSWERS + _HIDDEN + 4 * side + 2 * (near % 2))
            two = u((far // 2) * across * _ANSWERS + _HIDDEN + 4 * side + 2 * (far % 2))
            for cell in range(across):
                for x in range(2):
                    between = answers[one + u(x)] * _THREE_QUARTERS + answers[two + u(x)] * _QUARTER
                    half[u(side), u(2 * cell + x)] = between
                one, two = one + u(_ANSWERS), two + u(_ANSWERS)
            last = 2 * across - 1
            row = u(1 + side)
            odds[row, u(0)] = half[u(side), u(0)]
            odds[row, u(2 * last + 1)] = half[u(side), u(last)]
            for x in range(last):
                left, right = half[u(side), u(x)], half[u(side), u(x + 1)]
                odds[row, u(2 * x + 1)] = left * _THREE_QUARTERS + right * _QUARTER
                odds[row, u(2 * x + 2)] = left * _QUARTER + right * _THREE_QUARTERS
        for each in range(3):
            row = u(each)
            for x in range(width):
                power = -odds[row, u(x)]
                power = power if power < _FURTHEST else _FURTHEST
                power = (power if power > -_FURTHEST else -_FURTHEST) * _LOG2
                whole = np.floor(power + _HALF)
                rest = power - whole
                powers[row, u(x)] = (np.int32(whole) + np.int32(127)) << np.int32(23)
                found = _C4 + rest * (_C5 + rest * _C6)
                odds[row, u(x)] = _1 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * found)))
            for x in range(width):
                odds[row, u(x)] = odds[row, u(x)] * lifted[row, u(x)]
        for x in range(width):
            i = at + u(x)
            weight0, weight1 = (_1 - time) * (seen0[i] + doubt), time * (seen1[i] + doubt)
            decided[i] = weight0 / (weight0 + weight1 * odds[0, u(x)])
        for x in range(width):
            i = at + u(x)
            gone = (seen1[i] - seen0[i] - np.float32(0.2)) / np.float32(0.4)
            other = (seen0[i] - seen1[i] - np.float32(0.2)) / np.float32(0.4)
            gone, other = max(gone, told[i]), max(other, told[size + i])
            gone = min(max(gone, sure), _1 - sure)
            other = min(max(other, sure), _1 - sure)
            gone = gone / (gone + (_1 - gone) * odds[1, u(x)])
            other = other / (other + (_1 - other) * odds[2, u(x)])
            rests = quiet[i] != 0
            decided[size + i] = _0 if rests else gone
            decided[size + size + i] = _0 if rests else other
            shown = trust[i] * (_1 - min(gone, other))
            decided[size + size + size + i] = _1 if rests else min(max(shown, _0), _1)
