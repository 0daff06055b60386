"""FILM: features shared by all scales, flow by residuals, and a picture painted from what the flows fetch.

Reda et al., "FILM: Frame Interpolation for Large Motion" (ECCV 2022). Written from a description of the network, not
from its code; tests compare it with what the official code computes.

Level 0 is the frame's size, every further one half of it. What is wide and local (the flow predictors, the painter's
finest levels) goes by strips of rows, so that memory does not hold hundreds of channels of a whole frame twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import channels_last, dtype_of
from kairos.engines.convolutions import Conv, Layers, convolved
from kairos.engines.fetching import fetched, pixels, warp
from kairos.engines.layout import beside
from kairos.engines.published import Found, Padding, Time

LEVELS, FUSED, OWN = 7, 5, 3
"""Levels of the pyramid, levels that are painted from, and levels with a flow predictor of their own."""

_FEATURES = (64, 128, 256, 512)
_FLOW = (32, 64, 128, 256)
"""Filters of the predictors of levels 0, 1, 2, and of all coarser ones."""
_SLOPE = 0.2
_FLOW_HALO, _PAINT_HALO = 3, 4

_ROWS = 128


@dataclass(frozen=True)
class Seen:
    """Of a frame, finest first: its pyramid (B, 3, h, w) float32, and the features of each level."""

    frames: List[Tensor]
    features: List[Tensor]


@dataclass(frozen=True)
class Motion:
    """One way, finest first: the residuals of all levels, and the flows (B, 2, h, w) of those that are painted from."""

    residuals: List[Tensor]
    flows: List[Tensor]


@dataclass(frozen=True)
class State:
    """Of a pair: what was seen of each, and the motion both ways (without regard to the time)."""

    first: Seen
    second: Seen
    forward: Motion
    backward: Motion


class Extractor(nn.Module):
    """Features of a frame at every level, each from trees of up to four stages that begin at this and finer levels."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, *_FEATURES)
        stages = [nn.Sequential(_conv(a, b, 3), _conv(b, b, 3)) for a, b in zip(widths, widths[1:])]
        self.extract_sublevels = nn.ModuleDict({"convs": nn.ModuleList(stages)})

    def forward(self, frames: Sequence[Tensor]) -> List[Tensor]:
        """A frame's pyramid to its features: 64, 192, 448, and from level 3 on 960 channels."""
        parts: List[List[Tensor]] = [[] for _ in frames]
        for start, planes in enumerate(frames):
            for stage, conv in enumerate(self.extract_sublevels["convs"][: len(frames) - start]):
                planes = conv(F.avg_pool2d(planes, 2) if stage else planes)
                parts[start + stage].insert(0, planes)
        features: List[Tensor] = []
        # One level after the other is put together and let go of: two copies of all would be the peak of memory.
        while parts:
            part = parts.pop(0)
            features.append(torch.cat(part, 1) if len(part) > 1 else part[0])
        return features


class Predictor(nn.Module):
    """Features of both frames, together (B, inputs, h, w), to a residual of the flow (B, 2, h, w)."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self._convs = nn.Sequential(
            _conv(inputs, filters, 3),
            _conv(filters, filters, 3),
            _conv(filters, filters, 3),
            _conv(filters, filters // 2, 1),
            nn.Sequential(nn.Conv2d(filters // 2, 2, 1)),
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        first, *others = self._convs
        planes = _parted(first, source, target)
        for conv in others:
            planes = conv(planes)
        return planes


class Predictors(nn.Module):
    """The predictors of all levels. Those of the finest levels are kept coarse to fine."""

    def __init__(self) -> None:
        super().__init__()
        channels = _channels()
        self._predictor = Predictor(2 * channels[OWN], _FLOW[OWN])
        self._predictors = nn.ModuleList(Predictor(2 * channels[level], _FLOW[level]) for level in reversed(range(OWN)))

    def of(self, level: int) -> nn.Module:
        return self._predictor if level >= OWN else self._predictors[OWN - 1 - level]


class Painter(nn.Module):
    """The convolutions that paint, coarse to fine: from the coarser level, and two of both."""

    def __init__(self) -> None:
        super().__init__()
        stacks = [2 * (3 + channels) + 4 for channels in _channels()[:FUSED]]
        widths = [*_FEATURES, stacks[-1]]
        self.convs = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.Sequential(nn.Conv2d(widths[level + 1], widths[level], 2)),
                    _conv(stacks[level] + widths[level], widths[level], 3),
                    _conv(widths[level], widths[level], 3),
                ]
            )
            for level in reversed(range(FUSED - 1))
        )
        self.output_conv = nn.Conv2d(widths[0], 3, 1)

    def paint(self, level: int, coarser: Tensor, stack: Tensor) -> Tensor:
        """(B, width, h, w) of a level from the coarser one at this level's size already, and from its stack."""
        down, first, second = self.convs[FUSED - 2 - level]
        return second(_parted(first, stack, down(F.pad(coarser, (0, 1, 0, 1)))))


