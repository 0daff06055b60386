"""Frame maths of a retimed clip in a timeline: which source times it shows, how long it is, where it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Optional, Sequence, Tuple

from kairos_nodes.errors import BadRequest
from kairos_nodes.timing import TimeMap, map_text

NEIGHBOURS = 2
"""Source frames beyond the first and last shown that the motion engine may look at."""

LENGTHS = ("room", "whole", "clip")
"""How much of the slowed clip to show: up to the next clip, all of it, or the place that the clip has now."""

_HALF = Fraction(1, 2)


@dataclass(frozen=True)
class Media:
    """A clip's file.

    Attributes:
        path: as ``--input`` takes it.
        first: number of its first frame there: 0 for a movie, the first file's number for a sequence.
        count: how many frames it has.
        rate: frames per second at which the timeline's application plays it.
    """

    path: str
    first: int
    count: int
    rate: Fraction

    @property
    def last(self) -> int:
        """Number of its last frame."""
        return self.first + self.count - 1


@dataclass(frozen=True)
class Placed:
    """A clip as it lies in a timeline.

    Attributes:
        name: for messages.
        media: its file.
        source_in: its first frame, counted from the file's first.
        source_count: how many source frames it covers, as the timeline's application rounds it.
        record: absolute timeline frame at which it begins.
        duration: timeline frames.
        rate: timeline frames per second.
    """

    name: str
    media: Media
    source_in: int
    source_count: int
    record: int
    duration: int
    rate: Fraction

    def __post_init__(self) -> None:
        if self.duration < 1 or self.source_count < 1:
            raise BadRequest(f"{self.name} has no frames.", "Choose a clip that is longer than 0 frames.")
        if not 0 <= self.source_in < self.media.count:
            raise BadRequest(
                f"{self.name} begins at source frame {self.source_in}, and its file has {self.media.count} frames.",
                "Relink or refresh the clip: its file has changed.",
            )

    @property
    def pace(self) -> Fraction:
        """Source frames per timeline frame at speed 1: 1 unless the two rates differ."""
        return self.media.rate / self.rate

    @property
    def span(self) -> Fraction:
        """Source frames that it covers, exactly where it plays at its own speed."""
        straight = self.duration * self.pace
        return straight if abs(straight - self.source_count) <= 1 else Fraction(self.source_count)

    @property
    def retimed(self) -> bool:
        """True where the timeline's application plays it at another speed than its own."""
        return abs(self.duration * self.pace - self.source_count) > 1


@dataclass(frozen=True)
class Retimed:
    """A retimed clip to render and to put into a timeline.

    Attributes:
        text: the map file: output frames from 0, handles included, to absolute source frames.
        count: output frames, handles included.
        head, tail: output frames of handle before and after what the clip shows.
        source: first and last source frame that the render may look at, as ``--range`` has them.
        cut: frames by which the clip is shorter than its source would be, since no frame follows the file's last.
    """

    text: str
    count: int
    head: int
    tail: int
    source: Tuple[int, int]
    cut: int = 0

    @property
    def length(self) -> int:
        """Timeline frames without handles."""
        return self.count - self.head - self.tail

    def shown(self, limit: Optional[int]) -> Tuple[int, int]:
        """First and (excluded) last frame to put into the timeline, counted from the result's first.

        Args:
            limit: timeline frames that there is room for; None where there is no end to it.
        """
        length = self.length if limit is None else min(self.length, limit)
        return self.head, self.head + max(1, length)


def at_speed(clip: Placed, speed: Fraction, handles: int = 0) -> Retimed:
    """The clip at a constant speed.

    At speed 1/4 a clip of 48 frames becomes 192. Backwards shows the same times from the last to the first. The result
    has one frame per timeline frame, also where the file's rate is another.

    Args:
        clip: as it lies now.
        speed: of 1 the source's own; negative plays backwards.
        handles: output frames to render before and after, as far as the file has them.

    Raises:
        BadRequest: speed 0, or a speed at which nothing remains.
    """
    if speed == 0:
        raise BadRequest(f"{clip.name}: speed 0 would never reach a second frame.", "Use a still for a freeze frame.")
    step = abs(speed) * clip.pace
    return _along(clip, step, speed < 0, math.floor(clip.span / step + _HALF), handles)


def between(clip: Placed, count: int, handles: int = 0) -> Retimed:
    """``count`` new frames between each two source frames, every frame of it one timeline frame. Raises BadRequest."""
    if count < 1:
        raise BadRequest(f"{clip.name}: {count} frames cannot be put between two.", "Give 1 or more.")
    step = Fraction(1, count + 1)
    return _along(clip, step, False, math.floor(clip.span / step + _HALF), handles)


def as_in_timeline(clip: Placed, speed: Fraction, handles: int = 0) -> Retimed:
    """The clip at the speed and length that it has in the timeline already: true frames in place of repeated ones.

    Args:
        clip: as it lies now.
        speed: that the timeline gives it; negative where it plays backwards.
        handles: as of :func:`at_speed`.

    Raises:
        BadRequest: a freeze frame.
    """
    if speed == 0:
        raise BadRequest(f"{clip.name} is a freeze frame: there is nothing between its frames.", "Leave it as it is.")
    return _along(clip, abs(speed) * clip.pace, speed < 0, clip.duration, handles)


def along_times(clip: Placed, times: Sequence[Fraction]) -> Retimed:
    """The clip at a source time for each of its timeline frames, counted from the file's first; there are no handles.

    Times beyond the file's ends hold them.
    """
    first, last = clip.media.first, clip.media.last
    shown = [min(max(first + time, Fraction(first)), Fraction(last)) for time in times]
    return Retimed(map_text(enumerate(shown)), len(shown), 0, 0, _looked_at(clip, min(shown), max(shown)))


def by_map(clip: Placed, text: str) -> Retimed:
    """The clip by an artist's own map of output frames to source frames; the map covers all, so there are no handles.

    Raises:
        BadRequest: naming the line that is wrong.
    """
    found = TimeMap.from_text(text, clip.media.first, clip.media.last)
    times = list(found)
    moved = map_text((index, time) for index, time in enumerate(times))
    return Retimed(moved, found.count, 0, 0, _looked_at(clip, min(times), max(times)))


def _along(clip: Placed, step: Fraction, backwards: bool, length: int, handles: int) -> Retimed:
    """``length`` output frames from the clip's in point on, ``step`` source frames apart, and handles."""
    last = clip.media.count - 1
    most = math.floor((last - clip.source_in) / step) + 1
    wanted = max(1, length)
    length = min(wanted, most)
    end = clip.source_in + (length - 1) * step
    early = min(handles, math.floor(clip.source_in / step))
    late = min(handles, math.floor((last - end) / step))
    times = [clip.source_in + index * step for index in range(-early, length + late)]
    head, tail = early, late
    if backwards:
        times.reverse()
        head, tail = late, early
    first, count = clip.media.first, len(times)
    ends = [(0, first + times[0]), (count - 1, first + times[-1])]
    text = map_text(ends[: min(2, count)])
    return Retimed(text, count, head, tail, _looked_at(clip, first + min(times), first + max(times)), wanted - length)


def _looked_at(clip: Placed, earliest: Fraction, latest: Fraction) -> Tuple[int, int]:
    first = max(clip.media.first, math.floor(earliest) - NEIGHBOURS)
    return first, min(clip.media.last, math.ceil(latest) + NEIGHBOURS)
