"""GIMM-VFI-R: RAFT's flows, GIMM's motion at any time, and a painter after AMT that corrects it.

Guo, Li and Loy, "Generalizable Implicit Motion Modeling for Video Frame Interpolation" (NeurIPS 2024). Written from a
description of the network, not from its code; tests compare it with what the official code computes.

"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Iterator, List, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

from kairos.engines.amt.network import Fields, Update, mixer, painted
from kairos.engines.blocks import SideBlock, channels_last, conv_prelu, dtype_of, scaled, scaled_flow
from kairos.engines.convolutions import Conv
from kairos.engines.correlation import LEVELS, LIMIT, SMALL_LIMIT, Correlation
from kairos.engines.fetching import pixels, warp
from kairos.engines.gimm.network import GIMM
from kairos.engines.gimm.network import State as Motion
from kairos.engines.layout import beside
from kairos.engines.published import Found, Padding, Time
from kairos.engines.raft.network import RAFT
from kairos.engines.raft.network import Seen as Compared
from kairos.engines.tiles import WHOLE, Part, cells, in_tiles, warp_part

RADIUS = 4
_QUARTER, _EIGHTH, _MATCHED = 96, 128, 256
"""Channels of RAFT's context at 1/4 and at 1/8, and of what it compares."""
_SIDE, _BLOCKS = 64, 3
_FIELDS, _MIXING = 3, 7
_CELL = 4
"""Pixels of the grid where motion is sought that a cell of the first decoder is wide."""
_HALO = _CELL + 2 + 5 * _BLOCKS + 2 * (_MIXING // 2) + 1
"""Around what is painted, pixels it depends on: by the enlarging of the flows, the convolutions, and the mixing."""
_CONTEXT_HALO = 2
"""Around a context, cells that its enlarging depends on: six pixels by convolutions."""


@dataclass(frozen=True)
class Seen:
    """Of a frame at the size at which motion is sought: itself in -1..1; what RAFT needs; the context at 1/4 (once
    projected, and once enlarged from 1/8); what is compared at 1/8.
    """

    frame: Tensor
    compared: Compared
    quarter: Tensor
    context: Tensor
    matched: Tensor


class Look:
    """A frame (B, 3, H, W), and what has been seen of it at each scale that was asked for."""

    def __init__(self, frame: Tensor) -> None:
        self.frame = frame
        self.seen: dict[float, Seen] = {}


@dataclass(frozen=True)
class State:
    """Of a pair: both frames in -1..1 at full size, what is seen of them, the likeness each way, and the motion."""

    first: Tensor
    second: Tensor
    zero: Seen
    one: Seen
    there: Correlation
    back: Correlation
    motion: Motion
    scale: float


@dataclass(frozen=True)
class Level:
    """At 1/4: flows (B, 4, h, w) to 0 and to 1, the mask's logit (B, 1, h, w), and the feature (B, C, h, w)."""

    flows: Tensor
    logit: Tensor
    feature: Tensor


@dataclass(frozen=True)
class Correction:
    """At 1/4, what is added to the feature (B, C, h, w) and to both flows (B, 4, h, w)."""

    feature: Tensor
    flows: Tensor


class Decoder(nn.Module):
    """Context enlarged to the flows' size, and what is decided from it.

    Args:
        context: channels of the context; ``halvings``: how many times smaller it lies.
        inner, enlarged: channels while it is enlarged, and after.
        inputs, width, outputs: of the decision; ``kernel``: of its first convolution; ``side``: of its blocks.
    """

    def __init__(
        self,
        context: int,
        halvings: int,
        inner: int,
        enlarged: int,
        inputs: int,
        width: int,
        outputs: int,
        kernel: int,
        side: int,
    ) -> None:
        super().__init__()
        self.upsample = nn.Sequential(
            *(nn.PixelShuffle(2) for _ in range(halvings)),
            conv_prelu(context // 4**halvings, inner, 5),
            *(conv_prelu(inner, inner) for _ in range(3)),
            conv_prelu(inner, enlarged),
            nn.Conv2d(enlarged, enlarged, 1),
            nn.BatchNorm2d(enlarged),
            nn.ReLU(),
        )
        self.convblock = nn.Sequential(
            conv_prelu(inputs, width, kernel),
            *(SideBlock(width, side) for _ in range(_BLOCKS)),
            Conv(width, outputs, 3, 1, 1),
        )


class GIMMVFI(GIMM):
    """The network.

    Args:
        context: channels of the context at 1/4; at 1/8 there are twice as many.
        matched: channels that are compared.
        inner: channels while the context at 1/8 is enlarged; ``feature``: after, and of the decoder at 1/4.
        fine: channels of the context at the frame's size; ``painter``: of the decoder there.
        side: of the decoders' blocks.
        updates: widths of the corrections (see :class:`kairos.engines.amt.network.Update`).
        motion: arguments of GIMM.
        rounds: of RAFT.

    ``tile``: side of the tiles, pixels, in which all works that is local at the frame's size; None for the whole frame
    at once. Then what is compared all with all is not kept either.
    """

    padding = Padding(32, centred=True, repeat=True, least=128)
    any_time = True
    scales = True

    def __init__(
        self,
        context: int,
        matched: int,
        inner: int,
        feature: int,
        fine: int,
        painter: int,
        side: int,
        updates: Sequence[Optional[int]],
        motion: Mapping[str, Any],
        rounds: int = 20,
    ) -> None:
        super().__init__(**motion)
        self.rounds = rounds
        self.amt_second_last_cproj = nn.Conv2d(_QUARTER, context, 1)
        self.amt_last_cproj = nn.Conv2d(_EIGHTH, 2 * context, 1)
        self.amt_fproj = nn.Conv2d(_MATCHED, matched, 1)
        self.amt_init_decoder = Decoder(
            2 * context, 1, inner, feature, 2 * feature + 16, feature, feature + 5, kernel=1, side=side
        )
        self.amt_final_decoder = Decoder(
            context, 2, fine // 2, fine, feature + 2 * fine + 17, painter, 8 * _FIELDS, kernel=3, side=side
        )
        looked = 2 * LEVELS * (2 * RADIUS + 1) ** 2
        self.amt_update4_low = Update(feature, updates, looked)
        self.amt_update4_high = Update(feature, updates, looked)
        self.amt_comb_block = mixer(_FIELDS, _MIXING)
        for name, part in self.named_children():
            if name.startswith("amt_"):
                channels_last(part)
        self.flow_estimator = RAFT(True)

    def look(self, frame: Tensor) -> Look:
        """The frame: at which size it is looked at is known with its partner."""
        return Look(frame)

    def seen(self, look: Look, scale: float) -> Seen:
        """What depends on one frame, at a part of its size; kept with the frame."""
        if scale not in look.seen:
            frame = scaled(2 * look.frame - 1, scale)
            planes, raft = frame.to(dtype_of(self)), self.flow_estimator
            _, quarter, eighth = raft.cnet.stages(planes)
            compared = Compared(raft.fnet(planes), raft.cnet.conv2(eighth))
            context = self.amt_init_decoder.upsample(self.amt_last_cproj(eighth))
            look.seen[scale] = Seen(
                frame, compared, self.amt_second_last_cproj(quarter), context, self.amt_fproj(compared.compared)
            )
        return look.seen[scale]

    def prepare(self, first: Look, second: Look, scale: float = 1.0) -> State:
        """Flows, motion and all pairs of two frames."""
        zero, one = self.seen(first, scale), self.seen(second, scale)
        there = self.flow_estimator.flow(zero.compared, one.compared, self.rounds)
        back = self.flow_estimator.flow(one.compared, zero.compared, self.rounds)
        limit = LIMIT if self.tile is None else SMALL_LIMIT
        both = Correlation(zero.matched, one.matched, limit), Correlation(one.matched, zero.matched, limit)
        return State(2 * first.frame - 1, 2 * second.frame - 1, zero, one, *both, self.encode(there, back), scale)

    def at(self, state: State, time: Time) -> Found:
        """The in-between at a time between 0 and 1; its flows and mask are the mean of the fields'."""
        level = self.opening(state, torch.cat(self.flows(state.motion, time), 1))
        for correction in self.corrections(state, time, level):
            level = corrected(level, correction)
        size, tile = (state.zero.frame.shape[-2], state.zero.frame.shape[-1]), cells(self.tile, 1 / state.scale)
        grown = round(1 / state.scale)
        if grown * state.scale != 1:
            tile = None
        work = partial(self._finished, state, level, self.contexts(state))
        told = in_tiles(work, size, tile, _HALO, _CELL, grown)
        to_0, to_1, mask, image = told.split([2, 2, 1, 3], 1)
        return Found(to_0, to_1, (image + 1) / 2, mask)

    def opening(self, state: State, flows: Tensor) -> Level:
        """What the decoder at 1/4 makes of flows (B, 4, H, W) to 0 and to 1."""
        flows = scaled_flow(flows, 0.25)
        frames = [scaled(seen.frame, 0.25) for seen in (state.zero, state.one)]
        ways, dtype = (flows[:, :2], flows[:, 2:]), state.zero.context.dtype
        told = [warp(seen.context, way) for seen, way in zip((state.zero, state.one), ways)]
        told += [*ways, *frames, *(warp(frame, way) for frame, way in zip(frames, ways))]
        found = self.amt_init_decoder.convblock(beside([planes.to(dtype) for planes in told]))
        return Level(flows + found[:, :4].float(), found[:, 4:5].float(), found[:, 5:])

    def corrections(self, state: State, time: Time, level: Level) -> Iterator[Correction]:
        """Both corrections by the likeness around the flows: sought at 1/8, and on top of that at 1/4."""
        small, dtype = scaled_flow(level.flows, 0.5), level.feature.dtype
        likeness = around(state, time, small).to(dtype)
        feature, flows = self.amt_update4_low(scaled(level.feature, 0.5), small.to(dtype), likeness)
        low = Correction(scaled(feature, 2), scaled_flow(flows.float(), 2))
        yield low
        level = corrected(level, low)
        feature, flows = self.amt_update4_high(level.feature, level.flows.to(dtype), likeness, 2)
        yield Correction(feature, flows.float())

    def contexts(self, state: State) -> List[Tensor]:
        """The contexts of both frames at the size at which motion is sought."""

        def enlarged(planes: Tensor) -> Tensor:
            def work(part: Part) -> Tensor:
                return self.amt_final_decoder.upsample(part.of(planes))

            size, tile = (planes.shape[-2], planes.shape[-1]), cells(self.tile, _CELL / state.scale)
            return in_tiles(work, size, tile, _CONTEXT_HALO, grown=_CELL)

        return [enlarged(seen.quarter) for seen in (state.zero, state.one)]

    def fields(self, state: State, level: Level, contexts: Sequence[Tensor], part: Part = WHOLE) -> Fields:
        """All fields at the full frame's size, or at a part of it: told on the grid where motion is sought."""
        coarse = part.coarser(_CELL)
        flows, logit = scaled_flow(coarse.of(level.flows), _CELL), scaled(coarse.of(level.logit), _CELL)
        ways, frames = (flows[:, :2], flows[:, 2:]), (state.zero.frame, state.one.frame)
        told = [scaled(coarse.of(level.feature), _CELL)]
        told += [warp_part(context, way, part) for context, way in zip(contexts, ways)]
        told += [flows, logit, *(part.of(frame) for frame in frames)]
        told += [warp_part(frame, way, part) for frame, way in zip(frames, ways)]
        found = self.amt_final_decoder.convblock(beside([planes.to(told[0].dtype) for planes in told])).float()
        back, count = 1 / state.scale, _FIELDS
        to_0 = ways[0].repeat(1, count, 1, 1) + found[:, : 2 * count]
        to_1 = ways[1].repeat(1, count, 1, 1) + found[:, 2 * count : 4 * count]
        masks, residuals = torch.sigmoid(logit + found[:, 4 * count : 5 * count]), found[:, 5 * count :]
        return Fields(scaled_flow(to_0, back), scaled_flow(to_1, back), scaled(masks, back), scaled(residuals, back))

    def _finished(self, state: State, level: Level, contexts: Sequence[Tensor], part: Part) -> Tensor:
        """From the level to flows (4), mask (1) and image (3) of the frame's size."""
        fields, there = self.fields(state, level, contexts, part), part.finer(round(1 / state.scale))
        return painted(fields, state.first, state.second, 0.0, self.amt_comb_block, there)


def corrected(level: Level, correction: Correction) -> Level:
    """A level with what is added to it."""
    return Level(level.flows + correction.flows, level.logit, level.feature + correction.feature)


def around(state: State, time: Time, flows: Tensor) -> Tensor:
    """The likeness (B, C, h, w) around where both flows (B, 4, h, w) at 1/8 lead on, seen from the frames."""
    x, y = pixels(flows)
    there, back = flows[:, 2:] * (1 / (1 - time)), flows[:, :2] * (1 / time)
    seen = (
        state.there.around(x + there[:, 0], y + there[:, 1], RADIUS),
        state.back.around(x + back[:, 0], y + back[:, 1], RADIUS),
    )
    return torch.cat(seen, 1)
