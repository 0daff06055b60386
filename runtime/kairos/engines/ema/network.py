"""EMA-VFI: attention between the frames tells motion and appearance, from which flow, mask and residual follow.

Zhang et al., "Extracting Motion and Appearance via Inter-Frame Attention for Efficient Video Frame Interpolation"
(CVPR 2023). Written from a description of the network, not from its code; tests compare it with what the official
code computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Iterator, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import Refiner, blend, channels_last, conv_prelu, scaled, scaled_flow
from kairos.engines.ema.attention import Stages
from kairos.engines.layout import beside
from kairos.engines.published import Addition, Found, Padding, Time
from kairos.engines.tiles import Part, cells, in_tiles, warp_part

_SCALES = (16, 8)
"""By which the heads' maps are smaller than the frame, in the order they run."""

_HALO = 4
"""Cells of a head's grid around that its answer depends on: three convolutions, and the reduction."""


@dataclass(frozen=True)
class State:
    """Of a pair, along the batch first frame 0, then frame 1 (2B).

    Attributes:
        frames: (2B, 3, H, W).
        appearance: of the frames at five sizes, finest first.
        small: the frames at which motion is sought, and ``told``, per head, their motion (2B, M, h, w) and appearance.
    """

    frames: Tensor
    appearance: List[Tensor]
    small: Tensor
    told: List[Tuple[Tensor, Tensor]]
    scale: float


@dataclass(frozen=True)
class Step:
    """After a head: flow (B, 4, H, W) to 0 and to 1, and the blend's logit (B, 1, H, W)."""

    flow: Tensor
    logit: Tensor


class Head(nn.Module):
    """Motion and appearance (B, inputs) and pictures (B, pictures) to increments of flow and logit (B, 5)."""

    def __init__(self, inputs: int, pictures: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv_prelu(inputs // 16 + pictures, width), conv_prelu(width, width), conv_prelu(width, 5)
        )

    def forward(self, told: Tensor, pictures: Tensor) -> Tensor:
        return self.conv(beside([F.pixel_shuffle(F.pixel_shuffle(told, 2), 2), pictures]))


class EMA(nn.Module):
    """The network.

    Args:
        width: channels of the first stage.
        depths: attention blocks of the last two stages.

    ``tile``: side of the tiles, pixels, in which all works but the attention, whose maps are small; None for the whole
    frame at once.
    """

    padding = Padding(32, centred=True, repeat=True)
    any_time = True
    scales = True
    tile: Optional[int] = None

    def __init__(self, width: int, depths: Tuple[int, int]) -> None:
        super().__init__()
        self.feature_bone = Stages(width, depths)
        # Appearance and motion of both frames, each as wide as the stage.
        self.block = nn.ModuleList([Head(4 * 16 * width, 6, 4 * width), Head(4 * 8 * width, 17, 4 * width)])
        self.unet = Refiner(17 + 2 * width, 2 * width)
        channels_last(self)

    def look(self, frame: Tensor) -> Tensor:
        """The frame: what the network computes of it depends on its partner too."""
        return frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> State:
        """Motion and appearance of a pair of frames (B, 3, H, W)."""
        frames = torch.cat([first, second])
        small = scaled(frames, scale)
        seen, motion = self.feature_bone(small, self.tile)
        told = [(motion[1], seen[4]), (motion[0], seen[3])]
        appearance = seen if scale == 1.0 else self.feature_bone(frames, self.tile)[0]
        return State(frames, appearance, small, told, scale)

    def steps(self, state: State, time: Time, added: Optional[Addition] = None) -> Iterator[Step]:
        """The answer after each head, at the size that motion is sought at; ``added`` to the first: flows and logit."""
        step = None
        for head, factor, (motion, appearance) in zip(self.block, _SCALES, state.told):
            before, after = motion.chunk(2)
            told = torch.cat([time * before, (1 - time) * after, *appearance.chunk(2)], 1).to(motion.dtype)
            size, multiple = (4 * told.shape[-2], 4 * told.shape[-1]), 4
            work = partial(_answer, head, told, state.small, step, factor // 4)
            answer = in_tiles(work, size, cells(self.tile, factor // 4), _HALO, multiple).float()
            flow, logit = scaled_flow(answer[:, :4], factor / 4), scaled(answer[:, 4:], factor / 4)
            if step is not None:
                flow, logit = step.flow + flow, step.logit + logit
            elif added is not None:
                flow, logit = flow + added.flows, logit if added.logit is None else logit + added.logit
            step = Step(flow, logit)
            yield step

    def at(self, state: State, time: Time, added: Optional[Addition] = None) -> Found:
        """The in-between at a time between 0 and 1 (some of the official weights were trained for the middle alone).

        ``added``: see :meth:`steps`.
        """
        *_, last = self.steps(state, time, added)
        flow, logit = scaled_flow(last.flow, 1 / state.scale), scaled(last.logit, 1 / state.scale)
        flows = [flow]
        while len(flows) < len(state.appearance):
            flows.append(scaled_flow(flows[-1], 0.5))
        size, multiple = (flow.shape[-2], flow.shape[-1]), Refiner.MULTIPLE
        work = partial(self._finished, state, flows, logit)
        residual, image = in_tiles(work, size, cells(self.tile, 1), Refiner.HALO, multiple).chunk(2, 1)
        return Found(flow[:, :2], flow[:, 2:], image, torch.sigmoid(logit), residual)

    def _finished(self, state: State, flows: List[Tensor], logit: Tensor, part: Part) -> Tensor:
        """Residual and image (B, 6, h, w) of a part of the frame."""
        zero, one = state.frames.chunk(2)
        flow, logit = part.of(flows[0]), part.of(logit)
        frames = [warp_part(zero, flow[:, :2], part), warp_part(one, flow[:, 2:], part)]
        finest, *features = (
            _carried(planes, each, part.coarser(1 << level))
            for level, (planes, each) in enumerate(zip(state.appearance, flows))
        )
        known = [part.of(zero), part.of(one), *frames, logit, flow, finest]
        residual = self.unet(beside([each.to(finest.dtype) for each in known]), features).float()
        return torch.cat([residual, blend(torch.sigmoid(logit), *frames) + residual], 1)


def _answer(head: nn.Module, told: Tensor, small: Tensor, step: Optional[Step], factor: int, part: Part) -> Tensor:
    """What a head says of a part of its grid, whose cells are ``factor`` pixels wide."""
    there = part.finer(factor)
    pictures = [there.of(frame) for frame in small.chunk(2)]
    if step is not None:
        flow = there.of(step.flow)
        pictures += [warp_part(frame, to, there) for frame, to in zip(small.chunk(2), flow.split(2, 1))]
        pictures.append(there.of(step.logit))
    shown = scaled(torch.cat(pictures, 1), 1 / factor)
    if step is not None:
        shown = torch.cat([shown, scaled_flow(flow, 1 / factor)], 1)
    told = part.coarser(4).of(told)
    answer: Tensor = head(told, shown.to(told.dtype))
    return answer


def _carried(planes: Tensor, flow: Tensor, part: Part) -> Tensor:
    """A level's features of both frames, side by side, fetched by its flow."""
    zero, one = planes.chunk(2)
    flow = part.of(flow)
    return torch.cat([warp_part(zero, flow[:, :2], part), warp_part(one, flow[:, 2:], part)], 1)
