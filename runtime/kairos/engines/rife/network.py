"""RIFE's later versions (4.6, 4.25, 4.26 and relatives): flow straight to the in-between frame, coarse to fine.

Huang et al., "Real-Time Intermediate Flow Estimation for Video Frame Interpolation" (ECCV 2022), and what its author
published since as Practical-RIFE. Written from a description of the networks, not from their code; tests compare them
with what the official code computes.

Each stage looks at the frames, fetched by the flow so far, at a part of their size. Bilinear reduction by 4 or more
looks at four pixels of each cell alone, so only those are fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Iterator, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines import winograd
from kairos.engines.blocks import blend, channels_last, dtype_of, scaled, scaled_flow, time_plane
from kairos.engines.convolutions import Conv, Enlarging, Layers, direct, kept
from kairos.engines.fetching import fetched, pixels, recorded
from kairos.engines.layout import beside
from kairos.engines.published import Addition, Found, Padding, Time
from kairos.engines.tiles import WHOLE, Part, cells, in_tiles, warp_part

_SLOPE = 0.2

_HALO, _MULTIPLE = 48, 4
"""Cells around that a stage's answer depends on (ten convolutions at a quarter of its size), and its coarsest cell."""


@dataclass(frozen=True)
class State:
    """Of a pair: frames with their codes (B, 3 + code, H, W), both at the first stage's size, and all factors."""

    first: Tensor
    second: Tensor
    coarse: Tensor
    factors: Tuple[float, ...]


@dataclass(frozen=True)
class Step:
    """After a stage, at the frame's size: flow (B, 4, H, W) to 0 and to 1, and the blend's logit (B, 1, H, W)."""

    flow: Tensor
    logit: Tensor


class Unit(nn.Module):
    """A convolution, weighted by channel, and what it adds to."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = Conv(width, width, 3, 1, 1)
        self.beta = nn.Parameter(torch.ones(1, width, 1, 1))

    def forward(self, planes: Tensor) -> Tensor:
        if recorded() or torch.is_grad_enabled() or planes.dtype != torch.float32:
            return F.leaky_relu(torch.addcmul(planes, self.conv(planes), self.beta), _SLOPE, inplace=True)
        way = winograd.fits(self.conv, planes)
        if way is not None:
            sources = (self.conv.weight, self.conv.bias, self.beta)
            packed = kept(self).of(sources, lambda: winograd.pack(way, *self._weighted(), _SLOPE))
            return winograd.convolve(planes, packed)
        return direct(planes, *self._weighted(), _SLOPE, self.conv)

    def _weighted(self) -> Tuple[Tensor, Tensor]:
        """Weights and what they are added to as one convolution: two passes over the planes less."""
        share = self.beta.flatten()
        weight = self.conv.weight * share[:, None, None, None]
        weight[:, :, 1, 1].diagonal().add_(1)
        assert self.conv.bias is not None
        return weight, self.conv.bias * share


class Stage(nn.Module):
    """(B, inputs, h, w) to (B, outputs, h, w): increments of the flow (4), a logit (1) and more."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = nn.Sequential(_conv(inputs, width // 2), _conv(width // 2, width))
        self.convblock = nn.Sequential(*(Unit(width) for _ in range(8)))
        self.lastconv = nn.Sequential(Enlarging(width, 4 * outputs), nn.PixelShuffle(2))

    def forward(self, planes: Tensor, wanted: Optional[int] = None) -> Tensor:
        """``wanted``: how many of the outputs are to be computed, from the first on; None for all."""
        planes = self.convblock(self.conv0(planes))
        last, shuffle = self.lastconv
        wanted = 4 * wanted if wanted else last.out_channels
        sources = (last.weight, last.bias)
        if not winograd.worth(winograd.SAME, planes, 4 * wanted, *sources):
            return shuffle(last(planes, wanted))

        def both() -> winograd.Packed:
            # A pixel becomes two rows of two, and each of these two rows of two: four rows of four.
            weight, bias = (each.unflatten(2, (-1, 2, 2)) for each in last.convolution(wanted))
            weight, bias = weight.permute(2, 0, 3, 1, 4, 5, 6, 7), bias.permute(2, 0, 3, 1, 4)
            return winograd.pack(winograd.SAME, weight.flatten(0, 4), bias.flatten())

        packed = kept(self, wanted).of(sources, both)
        return F.pixel_shuffle(winograd.convolve(planes, packed), 4)


