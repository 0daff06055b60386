"""Frame rates as exact rationals."""

from __future__ import annotations

from fractions import Fraction
from typing import Optional

_TOLERANCE = Fraction(2, 100_000)
"""How far a written rate may be off: 23.976 and 29.97 are rounded to about 1 in a million."""


def exact_rate(rate: Fraction) -> Optional[Fraction]:
    """The trade's rate that ``rate`` stands for: 23.976 is 24000/1001; None for 0 and below.

    A rate that is near no whole number and no multiple of 1000/1001 stays as it is.
    """
    if rate <= 0:
        return None
    for unit in (Fraction(1), Fraction(1000, 1001)):
        near = round(rate / unit) * unit
        if near > 0 and abs(near / rate - 1) < _TOLERANCE:
            return near
    return rate