class FILM(nn.Module):
    """The network. ``rows``: how many of a level are worked on at once; None for all."""

    padding = Padding(64, centred=True)
    any_time = False
    scales = False

    def __init__(self, rows: Optional[int] = _ROWS) -> None:
        super().__init__()
        self.rows = rows
        self.extract = Extractor()
        self.predict_flow = Predictors()
        self.fuse = Painter()
        channels_last(self)

    @property
    def tile(self) -> Optional[int]:
        """Rows that are worked on at once: never more than without tiles."""
        return self.rows

    @tile.setter
    def tile(self, side: Optional[int]) -> None:
        self.rows = _ROWS if side is None else min(side, _ROWS)

    def look(self, frame: Tensor) -> Seen:
        """The features of a frame (B, 3, H, W)."""
        frames = [frame]
        while len(frames) < LEVELS:
            frames.append(F.avg_pool2d(frames[-1], 2))
        dtype = dtype_of(self)
        return Seen(frames[:FUSED], self.extract([each.to(dtype) for each in frames]))

    def prepare(self, first: Seen, second: Seen, scale: float = 1.0) -> State:
        """The motion of a pair, both ways. Raises ValueError for another scale than 1."""
        if scale != 1.0:
            raise ValueError(f"FILM seeks motion at the frame's size, not at {scale} of it")
        forward = self._motion(first.features, second.features)
        backward = self._motion(second.features, first.features)
        return State(first, second, forward, backward)

    def at(self, state: State, time: Time) -> Found:
        """The in-between. The formula takes any time between 0 and 1; trained was the middle."""
        top = FUSED - 1
        flows = [
            (time * backward, (1 - time) * forward)
            for backward, forward in zip(state.backward.flows, state.forward.flows)
        ]
        height, width = flows[top][0].shape[-2:]
        planes = self._stack(state, top, *flows[top], 0, height)
        for level in range(top - 1, -1, -1):
            height, width = flows[level][0].shape[-2:]
            strips = []
            for start, stop, above, below in _strips(height, self.rows, _PAINT_HALO):
                stack = self._stack(state, level, *flows[level], above, below)
                coarser = _nearest(planes, height, width, above, below)
                painted = self.fuse.paint(level, coarser, stack)[..., start - above : stop - above, :]
                strips.append(painted if level else self.fuse.output_conv(painted))
            planes = torch.cat(strips, -2) if len(strips) > 1 else strips[0]
        return Found(*flows[0], planes.float())

    def _motion(self, source: Sequence[Tensor], target: Sequence[Tensor]) -> Motion:
        """The flow from the source's pixels to the target's."""
        flow, residuals, flows = None, [], []
        for level in range(len(source) - 1, -1, -1):
            if flow is not None:
                flow = _enlarged(flow, source[level])
            residual = self._residual(level, source[level], target[level], flow)
            flow = residual if flow is None else flow + residual
            residuals.insert(0, residual)
            if level < FUSED:
                flows.insert(0, flow)
        return Motion(residuals, flows)

    def _residual(self, level: int, source: Tensor, target: Tensor, flow: Optional[Tensor]) -> Tensor:
        predictor, strips = self.predict_flow.of(level), []
        for start, stop, above, below in _strips(source.shape[-2], self.rows, _FLOW_HALO):
            found = target[..., above:below, :] if flow is None else _warp_rows(target, flow, above, below)
            told = predictor(source[..., above:below, :], found)
            strips.append(told[..., start - above : stop - above, :].float())
        return torch.cat(strips, -2) if len(strips) > 1 else strips[0]

    def _stack(self, state: State, level: int, to_0: Tensor, to_1: Tensor, above: int, below: int) -> Tensor:
        """What a level is painted from, on some of its rows: frames and features fetched, and the flows."""
        parts = []
        for seen, flow in ((state.first, to_0), (state.second, to_1)):
            for planes in (seen.frames[level], seen.features[level]):
                parts.append(_warp_rows(planes, flow, above, below))
        parts += [to_0[..., above:below, :], to_1[..., above:below, :]]
        return beside([part.to(parts[1].dtype) for part in parts])


def _channels() -> List[int]:
    """Of the features of every level."""
    return [sum(_FEATURES[: level + 1]) for level in range(LEVELS)]


def _conv(inputs: int, outputs: int, size: int) -> Layers:
    return Layers(Conv(inputs, outputs, size, 1, size // 2), nn.LeakyReLU(_SLOPE, inplace=True))


def _parted(layers: nn.Sequential, *parts: Tensor) -> Tensor:
    """What :func:`_conv` makes of parts that lie side by side."""
    return convolved(layers[0], parts, _SLOPE)


def _enlarged(flow: Tensor, like: Tensor) -> Tensor:
    """A coarser level's flow at a level's size."""
    return F.interpolate(2 * flow, like.shape[-2:], mode="bilinear", align_corners=False)


def _warp_rows(planes: Tensor, flow: Tensor, above: int, below: int) -> Tensor:
    """Some rows of what a flow fetches."""
    if below - above == flow.shape[-2]:
        return warp(planes, flow)
    x, y = pixels(flow)
    rows = flow[..., above:below, :].float()
    return fetched(planes, x + rows[:, 0], y[above:below] + rows[:, 1])


def _nearest(planes: Tensor, height: int, width: int, above: int, below: int) -> Tensor:
    """Some rows of planes enlarged to a height and width by repeating pixels."""
    if below - above == height:
        return F.interpolate(planes, (height, width), mode="nearest")
    # Both sides of a level are twice those of the coarser one: the padding sees to that.
    rows = planes[..., above // 2 : (below + 1) // 2, :]
    doubled = F.interpolate(rows, scale_factor=2.0, mode="nearest")
    return doubled[..., above % 2 : above % 2 + below - above, :]


def _strips(height: int, rows: Optional[int], halo: int) -> Iterator[Tuple[int, int, int, int]]:
    """Rows start to stop, and with a halo inside the frame above to below."""
    if rows is None or height <= rows:
        yield 0, height, 0, height
        return
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        yield start, stop, max(0, start - halo), min(height, stop + halo)
