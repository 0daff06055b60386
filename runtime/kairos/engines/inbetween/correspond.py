"""Where each generated picture's pixels are in both keys, and how far that is to be trusted.

Two ways lead from a generated picture to a key: directly, and along its neighbours step by step, which follows what
has gone far. Steps add up their errors, so that what they find is set right against the key itself. Pixel by pixel the
way that takes the key to where it looks more like the generated picture is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.classic.midway import inside
from kairos.engines.classic.motion import Estimator, Look, layer_of
from kairos.engines.inbetween.likeness import alike
from kairos.engines.inbetween.spots import moved_whole, trusted_whole
from kairos.motion.fill import fill_weighted
from kairos.motion.occlusion import clean_mask
from kairos.motion.vectors import chain
from kairos.motion.warp import backward_warp

_FLOOR = 0.02
"""Least say of a motion that nobody vouches for, against what surrounds it."""

_AROUND, _SAME = 4, 0.8
"""Pixels around one whose motion is compared with its own, and how far it may differ, 1/e, to be the same motion."""

_CLEARLY = 0.05
"""Trust by which another way must win: a picture put together from many motions has seams."""

_SURE = 0.5
"""Trust from which on a motion stays exactly as it is."""

_ASTRAY = 6.0
"""Pixels by which a chained motion is set right at most; a greater change is none of its."""


class Seen(NamedTuple):
    """A picture among which correspondences are sought.

    Attributes:
        picture: (3, h, w) shown.
        peak: (1, h, w) its brightest channel, as it was generated where that is brighter than what was made of it: a
            lamp that was cut off at white says nothing of how white it is to be.
    """

    picture: Tensor
    peak: Tensor


@dataclass(frozen=True)
class Match:
    """A generated picture's correspondence with a key.

    Attributes:
        flow: (2, h, w) pixels of the canvas, from the generated picture to the key.
        trust: (1, h, w) in 0..1: the key shows there what the picture shows.
    """

    flow: Tensor
    trust: Tensor


Step = Tuple[Tensor, Tensor]
"""Motion from a picture to a neighbour (2, h, w), and how far both ways agree (1, h, w)."""


class Correspondences:
    """Finds them all.

    Args:
        count: of pictures.
        seen: answers with a generated picture by its number. The first and the last are the keys.
        estimate: finds motion between two pictures.
        tell: called after every estimate.
        shows: (1, h, w) bool, of the canvas what shows the plate itself: no correspondence lies elsewhere.
    """

    def __init__(
        self,
        count: int,
        seen: Callable[[int], Seen],
        estimate: Estimator,
        tell: Callable[[], None],
        shows: Tensor,
    ) -> None:
        self._count, self._seen, self._estimate, self._tell = count, seen, estimate, tell
        self._shows = shows.float()

    def find(self) -> List[Tuple[Match, Match]]:
        """Of every picture in order, its correspondences with the first and with the last."""
        back: List[Step] = []
        there: List[Step] = []
        for index in range(self._count - 1):
            forward, backward = self._both(self._seen(index), self._seen(index + 1))
            there.append(forward)
            back.append(backward)
        first = self._along(range(self._count), back)
        there.reverse()
        last = self._along(range(self._count - 1, -1, -1), there)
        return list(zip(first, last[::-1]))

    def _along(self, order: Sequence[int], steps: List[Step]) -> List[Match]:
        """Correspondences with the first picture of an order; ``steps`` lead from each later one to the one before.

        The steps are used up: what is kept at once does not grow.
        """
        key = self._seen(order[0])
        found = [Match(torch.zeros_like(key.picture[:2]), self._shows.clone())]
        steps.reverse()
        for index in order[1:]:
            step, agreed = steps.pop()
            picture = self._seen(index)
            way, _ = chain(step, found[-1].flow)
            kept = torch.minimum(agreed, backward_warp(found[-1].trust, step))
            ways = [self._set_right(picture, key, way, kept)] if len(found) > 1 else [(step, agreed)]
            if len(found) > 1:
                ways.append(self._both(picture, key)[0])
            found.append(self._better(picture, key, ways))
        return found

    def _set_right(self, picture: Seen, key: Seen, way: Tensor, kept: Tensor) -> Step:
        """A chained motion moved on to where the key is most alike."""
        rest, agreed = self._both(picture, _warped(key, way))[0]
        small = rest.square().sum(0, keepdim=True) <= _ASTRAY * _ASTRAY
        rest = torch.where(small, rest, 0.0)
        return rest + backward_warp(way, rest), torch.minimum(kept, torch.where(small, agreed, 0.0))

    def _better(self, picture: Seen, key: Seen, ways: Sequence[Step]) -> Match:
        """The best of several ways, pixel by pixel."""
        best: Optional[Match] = None
        for flow, agreed in ways:
            known = agreed * backward_warp(self._shows, flow) * inside(flow) * self._shows
            score = known * alike(picture.picture, backward_warp(key.picture, flow), known)
            if best is None:
                best = Match(flow, score)
                continue
            # A speck of another motion is no better a motion.
            wins = clean_mask((score > best.trust + _CLEARLY).float()) > 0.5
            best = Match(torch.where(wins, flow, best.flow), torch.where(wins, score, best.trust))
        assert best is not None
        trust = trusted_whole(clean_mask(best.trust), torch.minimum(picture.peak, backward_warp(key.peak, best.flow)))
        flow = fill_weighted(best.flow, (trust / _SURE).clamp(_FLOOR, 1.0))
        return Match(_calmed(flow, trust), trust)

    def _both(self, first: Seen, second: Seen) -> Tuple[Step, Step]:
        """Motion both ways between two pictures."""
        # What is painted means nothing finer than a grey level.
        found = self._estimate(*(Look((each.picture * 255).round() / 255, None) for each in (first, second)))
        there, back = (each.to(first.picture.device).float() for each in (found.there, found.back))
        there, back = moved_whole(there, first.peak, second.peak), moved_whole(back, second.peak, first.peak)
        whole = torch.ones_like(first.peak)
        layer = layer_of(found._replace(there=there, back=back), whole, whole)
        self._tell()
        return (layer.there, layer.trust0), (layer.back, layer.trust1)


def _warped(seen: Seen, flow: Tensor) -> Seen:
    both = backward_warp(torch.cat(seen), flow)
    return Seen(both[:3], both[3:])


def estimates(count: int) -> int:
    """How many estimates it takes for so many pictures."""
    return (count - 1) + 2 * 2 * max(0, count - 2)


def _calmed(flow: Tensor, trust: Tensor) -> Tensor:
    """A flow (2, h, w) with every vector the mean of those around that are nearly the same, by trust (1, h, w): what
    each finds in a noisy picture is off by parts of a pixel, which the plate's full size makes whole ones.
    """
    say = trust + 1e-3
    for axis in (1, 2):
        total, weigh = torch.zeros_like(flow), torch.zeros_like(trust)
        for away in range(-_AROUND, _AROUND + 1):
            near, share = _shifted(flow, axis, away), _shifted(say, axis, away)
            off = (near - flow).square().sum(0, keepdim=True)
            share = share * torch.exp(-off / _SAME**2)
            total += near * share
            weigh += share
        flow = total / weigh
    return flow


def _shifted(planes: Tensor, axis: int, away: int) -> Tensor:
    """Planes moved along an axis, the border repeated."""
    length = planes.shape[axis]
    return planes.index_select(axis, (torch.arange(length, device=planes.device) + away).clamp(0, length - 1))
