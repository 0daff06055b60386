"""How far motion of both ways agrees and what it takes in front of something, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.motion` alone, when a frame first needs it. Planes are flat, H * W numbers.
"""

from __future__ import annotations

import numpy as np

from kairos.motion.compiled import Plane, kernel
from kairos.motion.place_kernels import fetched, kept

u = np.uintp
_0, _1, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LOG2 = np.float32(1.4426950408889634)
_LEAST = np.float32(-125)
_C1, _C2, _C3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.05550410866482158)
_C4, _C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
_C6 = np.float32(0.0001540353039338161)


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], f4, f4, i8, i8, i8, i8)", contract=True)
def agree_rows(
    flow: Plane, back: Plane, arrived: Plane, out: Plane, slack: np.float32, share: np.float32, height: int, width: int,
    top: int, bottom: int,
) -> None:  # fmt: skip
    """Rows of the confidence that there and back agree, and of how much more than one pixel arrives where a pixel goes.

    Args:
        flow, back: two planes each, pixels.
        arrived: area that the flow takes to each pixel of the other frame.
        out: two planes.
        slack, share: disagreement that is let pass, pixels, and part of the flow's length.
    """
    size = u(height * width)
    line, powers = np.empty(width, np.float32), np.empty(width, np.int32)
    lifted = powers.view(np.float32)
    right, below = u(1 if width > 1 else 0), u(width if height > 1 else 0)
    most_x, most_y = np.float32(width - 1), np.float32(height - 1)
    last_x, last_y = np.int32(max(0, width - 2)), np.int32(max(0, height - 2))
    for y in range(top, bottom):
        at = u(y * width)
        for x in range(width):
            across, down = flow[at + u(x)], flow[size + at + u(x)]
            end_x, end_y = np.float32(np.int32(x)) + across, np.float32(np.int32(y)) + down
            place_x, place_y = kept(end_x, most_x), kept(end_y, most_y)
            column, row = np.int32(place_x), np.int32(place_y)
            column, row = column if column < last_x else last_x, row if row < last_y else last_y
            b, d = place_x - np.float32(column), place_y - np.float32(row)
            i = u(np.uint32(np.uint32(row) * np.uint32(width) + np.uint32(column)))
            j, k = i + right, i + below
            one, two = max(arrived[i] - _1, _0), max(arrived[j] - _1, _0)
            three, four = max(arrived[k] - _1, _0), max(arrived[k + right] - _1, _0)
            upper = min(one, _1) * (_1 - b) + min(two, _1) * b
            lower = min(three, _1) * (_1 - b) + min(four, _1) * b
            out[size + at + u(x)] = upper * (_1 - d) + lower * d
            away = across + fetched(back, i, right, below, b, d)
            astray = down + fetched(back, size + i, right, below, b, d)
            allowed = slack + share * np.sqrt(across * across + down * down)
            inside_x = end_x > -_HALF and end_x < np.float32(width) - _HALF
            inside = inside_x and end_y > -_HALF and end_y < np.float32(height) - _HALF
            # What leaves the frame is so far off that nothing is left of its confidence.
            line[u(x)] = -(away * away + astray * astray) / (allowed * allowed) if inside else -np.inf
        for x in range(width):
            power = max(line[u(x)] * _LOG2, _LEAST)
            whole = np.floor(power + _HALF)
            rest = power - whole
            powers[u(x)] = (np.int32(whole) + np.int32(127)) << np.int32(23)
            found = _C4 + rest * (_C5 + rest * _C6)
            found = _1 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * found)))
            out[at + u(x)] = found if line[u(x)] > -np.inf else _0
        for x in range(width):
            out[at + u(x)] *= lifted[u(x)]
