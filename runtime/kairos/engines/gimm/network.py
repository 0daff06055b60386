"""GIMM: two flows between two frames become the motion at any time between them.

Guo, Li and Loy, "Generalizable Implicit Motion Modeling for Video Frame Interpolation" (NeurIPS 2024). Written from a
description of the network, not from its code; tests compare it with what the official code computes.

What it speaks of is velocity: (B, 2, H, W) pixels per interval between both frames, x right, y down, of the pixels of
the time that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import channels_last, dtype_of
from kairos.engines.convolutions import Conv, Layers
from kairos.engines.fetching import counted, ones, warp
from kairos.engines.gimm.splatting import splat
from kairos.engines.published import Time
from kairos.engines.tiles import in_tiles

_SLOPE = 0.1
_LEAST_VARIANCE = 1e-9
_HALO = 12
"""Cells around that the answer of a row of convolutions depends on: nine of them in the encoder."""
_CHUNK = 1 << 16
"""Places of which the coordinate network's hidden values are held at once: they outweigh everything else by far."""


@dataclass(frozen=True)
class State:
    """Of a pair.

    Attributes:
        flow_01, flow_10: (B, 2, H, W) pixels.
        velocities: (B, 2, 2, H, W) of (x, y) and (frame 0, frame 1), brought to 0..1.
        scale: (B,), pixels: what is 1 away from the middle there is this long.
        weight_0, weight_1: (B, 1, H, W), how much a pixel counts where several arrive.
        latent_0, latent_1: (B, C, H, W).
    """

    flow_01: Tensor
    flow_10: Tensor
    velocities: Tensor
    scale: Tensor
    weight_0: Tensor
    weight_1: Tensor
    latent_0: Tensor
    latent_1: Tensor


class Residual(nn.Module):
    """Two convolutions beside the planes themselves."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = Layers(Conv(width, width, 3, 1, 1), nn.LeakyReLU(_SLOPE), Conv(width, width, 3, 1, 1))

    def forward(self, planes: Tensor) -> Tensor:
        return planes + self.layers(planes)


class Coordinates(nn.Module):
    """A latent and a place in time and picture to a velocity.

    Args:
        latent: channels.
        hidden: of all layers but the last.
        layers: how many.
        outputs: of the last.
    """

    def __init__(self, latent: int, hidden: int, layers: int, outputs: int = 2) -> None:
        super().__init__()
        widths = [latent + 3, *[hidden] * (layers - 1), outputs]
        self.params_dict = nn.ParameterDict()
        for number, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            # Row by row from every input; the last row is the bias.
            table = torch.randn(inputs + 1, outputs) / (inputs + 1) ** 0.5
            self.params_dict[f"linear_wb{number}"] = nn.Parameter(table)

    def forward(self, latent: Tensor, places: Tensor) -> Tensor:
        """(B, C, h, w) and (B, h, w, 3) to (B, outputs, h, w) float32, about 0..1."""
        batch, _, height, width = latent.shape
        told = torch.cat([latent.float().permute(0, 2, 3, 1), places], -1).reshape(batch * height * width, -1)
        tables = [self._table(number) for number in range(len(self.params_dict))]
        if torch.is_grad_enabled() or torch.jit.is_tracing():
            found = _perceived(told, tables)
        else:
            found = torch.cat([_perceived(part, tables) for part in told.split(_CHUNK)])
        return found.reshape(batch, height, width, -1).permute(0, 3, 1, 2)

    def _table(self, number: int) -> Tuple[Tensor, Tensor]:
        """Weights, each output's of length 1, and bias. In float32: half of it would be seen in the flow."""
        whole = self.params_dict[f"linear_wb{number}"].float()
        return F.normalize(whole[:-1], dim=0, eps=1e-12), whole[-1]


