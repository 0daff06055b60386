"""AMT: IFRNet's decoders, corrected by all pairs of features, and several fields at the end.

Li et al., "AMT: All-Pairs Multi-Field Transforms for Efficient Frame Interpolation" (CVPR 2023). Written from a
description of the networks, not from their code; tests compare them with what the official code computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
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
from kairos.engines.convolutions import Conv, Layers
from kairos.engines.correlation import (
    LEVELS,
    LIMIT,
    SMALL_LIMIT,
    BasicBlock,
    BottleneckBlock,
    Correlation,
    CorrelationEncoder,
    InstanceNorm,
)
from kairos.engines.fetching import pixels
from kairos.engines.layout import beside
from kairos.engines.published import Addition, Found, Padding, Time
from kairos.engines.tiles import WHOLE, Part, cells, in_tiles, warp_part

RADIUS = 3
_CORRELATION = 2 * LEVELS * (2 * RADIUS + 1) ** 2
_SLOPE = 0.1

_HALO = 8
"""Cells around that a decoder's answer depends on: six convolutions, the doubling, and the flow's own."""

_UPDATE_HALO = 16
"""Cells around that a correction depends on: nine by convolutions, and a cell of the likeness, up to four wide."""


@dataclass(frozen=True)
class State:
    """Of a pair: mean-free frames, their mean, both pyramids (finest first), and the likeness of all pairs each way."""

    first: Tensor
    second: Tensor
    mean: Tensor
    features_0: List[Tensor]
    features_1: List[Tensor]
    there: Correlation
    back: Correlation
    scale: float


@dataclass(frozen=True)
class Level:
    """After a decoder and its corrections: flows (B, 4, h, w) to 0 and to 1, and the feature (B, C, h, w)."""

    flows: Tensor
    feature: Tensor


@dataclass(frozen=True)
class Fields:
    """At the frame's size, of n fields: flows (B, 2n, H, W) each way, masks (B, n, H, W), residuals (B, 3n, H, W)."""

    flows_to_0: Tensor
    flows_to_1: Tensor
    masks: Tensor
    residuals: Tensor


class Update(nn.Module):
    """What the likeness around the flows says about them: increments of the feature and of both flows.

    Args:
        feature: channels of the feature.
        widths: of the correlation, first and (None: there is no such) second convolution; of the flows' two; of both
            together; and of the hidden state.
        looked: channels of the correlation.
    """

    def __init__(self, feature: int, widths: Sequence[Optional[int]], looked: int = _CORRELATION) -> None:
        super().__init__()
        first, second, flow_1, flow_2, joint, hidden = widths
        self.convc1 = Conv(looked, first, 1)
        self.convc2 = None if second is None else Conv(first, second, 3, 1, 1)
        self.convf1, self.convf2 = Conv(4, flow_1, 7, 1, 3), Conv(flow_1, flow_2, 3, 1, 1)
        self.conv = Conv((second or first) + flow_2, joint, 3, 1, 1)
        self.gru = _double(joint + 4 + feature, hidden, hidden)
        self.feat_head = _double(hidden, hidden, feature)
        self.flow_head = _double(hidden, hidden, 4)

    def forward(self, feature: Tensor, flows: Tensor, correlation: Tensor, enlarge: int = 1) -> Tuple[Tensor, Tensor]:
        """Increments from planes of one size; the correlation may be smaller by a whole number."""
        # A convolution of single pixels and a bilinear enlargement can change places: the smaller picture goes first.
        likeness = F.leaky_relu(scaled(self.convc1(correlation), float(enlarge)), _SLOPE)
        if self.convc2 is not None:
            likeness = self.convc2(likeness, _SLOPE)
        motion = self.convf2(self.convf1(flows, _SLOPE), _SLOPE)
        joint = self.conv(beside([likeness, motion]), _SLOPE)
        told = self.gru(beside([joint, flows, feature]))
        return self.feat_head(told), self.flow_head(told)