class Encoder(nn.Module):
    """A code (B, outputs, H, W) of a frame (B, 3, H, W)."""

    def __init__(self, hidden: int, outputs: int) -> None:
        super().__init__()
        self.cnn0 = Conv(3, hidden, 3, 2, 1)
        self.cnn1 = Conv(hidden, hidden, 3, 1, 1)
        self.cnn2 = Conv(hidden, hidden, 3, 1, 1)
        self.cnn3 = Enlarging(hidden, outputs)

    def forward(self, frame: Tensor) -> Tensor:
        return self.cnn3(self.cnn2(self.cnn1(self.cnn0(frame, _SLOPE), _SLOPE), _SLOPE))


class RIFE(nn.Module):
    """A version 4 network.

    Args:
        widths: of the stages, coarse to fine.
        factors: by which each stage's size is smaller than the frame.
        outputs: channels that a stage answers: flow 4, logit 1, and what it tells the next stage beyond (with a code)
            or what nobody uses (without).
        code: channels of the frames' code, 0 where the version has none. With one, a stage's logit takes the place of
            the one before; without, it is added.
        hidden: channels of the code's encoder.

    ``tile``: side of the tiles, pixels, in which a stage at the frame's size works (one at half the size takes as many
    of its own cells); None for all at once.
    """

    any_time = True
    scales = True
    tile: Optional[int] = None

    def __init__(
        self, widths: Sequence[int], factors: Sequence[float], outputs: int, code: int = 0, hidden: int = 16
    ) -> None:
        super().__init__()
        self.padding = Padding(64 if code else 32) if max(factors) <= 16 else Padding(128)
        self.factors, self.code = tuple(factors), code
        self.told = outputs - 5 if code else 0
        seen = 6 + 2 * code + 1
        for number, width in enumerate(widths):
            self.add_module(f"block{number}", Stage(seen + (1 + self.told + 4 if number else 0), width, outputs))
        if code:
            self.encode = Encoder(hidden, code)
        channels_last(self)

    def look(self, frame: Tensor) -> Tensor:
        """The frame and its code, (B, 3 + code, H, W)."""
        return torch.cat([frame, self.encode(frame.to(dtype_of(self))).float()], 1) if self.code else frame

    def prepare(self, first: Tensor, second: Tensor, scale: float = 1.0) -> State:
        """A pair of what :meth:`look` answered."""
        factors = tuple(factor / scale for factor in self.factors)
        coarse = _paired(*(scaled(seen, 1 / factors[0]) for seen in (first, second)))
        return State(first, second, coarse.to(dtype_of(self)), factors)

    def steps(self, state: State, time: Time, added: Optional[Addition] = None) -> Iterator[Step]:
        """The answer after each stage; ``added`` to the first, at the frame's size: flows and logit."""
        told = self.block0(beside([state.coarse, time_plane(time, state.coarse)]), self._wanted(0))
        step = self._step(None, told, state.factors[0])
        if added is not None:
            step = Step(step.flow + added.flows, step.logit if added.logit is None else step.logit + added.logit)
        yield step
        for number, (before, factor) in enumerate(zip(state.factors, state.factors[1:]), 1):
            flow = scaled_flow(step.flow, 1 / factor)
            more = _resized(told[:, 4:], before, factor) if self.code else scaled(step.logit, 1 / factor)
            # Finer than the frame, or not by a whole number: such stages are worked out at once.
            tile = cells(self.tile, 1) if factor == int(factor) else None
            work = partial(self._told, state, step.flow, flow, more, time, number)
            told = in_tiles(work, (flow.shape[-2], flow.shape[-1]), tile, _HALO, _MULTIPLE)
            step = self._step(step, told, factor)
            yield step

    def at(self, state: State, time: Time, added: Optional[Addition] = None) -> Found:
        """The in-between at a time between 0 and 1; ``added``: see :meth:`steps`."""
        *_, last = self.steps(state, time, added)
        to_0, to_1 = last.flow[:, :2], last.flow[:, 2:]
        mask = torch.sigmoid(last.logit)

        def picture(part: Part) -> Tensor:
            frames = (
                warp_part(frame[:, :3], part.of(flow), part)
                for frame, flow in ((state.first, to_0), (state.second, to_1))
            )
            return blend(part.of(mask), *frames)

        image = in_tiles(picture, (mask.shape[-2], mask.shape[-1]), cells(self.tile, 1), 0)
        return Found(to_0, to_1, image, mask)

    def _told(
        self, state: State, full: Tensor, flow: Tensor, more: Tensor, time: Time, number: int, part: Part
    ) -> Tensor:
        """What a later stage answers, from the flow so far at the frame's size and at its own."""
        dtype, factor = state.coarse.dtype, state.factors[number]
        first, second = (frame.to(dtype) for frame in fetched_small(state, full, factor, part))
        seen = [first[:, :3], second[:, :3], first[:, 3:], second[:, 3:]] if self.code else [first, second]
        seen += [time_plane(time, first), part.of(more).to(dtype), part.of(flow).to(dtype)]
        answer: Tensor = self.get_submodule(f"block{number}")(beside(seen), self._wanted(number))
        return answer

    def _wanted(self, number: int) -> Optional[int]:
        """How many of a stage's outputs are asked for: what it would tell beyond flow and logit, the next stage alone
        may hear."""
        return None if self.code and number + 1 < len(self.factors) else 5

    def _step(self, before: Optional[Step], told: Tensor, factor: float) -> Step:
        told = told[:, :5].float()
        if factor != 1.0:
            told = scaled(torch.cat([told[:, :4] * factor, told[:, 4:]], 1), factor)
        flow, logit = told[:, :4], told[:, 4:]
        if before is None:
            return Step(flow, logit)
        kept = logit if self.code else logit + before.logit
        return Step(flow + before.flow if recorded() else flow.add_(before.flow), kept)


