"""Where every pixel of one view goes between any two times of the shot, however many frames lie between."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from fractions import Fraction
from typing import Hashable, Optional, Tuple, TypeVar

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, TellsMotion
from kairos.motion.inbetween import Inbetween
from kairos.motion.occlusion import consistency, occlusion
from kairos.motion.vectors import between, chain

from .structure import Structure

KEPT_INBETWEENS = 4
KEPT_FIELDS = 6

V = TypeVar("V")


@dataclass(frozen=True)
class Field:
    """Motion from the pixels on screen at one time to where the same points are at another.

    Attributes:
        flow: (2, H, W) pixels, x right, y down.
        occlusion: (1, H, W) in 0..1, 1 = not visible at the other time.
    """

    flow: Tensor
    occlusion: Tensor


class Paths:
    """The motion of one view, asked for by time (in positions, 0 = the shot's first frame).

    Args:
        session: the engine at work on the view.
        structure: the shot's cuts and repeats.
        size: height and width of the answers, pixels.
        device: where answers live.
    """

    def __init__(self, session: Session, structure: Structure, size: Tuple[int, int], device: torch.device) -> None:
        self._session, self._structure = session, structure
        self._size, self._device = size, device
        self._inbetweens: OrderedDict[Tuple[Pair, float], Inbetween] = OrderedDict()
        self._walks: OrderedDict[Tuple[Fraction, Fraction], Optional[Tensor]] = OrderedDict()

    def inbetween(self, pair: Pair, time: float) -> Inbetween:
        """The engine's answer, full size; the latest few are remembered."""
        key = (pair, time)
        known = _remembered(self._inbetweens, key)
        if known is not None:
            return known
        answer = next(iter(self._session.at(pair, [time])))
        return _remember(self._inbetweens, key, answer, KEPT_INBETWEENS)

    def field(self, start: Fraction, end: Fraction) -> Field:
        """Motion from what is on screen at ``start`` to the same points at ``end``, both held inside the shot.

        0 with occlusion 1 where a cut or the shot's end lies between; 0 with occlusion 0 where nothing moves (a hold).
        """
        start, end = self._effective(start), self._effective(end)
        if start == end:
            return self._nothing(occluded=False)
        there, back = self._walk(start, end), self._walk(end, start)
        if there is None or back is None:
            return self._nothing(occluded=True)
        return Field(there, occlusion(consistency(there, back), there))

    def nowhere(self) -> Field:
        """Motion to a frame that does not exist: 0, occlusion 1."""
        return self._nothing(occluded=True)

    def confidence(self, time: Fraction) -> Tensor:
        """(1, H, W) in 0..1: how far the motion at one time agrees with itself both ways."""
        time = self._effective(time)
        answers = self._answers(time)
        if not answers:
            return torch.ones(1, *self._size, device=self._device)
        return torch.stack([answer.confidence for answer in answers]).amin(0)

    def _answers(self, time: Fraction) -> list[Inbetween]:
        if time.denominator != 1:
            moment = self._structure.at(time)
            return [] if moment.pair is None else [self.inbetween(moment.pair, moment.time)]
        ends = (self._structure.pair_before(int(time)), 1.0), (self._structure.pair_after(int(time)), 0.0)
        return [self.inbetween(pair, end) for pair, end in ends if pair is not None]

    def _effective(self, time: Fraction) -> Fraction:
        """The time whose picture is really on screen: the frame's own where it is held."""
        moment = self._structure.at(time)
        return time if moment.hold is None else Fraction(moment.hold)

    def _nothing(self, occluded: bool) -> Field:
        flow = torch.zeros(2, *self._size, device=self._device)
        return Field(flow, torch.full_like(flow[:1], 1.0 if occluded else 0.0))

    def _walk(self, start: Fraction, end: Fraction) -> Optional[Tensor]:
        """(2, H, W) from ``start`` to ``end``, pair by pair; None where there is no way."""
        if start == end:
            return torch.zeros(2, *self._size, device=self._device)
        key = (start, end)
        if key in self._walks:
            self._walks.move_to_end(key)
            return self._walks[key]
        return _remember(self._walks, key, self._stepped(start, end), KEPT_FIELDS)

    def _stepped(self, start: Fraction, end: Fraction) -> Optional[Tensor]:
        forward = end > start
        if start.denominator == 1:
            pair = self._structure.pair_after(int(start)) if forward else self._structure.pair_before(int(start))
        elif self._structure.cut(math.floor(start)):
            pair = None
        else:
            pair = self._structure.pair(math.floor(start))
        if pair is None:
            return None
        span = pair.second - pair.first
        time = float((start - pair.first) / span)
        if pair.first <= end <= pair.second:
            target = float((end - pair.first) / span)
            known = self._known(pair, time, target)
            return between(self.inbetween(pair, time), target) if known is None else known
        edge = pair.second if forward else pair.first
        step = self._known(pair, time, 1.0 if forward else 0.0)
        if step is None:
            answer = self.inbetween(pair, time)
            step = answer.flow_to_1 if forward else answer.flow_to_0
        rest = self._walk(Fraction(edge), end)
        return None if rest is None else chain(step, rest).flow

    def _known(self, pair: Pair, start: float, end: float) -> Optional[Tensor]:
        """(2, H, W) between two times of a pair, where the session itself knows it."""
        return self._session.motion(pair, start, end) if isinstance(self._session, TellsMotion) else None


K = TypeVar("K", bound=Hashable)


def _remembered(memory: OrderedDict[K, V], key: K) -> Optional[V]:
    if key not in memory:
        return None
    memory.move_to_end(key)
    return memory[key]


def _remember(memory: OrderedDict[K, V], key: K, value: V, most: int) -> V:
    memory[key] = value
    while len(memory) > most:
        memory.popitem(last=False)
    return value
