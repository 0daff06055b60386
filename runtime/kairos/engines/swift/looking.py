"""How alike cells of two frames are, what looks most alike around a place, and motion from cells to pixels: on the CPU
by compiled kernels.

Features are (B, C, H, W).
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast

_STRIP = 16


def correlate(first: Tensor, second: Tensor, reach: int) -> Tensor:
    """Likeness of every cell of the first with those around the same place in the second: (B, (2 reach + 1)^2, H, W).
    Beyond the frame nothing is alike.
    """
    kernels = _kernels(first, second)
    if kernels is None:
        return _correlated(first, second, reach)
    batch, channels, height, width = first.shape
    out = torch.empty(batch, (2 * reach + 1) ** 2, height, width)
    sizes = channels, height, width, reach
    for one, two, answer in zip(first, F.pad(second, (reach,) * 4), out):
        fast.in_bands(partial(kernels.liken_rows, *map(_flat, (one, two, answer)), *sizes), height, width * len(answer))
    return out


def most_alike(likeness: Tensor, sharpness: Tensor, reach: int) -> Tuple[Tensor, Tensor, Tensor]:
    """Expected way (B, 2, H, W) to what looks most alike, cells; how clearly it stands out (B, 1, H, W); and how alike
    it looks.

    Args:
        likeness: of :func:`correlate`.
        sharpness: (), how much a difference in likeness tells.
    """
    kernels = _kernels(likeness, sharpness)
    if kernels is not None and likeness.is_contiguous():
        count, _, height, width = likeness.shape
        out, sharp = torch.empty(count, 4, height, width), np.float32(sharpness)
        for planes, answer in zip(likeness, out):
            work = partial(kernels.weigh_rows, _flat(planes), _flat(answer), sharp, height, width, reach)
            fast.in_bands(work, height, width * len(planes))
        return out[:, :2], out[:, 2:3], out[:, 3:]
    shares = torch.softmax(likeness.float() * sharpness, 1)
    steps = torch.arange(-reach, reach + 1, device=likeness.device, dtype=torch.float32)
    down, across = torch.meshgrid(steps, steps, indexing="ij")
    ways = torch.stack([across.reshape(-1), down.reshape(-1)])
    alike = (shares * likeness.float()).sum(1, keepdim=True)
    return F.conv2d(shares, ways[:, :, None, None]), shares.amax(1, keepdim=True), alike


def _correlated(first: Tensor, second: Tensor, reach: int) -> Tensor:
    """Row by row as products of small matrices: a strip of :data:`_STRIP` cells against what lies within reach of it,
    of which the diagonal band is kept.
    """
    height, width = first.shape[-2:]
    size, beyond = 2 * reach + 1, -width % _STRIP
    wide = _STRIP + 2 * reach
    one = F.pad(first, (0, beyond)).permute(0, 2, 3, 1)
    one = one.reshape(len(first), height, -1, _STRIP, first.shape[1])
    two = F.pad(second, (reach, beyond + _STRIP - reach, reach, reach)).permute(0, 2, 3, 1)
    two = two.reshape(len(second), height + 2 * reach, -1, _STRIP, second.shape[1])
    two = torch.cat([two[:, :, :-1], two[:, :, 1:, : 2 * reach]], 3).transpose(-1, -2)
    found = []
    # A recorded graph is worked on at once: what is written once for each row is slow to open.
    recorded = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    for rows in [range(size)] if recorded else [[row] for row in range(size)]:
        near = torch.stack([two[:, row : row + height] for row in rows], 2)
        band = torch.matmul(one[:, :, None], near)
        # Rows one longer than they are: every next one begins one further on, so the band stands upright.
        flat = F.pad(band.flatten(-2), (0, _STRIP))
        upright = flat.unflatten(-1, (_STRIP, wide + 1))[..., :size]  # type: ignore[no-untyped-call]
        found.append(upright.permute(0, 1, 3, 4, 2, 5).flatten(4).flatten(2, 3)[:, :, :width])
    return torch.cat(found, -1).permute(0, 3, 1, 2)


def mixed_quickly(planes: Tensor, weights: Tensor, base: Tensor) -> Optional[Tensor]:
    """Planes (B, C, h, w) at twice the size (B, C, 2h, 2w), see :func:`kairos.engines.swift.motion.mixed`; None where
    the kernels cannot be used.

    Args:
        weights: (B, 36, h, w), logits: of nine cells around, at four pixels each.
        base: (9, 4), added to these.
    """
    kernels = _kernels(planes, weights, base)
    if kernels is None or weights.shape[1] != 36:
        return None
    batch, channels, height, width = planes.shape
    out, steps = torch.empty(batch, channels, 2 * height, 2 * width), weights.stride()[1:]
    extent = 1 + sum((side - 1) * step for side, step in zip((36, height, width), steps))
    for picture, told, answer in zip(planes, weights, out):
        logits = told.as_strided((extent,), (1,)).numpy()
        lines = _flat(picture), logits, _flat(base), _flat(answer)
        fast.in_bands(partial(kernels.mix_rows, *lines, channels, height, width, *steps), height, width * 36)
    return out


def _flat(planes: Tensor) -> npt.NDArray[np.float32]:
    return np.asarray(planes.detach().contiguous().view(-1).numpy(), np.float32)


def _kernels(*planes: Tensor) -> Optional[ModuleType]:
    given = [each.detach() if not torch.is_grad_enabled() else each for each in planes]
    usable = all(each.numel() for each in given) and fast.usable(*given)
    return fast.compiled("kairos.engines.swift.looking_kernels") if usable else None
