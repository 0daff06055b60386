"""``classic`` at work on one view of one shot."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Callable, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.course import Course, Curve, Mover, beyond
from kairos.engines.classic.midway import between
from kairos.engines.classic.motion import Estimator, PairMotion, estimate_classic, measure
from kairos.engines.classic.parts import held_still, parted
from kairos.engines.classic.path import Bend, half_acceleration
from kairos.motion.inbetween import Inbetween

_KEPT = 4
"""Pairs of frames whose motion is kept: the pair at work, its neighbours on both sides, and one more."""
_KEPT_COURSES = 2


class ClassicSession:
    """See :class:`kairos.engines.base.Session`. Answers depend on the frames alone, never on what was asked before.

    Args:
        shot: the view.
        estimate: finds the motion.
        mover: tells the paths between both frames; None: they are straight, or parabolas through four frames.
    """

    def __init__(self, shot: ShotView, estimate: Estimator = estimate_classic, mover: Optional[Mover] = None) -> None:
        self._shot = shot
        self._estimate, self._mover = estimate, mover
        self._courses: OrderedDict[Pair, Course] = OrderedDict()
        self._motions: OrderedDict[Tuple[int, int], PairMotion] = OrderedDict()

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        motion = self._motion(pair.first, pair.second)
        curved = any(0 < time < 1 for time in times)
        curve = self._curve(pair, motion) if curved else None
        for time in times:
            yield self._held(pair, self._between(pair, motion, curve, time))

    def flows(self, pair: Pair) -> Tuple[Tensor, Tensor]:
        """(2, H, W) pixels each: the motion from the first source's pixels to the second, and back."""
        motion = self._motion(pair.first, pair.second)
        return whole(motion)[0], whole(motion.reversed())[0]

    def _held(self, pair: Pair, answer: Inbetween) -> Inbetween:
        """The answer with objects that the artist wants held."""
        rules = self._shot.region_rules()
        if not any(rule.hold for rule in rules.values()):
            return answer
        first, second = self._shot.regions(pair.first), self._shot.regions(pair.second)
        return answer if first is None or second is None else held_still(answer, first, second, rules)

    def _between(self, pair: Pair, motion: PairMotion, curve: Optional[Curve], time: float) -> Inbetween:
        return between(motion, curve, time)

    def _motion(self, first: int, second: int) -> PairMotion:
        key = (first, second) if first <= second else (second, first)
        if key in self._motions:
            self._motions.move_to_end(key)
        else:
            self._motions[key] = self._measured(*key)
            while len(self._motions) > _KEPT:
                self._motions.popitem(last=False)
        motion = self._motions[key]
        return motion if key == (first, second) else motion.reversed()

    def _measured(self, first: int, second: int) -> PairMotion:
        """The motion, of objects that were told apart as layers of their own."""
        motion = measure(self._shot, first, second, self._estimate)
        labels0, labels1 = self._cut_out(first), self._cut_out(second)
        if len(motion.layers) > 1 or labels0 is None or labels1 is None:
            return motion
        rules, together = self._shot.region_rules(), self._mover is not None
        return replace(motion, layers=parted(motion.layers[0], labels0, labels1, rules, together))

    def _cut_out(self, position: int) -> Optional[Tensor]:
        """The objects that are layers of their own: all that were given; of those found, which the artist ordered."""
        labels, rules = self._shot.regions(position), self._shot.region_rules()
        ordered = [number for number, rule in rules.items() if rule.order]
        if labels is None or 0 in ordered or not self._shot.regions_found():
            return labels
        if not ordered:
            return None
        return torch.where(torch.isin(labels.long(), torch.tensor(ordered, device=labels.device)), labels, 0)

    def _curve(self, pair: Pair, motion: PairMotion) -> Optional[Curve]:
        """What bends the paths of a pair."""
        if self._mover is None:
            return self._bend(pair, motion)
        if bool(motion.still.all()):
            return None
        if pair in self._courses:
            self._courses.move_to_end(pair)
        else:
            self._courses[pair] = self._course(self._mover, pair, motion)
            while len(self._courses) > _KEPT_COURSES:
                self._courses.popitem(last=False)
        return self._courses[pair]

    def _course(self, mover: Mover, pair: Pair, motion: PairMotion) -> Course:
        """Every layer's paths, by the flows of the pair and, where the shot has them, to its neighbours."""
        layers = _in_frame(self._on_grid(motion)).layers
        sides: List[List[Optional[Tensor]]] = []
        for own, other, ratio in self._around(pair, motion):
            if other is None:
                sides.append([None] * len(layers))
            else:
                near, far = (_in_frame(self._on_grid(each)) for each in (own, other))
                sides.append(_beyond(near, far, ratio))
        known = (mover.know(layer.there, layer.back, *around) for layer, *around in zip(layers, *sides))
        return Course(mover, tuple(known))

    def _on_grid(self, motion: PairMotion) -> PairMotion:
        """Motion on the grid on which paths are told: here the frame's own."""
        return motion

    def _around(self, pair: Pair, motion: PairMotion) -> Iterator[Tuple[PairMotion, Optional[PairMotion], float]]:
        """For either source the motion to the other, that to the neighbour where there is one, and how much further
        that lies.
        """
        for own, source, neighbour, ratio in (
            (motion, pair.first, pair.before, -pair.before_time),
            (motion.reversed(), pair.second, pair.after, pair.after_time - 1.0),
        ):
            yield own, None if neighbour is None or ratio <= 0 else self._motion(source, neighbour), ratio

    def _bend(self, pair: Pair, motion: PairMotion) -> Optional[Bend]:
        """Acceleration at both sources, where the shot has neighbours."""
        return self._bent(pair, motion, whole)

    def _bent(
        self, pair: Pair, motion: PairMotion, told: Callable[[PairMotion], Tuple[Tensor, Tensor]]
    ) -> Optional[Bend]:
        """The same from what is told of a motion: that of the first frame's pixels, and its trust."""
        if pair.before is None and pair.after is None:
            return None
        halves, trusts = [], []
        for own, next_to, ratio in self._around(pair, motion):
            onward, trust = told(own)
            if next_to is None:
                halves.append(torch.zeros_like(onward))
                trusts.append(torch.zeros_like(trust))
                continue
            backward, other = told(next_to)
            halves.append(half_acceleration(onward, backward, ratio))
            trusts.append(trust * other)
        return Bend(halves[0], halves[1], trusts[0], trusts[1])


