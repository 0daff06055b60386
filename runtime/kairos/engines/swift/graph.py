"""``swift`` as one graph, for other programs: from two frames and a time to an in-between, in torch alone.

What the engine does around its network with other libraries stays behind: the classical search that the network may
begin from, flat and still ground, highlights moved whole, mattes, given vectors, motion found at half size, and paths
bent by four frames. Frames and flows are (1, C, H, W), planes between the network's parts (C, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.classic.midway import Moment, paths
from kairos.engines.classic.motion import Found as FoundMotion
from kairos.engines.classic.motion import Layer, PairMotion
from kairos.engines.fetching import counted
from kairos.engines.published import Found, Padding, Time
from kairos.engines.swift.estimator import LEAST, hidden_of
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.meeting import Told, decided, evidence, halved
from kairos.engines.swift.motion import (
    CELLS,
    COARSE,
    FINE,
    FINER,
    HIDDEN,
    MOST_LEVELS,
    Estimate,
    Features,
    enlarge_flow,
    mixed,
)
from kairos.engines.swift.network import Swift
from kairos.engines.swift.recordable import layer_of, moment, twice, warp


@dataclass(frozen=True)
class Seen:
    """Of a frame: its pixels (1, 3, H, W), and the features of all scales."""

    frame: Tensor
    features: Features


@dataclass(frozen=True)
class Known:
    """Of a pair: its frames (3, H, W), and their motion, at full size and on half the grid."""

    first: Tensor
    second: Tensor
    layer: Layer
    half: Layer


class SwiftGraph(nn.Module):
    """See :class:`kairos.engines.published.PublishedNetwork`; sides are at least 64 and multiples of 16.

    Args:
        network: with its weights.
    """

    padding = Padding(MULTIPLE, repeat=True, least=LEAST)
    any_time = True
    scales = False
    tile: Optional[int] = None

    def __init__(self, network: Swift) -> None:
        super().__init__()
        self.network = network

    def look(self, frame: Tensor) -> Seen:
        """The features of a frame."""
        return Seen(frame, self.network.motion.encoder(frame, MOST_LEVELS))

    def prepare(self, first: Seen, second: Seen, scale: float = 1.0) -> Known:
        """The motion of a pair. Raises ValueError for another scale than 1."""
        if scale != 1.0:
            raise ValueError(f"the graph of swift seeks motion at the frame's size, not at {scale} of it")
        found = self._motion(first, second)
        layer = layer_of(found)
        half = halved(PairMotion((layer,), layer.trust0 < 0)).layers[0]
        return Known(first.frame[0], second.frame[0], layer, half)

    def at(self, state: Known, time: Time) -> Found:
        """The in-between; the picture is the blend of both frames, and what the network adds where neither shows."""
        when = counted(state.first[0, 0, :1]).reshape(1, 1, 1) + time
        here = _arrived(moment(state.half, when.reshape(1, 1, 1)))
        to_0, to_1 = paths(here, None)
        layer = state.layer
        assert layer.hidden0 is not None and layer.hidden1 is not None
        hidden = torch.cat([warp(layer.hidden1, to_1), warp(layer.hidden0, to_0)])
        told = Told(here, to_0, to_1, hidden, *evidence(here, layer, to_0, to_1, state.first, state.second, warp))
        answer = decided(told, self.network.meeting(told.moved, told.known))
        assert answer.residual is not None
        blend = torch.lerp(warp(state.second, answer.flow_to_1), warp(state.first, answer.flow_to_0), answer.blend)
        image = blend + answer.residual * torch.minimum(answer.occlusion_0, answer.occlusion_1)
        return Found(answer.flow_to_0[None], answer.flow_to_1[None], image[None], answer.blend[None])

    def _motion(self, first: Seen, second: Seen) -> FoundMotion:
        """Motion and what is hidden, both ways.

        A recorded graph has as many scales at every size: those that the picture is too small for leave everything at
        0, where the coarsest that counts begins.
        """
        network = self.network.motion
        shortest = torch.minimum(counted(first.frame[0, 0, 0])[-1:], counted(first.frame[0, 0, :, 0])[-1:]) + 1
        one, two = _both_ways(first.features.coarse[-1], second.features.coarse[-1])
        flow, told = one[:, :2] * 0, one[:, :2] * 0
        memory = one[:, :HIDDEN] * 0
        for level in reversed(range(MOST_LEVELS)):
            one, two = _both_ways(first.features.coarse[level], second.features.coarse[level])
            size = (one.shape[-2], one.shape[-1])
            if level < MOST_LEVELS - 1:
                flow = enlarge_flow(flow, size)
                memory, told = (F.interpolate(each, size, mode="bilinear") for each in (memory, told))
            estimate, kept = network.decoder(one, two, flow, memory, told, None)
            counts = shortest >= (CELLS * COARSE << level)
            if level:
                # At the coarsest scale that counts there is a second round.
                again, kept_again = network.decoder(one, two, estimate.flow, kept, _told(estimate), None)
                coarsest = shortest < (CELLS * COARSE << (level + 1))
                flow = torch.where(coarsest, again.flow, estimate.flow)
                told = torch.where(coarsest, _told(again), _told(estimate))
                memory = torch.where(coarsest, kept_again, kept)
            else:
                flow, told, memory = estimate.flow, _told(estimate), kept
            flow, told, memory = (torch.where(counts, each, 0.0) for each in (flow, told, memory))
        one, two = _both_ways(first.features.fine, second.features.fine)
        size = (one.shape[-2], one.shape[-1])
        memory, told = (F.interpolate(each, size, mode="bilinear") for each in (memory, told))
        estimate, weights, _ = network.refiner(one, two, enlarge_flow(flow, size), memory, told, None, None)
        coarse = mixed(estimate.flow * FINE, weights)
        flow = F.interpolate(coarse, scale_factor=float(FINE // FINER), mode="bilinear", align_corners=False)
        hidden = hidden_of(estimate)
        return FoundMotion(flow[0], flow[1], hidden[0], hidden[1])


def _both_ways(first: Tensor, second: Tensor) -> Tuple[Tensor, Tensor]:
    """Stacked along the batch: what is looked from, and what is looked at."""
    return torch.cat([first, second]), torch.cat([second, first])


def _told(estimate: Estimate) -> Tensor:
    return torch.cat([estimate.hidden, estimate.doubt], 1)


def _arrived(here: Moment) -> Moment:
    """What arrives at a time on half the grid, at full size."""
    soft = twice(torch.cat([here.velocity * 2, here.trust, here.seen0, here.seen1]))
    return Moment(here.time, soft[:2], soft[2:3], soft[2:3] * 0, soft[2:3] < 0, soft[3:4], soft[4:5])
