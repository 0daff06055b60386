"""Differences of flows and of pictures, which need no weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_SLACK = 0.1
"""Pixels below which a flow's error counts as its square."""

_LENGTH = 0.02

_BANDS = 4


def robust(difference: Tensor) -> Tensor:
    """Square root of the length of vectors (B, 2, H, W), rounded off at 0, and a little of the length itself:
    (B, 1, H, W). A tenth of a pixel counts on fine motion while tens of pixels are still felt on large.
    """
    squared = difference.square().sum(1, keepdim=True) + _SLACK**2
    rounded: Tensor = squared.pow(0.25) - _SLACK**0.5 + _LENGTH * (squared.sqrt() - _SLACK)
    return rounded


def laplacian(picture: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of pictures (B, 3, H, W) in bands of detail, each coarser band weighing twice as much
    per pixel (Niklaus and Liu, "Softmax Splatting", CVPR 2020, use it so).
    """
    apart = picture - truth
    total: Tensor = apart.new_zeros(())
    for band in range(_BANDS):
        small = F.avg_pool2d(_soft(apart), 2)
        detail = apart - F.interpolate(small, apart.shape[-2:], mode="bilinear", align_corners=False)
        total = total + 2**band * (detail.square() + 1e-6).sqrt().mean()
        apart = small
    return total * 0.5**_BANDS


def _soft(planes: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=planes.device, dtype=planes.dtype) / 16
    channels = planes.shape[1]
    across = taps.reshape(1, 1, 1, 5).expand(channels, 1, 1, 5)
    down = taps.reshape(1, 1, 5, 1).expand(channels, 1, 5, 1)
    padded = F.pad(planes, (2, 2, 2, 2), mode="replicate")
    return F.conv2d(F.conv2d(padded, across, groups=channels), down, groups=channels)
