"""A published network at work on one view of one shot."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.adapters.answer import Finding, answered, at_source, carried_on, nothing_moves
from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.course import Mover, beyond
from kairos.engines.classic.motion import estimate_classic, still_ground
from kairos.engines.classic.session import ClassicSession
from kairos.engines.published import PublishedNetwork
from kairos.motion.inbetween import Inbetween
from kairos.motion.vectors import chain

_KEPT_LOOKS, _KEPT_COURSES = 2, 2
"""Frames of which the network's features are kept, those that neighbouring pairs share; and pairs whose paths are."""

DEEPEST = 4
"""Halvings of the interval for networks that know the middle alone: sixteenths. Between them motion is carried on."""

_BESIDE = 2
"""So many frames, and half as many pairs, are kept besides where the neighbours bend a pair's paths."""

_MIDDLE = 0.5


@dataclass(frozen=True)
class Way:
    """How a network is used.

    Attributes:
        paints: its picture is the answer.
        formula: its flows may be taken at any part of the way, though it was trained for the middle.
        scale: motion is sought at this part of the frame's size.
        mover: tells the paths, from the network's motion at the sources; None: the network itself does.
    """

    paints: bool = False
    formula: bool = False
    scale: float = 1.0
    mover: Optional[Mover] = None


@dataclass(frozen=True)
class Picture:
    """A source, or a picture the network painted between.

    Attributes:
        time: in the pair.
        proxy: (3, H, W).
        position: of a source; None of what was painted.
        pair: that it belongs to.
        to_0, to_1: (2, H, W) the way to both sources; None of a source.
    """

    time: Fraction
    proxy: Tensor
    position: Optional[int]
    pair: Pair
    to_0: Optional[Tensor] = None
    to_1: Optional[Tensor] = None


