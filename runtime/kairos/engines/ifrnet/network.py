"""IFRNet: motion and a feature of the in-between frame refined together, coarse to fine.

Kong et al., "IFRNet: Intermediate Feature Refine Network for Efficient Frame Interpolation" (CVPR 2022). Written from
a description of the network, not from its code; tests compare it with what the official code computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Tuple

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
    warp,
)
from kairos.engines.published import Found, Padding, Time


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
    """The network, of any widths.

    Args:
        widths: channels of the four pyramid levels, finest first.
        kernel: size of the first convolution.
        side: channels of the residual blocks' side branch.
    """

    padding = Padding(16, centred=True, repeat=True)
    any_time = True
    scales = True

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

    def levels(self, state: State, time: Time) -> Iterator[Level]:
        """The answers of decoders 4, 3, 2 and 1, at 1/8, 1/4, 1/2 and all of the pyramid's frame."""
        zero, one = state.features_0[3], state.features_1[3]
        told = self.decoder4(torch.cat([zero, one, time_plane(time, zero)], 1))
        level = Level(told[:, :2].float(), told[:, 2:4].float(), told[:, 4:])
        yield level
        for decoder, zero, one in zip(
            (self.decoder3, self.decoder2, self.decoder1), state.features_0[2::-1], state.features_1[2::-1]
        ):
            flows = torch.cat([level.flow_to_0, level.flow_to_1], 1)
            seen = [level.others, warp(zero, level.flow_to_0), warp(one, level.flow_to_1), flows.to(zero.dtype)]
            told = decoder(torch.cat(seen, 1))
            flows = scaled_flow(flows, 2) + told[:, :4].float()
            level = Level(flows[:, :2], flows[:, 2:], told[:, 4:])
            yield level

    def at(self, state: State, time: Time) -> Found:
        """The in-between at a time between 0 and 1."""
        *_, level = self.levels(state, time)
        back = 1 / state.scale
        to_0, to_1 = scaled_flow(level.flow_to_0, back), scaled_flow(level.flow_to_1, back)
        mask = scaled(torch.sigmoid(level.others[:, :1].float()), back)
        residual = scaled(level.others[:, 1:].float(), back)
        image = blend(mask, warp(state.first, to_0), warp(state.second, to_1)) + state.mean + residual
        return Found(to_0, to_1, image, mask, residual)