class AMT(nn.Module):
    """The network.

    Args:
        bottleneck: the correlation encoder is made of bottleneck blocks, else of basic ones.
        compared: widths of its layers; ``outputs``: its channels.
        widths: of the pyramid, finest first; ``kernel``: of its first convolution; ``side``: of the residual blocks.
        updates: widths of the corrections (see :class:`Update`).
        high: after the decoders at 1/4 and 1/2 a second correction works at the flows' own size.
        fields: how many flows are found at last; ``mixing``: size of the convolutions that mix their pictures.

    ``tile``: side of the tiles, pixels, in which all works that is local; None for the whole frame at once. Then what
    is compared all with all is not kept either.
    """

    padding = Padding(16, centred=True, repeat=True, least=128)
    any_time = True
    scales = True
    tile: Optional[int] = None

    def __init__(
        self,
        bottleneck: bool,
        compared: Sequence[int],
        outputs: int,
        widths: Sequence[int],
        kernel: int,
        side: int,
        updates: Sequence[Optional[int]],
        high: bool,
        fields: int,
        mixing: int,
    ) -> None:
        super().__init__()
        self.fields, self.high, self.mixing = fields, high, mixing
        block = BottleneckBlock if bottleneck else BasicBlock
        self.feat_encoder = CorrelationEncoder(block, compared, outputs, InstanceNorm)
        self.encoder = Pyramid(widths, kernel)
        one, two, three, four = widths
        self.decoder4 = SideDecoder(2 * four + 1, 2 * four, three + 4, side)
        self.decoder3 = SideDecoder(3 * three + 4, 3 * three, two + 4, side)
        self.decoder2 = SideDecoder(3 * two + 4, 3 * two, one + 4, side)
        self.decoder1 = SideDecoder(3 * one + 4, 3 * one, 8 * fields, side)
        self.update4 = Update(three, updates)
        for level, feature in ((3, two), (2, one)):
            for name in ("_low", "_high") if high else ("",):
                self.add_module(f"update{level}{name}", Update(feature, updates))
        self.comb_block = mixer(fields, mixing)
        channels_last(self)

    def look(self, frame: Tensor) -> Tensor:
        """The frame: what the network computes of it depends on its partner too, by the mean of both."""
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> State:
        """Mean, features and all pairs of two frames (B, 3, H, W)."""
        mean = (first.mean((1, 2, 3), keepdim=True) + second.mean((1, 2, 3), keepdim=True)) / 2
        first, second = first - mean, second - mean
        seen = [scaled(frame, scale).to(dtype_of(self)) for frame in (first, second)]
        zero, one = (self.feat_encoder(frame) for frame in seen)
        features = [self.encoder(frame) for frame in seen]
        limit = LIMIT if self.tile is None else SMALL_LIMIT
        both = Correlation(zero, one, limit), Correlation(one, zero, limit)
        return State(first, second, mean, features[0], features[1], *both, scale)

    def levels(self, state: State, time: Time, added: Optional[Addition] = None) -> Iterator[Level]:
        """The answers of decoders 4, 3 and 2 with their corrections, at 1/8, 1/4 and 1/2 of the pyramid's frame.

        ``added`` to what decoder 4 answers, at 1/8, before its corrections: flows and feature.
        """
        zero, one = state.features_0[3], state.features_1[3]
        told = self.decoder4(torch.cat([zero, one, time_plane(time, zero)], 1))
        flows, feature = told[:, :4].float(), told[:, 4:]
        if added is not None:
            flows, feature = flows + added.flows, feature if added.feature is None else feature + added.feature
        level = self._corrected(state, time, flows, feature, 4)
        yield level
        for number in (3, 2):
            told = in_tiles(partial(self._decoded, state, level, number), *self._tiles(level), _HALO, grown=2)
            flows = scaled_flow(level.flows, 2) + told[:, :4].float()
            level = self._corrected(state, time, flows, told[:, 4:], number)
            yield level

    def found_fields(self, state: State, level: Level, part: Part = WHOLE) -> Fields:
        """All fields, from the last level of :meth:`levels` or a part of it."""
        told = self._decoded(state, level, 1, part).float()
        flows, count, back = scaled_flow(part.of(level.flows), 2), self.fields, 1 / state.scale
        to_0 = told[:, : 2 * count] + flows[:, :2].repeat(1, count, 1, 1)
        to_1 = told[:, 2 * count : 4 * count] + flows[:, 2:].repeat(1, count, 1, 1)
        masks, residuals = torch.sigmoid(told[:, 4 * count : 5 * count]), told[:, 5 * count :]
        return Fields(scaled_flow(to_0, back), scaled_flow(to_1, back), scaled(masks, back), scaled(residuals, back))

    def at(self, state: State, time: Time, added: Optional[Addition] = None) -> Found:
        """The in-between at a time between 0 and 1; its flows and mask are the mean of the fields'.

        ``added``: see :meth:`levels`.
        """
        *_, level = self.levels(state, time, added)
        size, tile = self._tiles(level)
        grown = round(2 / state.scale)
        if grown * state.scale != 2:
            tile = None
        told = in_tiles(partial(self._finished, state, level), size, tile, _HALO + self.mixing, grown=grown)
        to_0, to_1, mask, image = told.split([2, 2, 1, 3], 1)
        return Found(to_0, to_1, image, mask)

    def _finished(self, state: State, level: Level, part: Part) -> Tensor:
        """From the last level to flows (4), mask (1) and image (3) of the frame's size."""
        fields, there = self.found_fields(state, level, part), part.finer(round(2 / state.scale))
        return painted(fields, state.first, state.second, state.mean, self.comb_block, there)

    def _tiles(self, level: Level) -> Tuple[Tuple[int, int], Optional[int]]:
        """Size of a level's grid, and side of its tiles: as many cells at all levels, as many as the finest takes."""
        return (level.feature.shape[-2], level.feature.shape[-1]), cells(self.tile, 2)

    def _decoded(self, state: State, level: Level, number: int, part: Part) -> Tensor:
        """What decoder 3, 2 or 1 answers, from the level before it."""
        zero, one = state.features_0[number - 1], state.features_1[number - 1]
        flows = part.of(level.flows)
        seen = [part.of(level.feature), warp_part(zero, flows[:, :2], part), warp_part(one, flows[:, 2:], part)]
        decoder: SideDecoder = getattr(self, f"decoder{number}")
        return decoder(beside([*seen, flows.to(zero.dtype)]))

    def _corrected(self, state: State, time: Time, flows: Tensor, feature: Tensor, number: int) -> Level:
        """The answer of decoder 4, 3 or 2 after its corrections."""
        factor, dtype = {4: 1, 3: 2, 2: 4}[number], feature.dtype
        small = scaled_flow(flows, 1 / factor)
        correlation = _around(state, time, small).to(dtype)
        low = self.get_submodule(f"update{number}_low" if self.high and number < 4 else f"update{number}")
        feature_change, change = low(scaled(feature, 1 / factor), small.to(dtype), correlation)
        feature = feature + scaled(feature_change, float(factor))
        flows = flows + scaled_flow(change.float(), float(factor))
        if self.high and number < 4:
            second = self.get_submodule(f"update{number}_high")

            def change_of(part: Part) -> Tensor:
                seen = part.of(feature), part.of(flows).to(dtype), part.coarser(factor).of(correlation)
                return torch.cat(second(*seen, factor), 1)

            changes = in_tiles(change_of, *self._tiles(Level(flows, feature)), _UPDATE_HALO, factor)
            feature, flows = feature + changes[:, :-4], flows + changes[:, -4:].float()
        return Level(flows, feature)


