"""What lies between the frames of a shot: cuts that nothing may morph across, and frames that only repeat.

Every decision looks at a few neighbouring frames alone, so that a farm's chunk decides as the whole job does. A frame
that repeats once inside a movement (animation on twos, a rate conversion's duplicate) is bridged as if it were missing;
a longer rest is a hold that the shot means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Callable, Dict, FrozenSet, List, Optional, Tuple

from kairos.engines.base import Pair

READ_BEFORE, READ_AFTER = 1, 3
"""How far around an interval's first frame its decisions usually look: what is worth reading ahead."""


@dataclass(frozen=True)
class Moment:
    """Where a source time lies.

    Either ``hold`` is a position whose frame is shown as it is, or ``pair`` and ``time`` (0..1, exclusive) say what to
    go between.
    """

    hold: Optional[int] = None
    pair: Optional[Pair] = None
    time: float = 0.0


class Structure:
    """Cuts and repeats of one shot, found as they are asked for.

    Args:
        count: frames in the shot.
        cut: tells whether a scene ends between positions i and i + 1.
        repeat: tells whether position i + 1 shows the same picture as position i.
        kept: positions that count as frames of their own whatever they show (stand-ins for missing frames).
    """

    def __init__(
        self,
        count: int,
        cut: Callable[[int], bool],
        repeat: Callable[[int], bool],
        kept: FrozenSet[int] = frozenset(),
    ) -> None:
        self._count = count
        self._ask_cut, self._ask_repeat = cut, repeat
        self._kept = kept
        self._cuts: Dict[int, bool] = {}
        self._repeats: Dict[int, bool] = {}

    def cut(self, position: int) -> bool:
        """True where a scene ends between ``position`` and the next one (and at the shot's ends)."""
        if not 0 <= position < self._count - 1:
            return True
        if position not in self._cuts:
            self._cuts[position] = self._ask_cut(position)
        return self._cuts[position]

    def _repeats_previous(self, position: int) -> bool:
        if not 1 <= position < self._count:
            return False
        if position not in self._repeats:
            self._repeats[position] = self._ask_repeat(position - 1)
        return self._repeats[position]

    def bridged(self, position: int) -> bool:
        """True where the frame is a single repeat inside a movement, to be gone over as if it were missing."""
        if position in self._kept or not self._repeats_previous(position):
            return False
        moves_before = not self._repeats_previous(position - 1) and not self.cut(position - 2)
        moves_after = not self.cut(position) and not self._repeats_previous(position + 1)
        return moves_before and moves_after and position + 1 < self._count

    def at(self, time: Fraction) -> Moment:
        """Where ``time`` (in positions, 0 = the shot's first frame; held inside the shot) lies."""
        time = min(max(time, Fraction(0)), Fraction(self._count - 1))
        floor = math.floor(time)
        if time == floor and not self.bridged(floor):
            return Moment(hold=floor)
        interval = floor if time > floor else floor - 1
        if self.cut(interval):
            return Moment(hold=interval if time - interval < Fraction(1, 2) else interval + 1)
        pair = self.pair(interval)
        if self._repeats_previous(pair.second) and pair.second - pair.first == 1:
            return Moment(hold=pair.first)
        return Moment(pair=pair, time=float((time - pair.first) / (pair.second - pair.first)))

    def pair(self, interval: int) -> Pair:
        """The pair to go between in the interval from position ``interval`` to the next one, bridging repeats."""
        first = interval - 1 if self.bridged(interval) else interval
        second = interval + 2 if self.bridged(interval + 1) else interval + 1
        before = self._previous(first)
        after = self._next(second)
        span = second - first
        return Pair(
            first,
            second,
            before,
            after,
            -1.0 if before is None else (before - first) / span,
            2.0 if after is None else (after - first) / span,
        )

    def scenes(self) -> Tuple[Tuple[int, ...], ...]:
        """Positions of the whole shot, scene by scene, without those that are bridged."""
        found: List[List[int]] = [[]]
        for position in range(self._count):
            if not self.bridged(position):
                found[-1].append(position)
            if self.cut(position):
                found.append([])
        return tuple(tuple(scene) for scene in found if scene)

    def pair_after(self, position: int) -> Optional[Pair]:
        """The pair that starts at ``position``, or None at a cut, at the end, or where it is bridged."""
        if self.cut(position) or self.bridged(position):
            return None
        return self.pair(position)

    def pair_before(self, position: int) -> Optional[Pair]:
        """The pair that ends at ``position``, or None at a cut, at the start, or where it is bridged."""
        if self.cut(position - 1) or self.bridged(position):
            return None
        return self.pair(position - 1)

    def _previous(self, position: int) -> Optional[int]:
        if self.cut(position - 1):
            return None
        previous = position - 1
        if self.bridged(previous):
            previous -= 1
        return previous

    def _next(self, position: int) -> Optional[int]:
        if self.cut(position):
            return None
        following = position + 1
        if self.bridged(following):
            following += 1
        return following

    def same_scene(self, time_a: Fraction, time_b: Fraction) -> bool:
        """True where no cut separates what is shown at the two times (in positions)."""
        low, high = sorted((self.shown(time_a), self.shown(time_b)))
        return not any(self.cut(position) for position in range(low, high))

    def shown(self, time: Fraction) -> int:
        """The position whose scene is on screen at ``time``."""
        time = min(max(time, Fraction(0)), Fraction(self._count - 1))
        floor = math.floor(time)
        if time == floor or not self.cut(floor):
            return floor
        return floor if time - floor < Fraction(1, 2) else floor + 1
