"""What becomes of the meeting network's answers, in one pass over the frame, compiled for the CPU.

Imported by :mod:`kairos.engines.swift.quick` alone, when a frame first needs it. As
:mod:`kairos.engines.swift.meeting_kernels`, whose planes and cells these are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import Plane, kernel
from kairos.motion.place_kernels import grown

Flags = npt.NDArray[np.uint8]

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)
_HALF, _QUARTER, _THREE_QUARTERS = np.float32(0.5), np.float32(0.25), np.float32(0.75)
_ANSWERS = 31
_WEIGHT, _HIDDEN = 4, 20
"""Which of the network's answers the weight's begin with, and those on what is hidden."""
_LOG2 = np.float32(1.4426950408889634)
_FURTHEST = np.float32(80)
_C1, _C2, _C3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.05550410866482158)
_C4, _C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
_C6 = np.float32(0.0001540353039338161)


@kernel(
    "void(f4[::1], u1[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4, f4, f4, i8, i8, i8, i8, i8)",
    contract=True,
)
def decide_rows(
    small: Plane, quiet: Flags, told: Plane, calm: Plane, answers: Plane, decided: Plane,
    time: np.float32, doubt: np.float32, sure: np.float32, height: int, width: int, across: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of the first frame's weight, of what is hidden in either frame, and of the confidence.

    Args:
        small, quiet: of :func:`kairos.engines.swift.meeting_kernels.gather_rows`.
        told: two planes; calm: how far weights are corrected; of one number for all.
        answers: (rows of cells, across, 31), the network's.
        decided: four planes.
        doubt: weight of a source that does not show the pixel.
        sure: least and, from 1, most that is said to be hidden before the network corrects it.
    """
    size, reach, high, wide = u(height * width), 4 * across, (height + 1) // 2, (width + 1) // 2
    between, shows, rests = np.empty(wide, np.float32), np.empty((3, reach), np.float32), np.zeros(width, np.uint8)
    odds, powers = np.empty((3, reach), np.float32), np.empty((3, reach), np.int32)
    lifted = powers.view(np.float32)
    half = np.empty((2, 2 * across), np.float32)
    halves = 2 * (answers.size // (across * _ANSWERS))
    is_even = calm.size == 1
    for y in range(top, bottom):
        at = u(y * width)
        for each in range(3):
            grown(small, u((2 + each) * high * wide), high, wide, y, _1, between, shows[each])
        if len(quiet) > 1:
            for x in range(width):
                rests[u(x)] = quiet[u(y // 2 * wide + x // 2)]
                if rests[u(x)]:
                    shows[1, u(x)], shows[2, u(x)] = _1, _1
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
            odds[0, u(x)] = odds[0, u(x)] if rests[u(x)] == 0 else _0
        near = y // 2
        far = min(near + 1, halves - 1) if y % 2 else max(near - 1, 0)
        for side in range(2):
            one = u((near // 2) * across * _ANSWERS + _HIDDEN + 4 * side + 2 * (near % 2))
            two = u((far // 2) * across * _ANSWERS + _HIDDEN + 4 * side + 2 * (far % 2))
            for cell in range(across):
                for x in range(2):
                    mixed = answers[one + u(x)] * _THREE_QUARTERS + answers[two + u(x)] * _QUARTER
                    half[u(side), u(2 * cell + x)] = mixed
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
            weight0, weight1 = (_1 - time) * (shows[1, u(x)] + doubt), time * (shows[2, u(x)] + doubt)
            decided[at + u(x)] = weight0 / (weight0 + weight1 * odds[0, u(x)])
        for x in range(width):
            i = at + u(x)
            apart = shows[2, u(x)] - shows[1, u(x)]
            gone = (apart - np.float32(0.2)) / np.float32(0.4)
            other = (-apart - np.float32(0.2)) / np.float32(0.4)
            gone, other = max(gone, told[i]), max(other, told[size + i])
            gone = min(max(gone, sure), _1 - sure)
            other = min(max(other, sure), _1 - sure)
            gone = gone / (gone + (_1 - gone) * odds[1, u(x)])
            other = other / (other + (_1 - other) * odds[2, u(x)])
            still = rests[u(x)] != 0
            decided[size + i] = _0 if still else gone
            decided[size + size + i] = _0 if still else other
            shown = shows[0, u(x)] * (_1 - min(gone, other))
            decided[size + size + size + i] = _1 if still else min(max(shown, _0), _1)
