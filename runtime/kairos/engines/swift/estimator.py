"""The motion network as an estimator of the motion between two frames."""

from __future__ import annotations

from collections import OrderedDict
from typing import Hashable, Optional, Protocol, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic.flow import Finder
from kairos.engines.classic.motion import Found, Look
from kairos.engines.classic.regions import SLIGHT, Labels, better, departed, labels_of
from kairos.engines.swift.ensemble import TURNS, Turn, mean
from kairos.engines.swift.meeting import padded
from kairos.engines.swift.motion import FINE, Estimate, Features, Step, levels_of
from kairos.engines.swift.network import Swift
from kairos.engines.swift.prior import classical_prior
from kairos.motion.tiling import resize, resize_flow

_KEPT = 4
"""Frames whose features are kept."""

LEAST = 64
"""Sides of the smallest picture that is searched, pixels: the classical search fails on smaller ones. What a frame
lacks repeats its border.
"""


def classical(
    first: Tensor,
    second: Tensor,
    keys: Tuple[Hashable, Hashable] = (None, None),
    regions: Optional[Tuple[Labels, Labels]] = None,
) -> Tensor:
    """The quick classical search as a :class:`kairos.engines.classic.flow.Finder`; it keeps nothing."""
    return classical_prior(first, second, regions)


class Hierarchy(Protocol):
    """Makes the motion at one scale better by what it knows of objects."""

    def step(self, first: Features, second: Features, scale: float, regions: Optional[Tuple[Tensor, Tensor]]) -> Step:
        """What is done at that scale for one pair.

        Args:
            first, second: of both pictures.
            scale: part of the frame's size at which motion is found.
            regions: label maps (H, W) int16 of the pictures, before their sides are made multiples; None: all is one.
        """


class SwiftEstimator:
    """Motion both ways between two proxies.

    Args:
        network: in evaluation mode, on the device of the shot.
        dtype: of the network's arithmetic; places are float32 throughout.
        use_prior: begin from a prior.
        scale: size at which motion is found, part of the frame's.
        turns: ways of turning the picture over whose answers are averaged.
        tile: side of the tiles that a picture is worked on in, pixels, or None.
        prior: finds that prior.
        hierarchy: is told the objects and the features of both pictures; None leaves the motion to the network.
    """

    def __init__(
        self,
        network: Swift,
        dtype: torch.dtype,
        use_prior: bool,
        scale: float = 1.0,
        turns: Tuple[Turn, ...] = TURNS[:1],
        tile: Optional[int] = None,
        prior: Finder = classical,
        hierarchy: Optional[Hierarchy] = None,
    ) -> None:
        self._network, self._dtype, self._prior, self._hierarchy = network, dtype, prior, hierarchy
        self._use_prior, self._scale, self._turns, self._tile = use_prior, scale, turns, tile
        self._features: OrderedDict[Tuple[int, Turn], Features] = OrderedDict()

    def __call__(self, first: Look, second: Look) -> Found:
        """(2, H, W) pixels both ways, and what is hidden."""
        height, width = first.proxy.shape[-2:]
        rows, columns = (max(1, round(side * self._scale)) for side in (height, width))
        one, two = (_grown(resize(look.proxy, rows, columns)) for look in (first, second))
        with torch.inference_mode():
            looks = (_small(first, rows, columns), one), (_small(second, rows, columns), two)
            answers = [self._answer(turn, *looks) for turn in self._turns]
            flow, hidden = (mean([answer[part] for answer in answers]) for part in (0, 1))
        there, back = (resize_flow(each[:, :rows, :columns], height, width) for each in flow.float())
        hidden0, hidden1 = (resize(each[:, :rows, :columns], height, width) for each in hidden)
        return Found(there.clone(), back.clone(), hidden0.clone(), hidden1.clone(), min(1.0, self._scale))

    def _answer(self, turn: Turn, first: Tuple[Look, Tensor], second: Tuple[Look, Tensor]) -> Tuple[Tensor, Tensor]:
        """(2, 2, H, W) flows and (2, 1, H, W) hidden of both ways, found on pictures turned over, turned back."""
        one, two = (turn.planes(picture).contiguous() for _, picture in (first, second))
        height, width = one.shape[-2:]
        prior = None
        told = [None if look.regions is None else turn.planes(look.regions) for look, _ in (first, second)]
        if self._use_prior:
            keys = _key(first[0], turn), _key(second[0], turn)
            regions = labels_of(*told)
            begun = self._prior(one, two, keys, regions)
            if regions is not None and first[0].found:
                plain = self._prior(one, two, keys).cpu()
                begun = departed(plain, begun.cpu(), (one, two), regions)
            prior = padded(begun.to(one.device))
        features = self._features_of(first[0], turn, one), self._features_of(second[0], turn, two)
        step = None if self._hierarchy is None else self._hierarchy.step(*features, self._scale, _maps(*told))
        estimates, flow = self._network.motion(*features, prior, self._tile, step)
        flow, hidden = flow[..., :height, :width], hidden_of(estimates[-1])[..., :height, :width]
        if prior is not None and told[0] is not None and told[1] is not None:
            flow, hidden = _proved(
                flow, hidden, prior[..., :height, :width], (one, two), (told[0], told[1]), first[0].found
            )
        return turn.vectors(flow, 1), turn.planes(hidden)

    def _features_of(self, look: Look, turn: Turn, picture: Tensor) -> Features:
        key = _key(look, turn)
        if key is not None and key in self._features:
            self._features.move_to_end(key)
            return self._features[key]
        image = padded(picture[None]).to(self._dtype)
        found: Features = self._network.motion.encoder(image, levels_of(image.shape[-2], image.shape[-1]))
        if key is not None:
            self._features[key] = found
            while len(self._features) > _KEPT * len(self._turns):
                self._features.popitem(last=False)
        return found