class GIMM(nn.Module):
    """The network.

    Args:
        latent: channels of each end's motion latent.
        widths: of the encoder's first convolution and of its blocks; ``blocks``: how many.
        refined: widths of the refiner's first convolution and of its blocks; ``refiners``: how many.
        hidden: channels of the coordinate network; ``layers``: how many.
        beside, outputs: channels that it is told beside the latent, and that it answers with.

    ``tile``: side of the tiles, cells, in which the convolutions work; None for the whole frame at once.
    """

    tile: Optional[int] = None

    def __init__(
        self,
        latent: int,
        widths: Sequence[int],
        blocks: int,
        refined: Sequence[int],
        refiners: int,
        hidden: int,
        layers: int,
        beside: int = 0,
        outputs: int = 2,
    ) -> None:
        super().__init__()
        around = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("g_filter", (around[:, None] * around / 16)[None, None, None])
        self.alpha_v, self.alpha_fe = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        self.cnn_encoder = _residuals(2, *widths, blocks, latent)
        self.res_conv = _residuals(4 * latent, *refined, refiners, 2 * latent)
        self.hyponet = Coordinates(2 * latent + beside, hidden, layers, outputs)
        channels_last(self.cnn_encoder)
        channels_last(self.res_conv)

    def encode(self, flow_01: Tensor, flow_10: Tensor) -> State:
        """What depends on the flows alone, (B, 2, H, W) pixels, frame 0 to frame 1 and back."""
        flow_01, flow_10 = flow_01.float(), flow_10.float()
        velocities = torch.stack([flow_01, -flow_10], 2)
        scale = velocities.abs().amax((1, 2, 3, 4))
        # Where nothing moves there is nothing to bring to a range.
        divisor = torch.where(scale == 0, 1.0, scale)[:, None, None, None, None]
        velocities = (velocities / divisor + 1) / 2
        latents = (self._in_tiles(self.cnn_encoder, [velocities[:, :, end].to(dtype_of(self))]) for end in (0, 1))
        weights = self.importance(flow_01, flow_10), self.importance(flow_10, flow_01)
        return State(flow_01, flow_10, velocities, scale, *weights, *latents)

    def importance(self, there: Tensor, back: Tensor) -> Tensor:
        """(B, 1, H, W) float32: more where the flow there is even, and where the flow back agrees with it."""
        variance = (self._blurred(there.square()) - self._blurred(there).square()).clamp(min=_LEAST_VARIANCE)
        uneven = variance.sqrt().mean(1, keepdim=True)
        error = (-warp(back, there) - there).abs().mean(1, keepdim=True)
        return 1 / (1 + self.alpha_fe.float() * error) + 1 / (1 + self.alpha_v.float() * uneven)

    def latent(self, state: State, time: Time) -> Tensor:
        """(B, 2 C, H, W) at a time: both ends' latents where they have got to, and what the refiner adds."""
        return self.refined(state, torch.cat(self.arrived(state, time), 1))

    def refined(self, state: State, arrived: Tensor) -> Tensor:
        """What has arrived of both latents (B, 2 C, H, W), and what the refiner adds."""
        arrived = arrived.to(state.latent_0.dtype)
        return arrived + self._in_tiles(self.res_conv, [state.latent_0, state.latent_1, arrived])

    def arrived(self, state: State, time: Time) -> Tuple[Tensor, Tensor]:
        """Both ends' latents (B, C, H, W) float32, carried forward to a time."""
        zero = splat(state.latent_0, state.flow_01 * time, state.weight_0)
        one = splat(state.latent_1, state.flow_10 * (1 - time), state.weight_1)
        return zero, one

    def told(self, state: State, time: Time, size: Optional[Tuple[int, int]] = None) -> Tensor:
        """The velocity (B, 2, h, w) as the network tells it, about 0..1.

        ``size``: rows and columns of the grid on which it is asked; those of the flows when not given.
        """
        latent = self.latent(state, time)
        if size is not None and size != tuple(latent.shape[-2:]):
            latent = F.interpolate(latent, size, mode="bilinear", align_corners=False)
        return self.hyponet(latent, places(latent, time))

    def velocity(self, state: State, time: Time, size: Optional[Tuple[int, int]] = None) -> Tensor:
        """(B, 2, h, w) pixels of the flows' grid per interval; see :meth:`told`."""
        return (2 * self.told(state, time, size) - 1) * state.scale[:, None, None, None]

    def flows(self, state: State, time: Time) -> Tuple[Tensor, Tensor]:
        """From the pixels of a time to frame 0 and to frame 1, (B, 2, H, W) pixels."""
        velocity = self.velocity(state, time)
        return -time * velocity, (1 - time) * velocity

    def _in_tiles(self, layers: nn.Module, planes: Sequence[Tensor]) -> Tensor:
        """What layers make of planes (B, C, H, W) side by side."""
        size = planes[0].shape[-2], planes[0].shape[-1]
        return in_tiles(lambda part: layers(torch.cat([part.of(each) for each in planes], 1)), size, self.tile, _HALO)

    def _blurred(self, planes: Tensor) -> Tensor:
        kernel = self.g_filter[0].float()
        # One of both components at a time: their number has to be known where a graph is recorded.
        padded = F.pad(planes, (1, 1, 1, 1), "reflect")
        return torch.cat([F.conv2d(padded[:, :1], kernel), F.conv2d(padded[:, 1:], kernel)], 1)


def places(like: Tensor, time: Time) -> Tensor:
    """(B, h, w, 3) float32: of every cell of planes (B, C, h, w) the time, and its centre's y and x in -1..1."""
    y, x = ((2 * counted(line) + 1) / ones(line).sum() - 1 for line in (like[0, 0, :, 0], like[0, 0, 0]))
    plane = ones(like[:, 0])
    when = (ones(like[:, :1]) * time)[:, 0]
    return torch.stack([when, plane * y[:, None], plane * x], -1)


def _perceived(told: Tensor, tables: Sequence[Tuple[Tensor, Tensor]]) -> Tensor:
    """(N, inputs) to (N, outputs)."""
    for number, (weights, bias) in enumerate(tables):
        told = torch.addmm(bias, told, weights)
        told = told.sin() if number < len(tables) - 1 else told + 0.5
    return told


def _residuals(inputs: int, first: int, width: int, blocks: int, outputs: int) -> Layers:
    """Two convolutions, residual blocks, and a convolution that mirrors the border."""
    return Layers(
        Conv(inputs, first, 3, 1, 1),
        Conv(first, width, 3, 1, 1),
        nn.LeakyReLU(_SLOPE),
        *(Residual(width) for _ in range(blocks)),
        nn.LeakyReLU(_SLOPE),
        nn.Conv2d(width, outputs, 3, 1, 1, padding_mode="reflect"),
    )
