"""What both parts of the network of ``swift`` are built of."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Callable, Optional

import torch
from torch import Tensor, nn

from kairos.engines.convolutions import Conv, Layers
from kairos.motion import fast
from kairos.motion.tiling import tiled

MULTIPLE = 16
"""Sides of what the networks take are multiples of it, pixels."""

_STEP = 4


def conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> Layers:
    """A convolution and its nonlinearity."""
    layer = Conv(inputs, outputs, size, stride, size // 2)
    nn.init.kaiming_normal_(layer.weight, a=0.1)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return Layers(layer, nn.LeakyReLU(0.1, inplace=True))


def head(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    """A convolution that answers 0 before it is trained."""
    layer = Conv(inputs, outputs, size, 1, size // 2)
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def in_tiles(fn: Callable[[Tensor], Tensor], planes: Tensor, tile: Optional[int], halo: int) -> Tensor:
    """``fn`` of planes (B, C, H, W), worked out tile by tile where a tile's side is given; see
    :func:`kairos.motion.tiling.tiled`. Sides and margins are multiples of :data:`_STEP`, as the networks halve twice.
    """
    if tile is None:
        return fn(planes)
    side = max(_STEP, tile // _STEP * _STEP)
    return torch.stack([tiled(lambda part: fn(part[None])[0], each, side, halo) for each in planes])


def squash(image: Tensor) -> Tensor:
    """About -1..1 for ordinary plates; what is far brighter or darker is rolled off, never cut."""
    kernels = _kernels(image)
    if kernels is not None:
        planes, out = image.contiguous(), torch.empty(image.shape)
        work = partial(kernels.squash_rows, planes.view(-1).numpy(), out.view(-1).numpy())
        fast.in_bands(work, out.numel(), 1)
        return out
    centred = (image - 0.5) * 2
    over = centred.abs() - 1.0
    if not bool((over > 0).any()):
        return centred
    return torch.where(over > 0, centred.sign() * (1 + 0.5 * torch.log1p(over.clamp(min=0))), centred)


def _kernels(image: Tensor) -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.swift.looking_kernels") if fast.usable(image) else None
