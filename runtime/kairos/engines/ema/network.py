"""EMA-VFI: attention between the frames tells motion and appearance, from which flow, mask and residual follow.

Zhang et al., "Extracting Motion and Appearance via Inter-Frame Attention for Efficient Video Frame Interpolation"
(CVPR 2023). Written from a description of the network, not from its code; tests compare it with what the official
code computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import Refiner, blend, channels_last, conv_prelu, scaled, scaled_flow, warp
from kairos.engines.ema.attention import Stages
from kairos.engines.published import Found, Padding, Time

_SCALES = (16, 8)
"""By which the heads' maps are smaller than the frame, in the order they run."""


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
        return self.conv(torch.cat([F.pixel_shuffle(F.pixel_shuffle(told, 2), 2), pictures], 1))


class EMA(nn.Module):
    """The network.

    Args:
        width: channels of the first stage.
        depths: attention blocks of the last two stages.
    """

    padding = Padding(32, centred=True, repeat=True)
    any_time = True
    scales = True

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
        seen, motion = self.feature_bone(small)
        told = [(motion[1], seen[4]), (motion[0], seen[3])]
        appearance = seen if scale == 1.0 else self.feature_bone(frames)[0]
        return State(frames, appearance, small, told, scale)

    def steps(self, state: State, time: Time) -> Iterator[Step]:
        """The answer after each head, at the size at which motion is sought."""
        zero, one = state.small.chunk(2)
        step = None
        for head, factor, (motion, appearance) in zip(self.block, _SCALES, state.told):
            before, after = motion.chunk(2)
            told = torch.cat([time * before, (1 - time) * after, *appearance.chunk(2)], 1).to(motion.dtype)
            pictures, size = [zero, one], 4 / factor
            if step is not None:
                pictures += [warp(zero, step.flow[:, :2]), warp(one, step.flow[:, 2:]), step.logit]
            shown = scaled(torch.cat(pictures, 1), size)
            if step is not None:
                shown = torch.cat([shown, scaled_flow(step.flow, size)], 1)
            answer = head(told, shown.to(told.dtype)).float()
            flow, logit = scaled_flow(answer[:, :4], 1 / size), scaled(answer[:, 4:], 1 / size)
            step = Step(flow, logit) if step is None else Step(step.flow + flow, step.logit + logit)
            yield step

    def at(self, state: State, time: Time) -> Found:
        """The in-between at a time between 0 and 1 (some of the official weights were trained for the middle alone)."""
        *_, last = self.steps(state, time)
        flow, logit = scaled_flow(last.flow, 1 / state.scale), scaled(last.logit, 1 / state.scale)
        zero, one = state.frames.chunk(2)
        frames = [warp(zero, flow[:, :2]), warp(one, flow[:, 2:])]
        finest, *features = _carried(state.appearance, flow)
        known = torch.cat([zero, one, *frames, logit, flow], 1).to(finest.dtype)
        residual = self.unet(torch.cat([known, finest], 1), features).float()
        mask = torch.sigmoid(logit)
        return Found(flow[:, :2], flow[:, 2:], blend(mask, *frames) + residual, mask, residual)


def _carried(appearance: List[Tensor], flow: Tensor) -> List[Tensor]:
    """The features of both frames, side by side, fetched by the flow; finest first."""
    carried = []
    for level, planes in enumerate(appearance):
        if level:
            flow = scaled_flow(flow, 0.5)
        zero, one = planes.chunk(2)
        carried.append(torch.cat([warp(zero, flow[:, :2]), warp(one, flow[:, 2:])], 1))
    return carried
