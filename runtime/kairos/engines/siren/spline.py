"""Pictures between their pixels, by cubic B-splines: hardly softer there than on them."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def coefficients(planes: Tensor) -> Tensor:
    """Of the splines that go through planes (..., H, W), the border mirrored; the same shape."""
    down, across = (_inverse(side).to(planes) for side in planes.shape[-2:])
    return down @ planes @ across.T


def sampled(coefficients: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(N, C) values of the splines (C, H, W) at places (N,) in pixels, 0 in the first one's centre."""
    height, width = coefficients.shape[-2:]
    left, top = x.floor(), y.floor()
    near = torch.arange(-1, 3, device=x.device)
    columns = (left.long()[:, None] + near).clamp(0, width - 1)
    rows = (top.long()[:, None] + near).clamp(0, height - 1)
    index = (rows[:, :, None] * width + columns[:, None]).flatten(1)
    weights = (_taps(y - top)[:, :, None] * _taps(x - left)[:, None]).flatten(1)
    table = coefficients.reshape(len(coefficients), -1).T.contiguous()
    return F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)


def _taps(off: Tensor) -> Tensor:
    """(N, 4): of the spline, at the two points before a place and the two after it."""
    back = 1 - off
    return torch.stack([back**3, 3 * off**3 - 6 * off**2 + 4, 3 * back**3 - 6 * back**2 + 4, off**3], -1) / 6


@lru_cache(maxsize=4)
def _inverse(side: int) -> Tensor:
    """(side, side): coefficients of samples. A frame's side is small enough for a whole matrix."""
    samples = torch.zeros(side, side, dtype=torch.float64)
    number = torch.arange(side)
    samples[number, number] = 4 / 6
    samples[number[1:], number[:-1]] = samples[number[:-1], number[1:]] = 1 / 6
    samples[0, 0] += 1 / 6
    samples[-1, -1] += 1 / 6
    found: Tensor = torch.linalg.inv(samples)
    return found