class NetworkSession:
    """See :class:`kairos.engines.base.Session`. Answers depend on the frames alone, never on what was asked before."""

    def __init__(self, shot: ShotView, network: PublishedNetwork, way: Way) -> None:
        self._shot, self._network, self._way = shot, network, way
        self._given = ClassicSession(shot, estimate_classic, way.mover)
        self._beside = 0 if way.mover is None else _BESIDE
        self._looks: OrderedDict[int, Any] = OrderedDict()
        self._states: OrderedDict[Tuple[int, int], Any] = OrderedDict()
        self._found: OrderedDict[Tuple[int, int, Fraction], Finding] = OrderedDict()
        self._courses: OrderedDict[Pair, Any] = OrderedDict()

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        for time in times:
            yield self._between(pair, time)

    @torch.inference_mode()
    def _between(self, pair: Pair, time: float) -> Inbetween:
        first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
        still = still_ground(first, second)
        if bool(still.all()):
            return nothing_moves(self._shot.size, time, first.device)
        if self._shot.given_motion(pair.first, pair.second) is not None:
            (told,) = self._given.at(pair, [time])
            if not self._way.paints or time in (0.0, 1.0):
                return told
            return replace(told, image=self._finding(pair, time).image)
        if time in (0.0, 1.0):
            return at_source(self._remembered(pair, Fraction(1, 2)), _MIDDLE, time, still)
        mover = self._way.mover
        course = None if mover is None else self._course(mover, pair)
        found = self._finding(pair, time)
        bent = None if mover is None else mover.at(course, time, found.flow_to_1 - found.flow_to_0)
        return answered(found, first, second, still, time, self._way.paints, bent)

    def _course(self, mover: Mover, pair: Pair) -> Any:
        """What the mover keeps of a pair, from the network's motion at the sources, to each other and to the frames
        around them.
        """
        if pair not in self._courses:
            ends = (
                (pair.first, pair.second, pair.before, -pair.before_time),
                (pair.second, pair.first, pair.after, pair.after_time - 1.0),
            )
            # These first: of the network's features, those of the pair at work are to stay.
            around = [
                None if far is None or ratio <= 0 else self._leaving(source, far) for source, _, far, ratio in ends
            ]
            flows: List[Tensor] = []
            sides: List[Optional[Tensor]] = []
            for (source, target, _, ratio), other in zip(ends, around):
                onward, sure = self._leaving(source, target)
                flows.append(onward)
                sides.append(None if other is None else beyond(onward, other[0], ratio, sure * other[1]))
            keep(self._courses, pair, mover.know(flows[0], flows[1], sides[0], sides[1]), _KEPT_COURSES)
        self._courses.move_to_end(pair)
        return self._courses[pair]

    def _leaving(self, source: int, target: int) -> Tuple[Tensor, Tensor]:
        """The network's motion (2, H, W) from a frame's own pixels to another frame, and its confidence (1, H, W)."""
        pair = Pair(min(source, target), max(source, target))
        still = still_ground(self._shot.proxy(pair.first), self._shot.proxy(pair.second))
        time = 0.0 if source == pair.first else 1.0
        answer = at_source(self._remembered(pair, Fraction(1, 2)), _MIDDLE, time, still)
        return (answer.flow_to_0 if time else answer.flow_to_1), answer.confidence

    def _finding(self, pair: Pair, time: float) -> Finding:
        exact = Fraction(time)
        if self._network.any_time:
            return self._direct(*self._sources(pair), time)
        if exact.denominator <= 1 << DEEPEST:
            return self._remembered(pair, exact)
        if self._way.formula:
            return self._direct(*self._sources(pair), time)
        steps = 1 << DEEPEST
        near = Fraction(min(max(round(exact * steps), 1), steps - 1), steps)
        return carried_on(self._remembered(pair, near), float(near), time)

    def _remembered(self, pair: Pair, time: Fraction) -> Finding:
        """What was found at a time that others are made from."""
        key = (pair.first, pair.second, time)
        if key not in self._found:
            if self._network.any_time:
                found = self._direct(*self._sources(pair), float(time))
            else:
                found = self._halved(pair, *self._sources(pair), time)
            keep(self._found, key, found, DEEPEST + 1)
        self._found.move_to_end(key)
        return self._found[key]

    def _halved(self, pair: Pair, before: Picture, after: Picture, time: Fraction) -> Finding:
        """The middle of the middle, until the time is reached; the way to the sources goes along all of them."""
        middle = (before.time + after.time) / 2
        if middle != time:
            # The middle on the way serves other times too.
            known = self._remembered(pair, middle)
            assert known.image is not None
            between = Picture(middle, known.image, None, pair, known.flow_to_0, known.flow_to_1)
            return self._halved(pair, *((before, between) if time < middle else (between, after)), time)
        found = self._direct(before, after, _MIDDLE)
        if before.to_0 is None and after.to_1 is None:
            return found
        to_0, to_1 = found.flow_to_0, found.flow_to_1
        to_0 = to_0 if before.to_0 is None else chain(to_0, before.to_0).flow
        to_1 = to_1 if after.to_1 is None else chain(to_1, after.to_1).flow
        # Mask and residual are about the nearer pictures, not about the sources.
        return Finding(to_0, to_1, found.image)

    def _sources(self, pair: Pair) -> Tuple[Picture, Picture]:
        first, second = (self._shot.proxy(position) for position in (pair.first, pair.second))
        return Picture(Fraction(0), first, pair.first, pair), Picture(Fraction(1), second, pair.second, pair)

    def _direct(self, first: Picture, second: Picture, time: float) -> Finding:
        """What the network says of two frames."""
        found = self._network.at(self._state(first, second), time)
        optional = (
            None if planes is None else self._crop(planes) for planes in (found.image, found.mask, found.residual)
        )
        return Finding(self._crop(found.flow_to_0), self._crop(found.flow_to_1), *optional)

    def _crop(self, planes: Tensor) -> Tensor:
        height, width = self._shot.size
        return self._network.padding.crop(planes, height, width, self._way.scale)[0].float()

    def _state(self, first: Picture, second: Picture) -> Any:
        if first.position is None or second.position is None:
            return self._prepared(first, second)
        key = (first.position, second.position)
        if key not in self._states:
            # Frames are asked for in order, so one pair is enough; all pairs of two frames' places fill gigabytes.
            while len(self._states) > self._beside // 2:
                self._states.popitem(last=False)
            self._states[key] = self._prepared(first, second)
        self._states.move_to_end(key)
        return self._states[key]

    def _prepared(self, first: Picture, second: Picture) -> Any:
        """What the network prepares of two pictures."""
        return self._network.prepare(self._look(first), self._look(second), self._way.scale)

    def _look(self, frame: Picture) -> Any:
        padded = self._network.padding.pad
        if frame.position is None:
            return self._network.look(padded(frame.proxy[None], self._way.scale))
        if frame.position not in self._looks:
            look = self._network.look(padded(frame.proxy[None], self._way.scale))
            keep(self._looks, frame.position, look, _KEPT_LOOKS + self._beside)
        self._looks.move_to_end(frame.position)
        return self._looks[frame.position]


def keep(memory: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> None:
    """Remembers a value, and forgets the oldest beyond so many."""
    memory[key] = value
    while len(memory) > most:
        memory.popitem(last=False)
