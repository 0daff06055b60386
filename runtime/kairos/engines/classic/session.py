"""``classic`` at work on one view of one shot."""

from __future__ import annotations

from collections import OrderedDict
from typing import Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.midway import between
from kairos.engines.classic.motion import Estimator, PairMotion, estimate_classic, measure
from kairos.engines.classic.path import Bend, half_acceleration
from kairos.motion.inbetween import Inbetween

_KEPT = 4
"""Pairs of frames whose motion is kept: the pair at work, its neighbours on both sides, and one more."""


class ClassicSession:
    """See :class:`kairos.engines.base.Session`. Answers depend on the frames alone, never on what was asked before."""

    def __init__(self, shot: ShotView, estimate: Estimator = estimate_classic) -> None:
        self._shot = shot
        self._estimate = estimate
        self._motions: OrderedDict[Tuple[int, int], PairMotion] = OrderedDict()

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        motion = self._motion(pair.first, pair.second)
        curved = any(0 < time < 1 for time in times)
        bend = self._bend(pair, motion) if curved else None
        for time in times:
            yield self._between(pair, motion, bend, time)

    def _between(self, pair: Pair, motion: PairMotion, bend: Optional[Bend], time: float) -> Inbetween:
        return between(motion, bend, time)

    def _motion(self, first: int, second: int) -> PairMotion:
        key = (first, second) if first <= second else (second, first)
        if key in self._motions:
            self._motions.move_to_end(key)
        else:
            self._motions[key] = measure(self._shot, *key, self._estimate)
            while len(self._motions) > _KEPT:
                self._motions.popitem(last=False)
        motion = self._motions[key]
        return motion if key == (first, second) else motion.reversed()

    def _bend(self, pair: Pair, motion: PairMotion) -> Optional[Bend]:
        """Acceleration at both sources, where the shot has neighbours."""
        halves, trusts = [], []
        for own, source, neighbour, ratio in (
            (motion, pair.first, pair.before, -pair.before_time),
            (motion.reversed(), pair.second, pair.after, pair.after_time - 1.0),
        ):
            onward, trust = whole(own)
            if neighbour is None or ratio <= 0:
                halves.append(torch.zeros_like(onward))
                trusts.append(torch.zeros_like(trust))
                continue
            backward, other = whole(self._motion(source, neighbour))
            halves.append(half_acceleration(onward, backward, ratio))
            trusts.append(trust * other)
        if pair.before is None and pair.after is None:
            return None
        return Bend(halves[0], halves[1], trusts[0], trusts[1])


def whole(motion: PairMotion) -> Tuple[Tensor, Tensor]:
    """Motion from the first frame's pixels and its trust, the layers put together."""
    flow, trust = motion.layers[0].there, motion.layers[0].trust0
    for layer in motion.layers[1:]:
        above = layer.share0 > 0.5
        flow, trust = torch.where(above, layer.there, flow), torch.where(above, layer.trust0, trust)
    return flow, trust