def _conv(inputs: int, outputs: int) -> Layers:
    return Layers(Conv(inputs, outputs, 3, 2, 1), nn.LeakyReLU(_SLOPE, inplace=True))


def _paired(first: Tensor, second: Tensor) -> Tensor:
    """Both frames, then both codes."""
    return torch.cat([first[:, :3], second[:, :3], first[:, 3:], second[:, 3:]], 1)


def _resized(planes: Tensor, before: float, factor: float) -> Tensor:
    """Planes of a stage at another stage's size, as if by way of the frame's size.

    Going up and then down again by even steps, bilinear, is the same as going up at once.
    """
    if before >= 1 and factor >= 1:
        return scaled(planes, before / factor)
    return scaled(scaled(planes, before), 1 / factor)


def fetched_small(state: State, flow: Tensor, factor: float, part: Part = WHOLE) -> Tuple[Tensor, Tensor]:
    """Both frames fetched by a flow (B, 4, H, W) and reduced by a factor; ``part`` is of the reduced."""
    there = WHOLE if part is WHOLE else part.finer(int(factor))
    flow = there.of(flow)
    if factor < 4 or factor % 2:
        return (
            scaled(warp_part(state.first, flow[:, :2], there), 1 / factor),
            scaled(warp_part(state.second, flow[:, 2:], there), 1 / factor),
        )
    x, y = pixels(state.first)
    if there.rows is not None and there.columns is not None:
        x, y = x[there.columns], y[there.rows]
    x, y = _middles(x, factor, -1), _middles(y, factor, -2)
    flow = _middles(_middles(flow, factor, -1), factor, -2)
    frames = ((state.first, flow[:, :2]), (state.second, flow[:, 2:]))
    first, second = (F.avg_pool2d(fetched(frame, x + to[:, 0], y + to[:, 1]), 2) for frame, to in frames)
    return first, second


def _middles(planes: Tensor, factor: float, axis: int) -> Tensor:
    """Of every ``factor`` rows or columns the two in the middle."""
    whole = int(factor)
    if axis == -1:
        return torch.stack([planes[..., whole // 2 - 1 :: whole], planes[..., whole // 2 :: whole]], -1).flatten(-2)
    return torch.stack([planes[..., whole // 2 - 1 :: whole, :], planes[..., whole // 2 :: whole, :]], -2).flatten(
        -3, -2
    )
