# SPDX-License-Identifier: GPL-3.0-or-later
"""Which source frame a strip shows when: cuts, trims, playback rate, retiming keys, Speed effects. Needs no Blender.

All positions are exact: timeline frames and source indices are fractions. An index counts a strip's own frames from 0,
the trimmed ones (``animation_offset_start``) left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Iterable, List, Optional, Sequence, Tuple

from kairos_nodes.errors import BadRequest

MOST_FRAMES = 100_000
"""A strip longer than this (an hour at 25 frames per second) is a slip of the keyboard."""

SPEED_CONTROLS = ("STRETCH", "MULTIPLY", "FRAME_NUMBER", "LENGTH")
"""Ways in which Blender's Speed effect says when."""


@dataclass(frozen=True)
class RetimingKey:
    """One of a strip's retiming keys.

    Attributes:
        index: where it lies, in source frames played at the strip's own rate from the strip's start.
        factor: what it shows, 0 (first source frame) to 1 (last).
        transition: the segment that begins here changes speed gradually.
    """

    index: Fraction
    factor: Fraction
    transition: bool = False


@dataclass(frozen=True)
class Strip:
    """An image or movie strip as it lies on the timeline.

    Attributes:
        name: for people.
        start: timeline frame of its first source frame, which may lie before ``left`` (``frame_start``).
        left, right: what is seen: first timeline frame, and the one after the last.
        length: source frames that the strip has, seen or not, those trimmed for good left out.
        content: timeline frames that these take.
        rate: source frames per timeline frame at 100 % (a movie's rate over the scene's).
        reverse: plays from its last source frame.
        keys: retiming keys in order, or none.
        whole: a key's factor counts from 0 to the length (Blender 5.0 and later), not to the last frame.
    """

    name: str
    start: Fraction
    left: int
    right: int
    length: int
    content: Fraction
    rate: Fraction = Fraction(1)
    reverse: bool = False
    keys: Tuple[RetimingKey, ...] = ()
    whole: bool = True

    @property
    def last(self) -> int:
        """Index of the last source frame."""
        return self.length - 1

    def index_at(self, frame: Fraction) -> Fraction:
        """Index of the source frame that is shown at a timeline frame; held at the strip's ends."""
        end = self.start + self.content - 1
        moment = min(max(frame, self.start), end)
        index = ((end - moment) if self.reverse else (moment - self.start)) * self.rate
        if self.keys:
            index = _factor_at(self.keys, index) * (self.length if self.whole else self.last)
        return min(max(index, Fraction(0)), Fraction(self.last))


@dataclass(frozen=True)
class SpeedEffect:
    """A Speed effect over a strip.

    Attributes:
        name: for people.
        start: timeline frame that its own frame 0 lies at (``frame_start``).
        left, right: what is seen of it.
        control: one of :data:`SPEED_CONTROLS`.
        values: the control's value (factor, frame number, or length in percent) at every timeline frame from ``left``
            to ``right``, both included. Not used by STRETCH.
        animated: the value has keys; a factor is then summed up frame by frame.
        trimmed: how much the strip below was cut at its left.
    """

    name: str
    start: Fraction
    left: int
    right: int
    control: str
    values: Tuple[Fraction, ...] = ()
    animated: bool = False
    trimmed: Fraction = Fraction(0)

    def shown(self, strip: Strip) -> Tuple[Fraction, ...]:
        """The timeline frame of the strip below that each of the effect's own frames shows."""
        frames = range(self.left, self.right)
        content = strip.content
        if self.control == "STRETCH":
            speed = (content - self.trimmed) / (self.right - self.left)
            targets = [speed * (frame - self.start) for frame in frames]
        elif self.control == "MULTIPLY" and self.animated:
            # Blender's own sum: the first frame shows the first source frame, every other adds its own factor.
            targets = list(accumulate(self.values[1:-1], initial=Fraction(0)))
        elif self.control == "MULTIPLY":
            targets = [value * (frame - self.start) for frame, value in zip(frames, self.values)]
        elif self.control == "FRAME_NUMBER":
            targets = list(self.values[:-1])
        elif self.control == "LENGTH":
            targets = [content * value / 100 for value in self.values[:-1]]
        else:
            raise BadRequest(
                f"{self.name}: its speed control {self.control} is unknown to Kairos.",
                f"Choose one of {', '.join(SPEED_CONTROLS)}, or set the speed by hand.",
            )
        return tuple(self.start + min(max(target, Fraction(0)), content) for target in targets)


@dataclass(frozen=True)
class Retime:
    """What a new strip is to show.

    Attributes:
        start: its first timeline frame.
        indices: source index of each of its frames.
        speed: its mean speed, for its name; 1 is as fast as the strip plays by itself.
        pace: new timeline frames per old one where that is the same all along, so that animation can follow; None where
            the new strip covers the old one's time.
    """

    start: int
    indices: Tuple[Fraction, ...]
    speed: Fraction
    pace: Optional[Fraction] = None

    @property
    def end(self) -> int:
        """The timeline frame after its last."""
        return self.start + len(self.indices)

    def number_at(self, frame: int) -> int:
        """Number of the output frame at a timeline frame, from 1. Raises BadRequest where there is none."""
        if not self.start <= frame < self.end:
            raise BadRequest(
                f"The playhead is at frame {frame}; the slowed strip lies at {self.start} to {self.end - 1}.",
                "Move the playhead there.",
            )
        return frame - self.start + 1


