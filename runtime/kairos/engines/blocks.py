"""What several published networks are made of. Their names of layers follow the published checkpoints.

Planes are (B, C, H, W), flows (B, 2, H, W) in pixels of their own grid, x right, y down. Flows and the places that they
point to are float32 under half precision too: at 2000 pixels a half cannot tell one pixel from the next.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.published import Time

_WORTH_SHARING = 1 << 16
"""Pixels from which on fetching is shared out among threads."""


def warp(planes: Tensor, flow: Tensor) -> Tensor:
    """Planes fetched from where a flow points, bilinear, the border repeated."""
    x, y = pixels(flow)
    if _recorded() or flow.requires_grad:
        return fetched(planes, x + flow[:, 0].float(), y + flow[:, 1].float())
    # The same places, each written once: as many passes over the frame as above would take longer than the fetching.
    height, width = planes.shape[-2:]
    grid = torch.empty(*flow[:, 0].shape, 2, device=flow.device)
    torch.add((2 * x + 1) / width - 1, flow[:, 0].float(), alpha=2 / width, out=grid[..., 0])
    torch.add((2 * y + 1) / height - 1, flow[:, 1].float(), alpha=2 / height, out=grid[..., 1])
    return _sampled(planes, grid, "border")


def _recorded() -> bool:
    """A graph is being recorded: it has to hold for every size, and on every device."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def pixels(like: Tensor) -> Tuple[Tensor, Tensor]:
    """The columns' places (W,) and the rows' (H, 1), float32."""
    return counted(like[0, 0, 0]), counted(like[0, 0, :, 0])[:, None]


def counted(like: Tensor) -> Tensor:
    """0, 1, 2 ... as many as ``like`` (n,) has elements, float32."""
    return ones(like).cumsum(0) - 1


def ones(like: Tensor) -> Tensor:
    """As many ones, float32.

    Filled and not made: a recorded graph would remember the device of what it makes, and could not move to another.
    """
    return like.float().clone().fill_(1)


def fetched(planes: Tensor, x: Tensor, y: Tensor, outside: str = "border") -> Tensor:
    """Planes at places (B, h, w) in pixels, bilinear; ``outside`` is ``border`` (repeated) or ``zeros``."""
    height, width = planes.shape[-2:]
    # The outer edges of pixels lie at -1 and 1: unlike their centres, these are apart on a grid of one pixel too.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return _sampled(planes, grid, outside)


def _sampled(planes: Tensor, grid: Tensor, outside: str) -> Tensor:
    batch, rows = grid.shape[:2]
    shares = 1 if _recorded() or grid.is_cuda or batch > 1 else torch.get_num_threads()
    if shares == 1 or rows % shares or grid.shape[2] * rows < _WORTH_SHARING:
        return F.grid_sample(planes.float(), grid, "bilinear", outside, align_corners=False).to(planes.dtype)
    # On the CPU torch shares out whole frames alone among its threads: strips of rows become a batch of them.
    seen, strips = planes.float().expand(shares, -1, -1, -1), grid[0].reshape(shares, rows // shares, -1, 2)
    found = F.grid_sample(seen, strips, "bilinear", outside, align_corners=False)
    return found.transpose(0, 1).flatten(1, 2)[None].to(planes.dtype)


def scaled(planes: Tensor, factor: float) -> Tensor:
    """Planes at another size, bilinear, not smoothed first."""
    if factor == 1.0:
        return planes
    return F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)


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


def convolved(conv: nn.Conv2d, parts: Sequence[Tensor]) -> Tensor:
    """A convolution of planes side by side, without putting them there.

    On the CPU that saves more time and memory than the single convolutions cost; they want the order of memory that
    the weights have.
    """
    out, start = None, 0
    for part in parts:
        weight = conv.weight[:, start : start + part.shape[1]]
        bias = conv.bias if out is None else None
        planes = part.contiguous(memory_format=torch.channels_last)
        found = F.conv2d(planes, weight, bias, conv.stride, conv.padding)
        out, start = found if out is None else out + found, start + part.shape[1]
    assert out is not None
    return out


def conv_prelu(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution and a PReLU with one slope per channel."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2), nn.PReLU(outputs))


def enlarging(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """A transposed convolution to twice the size."""
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)


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
        self.conv5 = nn.Conv2d(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, planes: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        inner = self._sided(self.conv1(planes), self.conv2)
        inner = self._sided(self.conv3(inner), self.conv4)
        out: Tensor = self.prelu(planes + self.conv5(inner))
        return out

    def _sided(self, planes: Tensor, conv: nn.Module) -> Tensor:
        side = conv(planes[:, -self.side :])
        if _recorded() or planes.requires_grad:
            return torch.cat([planes[:, : -self.side], side], 1)
        # The planes were made a line ago and nobody else has them.
        planes[:, -self.side :] = side
        return planes


class SideDecoder(nn.Module):
    """Planes at a level to planes at twice its size (IFRNet, AMT)."""

    def __init__(self, inputs: int, width: int, outputs: int, side: int) -> None:
        super().__init__()
        self.convblock = nn.Sequential(conv_prelu(inputs, width), SideBlock(width, side), enlarging(width, outputs))

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
        self.up0 = nn.Sequential(enlarging(32 * width, 8 * width), nn.PReLU(8 * width))
        self.up1 = nn.Sequential(enlarging(16 * width, 4 * width), nn.PReLU(4 * width))
        self.up2 = nn.Sequential(enlarging(8 * width, 2 * width), nn.PReLU(2 * width))
        self.up3 = nn.Sequential(enlarging(4 * width, width), nn.PReLU(width))
        self.conv = nn.Conv2d(width, 3, 3, 1, 1)

    def forward(self, planes: Tensor, features: Sequence[Tensor]) -> Tensor:
        """The residual (B, 3, H, W) in -1..1, from planes (B, inputs, H, W) and features at 1/2, 1/4, 1/8 and 1/16."""
        half = self.down0(planes)
        quarter = self.down1(torch.cat([half, features[0]], 1))
        eighth = self.down2(torch.cat([quarter, features[1]], 1))
        least = self.down3(torch.cat([eighth, features[2]], 1))
        out = self.up0(torch.cat([least, features[3]], 1))
        for up, skip in ((self.up1, eighth), (self.up2, quarter), (self.up3, half)):
            out = up(torch.cat([out, skip], 1))
        return 2 * torch.sigmoid(self.conv(out)) - 1
