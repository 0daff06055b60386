"""What several published networks are made of. Their names of layers follow the published checkpoints.

Planes are (B, C, H, W), flows (B, 2, H, W) in pixels of their own grid, x right, y down. Flows and the places that they
point to are float32 under half precision too: at 2000 pixels a half cannot tell one pixel from the next.
"""

from __future__ import annotations

from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.convolutions import Conv, Enlarging, Layers
from kairos.engines.fetching import ones, recorded
from kairos.engines.layout import beside
from kairos.engines.pointwise import added
from kairos.engines.published import Time


def scaled(planes: Tensor, factor: float) -> Tensor:
    """Planes at another size, bilinear, not smoothed first."""
    if factor == 1.0:
        return planes
    if factor in (2.0, 4.0, 8.0, 16.0) and planes.device.type == "cpu" and not (recorded() or planes.requires_grad):
        return _enlarged(planes, int(factor))
    return F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)


def _enlarged(planes: Tensor, factor: int) -> Tensor:
    """The same, row by row: on the CPU half of the time."""
    height = planes.shape[-2]
    wide = F.interpolate(planes.contiguous(), scale_factor=(1.0, float(factor)), mode="bilinear", align_corners=False)
    wide = torch.cat([wide[..., :1, :], wide, wide[..., -1:, :]], -2)
    out = wide.new_empty(*wide.shape[:2], height, factor, wide.shape[-1])
    for row in range(factor):
        place = (row + 0.5) / factor + 0.5
        above = int(place)
        upper, lower = wide[..., above : above + height, :], wide[..., above + 1 : above + 1 + height, :]
        torch.lerp(upper, lower, place - above, out=out[..., row, :])
    return out.flatten(2, 3)


def scaled_flow(flow: Tensor, factor: float) -> Tensor:
    """A flow at another size, its vectors in pixels of the new grid."""
    if factor == 1.0:
        return flow
    # Multiplied where there are fewer pixels.
    return scaled(flow * factor, factor) if factor > 1 else scaled(flow, factor) * factor


def blend(mask: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The first where the mask is 1, the second where it is 0."""
    return torch.lerp(second, first, mask)


def time_plane(time: Time, like: Tensor) -> Tensor:
    """(B, 1, H, W) of a time, for planes of that size and type."""
    return (ones(like[:, :1]) * time).to(like.dtype)


def dtype_of(module: nn.Module) -> torch.dtype:
    """In which precision the module computes."""
    return next(module.parameters()).dtype


def channels_last(module: nn.Module) -> None:
    """Weights, and with them all planes, in the order of memory that convolutions are fastest in (10 to 30 %)."""
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def conv_prelu(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> Layers:
    """A convolution and a PReLU with one slope per channel."""
    return Layers(Conv(inputs, outputs, size, stride, size // 2), nn.PReLU(outputs))


def _kept(planes: Tensor) -> bool:
    """Planes that were made a line ago must not be written to: somebody else has them."""
    return recorded() or planes.requires_grad


class Pyramid(nn.Module):
    """Features at 1/2, 1/4, 1/8 and 1/16 of a frame's size (IFRNet's and AMT's encoder)."""

    def __init__(self, widths: Sequence[int], kernel: int) -> None:
        super().__init__()
        self.levels = len(widths)
        inputs = 3
        for level, width in enumerate(widths, 1):
            size = kernel if level == 1 else 3
            self.add_module(
                f"pyramid{level}", nn.Sequential(conv_prelu(inputs, width, size, 2), conv_prelu(width, width))
            )
            inputs = width

    def forward(self, frame: Tensor) -> List[Tensor]:
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
        self.conv5 = Conv(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        inner = self._sided(self.conv1(planes), self.conv2)
        inner = self._sided(self.conv3(inner), self.conv4)
        return added(self.conv5(inner), planes, self.prelu.weight)

    def _sided(self, planes: Tensor, conv: nn.Module) -> Tensor:
        side = conv(planes[:, -self.side :])
        if _kept(planes):
            return torch.cat([planes[:, : -self.side], side], 1)
        planes[:, -self.side :] = side
        return planes


class SideDecoder(nn.Module):
    """Planes at a level to planes at twice its size (IFRNet, AMT)."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(conv_prelu(inputs, width), SideBlock(width, side), Enlarging(width, outputs))

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, 2H, 2W)."""
        out: Tensor = self.convblock(planes)
        return out


class DoubleConv(nn.Module):
    """Two convolutions with PReLU, the first of which may halve the size (RIFE, EMA-VFI)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = conv_prelu(inputs, outputs, 3, stride)
        self.conv2 = conv_prelu(outputs, outputs)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        out: Tensor = self.conv2(self.conv1(planes))
        return out


class Refiner(nn.Module):
    """What a picture lacks, from all that is known at five sizes (the last part of RIFE's paper model and of EMA-VFI).

    Args:
        inputs: channels at full size.
        width: of the finest answer; a level's features of both frames have 2, 4, 8 and 16 times as many channels.
    """

    HALO, MULTIPLE = 80, 16
    """Pixels around that an answer depends on (77), and of a cell of the coarsest size."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.down0 = DoubleConv(inputs, 2 * width)
        self.down1 = DoubleConv(4 * width, 4 * width)
        self.down2 = DoubleConv(8 * width, 8 * width)
        self.down3 = DoubleConv(16 * width, 16 * width)
        self.up0 = Layers(Enlarging(32 * width, 8 * width), nn.PReLU(8 * width))
        self.up1 = Layers(Enlarging(16 * width, 4 * width), nn.PReLU(4 * width))
        self.up2 = Layers(Enlarging(8 * width, 2 * width), nn.PReLU(2 * width))
        self.up3 = Layers(Enlarging(4 * width, width), nn.PReLU(width))
        self.conv = Conv(width, 3, 3, 1, 1)

    def forward(self, planes: Tensor, features: Sequence[Tensor]) -> Tensor:
        """The residual (B, 3, H, W) in -1..1, from planes (B, inputs, H, W) and features at 1/2, 1/4, 1/8 and 1/16."""
        half = self.down0(planes)
        quarter = self.down1(beside([half, features[0]]))
        eighth = self.down2(beside([quarter, features[1]]))
        least = self.down3(beside([eighth, features[2]]))
        out = self.up0(beside([least, features[3]]))
        for up, skip in ((self.up1, eighth), (self.up2, quarter), (self.up3, half)):
            out = up(beside([out, skip]))
        return 2 * torch.sigmoid(self.conv(out)) - 1
