"""Places between pixels, for kernels that fetch from there: parts of theirs, which nobody else imports."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import Plane, part

Places = npt.NDArray[np.int32]

u = np.uintp
_0, _1, _QUARTER, _THREE_QUARTERS = np.float32(0), np.float32(1), np.float32(0.25), np.float32(0.75)
_FAR = np.float32(1 << 24)


@part
def kept(place: np.float32, most: np.float32) -> np.float32:
    """Within 0 and the most; what is no number becomes 0."""
    place = place if place > _0 else _0
    return place if place < most else most


@part
def fetched(planes: Plane, i: u, right: u, below: u, b: np.float32, d: np.float32) -> np.float32:
    """Between four pixels, the first of which is number ``i``: ``b`` of the way right, ``d`` of that below."""
    upper = planes[i] * (_1 - b) + planes[i + right] * b
    lower = planes[i + below] * (_1 - b) + planes[i + below + right] * b
    between: np.float32 = upper * (_1 - d) + lower * d
    return between


@part
def grown(small: Plane, at: u, high: int, wide: int, y: int, factor: np.float32, between: Plane, row: Plane) -> None:
    """Row ``y`` of a plane of (high, wide) numbers, from ``at`` on, enlarged to twice its size, times a factor.

    Args:
        between: scratch, (wide,).
        row: for the answer, at least 2 * wide numbers.
    """
    middle, odd = y // 2, y % 2 == 1
    first = u(middle if odd else max(middle - 1, 0)) * u(wide) + at
    second = u(min(middle + 1, high - 1) if odd else middle) * u(wide) + at
    fraction = (_QUARTER if odd else _THREE_QUARTERS) * factor
    rest = factor - fraction
    for x in range(wide):
        between[u(x)] = small[first + u(x)] * rest + small[second + u(x)] * fraction
    row[u(0)], row[u(2 * wide - 1)] = between[u(0)], between[u(wide - 1)]
    for x in range(wide - 1):
        before, after = between[u(x)], between[u(x + 1)]
        row[u(2 * x + 1)] = before * _THREE_QUARTERS + after * _QUARTER
        row[u(2 * x + 2)] = before * _QUARTER + after * _THREE_QUARTERS


@part
def landed(
    moves: Plane, part_of: np.float32, shift: np.float32, start: np.int32, step: np.int32, last: np.int32,
    places: Places,
) -> None:  # fmt: skip
    """The places at or before where parts of vectors end along an axis, shifted, within 0 and the last: by half,
    the nearest ones. They begin at ``start``, so many pixels from one another.
    """
    for i in range(len(places)):
        move = moves[u(i)] * part_of + shift
        move = move if move == move else _0
        move = move if move > -_FAR else -_FAR
        move = move if move < _FAR else _FAR
        place = np.int32(np.int32(start + np.int32(np.int32(i) * step)) + np.int32(np.floor(move)))
        place = place if place > np.int32(0) else np.int32(0)
        places[u(i)] = place if place < last else last


@part
def ended(
    moves: Plane, start: np.int32, step: np.int32, first: np.int32, last: np.int32, places: Places, shares: Plane
) -> None:
    """Of vectors' ends along an axis the place before each, twice, and 1 more where there is another behind; and how
    far it lies from there. They begin at ``start``, so many pixels from one another; ends beyond ``first`` and ``last``
    are at these.
    """
    for i in range(len(places)):
        move = moves[u(i)]
        move = move if move == move else _0
        move = move if move > -_FAR else -_FAR
        move = move if move < _FAR else _FAR
        floor = np.floor(move)
        shares[u(i)] = move - floor
        place = np.int32(np.int32(start + np.int32(np.int32(i) * step)) + np.int32(floor))
        before = place if place > first else first
        before = before if before < last else last
        behind = np.int32(place + np.int32(1))
        behind = behind if behind > first else first
        behind = behind if behind < last else last
        places[u(i)] = np.int32(np.int32(before * np.int32(2)) + np.int32(behind - before))
