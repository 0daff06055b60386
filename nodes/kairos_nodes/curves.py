"""Curves of source time over output frames: a constant speed, or keys with linear, smooth, hold and cubic segments.

Everything is exact: times and slopes are fractions, and a cubic with rational slopes has rational values.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import List, Optional, Protocol, Sequence, Tuple

SHAPES = ("linear", "smooth", "hold")
"""Shapes of a segment that an artist can ask for."""


class Curve(Protocol):
    """Source time (source frames) over output position (output frames)."""

    def value(self, position: Fraction) -> Fraction:
        """Source time at an output position."""

    def slope(self, position: Fraction) -> Fraction:
        """Source frames per output frame; at a corner the mean of both sides."""


@dataclass(frozen=True)
class Constant:
    """A constant speed through ``origin`` at output position 0."""

    origin: Fraction
    speed: Fraction

    def value(self, position: Fraction) -> Fraction:
        """Source time at an output position, without end."""
        return self.origin + position * self.speed

    def slope(self, position: Fraction) -> Fraction:
        """The speed."""
        return self.speed


@dataclass(frozen=True)
class Key:
    """A key of a curve and the segment that starts there.

    Attributes:
        frame: output frame.
        time: source time, source frames.
        shape: of the segment that starts here: ``linear``, ``smooth`` (Hermite cubic) or ``hold``.
        slope_in, slope_out: source frames per output frame on the left and right; used by smooth segments.
        reach_in, reach_out: how far a Bezier handle reaches, as a multiple of a third of the segment. At 1 on both ends
            the segment is a plain cubic in time.
    """

    frame: Fraction
    time: Fraction
    shape: str = "linear"
    slope_in: Fraction = Fraction(0)
    slope_out: Fraction = Fraction(0)
    reach_in: Fraction = Fraction(1)
    reach_out: Fraction = Fraction(1)


def within_hull(slope: Fraction, secant: Fraction) -> Fraction:
    """The slope nearest to ``slope`` for which a cubic beside a chord of slope ``secant`` stays between its keys.

    A Hermite cubic's Bezier points lie a third of the way along its end tangents; they stay between the two key values
    exactly where slope / secant is in 0..3, and then so does the curve (convex hull).
    """
    low, high = sorted((Fraction(0), 3 * secant))
    return min(max(slope, low), high)


def secants(keys: Sequence[Key]) -> List[Fraction]:
    """Slope of the chord of each segment."""
    return [(b.time - a.time) / (b.frame - a.frame) for a, b in zip(keys, keys[1:])]


def eased(keys: Sequence[Key]) -> Tuple[Key, ...]:
    """Keys with the slopes that smooth segments get by themselves.

    Between two smooth segments the slope is that of the neighbouring keys' chord (Catmull-Rom); beside a linear segment
    it is that segment's own, so that speed does not jump; beside a hold and at the curve's ends it is 0, an ease in or
    out. Slopes are limited so that time never overshoots a key.
    """
    chords = secants(keys)
    result: List[Key] = []
    for index, key in enumerate(keys):
        before = keys[index - 1].shape if index else ""
        after = key.shape if index < len(chords) else ""
        if "hold" in (before, after) or "" in (before, after):
            slope = Fraction(0)
        elif before == "linear":
            slope = chords[index - 1]
        elif after == "linear":
            slope = chords[index]
        else:
            previous, following = keys[index - 1], keys[index + 1]
            slope = (following.time - previous.time) / (following.frame - previous.frame)
        if before == "smooth":
            slope = within_hull(slope, chords[index - 1])
        if after == "smooth":
            slope = within_hull(slope, chords[index])
        result.append(replace(key, slope_in=slope, slope_out=slope))
    return tuple(result)


@dataclass(frozen=True)
class Keyed:
    """A curve through keys, in ascending order of output frame.

    Attributes:
        keys: at least one.
        slope_before, slope_after: how the curve goes on outside its keys; None holds the end's value.
    """

    keys: Tuple[Key, ...]
    slope_before: Optional[Fraction] = None
    slope_after: Optional[Fraction] = None
    _frames: Tuple[Fraction, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("a curve needs a key")
        if any(b.frame <= a.frame for a, b in zip(self.keys, self.keys[1:])):
            raise ValueError("keys must ascend")
        object.__setattr__(self, "_frames", tuple(key.frame for key in self.keys))

    def value(self, position: Fraction) -> Fraction:
        """Source time at an output position."""
        first, last = self.keys[0], self.keys[-1]
        if position <= first.frame:
            return first.time + (position - first.frame) * (self.slope_before or 0)
        if position >= last.frame:
            return last.time + (position - last.frame) * (self.slope_after or 0)
        index = self._segment(position)
        return _value(self.keys[index], self.keys[index + 1], position)

    def slope(self, position: Fraction) -> Fraction:
        """Source frames per output frame; at a key the mean of both sides, at the ends the inner side's."""
        first, last = self.keys[0], self.keys[-1]
        if len(self.keys) == 1:
            return Fraction(self.slope_after or self.slope_before or 0)
        if position < first.frame:
            return Fraction(self.slope_before or 0)
        if position > last.frame:
            return Fraction(self.slope_after or 0)
        index = self._segment(min(position, (self.keys[-2].frame + last.frame) / 2))
        right = _slope(self.keys[index], self.keys[index + 1], position)
        if position == self.keys[index].frame and index:
            return (right + _slope(self.keys[index - 1], self.keys[index], position)) / 2
        return right

    def _segment(self, position: Fraction) -> int:
        """Index of the key whose segment holds the position."""
        return bisect_right(self._frames, position) - 1


