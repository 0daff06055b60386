"""RAFT: flow refined round by round, by what all pairs of features say around it.

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020). Written from a description of
the networks, not from their code; tests compare them with what the official code computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import channels_last, dtype_of
from kairos.engines.convolutions import Conv, Layers
from kairos.engines.correlation import (
    LEVELS,
    BasicBlock,
    BottleneckBlock,
    Correlation,
    CorrelationEncoder,
    InstanceNorm,
)
from kairos.engines.fetching import ones, pixels
from kairos.engines.published import Padding

_STRIDE = 8


@dataclass(frozen=True)
class Seen:
    """Of a frame, at 1/8: what is compared, and what the refinement begins from (both (B, C, h, w))."""

    compared: Tensor
    context: Tensor


@dataclass(frozen=True)
class Round:
    """After a round, at 1/8: the correlation looked at, the change, the flow so far, and the hidden state."""

    correlation: Tensor
    change: Tensor
    flow: Tensor
    hidden: Tensor


class Motion(nn.Module):
    """Correlation and flow to what the recurrent unit is told: (B, outputs + 2, h, w), the flow last."""

    def __init__(self, correlation: int, large: bool) -> None:
        super().__init__()
        if large:
            self.convc1, self.convc2 = nn.Conv2d(correlation, 256, 1), Conv(256, 192, 3, 1, 1)
            self.convf1, self.convf2 = nn.Conv2d(2, 128, 7, 1, 3), Conv(128, 64, 3, 1, 1)
            self.conv = Conv(256, 126, 3, 1, 1)
        else:
            self.convc1, self.convc2 = nn.Conv2d(correlation, 96, 1), None
            self.convf1, self.convf2 = nn.Conv2d(2, 64, 7, 1, 3), Conv(64, 32, 3, 1, 1)
            self.conv = Conv(128, 80, 3, 1, 1)

    def forward(self, correlation: Tensor, flow: Tensor) -> Tensor:
        likeness = F.relu(self.convc1(correlation))
        if self.convc2 is not None:
            likeness = self.convc2(likeness, 0.0)
        motion = self.convf2(F.relu(self.convf1(flow)), 0.0)
        return torch.cat([self.conv(torch.cat([likeness, motion], 1), 0.0), flow], 1)


class Recurrent(nn.Module):
    """A gated recurrent unit of convolutions, in one pass (small) or along rows and then along columns (large)."""

    def __init__(self, hidden: int, inputs: int, large: bool) -> None:
        super().__init__()
        kernels = {"1": (1, 5), "2": (5, 1)} if large else {"": (3, 3)}
        self.passes = tuple(kernels)
        for name, (height, width) in kernels.items():
            for gate in "zrq":
                conv = Conv(hidden + inputs, hidden, (height, width), 1, (height // 2, width // 2))
                self.add_module(f"conv{gate}{name}", conv)

    def forward(self, hidden: Tensor, told: Tensor) -> Tensor:
        for name in self.passes:
            update, reset, change = (self.get_submodule(f"conv{gate}{name}") for gate in "zrq")
            both = torch.cat([hidden, told], 1)
            share = torch.sigmoid(update(both))
            new = torch.tanh(change(torch.cat([torch.sigmoid(reset(both)) * hidden, told], 1)))
            hidden = (1 - share) * hidden + share * new
        return hidden


class FlowHead(nn.Module):
    """The hidden state to a change of the flow (B, 2, h, w)."""

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(hidden, inner, 3, 1, 1), Conv(inner, 2, 3, 1, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.conv2(self.conv1(hidden, 0.0))


class Update(nn.Module):
    """One round."""

    def __init__(self, hidden: int, context: int, correlation: int, large: bool) -> None:
        super().__init__()
        self.encoder = Motion(correlation, large)
        self.gru = Recurrent(hidden, context + (128 if large else 82), large)
        self.flow_head = FlowHead(hidden, 256 if large else 128)
        if large:
            self.mask = Layers(Conv(hidden, 256, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * _STRIDE**2, 1))

    def forward(self, hidden: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> Tensor:
        """The next hidden state."""
        return self.gru(hidden, torch.cat([context, self.encoder(correlation, flow)], 1))


class RAFT(nn.Module):
    """The network; ``large`` or small."""

    padding = Padding(_STRIDE, centred=True, repeat=True, least=128)

    def __init__(self, large: bool) -> None:
        super().__init__()
        self.large, self.radius = large, 4 if large else 3
        self.hidden, context = (128, 128) if large else (96, 64)
        block, widths = (BasicBlock, (64, 96, 128)) if large else (BottleneckBlock, (32, 64, 96))
        self.fnet = CorrelationEncoder(block, widths, 256 if large else 128, InstanceNorm)
        self.cnet = CorrelationEncoder(
            block, widths, self.hidden + context, nn.BatchNorm2d if large else lambda width: nn.Identity()
        )
        self.update_block = Update(self.hidden, context, LEVELS * (2 * self.radius + 1) ** 2, large)
        channels_last(self)

    def look(self, frame: Tensor) -> Seen:
        """The features of a frame (B, 3, H, W)."""
        planes = (2 * frame - 1).to(dtype_of(self))
        return Seen(self.fnet(planes), self.cnet(planes))

    def rounds(self, first: Seen, second: Seen, start: Optional[Tensor] = None) -> Iterator[Round]:
        """Round after round, without end."""
        correlation = Correlation(first.compared, second.compared)
        hidden, context = torch.tanh(first.context[:, : self.hidden]), F.relu(first.context[:, self.hidden :])
        x, y = pixels(first.compared)
        flow = ones(first.compared[:, :2]) - 1 if start is None else start
        while True:
            around = correlation.around(x + flow[:, 0], y + flow[:, 1], self.radius)
            hidden = self.update_block(hidden, context, around.to(hidden.dtype), flow.to(hidden.dtype))
            change = self.update_block.flow_head(hidden).float()
            flow = flow + change
            yield Round(around, change, flow, hidden)

    def flow(self, first: Seen, second: Seen, rounds: int = 12, start: Optional[Tensor] = None) -> Tensor:
        """See :class:`kairos.engines.published.FlowNetwork`."""
        for _, last in zip(range(rounds), self.rounds(first, second, start)):
            found = last
        return self.enlarged(found)

    def upsampling(self, hidden: Tensor) -> Tensor:
        """(B, 576, h, w): how every fine pixel mixes the nine coarse flows around it, before the softmax."""
        return 0.25 * self.update_block.mask(hidden)

    def enlarged(self, found: Round) -> Tensor:
        """The flow at the frame's size."""
        flow = _STRIDE * found.flow
        if not self.large:
            return F.interpolate(flow, scale_factor=float(_STRIDE), mode="bilinear", align_corners=True)
        batch, _, height, width = flow.shape
        weights = self.upsampling(found.hidden).float().reshape(batch, 1, 9, _STRIDE, _STRIDE, height, width)
        around = F.unfold(flow, 3, padding=1).reshape(batch, 2, 9, 1, 1, height, width)
        fine = (torch.softmax(weights, 2) * around).sum(2)
        return fine.permute(0, 1, 4, 2, 5, 3).reshape(batch, 2, height * _STRIDE, width * _STRIDE)