def mixer(fields: int, size: int) -> nn.Sequential:
    """What the pictures along several fields are mixed by; ``size`` of its convolutions."""
    return Layers(
        Conv(3 * fields, 6 * fields, size, 1, size // 2),
        nn.PReLU(6 * fields),
        Conv(6 * fields, 3, size, 1, size // 2),
    )


def painted(
    fields: Fields, first: Tensor, second: Tensor, mean: Union[float, Tensor], mixer: nn.Module, part: Part
) -> Tensor:
    """The mean of the pictures along all fields, and what the mixer makes of them.

    Args:
        fields: of a part of the frame.
        first, second: (B, 3, H, W), the whole frames; ``mean``: what has been taken from both.
        mixer: of :func:`mixer`.
        part: which.

    Returns:
        (B, 8, h, w): the mean flow to 0 and to 1, the mean mask, and the picture.
    """
    pictures, count = [], fields.masks.shape[1]
    for number in range(count):
        pair, three = slice(2 * number, 2 * number + 2), slice(3 * number, 3 * number + 3)
        zero = warp_part(first, fields.flows_to_0[:, pair], part)
        one = warp_part(second, fields.flows_to_1[:, pair], part)
        mask = fields.masks[:, number : number + 1]
        pictures.append(blend(mask, zero, one) + mean + fields.residuals[:, three])
    mixed = mixer(torch.cat(pictures, 1).to(dtype_of(mixer))).float()
    flows = (flows.unflatten(1, (count, 2)).mean(1) for flows in (fields.flows_to_0, fields.flows_to_1))
    return torch.cat([*flows, fields.masks.mean(1, keepdim=True), torch.stack(pictures).mean(0) + mixed], 1)


def _around(state: State, time: Time, flows: Tensor) -> Tensor:
    """The likeness around both flows (B, 4, h, w), seen from the frames.

    From frame 0 to frame 1 the flow to 1 is stretched by one over the time, and the flow to 0 by one over the rest: so
    the published weights were trained, though straight motion would have it the other way about.
    """
    x, y = pixels(flows)
    there, back = flows[:, 2:] * (1 / time), flows[:, :2] * (1 / (1 - time))
    return torch.cat(
        [
            state.there.around(x + there[:, 0], y + there[:, 1], RADIUS),
            state.back.around(x + back[:, 0], y + back[:, 1], RADIUS),
        ],
        1,
    )


def _double(inputs: int, hidden: int, outputs: int) -> Layers:
    return Layers(Conv(inputs, hidden, 3, 1, 1), nn.LeakyReLU(_SLOPE), Conv(hidden, outputs, 3, 1, 1))
