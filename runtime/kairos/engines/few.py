"""Convolutions to few outputs on the CPU, which torch takes as long for as for sixteen of them.

See :mod:`kairos.engines.few_kernels`. Float32 alone; whatever needs a gradient or is being recorded, and every machine
without numba, takes torch's convolution. Both agree but for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.fetching import recorded
from kairos.engines.pointwise import Slope
from kairos.motion import fast

_MOST = 8
"""Outputs up to which it is quicker."""

_LEAST_INPUTS, _LEAST_PIXELS = 12, 1 << 11
_SIZES = (3, 5, 7)


@dataclass(frozen=True)
class Packed:
    """A convolution as :func:`convolve` wants it: weights in groups of outputs, bias and slope (outputs,)."""

    size: int
    weights: Tensor
    bias: Tensor
    slope: Tensor


def fits(conv: nn.Conv2d, planes: Tensor, slope: Slope) -> bool:
    """Whether a convolution of planes (B, inputs, H, W) goes this way."""
    size = conv.kernel_size[0]
    if conv.out_channels > _MOST or conv.in_channels < _LEAST_INPUTS or conv.groups != 1 or size not in _SIZES:
        return False
    if conv.kernel_size != (size, size) or conv.stride != (1, 1) or conv.padding != (size // 2, size // 2):
        return False
    if conv.dilation != (1, 1) or conv.padding_mode != "zeros" or recorded():
        return False
    if planes.dim() != 4 or planes.shape[1] != conv.in_channels:
        return False
    if planes.shape[-2] * planes.shape[-1] < _LEAST_PIXELS or not planes.numel():
        return False
    given = [each for each in (planes, conv.weight, conv.bias, slope) if isinstance(each, Tensor)]
    if torch.is_grad_enabled() and any(each.requires_grad for each in given):
        return False
    return fast.usable(*(each.detach() for each in given)) and _kernels() is not None


def pack(conv: nn.Conv2d, slope: Slope) -> Packed:
    """The weights of a layer as :func:`convolve` wants them."""
    kernels, outputs = _kernels(), conv.out_channels
    assert kernels is not None, "only after fits()"
    weight = F.pad(conv.weight.detach(), (0, 0, 0, 0, 0, 0, 0, -outputs % kernels.TOGETHER))
    grouped = weight.reshape(-1, kernels.TOGETHER, *weight.shape[1:]).permute(0, 3, 4, 1, 2).contiguous()
    added = torch.zeros_like(weight[:outputs, 0, 0, 0]) if conv.bias is None else conv.bias.detach().contiguous()
    slopes = slope.detach() if isinstance(slope, Tensor) else slope
    return Packed(conv.kernel_size[0], grouped, added, torch.ones_like(added) * slopes)


def convolve(planes: Tensor, packed: Packed) -> Tensor:
    """(B, inputs, H, W) to (B, outputs, H, W)."""
    kernels = _kernels()
    assert kernels is not None, "only after fits()"
    if planes.stride(1) != 1:
        planes = planes.contiguous(memory_format=torch.channels_last)
    batch, inputs, height, width = planes.shape
    outputs, row, pixel = packed.bias.numel(), planes.stride(2), planes.stride(3)
    out = planes.new_empty(batch, outputs, height, width)
    extent = (height - 1) * row + (width - 1) * pixel + inputs
    for picture, answer in zip(planes, out):
        lines = (picture.as_strided((extent,), (1,)), packed.weights, packed.bias, packed.slope, answer)
        given = [each.reshape(-1).numpy() for each in lines]
        work = partial(kernels.few_rows, *given, row, pixel, height, width, inputs, outputs, packed.size)
        fast.in_bands(work, height, width * inputs)
    return out


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.few_kernels")
