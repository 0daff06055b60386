"""A published network told by a matte what moves apart: it looks at the foreground and at the background alone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import Callable, Iterator, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.adapters.session import NetworkSession, Way, keep
from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.motion import shows
from kairos.engines.published import PublishedNetwork
from kairos.motion.fill import fill_holes
from kairos.motion.inbetween import Inbetween
from kairos.motion.region_choice import RegionRule
from kairos.motion.warp import backward_warp

_KEPT = 3
"""Frames whose layers are kept: of two neighbouring pairs."""

_FRONT = 0.5
"""Matte, carried to the time, over which a pixel shows the foreground."""

_PURE = 4
"""Power of a pixel's share by which it counts: where a source shows both layers mixed, the other is worth much more."""

_SEEN = 1e-3
"""Weight of both sources under which neither shows the layer."""


class LayerView:
    """A shot of which one layer alone is seen: the other is filled from its surroundings, with nothing to follow."""

    def __init__(self, shot: ShotView, is_foreground: bool) -> None:
        self._shot, self._is_foreground = shot, is_foreground
        self._proxies: OrderedDict[int, Tensor] = OrderedDict()

    @property
    def size(self) -> Tuple[int, int]:
        """The shot's."""
        return self._shot.size

    @property
    def count(self) -> int:
        """The shot's."""
        return self._shot.count

    @property
    def device(self) -> torch.device:
        """The shot's."""
        return self._shot.device

    def proxy(self, position: int) -> Tensor:
        """(3, H, W) with the other layer hidden."""
        if position not in self._proxies:
            proxy, matte = self._shot.proxy(position), self._shot.matte(position)
            if matte is not None:
                proxy = fill_holes(proxy, shows(matte, self._is_foreground))
            keep(self._proxies, position, proxy, _KEPT)
        return self._proxies[position]

    def matte(self, position: int) -> Optional[Tensor]:
        """None: there is one layer alone."""
        return None

    def given_motion(self, source: int, target: int) -> Optional[Tensor]:
        """None: vectors of the plate are of both layers."""
        return None

    def regions(self, position: int) -> Optional[Tensor]:
        """The shot's."""
        return self._shot.regions(position)

    def regions_found(self) -> bool:
        """The shot's."""
        return self._shot.regions_found()

    def region_rules(self) -> Mapping[int, RegionRule]:
        """The shot's."""
        return self._shot.region_rules()


class MattedSession:
    """A network's session that keeps motion apart by the artist's matte, where both frames of a pair have one.

    The network is asked once for each layer, and once more for the whole by painters, whose picture stays as it is: the
    matte keeps apart the motion by which the other layers move.

    Args:
        shot: the view.
        network: with its weights.
        way: it is used in.
        make: how a session on one layer, or on the whole, is made.
    """

    def __init__(
        self,
        shot: ShotView,
        network: PublishedNetwork,
        way: Way,
        make: Callable[[ShotView, PublishedNetwork, Way], NetworkSession] = NetworkSession,
    ) -> None:
        self._shot, self._paints = shot, way.paints
        self._whole = make(shot, network, way)
        self._views = LayerView(shot, False), LayerView(shot, True)
        by_motion = replace(way, paints=False)
        self._layers = [make(view, network, by_motion) for view in self._views]
        self._known: OrderedDict[Tuple[int, int], Optional[Tuple[Tensor, Tensor]]] = OrderedDict()

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        key = (pair.first, pair.second)
        if key not in self._known:
            keep(self._known, key, self._mattes(pair), _KEPT - 1)
        mattes = self._known[key]
        if mattes is None:
            yield from self._whole.at(pair, times)
            return
        for time in times:
            yield self._between(pair, time, *mattes)

    def _mattes(self, pair: Pair) -> Optional[Tuple[Tensor, Tensor]]:
        """Both frames' mattes (1, H, W); None where they do not tell two layers apart, or vectors tell the motion."""
        first, second = self._shot.matte(pair.first), self._shot.matte(pair.second)
        if first is None or second is None or self._shot.given_motion(pair.first, pair.second) is not None:
            return None
        if not all(bool(shows(matte, front).any()) for matte in (first, second) for front in (False, True)):
            return None
        return first.float(), second.float()

    @torch.inference_mode()
    def _between(self, pair: Pair, time: float, matte0: Tensor, matte1: Tensor) -> Inbetween:
        back, front = (next(iter(layer.at(pair, [time]))) for layer in self._layers)
        to_0, to_1 = backward_warp(matte0, front.flow_to_0), backward_warp(matte1, front.flow_to_1)
        above = torch.lerp(to_1, to_0, front.blend) > _FRONT
        sides = []
        for view, layer, shares in (
            (self._views[0], back, (1 - matte0, 1 - matte1)),
            (self._views[1], front, (matte0, matte1)),
        ):
            sides.append(self._covered(pair, view, layer, *shares))
        names = ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "occlusion_1", "confidence", "residual")
        behind, before = ([getattr(side, name) for name in names] for side in sides)
        joined = Inbetween(time, *(torch.where(above, *both) for both in zip(before, behind)))
        if not self._paints or time in (0.0, 1.0):
            return joined
        (whole,) = self._whole.at(pair, [time])
        return replace(joined, residual=None, image=whole.image)

    def _covered(self, pair: Pair, view: LayerView, layer: Inbetween, share0: Tensor, share1: Tensor) -> Inbetween:
        """A layer's answer where the sources show the other layer: there it is hidden in them.

        What is hidden in both is what surrounds it, as the network saw it.
        """
        own0, own1 = backward_warp(share0, layer.flow_to_0), backward_warp(share1, layer.flow_to_1)
        none = torch.zeros_like(self._shot.proxy(pair.first))
        if layer.time in (0.0, 1.0):
            # A source's own pixels are all there.
            if layer.time == 0.0:
                return replace(layer, occlusion_1=torch.maximum(layer.occlusion_1, 1 - own1), residual=none)
            return replace(layer, occlusion_0=torch.maximum(layer.occlusion_0, 1 - own0), residual=none)
        weight0, weight1 = layer.blend * own0**_PURE, (1 - layer.blend) * own1**_PURE
        seen = weight0 + weight1
        # What was filled in one source says nothing against the other.
        hidden0, hidden1 = (
            torch.where(seen > _SEEN, torch.maximum(hidden * other, 1 - own), 1.0)
            for hidden, own, other in ((layer.occlusion_0, own0, own1), (layer.occlusion_1, own1, own0))
        )
        blend = torch.where(seen > _SEEN, weight0 / seen.clamp(min=_SEEN), layer.blend)
        missing = none if layer.residual is None else layer.residual
        for sign, shot, share in ((1, view, layer.blend), (-1, self._shot, blend)):
            zero, one = (
                backward_warp(shot.proxy(position), flow)
                for position, flow in ((pair.first, layer.flow_to_0), (pair.second, layer.flow_to_1))
            )
            missing = missing + sign * torch.lerp(one, zero, share)
        return replace(layer, blend=blend, occlusion_0=hidden0, occlusion_1=hidden1, residual=missing)
