"""IFRNet: motion and a feature of the in-between frame refined together, coarse to fine.

Kong et al., "IFRNet: Intermediate Feature Refine Network for Efficient Frame Interpolation" (CVPR 2022). Written from
a description of the network, not from its code; tests compare it with what the official code computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from kairos.engines.blocks import (
    Pyramid,
    SideDecoder,
    blend,
    channels_last,
    dtype_of,
    scaled,
    scaled_flow,
    time_plane,
)
from kairos.engines.layout import beside
from kairos.engines.published import Addition, Found, Padding, Time
from kairos.engines.tiles import Part, cells, in_tiles, warp_part

_HALO = 8
"""Cells around that a decoder's answer depends on: six convolutions, the doubling, and the flow's own."""


@dataclass(frozen=True)
class State:
    """Of a pair: mean-free frames (B, 3, H, W), their mean (B, 1, 1, 1), and both pyramids, finest level first."""

    first: Tensor
    second: Tensor
    mean: Tensor
    features_0: List[Tensor]
    features_1: List[Tensor]
    scale: float


@dataclass(frozen=True)
class Level:
    """After a decoder: flows (B, 2, h, w) float32 in pixels of its grid, and the other channels that it answered."""

    flow_to_0: Tensor
    flow_to_1: Tensor
    others: Tensor


class IFRNet(nn.Module):
    """The network, of any widths. ``tile``: side of the tiles, pixels, that its decoders work in; None for the frame.

    Args:
        widths: channels of the four pyramid levels, finest first.
        kernel: size of the first convolution.
        side: channels of the residual blocks' side branch.
    """

    padding = Padding(16, centred=True, repeat=True)
    any_time = True
    scales = True
    tile: Optional[int] = None

    def __init__(self, widths: Tuple[int, int, int, int], kernel: int, side: int) -> None:
        super().__init__()
        one, two, three, four = widths
        self.encoder = Pyramid(widths, kernel)
        self.decoder4 = SideDecoder(2 * four + 1, 2 * four, three + 4, side)
        self.decoder3 = SideDecoder(3 * three + 4, 3 * three, two + 4, side)
        self.decoder2 = SideDecoder(3 * two + 4, 3 * two, one + 4, side)
        self.decoder1 = SideDecoder(3 * one + 4, 3 * one, 8, side)
        channels_last(self)

    def look(self, frame: Tensor) -> Tensor:
        """The frame: what the network computes of it depends on its partner too, by the mean of both."""
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> State:
        """Mean and features of a pair of frames (B, 3, H, W)."""
        mean = (first.mean((1, 2, 3), keepdim=True) + second.mean((1, 2, 3), keepdim=True)) / 2
        first, second = first - mean, second - mean
        dtype = dtype_of(self)
        features = [self.encoder(scaled(frame, scale).to(dtype)) for frame in (first, second)]
        return State(first, second, mean, features[0], features[1], scale)

    def levels(self, state: State, time: Time, added: Optional[Addition] = None) -> Iterator[Level]:
        """The answers of decoders 4, 3, 2 and 1, at 1/8, 1/4, 1/2 and all of the pyramid's frame.

        ``added`` to the first of them, at 1/8: flows and feature.
        """
        zero, one = state.features_0[3], state.features_1[3]
        told = self.decoder4(torch.cat([zero, one, time_plane(time, zero)], 1))
        level = Level(told[:, :2].float(), told[:, 2:4].float(), told[:, 4:])
        if added is not None:
            to_0, to_1 = level.flow_to_0 + added.flows[:, :2], level.flow_to_1 + added.flows[:, 2:]
            level = Level(to_0, to_1, level.others if added.feature is None else level.others + added.feature)
        yield level
        for number in (3, 2, 1):
            work = partial(self._decoded, state, level, number)
            told = in_tiles(work, _size(level), cells(self.tile, 2), _HALO, grown=2)
            flows = scaled_flow(torch.cat([level.flow_to_0, level.flow_to_1], 1), 2) + told[:, :4].float()
            level = Level(flows[:, :2], flows[:, 2:], told[:, 4:])
            yield level

    def at(self, state: State, time: Time, added: Optional[Addition] = None) -> Found:
        """The in-between at a time between 0 and 1; ``added``: see :meth:`levels`."""
        *_, level = islice(self.levels(state, time, added), 3)
        grown = round(2 / state.scale)
        tile = cells(self.tile, 2) if grown * state.scale == 2 else None
        work = partial(self._finished, state, level)
        told = in_tiles(work, _size(level), tile, _HALO, grown=grown)
        to_0, to_1, mask, residual, image = told.split([2, 2, 1, 3, 3], 1)
        return Found(to_0, to_1, image, mask, residual)

    def _decoded(self, state: State, level: Level, number: int, part: Part) -> Tensor:
        """What decoder 3, 2 or 1 answers, from the level before it."""
        zero, one = state.features_0[number - 1], state.features_1[number - 1]
        to_0, to_1 = part.of(level.flow_to_0), part.of(level.flow_to_1)
        seen = [part.of(level.others), warp_part(zero, to_0, part), warp_part(one, to_1, part)]
        flows = torch.cat([to_0, to_1], 1).to(zero.dtype)
        decoder: SideDecoder = getattr(self, f"decoder{number}")
        return decoder(beside([*seen, flows]))

    def _finished(self, state: State, level: Level, part: Part) -> Tensor:
        """From the level before the last to flows (4), mask (1), residual (3) and image (3) of the frame's size."""
        told = self._decoded(state, level, 1, part).float()
        flows = torch.cat([part.of(level.flow_to_0), part.of(level.flow_to_1)], 1)
        back = 1 / state.scale
        flows = scaled_flow(scaled_flow(flows, 2) + told[:, :4], back)
        mask, residual = scaled(torch.sigmoid(told[:, 4:5]), back), scaled(told[:, 5:], back)
        there = part.finer(round(2 * back))
        frames = warp_part(state.first, flows[:, :2], there), warp_part(state.second, flows[:, 2:], there)
        image = blend(mask, *frames) + state.mean + residual
        return torch.cat([flows, mask, residual, image], 1)


def _size(level: Level) -> Tuple[int, int]:
    return level.others.shape[-2], level.others.shape[-1]