def _beyond(own: PairMotion, other: PairMotion, ratio: float) -> List[Optional[Tensor]]:
    """Of every layer, of the whole frame, the motion to the neighbour, as
    :func:`kairos.engines.classic.course.beyond` tells it.
    """
    if len(own.layers) == len(other.layers):
        both = zip(own.layers, other.layers)
        return [beyond(near.there, far.there, ratio, near.trust0 * far.trust0) for near, far in both]
    backward, trust = whole(other)
    return [beyond(near.there, backward, ratio, near.trust0 * trust * near.share0) for near in own.layers]


def whole(motion: PairMotion) -> Tuple[Tensor, Tensor]:
    """Motion from the first frame's pixels and its trust, the layers put together."""
    furthest = motion.layers[0].in_frame()
    if len(motion.layers) == 1:
        return furthest.there, furthest.trust0
    flow, trust = furthest.there.clone(), furthest.trust0.clone()
    for layer in motion.layers[1:]:
        above = layer.share0 > 0.5
        for planes, own in ((flow, layer.there), (trust, layer.trust0)):
            here = planes if layer.reach is None else layer.reach.of(planes)
            here.copy_(torch.where(above, own, here))
    return flow, trust


def _in_frame(motion: PairMotion) -> PairMotion:
    """The same motion with all planes of the whole frame."""
    return replace(motion, layers=tuple(layer.in_frame() for layer in motion.layers))
