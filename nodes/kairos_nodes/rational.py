"""Exact numbers: factors, times and frame rates as fractions, never as rounded floats."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Union

from kairos_nodes.errors import BadRequest

Number = Union[int, float, str, Fraction]

NTSC_NOMINALS = (12, 15, 24, 30, 48, 60, 72, 96, 120, 240)
"""Counting rates that also exist slowed down by 1000/1001."""

_SNAP = Fraction(1, 200)
"""How far from n * 1000/1001 a rounded rate may lie: 23.98 is 0.004 off, and 24 is 0.024 off."""


def exact(value: Number, what: str = "value") -> Fraction:
    """The fraction that the artist wrote: ``0.1`` is 1/10, not the nearest binary float.

    Args:
        value: a number, or text such as ``0.5``, ``1/3``, ``-2``.
        what: the knob's name for the error message.

    Raises:
        BadRequest: the text is no number, or the number is not finite.
    """
    if isinstance(value, bool):
        raise BadRequest(f"{what}: {value!r} is not a number.", "Give a number such as 0.5 or 1/3.")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadRequest(f"{what}: {value!r} is not a finite number.", "Give a number such as 0.5 or 1/3.")
        return Fraction(repr(value))
    try:
        text = value.replace(" ", "") if isinstance(value, str) else value
        if isinstance(text, str) and len(text) > 60:
            raise ValueError(text)
        if isinstance(text, str) and abs(int(text.lower().partition("e")[2] or 0)) > 30:
            raise ValueError(text)
        return Fraction(text)
    except (ValueError, ZeroDivisionError, TypeError):
        shown = repr(value)[:60]
        raise BadRequest(f"{what}: {shown} is not a number.", "Give a number such as 0.5 or 1/3.") from None


def number_text(value: Fraction) -> str:
    """Text that reads back as exactly ``value``: ``12``, ``0.25``, or ``1/3`` where no decimal is exact."""
    if value.denominator == 1:
        return str(value.numerator)
    rest, places = value.denominator, 0
    while rest % 10 == 0:
        rest, places = rest // 10, places + 1
    while rest % 2 == 0:
        rest, places = rest // 2, places + 1
    while rest % 5 == 0:
        rest, places = rest // 5, places + 1
    if rest != 1 or places > 12:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    decimal = f"{digits[:-places]}.{digits[-places:]}".rstrip("0")
    return f"-{decimal}" if value < 0 else decimal


def parse_rate(value: Number, what: str = "frame rate") -> Fraction:
    """Frames per second; the NTSC family is snapped to its exact value (``23.976`` and ``23.98`` are 24000/1001).

    Raises:
        BadRequest: no number, or not in 0 < rate <= 1000.
    """
    rate = exact(value, what)
    if not 0 < rate <= 1000:
        raise BadRequest(
            f"{what}: {number_text(rate)} frames per second is not possible.", "Give a rate such as 24, 23.976 or 60."
        )
    for nominal in NTSC_NOMINALS:
        slowed = Fraction(nominal * 1000, 1001)
        if abs(rate - slowed) < _SNAP:
            return slowed
    return rate