def at_speed(strip: Strip, speed: Fraction) -> Retime:
    """The seen part of a strip at a speed; retiming keys play no part. Negative plays backwards.

    N frames at speed s take N / s frames: after the last source frame the strip goes on into the frames behind its
    right end, or holds the last one where there are none.

    Raises:
        BadRequest: speed 0, or a strip of absurd length.
    """
    if speed == 0:
        raise BadRequest(
            "Speed 0 % would never reach a second frame.", "Choose a speed, or freeze with a retiming key."
        )
    first, last = sorted((strip.index_at(Fraction(strip.left)), strip.index_at(Fraction(strip.right - 1))))
    shown = min(last + strip.rate, Fraction(strip.length)) - first
    count = _count(strip.name, shown / (strip.rate * abs(speed)))
    backwards = strip.reverse != (speed < 0)
    step = -abs(speed) * strip.rate if backwards else abs(speed) * strip.rate
    origin = last if backwards else first
    indices = tuple(min(max(origin + k * step, Fraction(0)), Fraction(strip.last)) for k in range(count))
    return Retime(strip.left, indices, speed, 1 / abs(speed))


def by_effect(strip: Strip, effect: SpeedEffect) -> Retime:
    """The strip as a Speed effect shows it, at the effect's own place."""
    _count(effect.name, Fraction(effect.right - effect.left))
    return _following(effect.left, tuple(strip.index_at(frame) for frame in effect.shown(strip)), strip.rate)


def by_keys(strip: Strip) -> Retime:
    """The strip as its retiming keys show it, at its own place. Raises BadRequest where it has none."""
    if not strip.keys:
        raise BadRequest(
            f"{strip.name} has neither a Speed effect nor retiming keys.", "Choose the speed in the panel."
        )
    _count(strip.name, Fraction(strip.right - strip.left))
    indices = tuple(strip.index_at(Fraction(frame)) for frame in range(strip.left, strip.right))
    return _following(strip.left, indices, strip.rate)


def free_channel(taken: Iterable[Tuple[int, int, int]], left: int, right: int, lowest: int, highest: int = 128) -> int:
    """The lowest channel from ``lowest`` on with room.

    Args:
        taken: channel, left, right (exclusive) of every strip in the way.
        left, right: room that is needed.

    Raises:
        BadRequest: every channel is taken.
    """
    busy = {channel for channel, begin, end in taken if begin < right and end > left}
    for channel in range(max(lowest, 1), highest + 1):
        if channel not in busy:
            return channel
    raise BadRequest(
        f"No channel above {lowest - 1} has room at frames {left} to {right - 1}.", "Make room above the strip."
    )


def playback_rate(length: int, content: Fraction, media: Fraction, scene: Fraction) -> Fraction:
    """Source frames per timeline frame of a strip without retiming.

    Blender keeps to itself whether a movie plays at its own rate or one source frame per scene frame; the strip's
    length on the timeline tells.

    Args:
        length: source frames.
        content: timeline frames that they take.
        media, scene: frames per second; ``media`` is 0 where unknown.
    """
    if not media or media == scene:
        return Fraction(1)
    own = media / scene
    return own if abs(length / own - content) < abs(length - content) else Fraction(1)


def _following(start: int, indices: Tuple[Fraction, ...], rate: Fraction) -> Retime:
    span = max(len(indices) - 1, 1)
    return Retime(start, indices, (indices[-1] - indices[0]) / (span * rate))


def _count(name: str, frames: Fraction) -> int:
    count = max(1, round(frames))
    if count > MOST_FRAMES:
        raise BadRequest(f"{name} would become {count} frames long.", f"Choose timing that gives up to {MOST_FRAMES}.")
    return count


def _factor_at(keys: Sequence[RetimingKey], index: Fraction) -> Fraction:
    """What retiming keys show at an index: linear between keys; in a transition the speed changes evenly."""
    if index <= keys[0].index:
        return keys[0].factor
    for number, (a, b) in enumerate(zip(keys, keys[1:])):
        if index < b.index:
            moment = (index - a.index) / (b.index - a.index)
            if not a.transition:
                return a.factor + (b.factor - a.factor) * moment
            before, after = _slopes_around(keys, number)
            span = b.index - a.index
            return a.factor + span * moment * (before + (after - before) * moment / 2)
    return keys[-1].factor


def _slopes_around(keys: Sequence[RetimingKey], number: int) -> Tuple[Fraction, Fraction]:
    """Slopes before and after the segment of that number; its own where it is the first or last."""
    slopes: List[Fraction] = [(b.factor - a.factor) / (b.index - a.index) for a, b in zip(keys, keys[1:])]
    before = slopes[number - 1] if number else slopes[number]
    after = slopes[number + 1] if number + 1 < len(slopes) else slopes[number]
    return before, after
