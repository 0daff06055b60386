"""All pairs of two frames' features, and the encoder that makes these (RAFT, and AMT after it).

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020).
"""

from __future__ import annotations

from typing import Callable, Iterator, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.convolutions import Conv
from kairos.engines.fetching import counted, fetched, recorded
from kairos.engines.pointwise import Slope, added, normalised, sloped

LEVELS = 4
Norm = Callable[[int], nn.Module]
"""From a number of channels to what normalises them."""


LIMIT, SMALL_LIMIT = 3 << 29, 1 << 27
"""Bytes of all products of one way that are kept: 1.5 GiB (1280 x 720 takes 1.1), and 128 MiB where memory is short.

Where there would be more of them, those that are looked at are worked out whenever they are. On a CPU at 1280 x 720
looking costs 0.5 s then in place of 0.2 s, and nothing is spent beforehand in place of 2 s.
"""

_GATHERED = 1 << 24
"""Bytes of features that are gathered at once where products are not kept."""


class Correlation:
    """The likeness of every place of one frame with every place of the other, at four scales of the other.

    Reducing the products is the same as reducing the other's features first, and much less work.

    Args:
        first, second: features (B, C, h, w).
        limit: bytes that the products may take; beyond it they are worked out where they are looked at. A recorded
            graph keeps them whatever their size.
    """

    def __init__(self, first: Tensor, second: Tensor, limit: int = LIMIT) -> None:
        self._shape = first.shape
        self._rows = first.float().flatten(2).transpose(1, 2) / first.shape[1] ** 0.5
        self._others = [second.float()]
        for _ in range(1, LEVELS):
            self._others.append(F.avg_pool2d(self._others[-1], 2))
        self._levels: List[Tensor] = []
        places = sum(other.shape[-2] * other.shape[-1] for other in self._others)
        recorded = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if recorded or 4 * self._rows.shape[0] * self._rows.shape[1] * places <= limit:
            for other in self._others:
                likeness = torch.matmul(self._rows, other.flatten(2))
                self._levels.append(likeness.reshape(-1, 1, *other.shape[-2:]))

    @property
    def kept(self) -> int:
        """Bytes of products that are kept."""
        return sum(4 * level.numel() for level in self._levels)

    def around(self, x: Tensor, y: Tensor, radius: int) -> Tensor:
        """The likeness around places of the other frame: (B, 4 (2 radius + 1)^2, h, w) float32.

        Args:
            x, y: (B, h, w), places in the other frame of the features' size; beyond its border nothing is alike.
            radius: how far around, at each scale in its own pixels. The step along x is the slower one.
        """
        batch, _, height, width = self._shape
        x, y = x.float().reshape(-1, 1, 1), y.float().reshape(-1, 1, 1)
        if not self._levels:
            found = self._worked_out(x[:, :, 0], y[:, :, 0], radius)
            return found.reshape(batch, height, width, -1).permute(0, 3, 1, 2)
        steps = counted(x[:1, 0, 0].expand(2 * radius + 1)) - radius
        windows: List[Tensor] = []
        for level, likeness in enumerate(self._levels):
            across = (x / 2**level + steps[:, None]).expand(-1, -1, len(steps))
            down = (y / 2**level + steps).expand(-1, len(steps), -1)
            window = fetched(likeness, across, down, "zeros")
            windows.append(window.reshape(batch, height, width, -1))
        return torch.cat(windows, -1).permute(0, 3, 1, 2)

    def _worked_out(self, x: Tensor, y: Tensor, radius: int) -> Tensor:
        """The same from the features, (B h w, 4 (2 radius + 1)^2), for places (B h w, 1)."""
        batch, count, channels = self._rows.shape
        side = 2 * radius + 1
        at_once = max(1, _GATHERED // (4 * channels * (side + 1) ** 2))
        found = x.new_empty(batch * count, LEVELS, side * side)
        for level, other in enumerate(self._others):
            features = other.permute(0, 2, 3, 1).contiguous()
            for number in range(batch):
                for start in range(0, count, at_once):
                    stop = min(start + at_once, count)
                    places = slice(number * count + start, number * count + stop)
                    there = x[places] / 2**level, y[places] / 2**level
                    likeness = _alike(features[number], self._rows[number, start:stop], *there, radius)
                    found[places, level] = _between(likeness, *there)
        return found.flatten(1)


def _alike(features: Tensor, rows: Tensor, x: Tensor, y: Tensor, radius: int) -> Tensor:
    """(n, 2 radius + 2, 2 radius + 2): the likeness of rows (n, C) with the whole pixels around places (n, 1), along x
    and then y, of features (h, w, C); 0 beyond the border.
    """
    height, width, channels = features.shape
    steps = torch.arange(-radius, radius + 2, device=features.device)
    columns, rows_of = (
        place.floor().clamp(-radius - 2, side + radius + 1).long() + steps for place, side in ((x, width), (y, height))
    )
    inside = ((columns >= 0) & (columns < width))[:, :, None] & ((rows_of >= 0) & (rows_of < height))[:, None]
    index = columns.clamp(0, width - 1)[:, :, None] + width * rows_of.clamp(0, height - 1)[:, None]
    around = features.reshape(-1, channels).index_select(0, index.flatten()).reshape(len(x), -1, channels)
    return torch.bmm(around, rows[..., None]).reshape(index.shape) * inside


def _between(grid: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """What lies whole pixels around places (n, 1), bilinear, from the whole pixels around them."""
    across, down = ((place - place.floor())[..., None] for place in (x, y))
    grid = torch.lerp(grid[:, :-1], grid[:, 1:], across)
    return torch.lerp(grid[..., :-1], grid[..., 1:], down).flatten(1)


class InstanceNorm(nn.InstanceNorm2d):
    """Planes brought to a mean of 0 and a variance of 1, each by itself."""

    def forward(self, planes: Tensor, slope: Slope = 1.0) -> Tensor:
        """(B, C, H, W), which may be written to, to the same shape; see :func:`kairos.engines.pointwise.normalised`."""
        if planes.device.type != "cpu" or recorded() or torch.is_grad_enabled():
            return sloped(super().forward(planes), slope)
        return normalised(planes, self.eps, slope)


class BasicBlock(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = Conv(inputs, width, 3, stride, 1), norm(width)
        self.conv2, self.norm2 = Conv(width, width, 3, 1, 1), norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        inner = _bent(self.norm1, self.conv1(planes))
        inner = _bent(self.norm2, self.conv2(inner))
        return added(inner, planes if self.downsample is None else self.downsample(planes), 0.0)


class BottleneckBlock(nn.Module):
    """A residual block of three convolutions, the middle ones a quarter as wide."""

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, width // 4, 1), norm(width // 4)
        self.conv2, self.norm2 = Conv(width // 4, width // 4, 3, stride, 1), norm(width // 4)
        self.conv3, self.norm3 = nn.Conv2d(width // 4, width, 1), norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        inner = _bent(self.norm1, self.conv1(planes))
        inner = _bent(self.norm2, self.conv2(inner))
        inner = _bent(self.norm3, self.conv3(inner))
        return added(inner, planes if self.downsample is None else self.downsample(planes), 0.0)


class CorrelationEncoder(nn.Module):
    """Features at 1/8 of a frame's size.

    Args:
        block: :class:`BasicBlock` or :class:`BottleneckBlock`.
        widths: of the three layers; a fourth is one more at the same size.
        outputs: channels.
        norm: what normalises.
    """

    def __init__(self, block: Callable[..., nn.Module], widths: Sequence[int], outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, widths[0], 7, 2, 3), norm(widths[0])
        self._layers, inputs = ("layer1", "layer2", "layer3", "layer3_2")[: len(widths)], widths[0]
        for name, width, stride in zip(self._layers, widths, (1, 2, 2, 1)):
            self.add_module(name, nn.Sequential(block(inputs, width, stride, norm), block(width, width, 1, norm)))
            inputs = width
        self.conv2 = nn.Conv2d(inputs, outputs, 1)

    def forward(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, outputs, H / 8, W / 8)."""
        for planes in self.stages(frame):
            last = planes
        out: Tensor = self.conv2(last)
        return out

    def stages(self, frame: Tensor) -> Iterator[Tensor]:
        """What the layers make of a frame, one after the other: at 1/2, 1/4, 1/8 (twice where there are four)."""
        planes = _bent(self.norm1, self.conv1(frame))
        for name in self._layers:
            planes = self.get_submodule(name)(planes)
            yield planes


def _bent(norm: nn.Module, planes: Tensor) -> Tensor:
    """Normalised, and what is below 0 then set to 0."""
    out: Tensor = norm(planes, 0.0) if isinstance(norm, InstanceNorm) else F.relu(norm(planes), inplace=True)
    return out


def _shortcut(inputs: int, width: int, stride: int, norm: Norm) -> nn.Module | None:
    return None if stride == 1 else nn.Sequential(nn.Conv2d(inputs, width, 1, stride), norm(width))
