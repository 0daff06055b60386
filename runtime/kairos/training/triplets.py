"""Which frames of a shot can teach: two of them with one between that is known."""

from __future__ import annotations

from typing import Callable, Dict, List

import numpy as np

from kairos.engines.base import Pair, ShotView
from kairos.errors import BadRequest
from kairos.motion.cuts import is_cut, is_repeat

LEAST_FRAMES = 5
"""Three triplets: two to learn from, one to judge by."""

MOST_TRIPLETS = 20
"""Spread over the shot; all of them in a shot of 22 frames or fewer."""


def usable(shot: ShotView, tell: Callable[[int, int], None] = lambda done, total: None) -> List[Pair]:
    """Frames two apart with one between that differs from both, on one side of every cut: spread over the shot.

    ``tell`` hears how many places are looked at, of how many.

    Raises:
        BadRequest: there are fewer than two.
    """
    if shot.count < LEAST_FRAMES:
        raise BadRequest(
            f"The shot has {shot.count} frames; weights cannot be fitted to fewer than {LEAST_FRAMES}.",
            "Give a longer --range, or use the weights as they are.",
        )
    last = shot.count - 3
    spread = np.linspace(0, last, min(last + 1, MOST_TRIPLETS)).round().astype(int)
    cuts: Dict[int, bool] = {}

    def cut(position: int) -> bool:
        if position not in cuts:
            cuts[position] = is_cut(shot.proxy(position), shot.proxy(position + 1))
        return cuts[position]

    def moves_on(position: int) -> bool:
        return not (is_repeat(shot.proxy(position), shot.proxy(position + 1)) or cut(position))

    found = []
    for index, first in enumerate(map(int, spread)):
        tell(index, len(spread))
        if not (moves_on(first) and moves_on(first + 1)):
            continue
        before = first - 2 if first > 1 and not (cut(first - 1) or cut(first - 2)) else None
        after = first + 4 if first + 4 < shot.count and not (cut(first + 2) or cut(first + 3)) else None
        found.append(Pair(first, first + 2, before, after))
    if len(found) < 2:
        raise BadRequest(
            "Cuts and repeated frames leave fewer than two places to learn from.",
            "Give a --range without cuts, or use the weights as they are.",
        )
    return found
