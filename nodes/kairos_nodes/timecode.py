"""SMPTE timecode (ST 12-1): counting with and without drop-frame, and its packing in EXR headers."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Tuple

from kairos_nodes.errors import BadRequest
from kairos_nodes.rational import Number, number_text, parse_rate

_TEXT = re.compile(r"(\d\d):(\d\d):(\d\d)([:;])(\d{2,3})")


def nominal_rate(rate: Fraction) -> int:
    """What a rate counts up to in one second of timecode: 24 for 23.976, 60 for 59.94."""
    return max(1, round(rate))


def can_drop(rate: Fraction) -> bool:
    """True for the rates that have drop-frame counting: 29.97, 59.94 and 119.88."""
    return rate.denominator == 1001 and nominal_rate(rate) % 30 == 0


@dataclass(frozen=True)
class Timecode:
    """A frame's timecode: a count of frames since midnight, and how it is written.

    Attributes:
        frames: frames since 00:00:00:00, wrapped at 24 hours.
        rate: frames per second, exact.
        drop: drop-frame counting (written with ``;``).
    """

    frames: int
    rate: Fraction
    drop: bool = False

    def __post_init__(self) -> None:
        if self.drop and not can_drop(self.rate):
            raise BadRequest(
                f"Timecode: there is no drop-frame counting at {number_text(self.rate)} frames per second.",
                "Write ':' before the frames.",
            )
        object.__setattr__(self, "frames", self.frames % self.day)

    @classmethod
    def parse(cls, text: str, rate: Number) -> Timecode:
        """Reads ``HH:MM:SS:FF``, or ``HH:MM:SS;FF`` for drop-frame.

        Raises:
            BadRequest: not a timecode, a field out of range at this rate, or a number that drop-frame counting skips.
        """
        exact_rate = parse_rate(rate)
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise BadRequest(f"Timecode: {text!r} is not HH:MM:SS:FF.", "Write it like 01:00:00:00.")
        return cls.of(int(match[1]), int(match[2]), int(match[3]), int(match[5]), exact_rate, match[4] == ";")

    @classmethod
    def of(cls, hours: int, minutes: int, seconds: int, frames: int, rate: Fraction, drop: bool = False) -> Timecode:
        """The timecode with these fields. Raises BadRequest where no such timecode exists at this rate."""
        nominal = nominal_rate(rate)
        label = f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if drop else ':'}{frames:02d}"
        if not (0 <= hours < 24 and 0 <= minutes < 60 and 0 <= seconds < 60 and 0 <= frames < nominal):
            raise BadRequest(
                f"Timecode: {label} does not exist at {number_text(rate)} frames per second.", "Check the frame rate."
            )
        count = ((hours * 60 + minutes) * 60 + seconds) * nominal + frames
        if drop:
            skipped = nominal // 15
            if seconds == 0 and frames < skipped and minutes % 10:
                raise BadRequest(f"Timecode: drop-frame counting skips {label}.", f"The next one is {skipped:02d}.")
            whole_minutes = hours * 60 + minutes
            count -= skipped * (whole_minutes - whole_minutes // 10)
        return cls(count, rate, drop)

    @property
    def day(self) -> int:
        """Frames in 24 hours."""
        nominal = nominal_rate(self.rate)
        # Two numbers per nominal 30 are skipped in each minute but every tenth: 1296 minutes a day.
        return 86_400 * nominal - (1296 * (nominal // 15) if self.drop else 0)

    @property
    def fields(self) -> Tuple[int, int, int, int]:
        """Hours, minutes, seconds, frames as written."""
        nominal, count = nominal_rate(self.rate), self.frames
        if self.drop:
            skipped = nominal // 15
            minute = 60 * nominal - skipped
            ten_minutes = 10 * minute + skipped
            tens, rest = divmod(count, ten_minutes)
            count += 9 * skipped * tens
            if rest >= 60 * nominal:
                count += skipped * ((rest - 60 * nominal) // minute + 1)
        seconds, frames = divmod(count, nominal)
        return seconds // 3600, seconds // 60 % 60, seconds % 60, frames

    def __add__(self, frames: int) -> Timecode:
        return replace(self, frames=self.frames + frames)

    def __sub__(self, frames: int) -> Timecode:
        return self + -frames

    def __str__(self) -> str:
        hours, minutes, seconds, frames = self.fields
        return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if self.drop else ':'}{frames:02d}"


def retimed(source: Timecode, output_rate: Number, k: int) -> Timecode:
    """Timecode of output frame ``k`` where output frame 0 shows the source frame whose timecode is ``source``.

    The output starts at that frame's timecode and ticks one per output frame. At another rate the start is the same
    reading in the new rate's counting (01:00:00:12 at 24 is 01:00:00:30 at 60); drop-frame stays where the new rate
    has it.
    """
    rate = parse_rate(output_rate)
    if rate == source.rate:
        return source + k
    hours, minutes, seconds, frames = source.fields
    frames = frames * nominal_rate(rate) // nominal_rate(source.rate)
    drop = source.drop and can_drop(rate)
    if drop and seconds == 0 and minutes % 10:
        frames = max(frames, nominal_rate(rate) // 15)
    return Timecode.of(hours, minutes, seconds, frames, rate, drop) + k


def pack_exr(timecode: Timecode) -> Tuple[int, int]:
    """The two 32-bit words of EXR's ``timeCode`` attribute (the 60-field packing, no user data).

    Above 30 frames per second ST 12-1 counts frame *pairs*, and the field mark says which frame of the pair it is.

    Raises:
        BadRequest: above 60 frames per second, which ST 12-1 cannot hold.
    """
    hours, minutes, seconds, frames = timecode.fields
    nominal, field = nominal_rate(timecode.rate), 0
    if nominal > 60:
        raise BadRequest(
            f"Timecode: an EXR header cannot hold timecode at {number_text(timecode.rate)} frames per second.",
            "Choose an output rate of at most 60.",
        )
    if nominal > 30:
        frames, field = divmod(frames, 2)
    word = _bcd(frames) | int(timecode.drop) << 6 | _bcd(seconds) << 8 | field << 15
    return word | _bcd(minutes) << 16 | _bcd(hours) << 24, 0


def unpack_exr(words: Tuple[int, int], rate: Number) -> Timecode:
    """The inverse of :func:`pack_exr`; the rate tells whether frames count in pairs.

    Some writers ignore pairs: a count that no pair at this rate can have is taken as the frame itself. A drop flag at a
    rate that cannot drop is ignored.

    Raises:
        BadRequest: the words hold no timecode.
    """
    exact_rate, word = parse_rate(rate), words[0]
    frames, seconds = _plain(word & 0x3F), _plain(word >> 8 & 0x7F)
    minutes, hours = _plain(word >> 16 & 0x7F), _plain(word >> 24 & 0x3F)
    nominal = nominal_rate(exact_rate)
    if nominal > 30 and frames < (nominal + 1) // 2:
        frames = 2 * frames + (word >> 15 & 1)
    drop = bool(word >> 6 & 1) and can_drop(exact_rate)
    return Timecode.of(hours, minutes, seconds, frames, exact_rate, drop)


def _bcd(value: int) -> int:
    return value // 10 << 4 | value % 10


def _plain(bcd: int) -> int:
    return (bcd >> 4) * 10 + (bcd & 0xF)
