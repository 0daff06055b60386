"""A published network with hierarchical motion at work on one view of one shot."""

from __future__ import annotations

from typing import Any, Iterator, Optional, Sequence

import torch
from torch import Tensor

from kairos.engines.adapters.session import NetworkSession, Picture, Way
from kairos.engines.base import Pair, ShotView
from kairos.engines.classic.parts import held_still
from kairos.engines.hierarchical.cells import both_at_cells
from kairos.engines.hierarchical.plugged import Plugged
from kairos.motion.inbetween import Inbetween
from kairos.motion.regions import followed


class RegionalSession(NetworkSession):
    """A network's session that tells it the shot's objects. See :class:`kairos.engines.base.Session`.

    Args:
        shot: the view.
        network: with its plug-in.
        way: it is used in.
    """

    def __init__(self, shot: ShotView, network: Plugged, way: Way) -> None:
        super().__init__(shot, network, way)
        self._plugged = network

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time, with the objects held that the artist wants held."""
        rules = self._shot.region_rules()
        hold = any(rule.hold for rule in rules.values())
        first, second = (self._shot.regions(each) if hold else None for each in (pair.first, pair.second))
        for answer in super().at(pair, times):
            yield answer if first is None or second is None else held_still(answer, first, second, rules)

    def _prepared(self, first: Picture, second: Picture) -> Any:
        looks, scale = (self._look(first), self._look(second)), self._way.scale
        regions = self._regions(first), self._regions(second)
        if regions[0] is None or regions[1] is None:
            return self._plugged.prepare(*looks, scale)
        one, two = (self._padded(each) for each in (regions[0], regions[1]))
        size = self._plugged.grid(one.shape[0], one.shape[1], scale)
        return self._plugged.prepare(*looks, scale, both_at_cells(one, two, size))

    def _regions(self, picture: Picture) -> Optional[Tensor]:
        """(H, W) int16; of a picture between, what the nearer source shows, carried along."""
        if picture.position is not None:
            return self._shot.regions(picture.position)
        is_first = picture.time <= 0.5
        labels = self._shot.regions(picture.pair.first if is_first else picture.pair.second)
        flow = picture.to_0 if is_first else picture.to_1
        return None if labels is None or flow is None else followed(labels, flow)

    def _padded(self, labels: Tensor) -> Tensor:
        """As the network pads frames: 0, which is the rest, where it pads with zeros."""
        # Whole numbers of 16 bits are exact in float32, which can be padded.
        return self._plugged.padding.pad(labels[None, None].float(), self._way.scale)[0, 0].to(torch.int16)
