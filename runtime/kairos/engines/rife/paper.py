"""RIFE's paper models: three stages of flow, then a residual from features of both frames.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022): RIFE for the middle,
and RIFE_m for any time. Written from a description, as the later versions are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from kairos.engines.blocks import (
    DoubleConv,
    Refiner,
    blend,
    channels_last,
    conv_prelu,
    dtype_of,
    scaled,
    scaled_flow,
    time_plane,
)
from kairos.engines.convolutions import Enlarging
from kairos.engines.fetching import warp
from kairos.engines.layout import beside
from kairos.engines.published import Addition, Found, Padding, Time
from kairos.engines.tiles import Part, cells, in_tiles, warp_part

_FACTORS = (4.0, 2.0, 1.0)
_CONTEXT = 16

_HALO, _MULTIPLE = 24, 2
"""Cells of its answer around that a stage's answer depends on (ten convolutions at half of it), and its coarsest."""


@dataclass(frozen=True)
class Seen:
    """Of a frame (B, 3, H, W): features at 1/2, 1/4, 1/8 and 1/16."""

    frame: Tensor
    features: List[Tensor]


@dataclass(frozen=True)
class State:
    """Of a pair: what was seen of each, both frames (B, 6, h, w) at each stage's size, and the stages' factors."""

    first: Seen
    second: Seen
    frames: List[Tensor]
    factors: Tuple[float, ...]


@dataclass(frozen=True)
class Step:
    """After a stage, at the frame's size: flow (B, 4, H, W), logit (B, 1, H, W), and both frames fetched."""

    flow: Tensor
    logit: Tensor
    fetched_0: Tensor
    fetched_1: Tensor


class Stage(nn.Module):
    """(B, inputs, h, w) to (B, 5, h / 2, w / 2): increments of the flow and of the logit."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(conv_prelu(inputs, width // 2, 3, 2), conv_prelu(width // 2, width, 3, 2))
        self.convblock = nn.Sequential(*(conv_prelu(width, width) for _ in range(8)))
        self.lastconv = Enlarging(width, 5)

    def forward(self, planes: Tensor) -> Tensor:
        """See the class."""
        planes = self.conv0(planes)
        out: Tensor = self.lastconv(planes + self.convblock(planes))
        return out


class Context(nn.Module):
    """Features of a frame at four sizes."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(_CONTEXT << level for level in range(4))]
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:]), 1):
            self.add_module(f"conv{number}", DoubleConv(inputs, outputs))

    def forward(self, frame: Tensor) -> List[Tensor]:
        """Finest first."""
        features, planes = [], frame
        for number in (1, 2, 3, 4):
            planes = self.get_submodule(f"conv{number}")(planes)
            features.append(planes)
        return features


class PaperRIFE(nn.Module):
    """A paper model; ``timed``: it is told the time, else it knows the middle alone.

    ``tile``: side of the tiles, pixels, in which the last stage and the painter work (coarser stages take as many of
    their own cells); None for all at once.
    """

    padding = Padding(32)
    scales = True
    tile: Optional[int] = None

    def __init__(self, widths: Sequence[int], timed: bool) -> None:
        super().__init__()
        self.any_time = self.timed = timed
        for number, width in enumerate(widths):
            self.add_module(f"block{number}", Stage(6 + int(timed) + (11 if number else 0), width))
        self.contextnet = Context()
        self.unet = Refiner(17, _CONTEXT)
        channels_last(self)

    def look(self, frame: Tensor) -> Seen:
        """The features of a frame."""
        return Seen(frame, self.contextnet(frame.to(dtype_of(self))))

    def prepare(self, first: Seen, second: Seen, scale: float = 1.0) -> State:
        """A pair of what :meth:`look` answered."""
        factors = tuple(factor / scale for factor in _FACTORS)
        both = torch.cat([first.frame, second.frame], 1)
        return State(first, second, [scaled(both, 1 / factor).to(dtype_of(self)) for factor in factors], factors)

    def steps(self, state: State, time: Time, added: Optional[Addition] = None) -> Iterator[Step]:
        """The answer after each stage; ``added`` to the first, at the frame's size: flows and logit."""
        zero, one = state.first.frame, state.second.frame
        step = None
        for number, (frames, factor) in enumerate(zip(state.frames, state.factors)):
            shown: List[Tensor] = []
            if step is not None:
                shown = [scaled(each, 1 / factor) for each in (step.fetched_0, step.fetched_1, step.logit)]
                shown.append(scaled_flow(step.flow, 1 / factor))
            work = partial(self._told, number, [frames, *shown], time)
            size = (frames.shape[-2] // 2, frames.shape[-1] // 2)
            told = in_tiles(work, size, cells(self.tile, 2), _HALO, _MULTIPLE).float()
            flow, logit = scaled_flow(told[:, :4], 2 * factor), scaled(told[:, 4:], 2 * factor)
            if step is not None:
                flow, logit = step.flow + flow, step.logit + logit
            elif added is not None:
                flow, logit = flow + added.flows, logit if added.logit is None else logit + added.logit
            step = Step(flow, logit, warp(zero, flow[:, :2]), warp(one, flow[:, 2:]))
            yield step

    def at(self, state: State, time: Time, added: Optional[Addition] = None) -> Found:
        """The in-between: at any time where the model is told it, else in the middle; ``added``: see :meth:`steps`."""
        *_, last = self.steps(state, time, added)
        flows = [last.flow]
        while len(flows) <= len(state.first.features):
            flows.append(scaled_flow(flows[-1], 0.5))
        size, multiple = (last.flow.shape[-2], last.flow.shape[-1]), Refiner.MULTIPLE
        work = partial(self._residual, state, last, flows)
        residual = in_tiles(work, size, cells(self.tile, 1), Refiner.HALO, multiple)
        mask = torch.sigmoid(last.logit)
        image = blend(mask, last.fetched_0, last.fetched_1) + residual
        return Found(last.flow[:, :2], last.flow[:, 2:], image, mask, residual)

    def _told(self, number: int, shown: Sequence[Tensor], time: Time, part: Part) -> Tensor:
        """What a stage answers on a part of its answer's grid, half as fine as what it is shown: frames first."""
        frames, *others = (part.finer(2).of(each) for each in shown)
        seen = [frames, time_plane(time, frames)] if self.timed else [frames]
        seen += [each.to(frames.dtype) for each in others]
        answer: Tensor = self.get_submodule(f"block{number}")(beside(seen))
        return answer

    def _residual(self, state: State, last: Step, flows: Sequence[Tensor], part: Part) -> Tensor:
        """What a part of the frame lacks."""
        known = [state.first.frame, state.second.frame, last.fetched_0, last.fetched_1, last.logit, last.flow]
        planes = beside([part.of(each).to(dtype_of(self)) for each in known])
        residual: Tensor = self.unet(planes, _carried(state, flows, part)).float()
        return residual


def _carried(state: State, flows: Sequence[Tensor], part: Part) -> List[Tensor]:
    """The features of both frames on a part of the frame, level by level, fetched by the flow of that size."""
    features = []
    for level, (zero, one) in enumerate(zip(state.first.features, state.second.features), 1):
        there = part.coarser(1 << level)
        flow = there.of(flows[level])
        features.append(beside([warp_part(zero, flow[:, :2], there), warp_part(one, flow[:, 2:], there)]))
    return features
