"""Which source time each output frame shows, as exact rationals."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Iterable, Iterator, List, Optional, Tuple

from kairos_nodes.curves import SHAPES, Constant, Curve, Key, Keyed, eased
from kairos_nodes.errors import BadRequest
from kairos_nodes.nuke_curve import read_nuke_curve, write_nuke_curve
from kairos_nodes.ranges import MOST_FRAMES, parse_frames, parse_range
from kairos_nodes.rational import Number, exact, number_text, parse_rate

__all__ = ["Segment", "TimeMap", "map_text", "parse_frames", "parse_range", "parse_rate"]

_HALF = Fraction(1, 2)
_MAP_REMEDY = "Write lines such as '1001 1001.5', optionally followed by linear, smooth or hold."


@dataclass(frozen=True)
class Segment:
    """A stretch of a map between two keys, for timelines that know time effects.

    ``start`` and ``end`` are output positions counted from the map's first frame; ``time_start`` and ``time_end`` are
    source times before phase and clamping. ``shape`` is ``linear``, ``smooth`` or ``hold``.
    """

    start: Fraction
    end: Fraction
    time_start: Fraction
    time_end: Fraction
    shape: str

    @property
    def speed(self) -> Fraction:
        """Mean speed, source frames per output frame; 0 on a hold."""
        if self.shape == "hold" or self.end == self.start:
            return Fraction(0)
        return (self.time_end - self.time_start) / (self.end - self.start)


@dataclass(frozen=True)
class TimeMap:
    """Output frame k (from 0) to source time, in absolute source frames.

    Attributes:
        curve: source time over output position, where position 0 is output frame 0 (or number ``start`` for maps that
            name output frames).
        count: number of output frames.
        first, last: source range; times outside are held at its ends.
        phase: shifts every source time by this fraction of an output interval.
        start: number of output frame 0 where the map itself names output frames (a map file, a Nuke curve), else None.
    """

    curve: Curve
    count: int
    first: int
    last: int
    phase: Fraction = Fraction(0)
    start: Optional[int] = None

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise BadRequest(f"The source range {self.first}-{self.last} is empty.", "Check --range.")
        if not 1 <= self.count <= MOST_FRAMES:
            raise BadRequest(
                f"The retime asks for {self.count} output frames.", f"Choose timing that gives 1 to {MOST_FRAMES}."
            )

    @classmethod
    def constant(cls, speed: Number, first: int, last: int, phase: Number = 0) -> TimeMap:
        """A constant speed: N source frames give floor((N - 1) / |speed|) + 1.

        A negative speed plays back from the out point. Raises BadRequest for speed 0 or what is no number.
        """
        factor = exact(speed, "--speed")
        if factor == 0:
            raise BadRequest("--speed: 0 would never reach a second frame.", "Use a frame map with a hold to freeze.")
        count = math.floor((last - first) / abs(factor)) + 1
        origin = Fraction(first if factor > 0 else last)
        return cls(Constant(origin, factor), count, first, last, exact(phase, "--phase"))

    @classmethod
    def between(cls, n: int, first: int, last: int, phase: Number = 0) -> TimeMap:
        """``n`` new frames between each two source frames: N source frames give (N - 1) * (n + 1) + 1."""
        if n < 0:
            raise BadRequest(f"--between: {n} frames cannot be put between two.", "Give 1 or more.")
        return cls.constant(Fraction(1, n + 1), first, last, phase)

    @classmethod
    def to_rate(cls, source_rate: Number, target_rate: Number, first: int, last: int, phase: Number = 0) -> TimeMap:
        """The same duration at another frame rate: N source frames last N / source rate seconds.

        The count is the nearest whole number of output frames to that duration; times past the last source frame's
        start hold it, as its own display time does.
        """
        source, target = parse_rate(source_rate, "--fps"), parse_rate(target_rate, "--to-fps")
        count = max(1, math.floor((last - first + 1) * target / source + _HALF))
        return cls(Constant(Fraction(first), source / target), count, first, last, exact(phase, "--phase"))

    @classmethod
    def from_text(cls, text: str, first: int, last: int, phase: Number = 0) -> TimeMap:
        """A map file: lines ``output-frame source-time [linear|smooth|hold]``, ``#`` starts a comment.

        Output frames are absolute whole numbers; the map covers the first to the last listed. The third word shapes the
        segment that starts on its line, ``linear`` where it is absent.

        Raises:
            BadRequest: naming the line that is wrong.
        """
        keys: List[Key] = []
        for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
            words = line.partition("#")[0].split()
            if words:
                keys.append(_map_line(words, number, keys))
        if not keys:
            raise BadRequest("The frame map has no lines with frames.", _MAP_REMEDY)
        start, end = int(keys[0].frame), int(keys[-1].frame)
        moved = eased([replace(key, frame=key.frame - start) for key in keys])
        return cls(Keyed(moved), end - start + 1, first, last, exact(phase, "--phase"), start)

    @classmethod
    def from_nuke_curve(
        cls,
        text: str,
        first: int,
        last: int,
        phase: Number = 0,
        start: Optional[int] = None,
        end: Optional[int] = None,
    ) -> TimeMap:
        """A Nuke curve of source frame over output frame, as a retime node's knob holds it.

        Args:
            text: such as ``{curve L x1 1 x20 10.5}``; see :func:`kairos_nodes.nuke_curve.read_nuke_curve`.
            first, last: source range.
            phase: fraction of an output interval.
            start, end: output frames to cover; the whole frames from first to last key where not given.
        """
        curve = read_nuke_curve(text)
        begin = math.ceil(curve.keys[0].frame) if start is None else start
        stop = math.floor(curve.keys[-1].frame) if end is None else end
        if stop < begin:
            raise BadRequest("Nuke curve: its keys span no whole output frame.", "Give the output range too.")
        moved = replace(curve, keys=tuple(replace(key, frame=key.frame - begin) for key in curve.keys))
        return cls(moved, stop - begin + 1, first, last, exact(phase, "--phase"), begin)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, k: int) -> Fraction:
        """Source time of output frame ``k`` (negative counts from the end). Raises IndexError outside the map."""
        position = k + self.count if k < 0 else k
        if not 0 <= position < self.count:
            raise IndexError(f"output frame {k} is outside a map of {self.count} frames")
        return self.at(Fraction(position))

    def __iter__(self) -> Iterator[Fraction]:
        return (self[k] for k in range(self.count))

    def at(self, position: Fraction) -> Fraction:
        """Source time at a fractional output position (a shutter sample's), clamped to the source range."""
        return min(max(self.curve.value(position + self.phase), Fraction(self.first)), Fraction(self.last))

    def speed_at(self, k: int) -> Fraction:
        """Signed source frames per output frame at output frame ``k``; 0 on a hold and where time is clamped."""
        if not -self.count <= k < self.count:
            raise IndexError(f"output frame {k} is outside a map of {self.count} frames")
        position = (k + self.count if k < 0 else k) + self.phase
        if not self.first <= self.curve.value(position) <= self.last:
            return Fraction(0)
        return self.curve.slope(position)

    def integer(self, k: int) -> Optional[int]:
        """The source frame that output frame ``k`` shows exactly, or None where its time lies between two."""
        time = self[k]
        return int(time) if time.denominator == 1 else None

    def with_phase(self, phase: Number) -> TimeMap:
        """The same map at another phase."""
        return replace(self, phase=exact(phase, "--phase"))

    def segments(self) -> Tuple[Segment, ...]:
        """The map's stretches in order, for timelines; one for a constant speed."""
        curve = self.curve
        if isinstance(curve, Keyed) and len(curve.keys) > 1:
            return tuple(Segment(a.frame, b.frame, a.time, b.time, a.shape) for a, b in zip(curve.keys, curve.keys[1:]))
        end = Fraction(self.count - 1)
        return (Segment(Fraction(0), end, curve.value(Fraction(0)), curve.value(end), "linear"),)

    def numbered(self, start: Optional[int] = None) -> Iterator[Tuple[int, Fraction]]:
        """(output number, source time) of each frame; numbers from ``start``, the map's own, or the in point."""
        if start is None:
            start = self.first if self.start is None else self.start
        return ((start + k, time) for k, time in enumerate(self))

    def to_text(self, start: Optional[int] = None) -> str:
        """A map file that :meth:`from_text` reads back to these times, one line per frame; see :func:`map_text`."""
        return map_text(self.numbered(start))

    def to_nuke_curve(self, start: Optional[int] = None) -> str:
        """A Nuke curve with a linear key on every output frame; times to twelve significant digits."""
        return write_nuke_curve(self.numbered(start))


def map_text(samples: Iterable[Tuple[int, Number]]) -> str:
    """A map file with one line for each (output frame, source time).

    Times are exact unless that takes more than 40 characters, as a cubic curve's may; then they are rounded to twelve
    decimals.
    """
    return "\n".join(["# output-frame source-time", *(f"{frame} {_time_text(time)}" for frame, time in samples), ""])


def _time_text(time: Number) -> str:
    value = exact(time, "Frame map")
    text = number_text(value)
    return text if len(text) <= 40 else number_text(Fraction(round(value * 10**12), 10**12))


def _map_line(words: List[str], number: int, keys: List[Key]) -> Key:
    """The key on one line of a map file."""
    where = f"Frame map, line {number}"
    if not 2 <= len(words) <= 3:
        raise BadRequest(f"{where}: {' '.join(words)[:60]!r} is not 'output-frame source-time'.", _MAP_REMEDY)
    frame = exact(words[0], where)
    if frame.denominator != 1 or abs(frame) >= 10**9:
        raise BadRequest(f"{where}: output frame {words[0]} is not a whole frame number.", _MAP_REMEDY)
    if keys and frame <= keys[-1].frame:
        raise BadRequest(
            f"{where}: output frame {words[0]} does not come after {keys[-1].frame}.", "List output frames in order."
        )
    shape = words[2].lower() if len(words) == 3 else "linear"
    if shape not in SHAPES:
        raise BadRequest(f"{where}: {words[2]!r} is not a shape.", f"Use one of {', '.join(SHAPES)}.")
    return Key(frame, exact(words[1], where), shape)
