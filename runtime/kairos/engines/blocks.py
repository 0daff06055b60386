"""What several published networks are made of. Their names of layers follow the published checkpoints.

Planes are (B, C, H, W), flows (B, 2, H, W) in pixels of their own grid, x right, y down. Flows and the places that they
point to are float32 under half precision too: at 2000 pixels a half cannot tell one pixel from the next.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.published import Time


def warp(planes: Tensor, flow: Tensor) -> Tensor:
    """Planes fetched from where a flow points, bilinear, the border repeated."""
    height, width = flow.shape[-2:]
    place = flow.float()
    x = torch.arange(width, device=flow.device, dtype=torch.float32) + place[:, 0]
    y = torch.arange(height, device=flow.device, dtype=torch.float32)[:, None] + place[:, 1]
    # Corners of pixels lie at -1 and 1: unlike their centres, these are apart on a grid of one pixel too.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return F.grid_sample(planes.float(), grid, "bilinear", "border", align_corners=False).to(planes.dtype)


def scaled(planes: Tensor, factor: float) -> Tensor:
    """Planes at another size, bilinear, not smoothed first."""
    if factor == 1.0:
        return planes
    return F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)


def scaled_flow(flow: Tensor, factor: float) -> Tensor:
    """A flow at another size, its vectors in pixels of the new grid."""
    return flow if factor == 1.0 else scaled(flow, factor) * factor


def blend(mask: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The first where the mask is 1, the second where it is 0."""
    return mask * first + (1 - mask) * second


def time_plane(time: Time, like: Tensor) -> Tensor:
    """(B, 1, H, W) of a time, for planes of that size and type."""
    return (torch.ones_like(like[:, :1], dtype=torch.float32) * time).to(like.dtype)


def dtype_of(module: nn.Module) -> torch.dtype:
    """In which precision the module computes."""
    return next(module.parameters()).dtype


def conv_prelu(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution and a PReLU with one slope per channel."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), nn.PReLU(outputs))


def enlarging(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A transposed convolution to twice the size."""
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)


class Pyramid(nn.Module):
    """Features at 1/2, 1/4, 1/8 and 1/16 of a frame's size (IFRNet's and AMT's encoder)."""

    def __init__(self, widths: tuple[int, ...], kernel: int) -> None:
        super().__init__()
        self.levels = len(widths)
        inputs = 3
        for level, width in enumerate(widths, 1):
            size = kernel if level == 1 else 3
            self.add_module(
                f"pyramid{level}", nn.Sequential(conv_prelu(inputs, width, size, 2), conv_prelu(width, width))
            )
            inputs = width

    def forward(self, frame: Tensor) -> list[Tensor]:
        """The features of a frame (B, 3, H, W), finest first."""
        features, planes = [], frame
        for level in range(1, self.levels + 1):
            planes = self.get_submodule(f"pyramid{level}")(planes)
            features.append(planes)
        return features


class SideBlock(nn.Module):
    """A residual block of five convolutions, two of which see the last ``side`` channels alone (IFRNet, AMT)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.conv1, self.conv2 = conv_prelu(width, width), conv_prelu(side, side)
        self.conv3, self.conv4 = conv_prelu(width, width), conv_prelu(side, side)
        self.conv5 = nn.Conv2d(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        inner = self._sided(self.conv1(planes), self.conv2)
        inner = self._sided(self.conv3(inner), self.conv4)
        out: Tensor = self.prelu(planes + self.conv5(inner))
        return out

    def _sided(self, planes: Tensor, conv: nn.Module) -> Tensor:
        return torch.cat([planes[:, : -self.side], conv(planes[:, -self.side :])], 1)


class SideDecoder(nn.Module):
    """Planes at a level to planes at twice its size (IFRNet, AMT)."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(conv_prelu(inputs, width), SideBlock(width, side), enlarging(width, outputs))

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, 2H, 2W)."""
        out: Tensor = self.convblock(planes)
        return out
