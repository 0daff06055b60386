"""Planes side by side, in the order of memory that convolutions are fastest in: all channels of a pixel in a row."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.fetching import recorded
from kairos.motion import fast

_AT_ONCE = 1 << 17
"""Numbers (512 KB) that all parts are brought to before the next rows are begun: they are still in the core's cache."""

Line = npt.NDArray[np.float32]
_Lines = Tuple[Line, Tuple[int, ...], int]
"""A part's numbers in a row; its channels, and how far apart channels, rows and pixels are; and its first place."""


def beside(parts: Sequence[Tensor]) -> Tensor:
    """Planes (B, C, H, W) side by side: put together first and brought into that order then, they would be written
    twice.
    """
    if recorded() or parts[0].device.type != "cpu":
        return torch.cat(list(parts), 1)
    by_plane = any(part.shape[1] > 1 and part.stride(1) != 1 for part in parts)
    alike = all(part.numel() and part[:, 0].shape == parts[0][:, 0].shape for part in parts)
    kernels = _kernels() if by_plane and alike and fast.usable(*parts) else None
    if kernels is None:
        return torch.cat([part.contiguous(memory_format=torch.channels_last) for part in parts], 1)
    batch, _, height, width = parts[0].shape
    total = sum(part.shape[1] for part in parts)
    out = torch.empty(batch, height, width, total)
    for number, answer in enumerate(out):
        target, at = answer.view(-1).numpy(), 0
        lines: List[_Lines] = []
        for part in parts:
            channels, plane, row, pixel = part.shape[1], *part.stride()[1:]
            extent = 1 + (channels - 1) * plane + (height - 1) * row + (width - 1) * pixel
            picture = part[number]
            lines.append((picture.as_strided((extent,), (1,)).numpy(), (channels, plane, row, pixel), at))
            at += channels
        fast.in_bands(partial(_rows, kernels, lines, target, (width, total)), height, width)
    return out.permute(0, 3, 1, 2)


def _rows(
    kernels: ModuleType, lines: Sequence[_Lines], target: Line, sizes: Tuple[int, int], top: int, bottom: int
) -> None:
    few = max(1, _AT_ONCE // (sizes[0] * sizes[1]))
    for first in range(top, bottom, few):
        for source, steps, at in lines:
            kernels.lay_rows(source, target, *steps, *sizes, at, first, min(bottom, first + few))


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.layout_kernels")