def _value(a: Key, b: Key, position: Fraction) -> Fraction:
    if a.shape == "hold":
        return a.time
    span = b.frame - a.frame
    u = (position - a.frame) / span
    if a.shape == "linear":
        return a.time + (b.time - a.time) * u
    if a.reach_out != 1 or b.reach_in != 1:
        return _bezier_value(a, b, position)
    back = 1 - u
    return (
        a.time * (1 + 2 * u) * back * back
        + a.slope_out * span * u * back * back
        + b.time * u * u * (3 - 2 * u)
        - b.slope_in * span * u * u * back
    )


def _slope(a: Key, b: Key, position: Fraction) -> Fraction:
    if a.shape == "hold":
        return Fraction(0)
    span = b.frame - a.frame
    secant = (b.time - a.time) / span
    if a.shape == "linear":
        return secant
    if a.reach_out != 1 or b.reach_in != 1:
        step = min(span / 1024, b.frame - position, position - a.frame)
        if step == 0:
            return a.slope_out if position == a.frame else b.slope_in
        return (_value(a, b, position + step) - _value(a, b, position - step)) / (2 * step)
    u = (position - a.frame) / span
    return 6 * u * (1 - u) * secant + a.slope_out * (1 - u) * (1 - 3 * u) + b.slope_in * u * (3 * u - 2)


def _bezier_value(a: Key, b: Key, position: Fraction) -> Fraction:
    """Value of a segment whose handles are not a third of it: no closed rational form, so to a billionth of a frame."""
    span = float(b.frame - a.frame)
    out, back = float(a.reach_out) * span / 3, float(b.reach_in) * span / 3
    times = (0.0, out, span - back, span)
    start = float(a.time)
    values = (start, start + float(a.slope_out) * out, float(b.time) - float(b.slope_in) * back, float(b.time))
    wanted, low, high = float(position - a.frame), 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _bernstein(times, middle) < wanted:
            low = middle
        else:
            high = middle
    return Fraction(round(_bernstein(values, (low + high) / 2) * 10**9), 10**9)


def _bernstein(points: Tuple[float, float, float, float], u: float) -> float:
    v = 1.0 - u
    return points[0] * v**3 + 3 * points[1] * u * v * v + 3 * points[2] * u * u * v + points[3] * u**3
