"""Forward splatting of batches, exact to the last share and differentiable: what GIMM's latents travel by.

The plate's own splatting (:mod:`kairos.motion.splat`) drops tiny shares and serves one frame; published weights know
them all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.engines.fetching import counted, pixels

_FAR = float(1 << 22)
"""Vectors are limited to this length, pixels: beyond every frame, and whole numbers are exact still."""


def splat(planes: Tensor, flow: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean of what arrives (Niklaus and Liu, CVPR 2020, "linear" splatting), 0 where nothing does.

    Args:
        planes: (B, C, H, W), finite.
        flow: (B, 2, H, W) pixels, x right, y down, to where each pixel goes. What is not finite goes nowhere, and of
            what leaves the frame only the shares inside count.
        weight: (B, 1, H, W), finite.

    Returns:
        (B, C, H, W) float32.
    """
    weight = weight.float()
    arrived = deposited(torch.cat([planes.float() * weight, weight], 1), flow)
    total = arrived[:, -1:]
    return arrived[:, :-1] / torch.where(total == 0, 1.0, total)


def deposited(planes: Tensor, flow: Tensor) -> Tensor:
    """The sum of what arrives (B, C, H, W) float32; see :func:`splat`."""
    batch, channels, height, width = planes.shape
    x, y = pixels(flow)
    vectors = torch.where(flow.isfinite(), flow.float(), _FAR).clamp(-_FAR, _FAR)
    left, above = vectors[:, 0].floor(), vectors[:, 1].floor()
    right_share, down_share = vectors[:, 0] - left, vectors[:, 1] - above
    columns, rows = (x + left).long(), (y + above).long()
    first = counted(flow[:, 0, 0, 0]).long()[:, None, None] * (height * width)
    values = planes.float().transpose(0, 1).reshape(channels, -1)
    total = torch.zeros_like(values)
    for row, share_down in ((rows, 1 - down_share), (rows + 1, down_share)):
        for column, share_across in ((columns, 1 - right_share), (columns + 1, right_share)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            share = torch.where(inside, share_down * share_across, 0.0).reshape(-1)
            target = first + row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
            total = total.scatter_add(1, target.reshape(1, -1).expand_as(values), values * share)
    return total.reshape(channels, batch, height, width).transpose(0, 1)
