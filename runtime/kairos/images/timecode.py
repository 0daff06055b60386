"""SMPTE time code as files keep it (two 32-bit words) and as text, with the source's flags and user bits kept."""

from __future__ import annotations

from fractions import Fraction
from typing import Optional, Tuple

from kairos.errors import BadRequest, FrameError
from kairos_nodes.timecode import Timecode, pack_exr, unpack_exr

Words = Tuple[int, int]

_DROP = 1 << 6
_FIELD = 1 << 15
_DIGITS = 0x3F7F7F3F
"""Bits that hold digits (binary-coded decimal); most of the others are flags, which a new time keeps."""

_PAIRS_OVER = 30
"""Frames per second over which frames are counted in pairs (ST 12-1) and the field bit belongs to the count."""


def text_of(words: Words, rate: Optional[Fraction]) -> str:
    """``HH:MM:SS:FF`` (``;`` before FF for drop-frame) of a file's words; as written where the rate is not known."""
    if rate is not None:
        try:
            return str(unpack_exr(words, rate))
        except BadRequest:
            return _plain_text(words[0])
    return _plain_text(words[0])


def _plain_text(word: int) -> str:
    hours, minutes, seconds, frames = (
        (word >> shift & mask) for shift, mask in ((24, 63), (16, 127), (8, 127), (0, 63))
    )
    digits = [f"{(value >> 4) * 10 + (value & 15):02}" for value in (hours, minutes, seconds, frames)]
    return ":".join(digits[:3]) + (";" if word & _DROP else ":") + digits[3]


def words_of(text: str, rate: Optional[Fraction], source: Words = (0, 0)) -> Words:
    """A file's words for a time code, with the flags and user bits of ``source``.

    Raises:
        FrameError: no time code, or one that the file's two words cannot hold.
    """
    flags = source[0] & ~(_DIGITS | _DROP) & 0xFFFFFFFF
    if rate is not None:
        try:
            word = pack_exr(Timecode.parse(text, rate))[0]
        except BadRequest:
            word = _plain_word(text)
        if rate > _PAIRS_OVER:
            flags &= ~_FIELD
    else:
        word = _plain_word(text)
    return word | flags, source[1]


def _plain_word(text: str) -> int:
    fields = text.replace(";", ":").split(":")
    if len(fields) != 4 or not all(field.isdigit() for field in fields):
        raise FrameError(f"{text!r} is not a time code.", "Write it as HH:MM:SS:FF, with ; before FF for drop-frame.")
    hours, minutes, seconds, frames = (int(field) for field in fields)
    if hours > 23 or minutes > 59 or seconds > 59 or frames > 39:
        raise FrameError(f"Time code {text} does not fit into an image file.")
    word = _DROP if ";" in text else 0
    for value, shift in ((hours, 24), (minutes, 16), (seconds, 8), (frames, 0)):
        word |= (value // 10 << 4 | value % 10) << shift
    return word
