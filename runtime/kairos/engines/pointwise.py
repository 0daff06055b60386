"""What is done to each number of planes (B, C, H, W) by itself: one pass over them where torch would take several."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Callable, Optional, Union

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.fetching import recorded
from kairos.motion import fast

Slope = Union[float, Tensor]
"""What numbers below 0 are multiplied by: all, or of each channel (C,)."""

Line = npt.NDArray[np.float32]
"""Numbers in a row."""

_PARTS = 16
"""In which numbers are summed."""

_PER_THREAD = 1 << 16
"""Numbers that are worth handing to another thread."""


def sloped(planes: Tensor, slope: Slope) -> Tensor:
    """Numbers below 0 multiplied by the slope. The planes may be written to: a convolution's answer, which it does not
    need for gradients itself.
    """
    if isinstance(slope, Tensor):
        kernels = _kernels(planes, slope)
        if kernels is None:
            return F.prelu(planes, slope)
        ones = np.ones(planes.shape[1], np.float32)
        return _passed(kernels.scale_rows, planes, np.zeros_like(ones), ones, slope=slope)
    if slope == 1.0:
        return planes
    if slope == 0.0:
        # Minus infinity, which half precision soon comes to, times 0 would be no number.
        return F.relu(planes, inplace=not recorded())
    return F.leaky_relu(planes, slope, inplace=not recorded())


def added(planes: Tensor, more: Tensor, slope: Slope) -> Tensor:
    """The sum of both, and what of it is below 0 multiplied by the slope; the first may be written to."""
    kernels = _kernels(planes, more, slope)
    if kernels is not None:
        return _passed(kernels.add_rows, planes, _pixels(more), slope=slope)
    writable = not (recorded() or planes.requires_grad)
    return sloped(planes.add_(more) if writable else planes + more, slope)


def normalised(planes: Tensor, eps: float, slope: Slope = 1.0) -> Tensor:
    """Each plane brought to a mean of 0 and a variance of 1, and then as in :func:`sloped`; on the CPU, where torch's
    own way goes plane by plane: where all channels of a pixel lie in a row, that is many times as slow. The planes may
    be written to.
    """
    kernels = _kernels(planes, slope)
    if kernels is None or len(planes) != 1:
        pixels = planes.permute(0, 2, 3, 1).float()
        rows = pixels.flatten(1, 2)
        rows = rows - rows.mean(1, keepdim=True)
        rows *= torch.rsqrt(rows.square().mean(1, keepdim=True) + eps)
        return sloped(rows.reshape(pixels.shape).permute(0, 3, 1, 2).to(planes.dtype), slope)
    line, channels = _pixels(planes), planes.shape[1]
    mean = _means(kernels, line, channels, np.zeros(0))
    square = _means(kernels, line, channels, mean)
    with np.errstate(invalid="ignore"):
        factor = 1 / np.sqrt(square + eps)
    return _passed(kernels.scale_rows, planes, *(each.astype(np.float32) for each in (mean, factor)), slope=slope)


def _means(kernels: ModuleType, line: Line, channels: int, means: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each channel the mean, or how far its numbers are from theirs, squared, in the mean; summed in parts that do
    not hang on how many threads there are.
    """
    count, sums = line.size // channels, np.zeros((_PARTS, channels))

    def work(first: int, last: int) -> None:
        for number in range(first, last):
            kernels.sum_rows(line, sums[number], means, count * number // _PARTS, count * (number + 1) // _PARTS)

    fast.in_parts(work, _PARTS, _threads(line))
    out: npt.NDArray[np.float64] = sums.sum(0) / count
    return out


def _passed(kernel: Callable[..., None], planes: Tensor, *given: Line, slope: Slope) -> Tensor:
    """The planes, after a kernel that writes to them."""
    line, channels = _pixels(planes), planes.shape[1]
    each = slope.detach().numpy() if isinstance(slope, Tensor) else np.float32(slope)
    work = partial(kernel, line, *given, np.broadcast_to(each, channels).copy())
    fast.in_parts(work, line.size // channels, _threads(line))
    return planes


def _pixels(planes: Tensor) -> Line:
    """Their numbers in a row, all of a pixel after one another."""
    found: Line = planes.permute(0, 2, 3, 1).reshape(-1).numpy()
    return found


def _threads(line: Line) -> int:
    return min(torch.get_num_threads(), line.size // _PER_THREAD)


def _kernels(*given: Union[Tensor, float]) -> Optional[ModuleType]:
    """None where a kernel cannot take them; planes, whose channels have to lie in a row, come first."""
    tensors = [each for each in given if isinstance(each, Tensor)]
    planes = [each for each in tensors if each.dim() == 4]
    if torch.is_grad_enabled() and any(each.requires_grad for each in tensors):
        return None
    if not planes or recorded() or not fast.usable(*(each.detach() for each in tensors)) or not planes[0].numel():
        return None
    if any(each.shape != planes[0].shape or not each.permute(0, 2, 3, 1).is_contiguous() for each in planes):
        return None
    return fast.compiled("kairos.engines.pointwise_kernels")
