"""Hole filling: unknown pixels from the known ones around them, near ones first."""

from __future__ import annotations

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast
from kairos.motion.tiling import resize


def fill_holes(planes: Tensor, known: Tensor) -> Tensor:
    """Fills unknown pixels smoothly from their surroundings by a pyramid of means (push and pull).

    Args:
        planes: (C, H, W); what unknown pixels hold does not matter, NaN included.
        known: (1, H, W) bool.

    Returns:
        (C, H, W) with known pixels untouched; 0 throughout where nothing is known.
    """
    if known.all():
        return planes
    values = torch.where(known, planes, 0.0)
    return _pull(values, known)


def _pull(values: Tensor, known: Tensor) -> Tensor:
    """(C, H, W) values, 0 where unknown, filled: coarser levels first."""
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    coarse, share = _halved(values, known.to(values.dtype), 1e-12)
    present = share > 0
    if not bool(present.all()):
        coarse = _pull(coarse, present)
    return torch.where(known, values, _doubled(coarse, height, width))


def _halved(values: Tensor, weight: Tensor, least: float) -> Tuple[Tensor, Tensor]:
    """Weighted means over 2 by 2 pixels and their mean weight: (C, h, w) and (1, h, w), h and w rounded up."""
    if fast.usable(values, weight):
        return fast.halve(values, weight, least)
    pad = (0, values.shape[-1] % 2, 0, values.shape[-2] % 2)
    share = F.avg_pool2d(F.pad(weight[None], pad), 2)[0]
    return F.avg_pool2d(F.pad((values * weight)[None], pad), 2)[0] / share.clamp(min=least), share


def _doubled(coarse: Tensor, height: int, width: int) -> Tensor:
    """(C, h, w) at twice the size, cropped."""
    return resize(coarse, coarse.shape[-2] * 2, coarse.shape[-1] * 2)[:, :height, :width]


def fill_weighted(planes: Tensor, weight: Tensor) -> Tensor:
    """Replaces values by their surroundings as far as they are not to be trusted (push and pull, softly).

    Args:
        planes: (C, H, W), finite.
        weight: (1, H, W) in 0..1; 1 keeps a pixel as it is.

    Returns:
        (C, H, W).
    """
    return _pull_soft(planes, weight)


def _pull_soft(values: Tensor, weight: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    coarse, share = _halved(values, weight, 1e-6)
    coarse = _pull_soft(coarse, (share * 2).clamp(max=1.0))
    fine = _doubled(coarse, height, width)
    return torch.lerp(fine, values, weight)


def fill_background(flow: Tensor, known: Tensor, steps: int = 256) -> Tensor:
    """Fills unknown motion with the slower of what lies on either side, as disoccluded ground mostly moves.

    Args:
        flow: (2, H, W) pixels.
        known: (1, H, W) bool.
        steps: how far along a row or column a neighbour is looked for, pixels.

    Returns:
        (2, H, W) with known vectors untouched.
    """
    if known.all():
        return flow
    best = fill_holes(flow, known)
    length = torch.full(known.shape[-2:], torch.inf, dtype=flow.dtype, device=flow.device)
    for axis in (1, 2):
        for reverse in (False, True):
            near, distance = _last_known(flow, known, axis, reverse)
            found = (distance <= steps) & torch.isfinite(distance)
            speed = torch.where(found, near.square().sum(0), torch.inf)
            better = speed < length
            length = torch.where(better, speed, length)
            best = torch.where(better, near, best)
    return torch.where(known, flow, best)


def _last_known(flow: Tensor, known: Tensor, axis: int, reverse: bool) -> Tuple[Tensor, Tensor]:
    """The nearest known vector looking along one axis one way, and its distance, (H, W), infinite where none."""
    if reverse:
        near, distance = _last_known(flow.flip(axis), known.flip(axis), axis, False)
        return near.flip(axis), distance.flip(axis - 1)
    size = flow.shape[axis]
    shape = [1, 1, 1]
    shape[axis] = size
    place = torch.arange(size, device=flow.device).reshape(shape).expand(known.shape)
    last = torch.where(known, place, -1).cummax(axis).values
    near = flow.gather(axis, last.clamp(min=0).expand(flow.shape))
    distance = torch.where(last >= 0, (place - last).to(flow.dtype), torch.inf)[0]
    return near, distance