def _proved(
    flow: Tensor,
    hidden: Tensor,
    prior: Tensor,
    pictures: Tuple[Tensor, Tensor],
    regions: Tuple[Tensor, Tensor],
    found: bool = False,
) -> Tuple[Tensor, Tensor]:
    """Motion both ways and what is hidden, with the prior's for objects that it takes to where they look more alike.

    The network has learned to distrust what it cannot see; of an object that was told apart, more can be seen.
    """
    flow, prior = flow.float(), prior.float()
    told = [each.to(torch.int16) for each in regions]
    flows, unseen = list(flow), list(hidden)
    for side in (0, 1):
        ends = (pictures[side], pictures[1 - side]), (told[side], told[1 - side])
        wins = better(flow[side], prior[side], *ends, SLIGHT if found else 0.0)
        if wins is not None:
            flows[side] = torch.where(wins, prior[side], flow[side])
            unseen[side] = torch.where(wins, 0.0, hidden[side])
    return torch.stack(flows), torch.stack(unseen)


def _maps(first: Optional[Tensor], second: Optional[Tensor]) -> Optional[Tuple[Tensor, Tensor]]:
    """Both label maps, int16; None where one is missing."""
    return None if first is None or second is None else (first.to(torch.int16), second.to(torch.int16))


def _small(look: Look, rows: int, columns: int) -> Look:
    """A look whose label map, if it has one, is as large as the picture that is searched."""
    if look.regions is None:
        return look
    labels = F.interpolate(look.regions[None, None].float(), (rows, columns), mode="nearest-exact")[0]
    return look._replace(regions=_grown(labels)[0])


def _key(look: Look, turn: Turn) -> Optional[Tuple[int, Turn]]:
    """What a picture is known by: the frame and its turning."""
    return None if look.position is None else (look.position, turn)


def _grown(picture: Tensor) -> Tensor:
    """A picture (C, H, W) with sides of at least :data:`LEAST`, border repeated."""
    down, across = (max(0, LEAST - side) for side in picture.shape[-2:])
    return F.pad(picture[None], (0, across, 0, down), mode="replicate")[0] if down or across else picture


def hidden_of(estimate: Estimate) -> Tensor:
    """(2B, 1, H, W) in 0..1 at full size, not visible in the other frame."""
    return F.interpolate(torch.sigmoid(estimate.hidden.float()), scale_factor=FINE, mode="bilinear")
