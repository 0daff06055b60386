"""What the artist wants done with single objects of a shot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RegionRule:
    """What is done with one object.

    Attributes:
        hold: its pixels are taken from the nearer source frame, unmoved.
        order: where objects meet, the higher is in front. The rest and objects without a rule have 0.
    """

    hold: bool = False
    order: int = 0
