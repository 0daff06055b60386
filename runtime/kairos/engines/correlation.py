"""All pairs of two frames' features, and the encoder that makes these (RAFT, and AMT after it).

Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020).
"""

from __future__ import annotations

from typing import Callable, Iterator, List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import counted, fetched

LEVELS = 4
Norm = Callable[[int], nn.Module]
"""From a number of channels to what normalises them."""


class Correlation:
    """The likeness of every place of one frame with every place of the other, at four scales of the other.

    Reducing the products is the same as reducing the other's features first, and much less work.

    Args:
        first, second: features (B, C, h, w).
    """

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self._shape = first.shape
        rows = first.float().flatten(2).transpose(1, 2) / first.shape[1] ** 0.5
        other, self._levels = second.float(), []
        for level in range(LEVELS):
            if level:
                other = F.avg_pool2d(other, 2)
            likeness = torch.matmul(rows, other.flatten(2))
            self._levels.append(likeness.reshape(-1, 1, *other.shape[-2:]))

    def around(self, x: Tensor, y: Tensor, radius: int) -> Tensor:
        """The likeness around places of the other frame: (B, 4 (2 radius + 1)^2, h, w) float32.

        Args:
            x, y: (B, h, w), places in the other frame of the features' size; beyond its border nothing is alike.
            radius: how far around, at each scale in its own pixels. The step along x is the slower one.
        """
        batch, _, height, width = self._shape
        x, y = x.float().reshape(-1, 1, 1), y.float().reshape(-1, 1, 1)
        steps = counted(x[:1, 0, 0].expand(2 * radius + 1)) - radius
        found: List[Tensor] = []
        for level, likeness in enumerate(self._levels):
            across = (x / 2**level + steps[:, None]).expand(-1, -1, len(steps))
            down = (y / 2**level + steps).expand(-1, len(steps), -1)
            window = fetched(likeness, across, down, "zeros")
            found.append(window.reshape(batch, height, width, -1))
        return torch.cat(found, -1).permute(0, 3, 1, 2)


class BasicBlock(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, width, 3, stride, 1), norm(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, 1, 1), norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        inner = F.relu(self.norm1(self.conv1(planes)))
        inner = F.relu(self.norm2(self.conv2(inner)))
        return F.relu(inner + (planes if self.downsample is None else self.downsample(planes)))


class BottleneckBlock(nn.Module):
    """A residual block of three convolutions, the middle ones a quarter as wide."""

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, width // 4, 1), norm(width // 4)
        self.conv2, self.norm2 = nn.Conv2d(width // 4, width // 4, 3, stride, 1), norm(width // 4)
        self.conv3, self.norm3 = nn.Conv2d(width // 4, width, 1), norm(width)
        self.downsample = _shortcut(inputs, width, stride, norm)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, width, H / stride, W / stride)."""
        inner = F.relu(self.norm1(self.conv1(planes)))
        inner = F.relu(self.norm2(self.conv2(inner)))
        inner = F.relu(self.norm3(self.conv3(inner)))
        return F.relu(inner + (planes if self.downsample is None else self.downsample(planes)))


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
        planes = F.relu(self.norm1(self.conv1(frame)))
        for name in self._layers:
            planes = self.get_submodule(name)(planes)
            yield planes


def _shortcut(inputs: int, width: int, stride: int, norm: Norm) -> nn.Module | None:
    return None if stride == 1 else nn.Sequential(nn.Conv2d(inputs, width, 1, stride), norm(width))
