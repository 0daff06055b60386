"""Forward splatting: every source pixel is carried to where it goes and shared among the four pixels around.

The three ways of settling collisions are those of Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation"
(CVPR 2020), equations 3 to 9.
"""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

import torch
from torch import Tensor

from kairos.motion import fast
from kairos.motion.warp import FAR

MODES = ("average", "linear", "softmax")

TINY_SHARE = 1e-3
"""Corners that get less of a pixel than this get none: rounding must not make a pixel reach further than it goes."""


def splat(
    values: Tensor, flow: Tensor, importance: Optional[Tensor] = None, mode: str = "average"
) -> Tuple[Tensor, Tensor]:
    """Carries values forward along a flow.

    Args:
        values: (C, H, W), finite.
        flow: (2, H, W) pixels, x right, y down, from each pixel to where it goes. Pixels whose vector is not finite
            are dropped, and so is what leaves the frame.
        importance: (1, H, W). For ``linear`` a weight of at least 0; for ``softmax`` any finite number, however large
            (the greatest at each target is subtracted before the exponential); unused for ``average``.
        mode: ``average``, ``linear`` or ``softmax``.

    Returns:
        (C, H, W) float32, the weighted mean of what arrived, 0 where nothing did; and (1, H, W) float32, how much
        arrived by area (1 = a pixel's worth), whatever its importance.

    Raises:
        ValueError: an unknown mode, ``linear`` / ``softmax`` without importance, or planes of different sizes.
    """
    if mode not in MODES:
        raise ValueError(f"unknown splatting mode {mode!r}; one of {', '.join(MODES)}")
    if mode != "average" and importance is None:
        raise ValueError(f"splatting mode {mode!r} needs an importance")
    sizes = {tuple(each.shape[-2:]) for each in (values, flow, importance) if each is not None}
    if len(sizes) > 1:
        raise ValueError(f"what is carried, and where to, differ in size: {sorted(sizes)}")
    metric = None if importance is None or mode == "average" else importance
    if fast.usable(values, flow, *(() if metric is None else (metric,))):
        return fast.splat(values, flow, metric, mode, TINY_SHARE)
    count, height, width = len(values), *flow.shape[-2:]
    flat = values.float().reshape(count, height * width)
    corners = list(_corners(flow.float()))

    if metric is not None:
        metric = metric.float().reshape(-1)
    greatest: Optional[Tensor] = None
    if mode == "softmax" and metric is not None:
        greatest = torch.full((height * width,), -torch.inf, device=flow.device)
        for target, share in corners:
            arrives = torch.where(share > 0, metric, -torch.inf)
            greatest.scatter_reduce_(0, target, arrives, "amax")

    coverage = torch.zeros(height * width, device=flow.device)
    weight_sum = torch.zeros(height * width, device=flow.device)
    total = torch.zeros(count, height * width, device=flow.device)
    for target, share in corners:
        coverage.index_add_(0, target, share)
        weight = share
        if greatest is not None and metric is not None:
            weight = torch.where(share > 0, share * torch.exp(metric - greatest[target]), 0.0)
        elif metric is not None:
            weight = share * metric
        weight_sum.index_add_(0, target, weight)
        for channel in range(count):
            total[channel].index_add_(0, target, flat[channel] * weight)
    mean = torch.where(weight_sum > 0, total / weight_sum.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
    return mean.reshape(count, height, width), coverage.reshape(1, height, width)


def _corners(flow: Tensor) -> Iterator[Tuple[Tensor, Tensor]]:
    """Of each of the four pixels around every arrival: target index, and share (bilinear; 0 outside the frame)."""
    height, width = flow.shape[-2:]
    finite = flow.isfinite().all(0)
    u, v = flow if bool(finite.all()) else torch.where(finite, flow, FAR)
    u, v = u.clamp(-FAR, FAR), v.clamp(-FAR, FAR)
    left, above = torch.floor(u), torch.floor(v)
    fx, fy = u - left, v - above
    x = torch.arange(width, device=flow.device) + left.long()
    y = torch.arange(height, device=flow.device)[:, None] + above.long()
    # Along each axis: where it lands, and how much of it, 0 outside the frame.
    columns = [_landing(x, 1 - fx, width, 1), _landing(x + 1, fx, width, 1)]
    rows = [_landing(y, 1 - fy, height, width), _landing(y + 1, fy, height, width)]
    for row, share_down in rows:
        for column, share_across in columns:
            share = (share_down * share_across).reshape(-1)
            yield (row + column).reshape(-1), share.where(share > TINY_SHARE, 0.0)


def _landing(place: Tensor, share: Tensor, size: int, step: int) -> Tuple[Tensor, Tensor]:
    inside = place.clamp(0, size - 1)
    return inside * step if step > 1 else inside, share * (inside == place)
