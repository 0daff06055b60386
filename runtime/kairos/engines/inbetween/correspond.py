"""Where each generated picture's pixels are in both keys, and how far that is to be trusted.

Two ways lead from a generated picture to a key: directly, and along its neighbours step by step, which follows what
has gone far. Steps add up their errors, so that what they find is set right against the key itself. Pixel by pixel the
way that takes the key to where it looks more like the generated picture is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor

from kairos.engines.classic.highlights import move_whole
from kairos.engines.classic.midway import inside
from kairos.engines.classic.motion import Estimator, Look, layer_of
from kairos.engines.inbetween.likeness import alike, blurred
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

_BRIGHT = 0.85
"""Shown value over which a small thing is a highlight."""

_GROUND = 0.82
"""Shown value from which on what shows around a highlight counts as its light."""

_STOP = 0.09
"""Proxy value of one stop of light, as :mod:`kairos.engines.classic.highlights` counts it."""

_SPOT, _RIM = 2500, 2
"""Size of the largest highlight that is trusted as a whole, and the rim that belongs to it, pixels."""

_ASTRAY = 6.0
"""Pixels by which a chained motion is set right at most; a greater change is none of its."""


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
        picture: answers with a generated picture, (3, h, w) shown, by its number. The first and the last are the keys.
        estimate: finds motion between two pictures.
        tell: called after every estimate.
        shows: (1, h, w) bool, of the canvas what shows the plate itself: no correspondence lies elsewhere.
    """

    def __init__(
        self,
        count: int,
        picture: Callable[[int], Tensor],
        estimate: Estimator,
        tell: Callable[[], None],
        shows: Tensor,
    ) -> None:
        self._count, self._picture, self._estimate, self._tell = count, picture, estimate, tell
        self._shows = shows.float()

    def find(self) -> List[Tuple[Match, Match]]:
        """Of every picture in order, its correspondences with the first and with the last."""
        back: List[Step] = []
        there: List[Step] = []
        for index in range(self._count - 1):
            forward, backward = self._both(self._picture(index), self._picture(index + 1))
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
        key = self._picture(order[0])
        found = [Match(key.new_zeros(2, *key.shape[-2:]), key.new_ones(1, *key.shape[-2:]) * self._shows)]
        steps.reverse()
        for index in order[1:]:
            step, agreed = steps.pop()
            picture = self._picture(index)
            way, _ = chain(step, found[-1].flow)
            kept = torch.minimum(agreed, backward_warp(found[-1].trust, step))
            ways = [self._set_right(picture, key, way, kept)] if len(found) > 1 else [(step, agreed)]
            if len(found) > 1:
                ways.append(self._both(picture, key)[0])
            found.append(self._better(picture, key, ways))
        return found

    def _set_right(self, picture: Tensor, key: Tensor, way: Tensor, kept: Tensor) -> Step:
        """A chained motion moved on to where the key is most alike."""
        rest, agreed = self._both(picture, backward_warp(key, way))[0]
        small = rest.square().sum(0, keepdim=True) <= _ASTRAY * _ASTRAY
        rest = torch.where(small, rest, 0.0)
        return rest + backward_warp(way, rest), torch.minimum(kept, torch.where(small, agreed, 0.0))

    def _better(self, picture: Tensor, key: Tensor, ways: Sequence[Step]) -> Match:
        """The best of several ways, pixel by pixel."""
        best: Optional[Match] = None
        for flow, agreed in ways:
            known = agreed * backward_warp(self._shows, flow) * inside(flow) * self._shows
            score = known * alike(picture, backward_warp(key, flow), known)
            if best is None:
                best = Match(flow, score)
                continue
            # A speck of another motion is no better a motion.
            wins = clean_mask((score > best.trust + _CLEARLY).float()) > 0.5
            best = Match(torch.where(wins, flow, best.flow), torch.where(wins, score, best.trust))
        assert best is not None
        trust = _in_spots(clean_mask(best.trust), torch.minimum(picture, backward_warp(key, best.flow)))
        flow = fill_weighted(best.flow, (trust / _SURE).clamp(_FLOOR, 1.0))
        return Match(_calmed(flow, trust), trust)

    def _both(self, first: Tensor, second: Tensor) -> Tuple[Step, Step]:
        """Motion both ways between two pictures."""
        found = self._estimate(Look(first, None), Look(second, None))
        there, back = (each.to(first.device).float() for each in (found.there, found.back))
        found = found._replace(there=_whole(there, first, second), back=_whole(back, second, first))
        whole = first.new_ones(1, *first.shape[-2:])
        layer = layer_of(found, whole, whole)
        self._tell()
        return (layer.there, layer.trust0), (layer.back, layer.trust1)


def estimates(count: int) -> int:
    """How many estimates it takes for so many pictures."""
    return (count - 1) + 2 * 2 * max(0, count - 2)


def _whole(flow: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The flow (2, h, w) between two pictures with small highlights moved whole, see
    :func:`kairos.engines.classic.highlights.move_whole`: a lamp of few pixels is lost to a search over windows.
    """
    # Out of focus alike, and with what is nearly white over the level of a highlight.
    bright = [_as_light(blurred(picture.clamp(0, 1))) for picture in (first, second)]
    if not all(bool((picture > 1).any()) for picture in bright):
        return flow
    plane = np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy())
    moved = move_whole(plane, *bright)
    return torch.from_numpy(np.ascontiguousarray(moved.transpose(2, 0, 1))).to(flow.device)


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


def _as_light(shown: Tensor) -> Tensor:
    """A shown picture as proxies in which a highlight's level begins at 1 and its light is what is over the ground: the
    middle of a lamp that is cut off at white is that of its area.
    """
    part = ((shown - _GROUND) / (_BRIGHT - _GROUND)).clamp(min=1e-4)
    return 1.0 + _STOP * part.log2()


def _in_spots(trust: Tensor, shown: Tensor) -> Tensor:
    """Trust (1, h, w), one value for each small highlight of a picture (3, h, w): half a lamp is worse than none."""
    bright = (blurred(shown).amax(0) > _BRIGHT).cpu().numpy().view(np.uint8)
    if not bright.any():
        return trust
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    plane = trust[0].cpu().numpy().copy()
    rim = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    for label, (left, top, across, down, area) in enumerate(stats.tolist()):
        if label == 0 or area > _SPOT:
            continue
        rows = slice(max(0, top - _RIM), top + down + _RIM)
        columns = slice(max(0, left - _RIM), left + across + _RIM)
        inside = labels[rows, columns] == label
        common = float(np.median(plane[rows, columns][inside]))
        plane[rows, columns][cv2.dilate(inside.astype(np.uint8), rim) > 0] = common
    return torch.from_numpy(plane)[None].to(trust.device)
