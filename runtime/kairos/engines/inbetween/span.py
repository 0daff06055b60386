"""What lies between two keys once pictures between them are generated: those themselves, or what is made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Optional, Protocol, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair
from kairos.engines.inbetween.motion import Mover
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos.motion.vectors import chain
from kairos.motion.warp import backward_warp
from kairos_nodes.layers import Policy

_EXACT = 1e-6
"""Part of a picture's interval within which a time is that of the picture."""


class Pictures(Protocol):
    """Pictures at even times from 0 to 1, both ends included, as :class:`kairos.engines.inbetween.plate.Placed`."""

    def __len__(self) -> int:
        """How many."""

    def at(self, index: int) -> Inbetween:
        """One of them, with its motion to both ends."""

    def bare(self, index: int) -> Inbetween:
        """The same without its grain, where that is kept apart."""

    def finished(self, picture: Tensor, time: float) -> Tensor:
        """A picture (3, H, W) that was made without grain, for a time of its own: with it, where that is kept apart."""


Deeper = Callable[[Tensor, Tensor], Pictures]
"""Generates between two encoded pictures (3, H, W)."""


class Span:
    """Any time between two keys.

    Args:
        pictures: that were generated.
        mover: finds motion between pictures.
        deeper: generates between two of them; None has other times made by the mover's engine.
    """

    def __init__(self, pictures: Pictures, mover: Mover, deeper: Optional[Deeper] = None) -> None:
        self._pictures, self._mover, self._deeper = pictures, mover, deeper
        self._kept: Optional[Tuple[int, Inbetween, Inbetween]] = None
        self._inner: Optional[Tuple[int, Span]] = None

    def at(self, time: float) -> Inbetween:
        """What is shown at a time from 0 to 1, painted."""
        place = time * (len(self._pictures) - 1)
        nearest = round(place)
        if abs(place - nearest) <= _EXACT:
            return replace(self._pictures.at(nearest), time=time)
        low = int(place)
        before, after = self._beside(low)
        local = self._local(low, before, after, place - low)
        if self._deeper is None:
            local = replace(local, image=self._pictures.finished(_image(local), time))
        return _through(time, local, before, after)

    def _local(self, low: int, before: Inbetween, after: Inbetween, part: float) -> Inbetween:
        """What lies between two neighbouring pictures, with its motion to these; retimed it has no grain yet."""
        first, second = _image(before), _image(after)
        if self._deeper is not None:
            if self._inner is None or self._inner[0] != low:
                # What is finer still is no movement that needs to be made up.
                self._inner = low, Span(self._deeper(first, second), self._mover)
            return self._inner[1].at(part)
        answer = next(iter(self._mover.between(first, second).at(Pair(0, 1), [part])))
        shown = compose(first, second, answer, Policy.BLEND, codec=Codec())
        return replace(answer, residual=None, image=shown)

    def _beside(self, low: int) -> Tuple[Inbetween, Inbetween]:
        """The pictures before and after; kept, since many times may lie between two.

        What is generated between them has to look like both, grain and all. What is mixed of them has to be mixed
        without: mixed grain is weaker, and would come and go from frame to frame.
        """
        if self._kept is None or self._kept[0] != low:
            picture = self._pictures.bare if self._deeper is None else self._pictures.at
            self._kept = low, picture(low), picture(low + 1)
        return self._kept[1:]


def _through(time: float, local: Inbetween, before: Inbetween, after: Inbetween) -> Inbetween:
    """A picture's motion to both keys, by way of whichever of its neighbours shows more of it."""
    first, second = (
        _better(_way(local, before, True, to_first), _way(local, after, False, to_first)) for to_first in (True, False)
    )
    return Inbetween(
        time=time,
        flow_to_0=first.flow,
        flow_to_1=second.flow,
        blend=weight_of_first(time, first.hidden, second.hidden),
        occlusion_0=first.hidden,
        occlusion_1=second.hidden,
        confidence=torch.minimum(first.sure, second.sure),
        image=local.image,
    )


def weight_of_first(time: float, hidden0: Tensor, hidden1: Tensor) -> Tensor:
    """(1, H, W) weight of the first source at a time, by what is hidden in either; by the time alone where both are."""
    shown0, shown1 = (1 - time) * (1 - hidden0), time * (1 - hidden1)
    both = shown0 + shown1
    return torch.where(both > _EXACT, shown0 / both.clamp(min=_EXACT), torch.full_like(both, 1 - time))


@dataclass(frozen=True)
class _Way:
    """Motion to a key by way of a neighbour: (2, H, W), (1, H, W) hidden on that way and (1, H, W) how sure it is."""

    flow: Tensor
    hidden: Tensor
    sure: Tensor


def _way(local: Inbetween, neighbour: Inbetween, is_before: bool, to_first: bool) -> _Way:
    step, out_of_sight = (local.flow_to_0, local.occlusion_0) if is_before else (local.flow_to_1, local.occlusion_1)
    rest, beyond = (
        (neighbour.flow_to_0, neighbour.occlusion_0) if to_first else (neighbour.flow_to_1, neighbour.occlusion_1)
    )
    chained = chain(step, rest)
    there = backward_warp(torch.cat([beyond, neighbour.confidence]), step, "bilinear")
    hidden = torch.maximum(out_of_sight, there[:1]).clamp(0, 1)
    hidden = torch.where(chained.valid, hidden, torch.ones_like(hidden))
    return _Way(chained.flow, hidden, torch.minimum(local.confidence, there[1:]).clamp(0, 1))


def _better(one: _Way, other: _Way) -> _Way:
    """Of two ways, pixel by pixel, the one that is hidden less."""
    first = one.hidden <= other.hidden
    return _Way(*(torch.where(first, a, b) for a, b in zip(_planes(one), _planes(other))))


def _planes(way: _Way) -> Tuple[Tensor, Tensor, Tensor]:
    return way.flow, way.hidden, way.sure


def _image(answer: Inbetween) -> Tensor:
    if answer.image is None:
        raise ValueError("generated pictures have an image")
    return answer.image
