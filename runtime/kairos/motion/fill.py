"""Hole filling: unknown pixels from the known ones around them, near ones first."""

from __future__ import annotations

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast
from kairos.motion.tiling import twice

LEAST_WEIGHT = 1e-6
"""Mean weight under which values are not divided by it."""


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


def fill_unknown(planes: Tensor, known: Tensor) -> Tensor:
    """The same as :func:`fill_holes` of planes (C, H, W) that are finite throughout, with ``known`` (1, H, W) float, 1
    or 0.
    """
    if not fast.usable(planes, known) or planes.shape[-2:] == (1, 1):
        return fill_holes(planes, known > 0)
    return planes if bool(known.amin() > 0) else _pull_known(planes, known)


def _pull(values: Tensor, known: Tensor) -> Tensor:
    """(C, H, W) values, 0 where unknown, filled: coarser levels first."""
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    weight = known.to(values.dtype)
    if fast.usable(values, weight):
        return _pull_known(values, weight)
    coarse, share = _halved(values, weight, 1e-12)
    present = share > 0
    if not bool(present.all()):
        coarse = _pull(coarse, present)
    return torch.where(known, values, twice(coarse, height, width))


def _pull_known(values: Tensor, weight: Tensor) -> Tensor:
    """The same by compiled kernels, with weights of 1 or 0."""
    if values.shape[-2] * values.shape[-1] <= fast.SMALL:
        return fast.pull(values, weight, softly=False)
    coarse, share = fast.halve(values, weight, 1e-12)
    if bool(share.amin() == 0):
        coarse = _pull_known(coarse, share.ceil_())
    return fast.patch(coarse, values, weight, softly=False)


def _halved(values: Tensor, weight: Tensor, least: float) -> Tuple[Tensor, Tensor]:
    """Weighted means over 2 by 2 pixels and their mean weight: (C, h, w) and (1, h, w), h and w rounded up."""
    if fast.usable(values, weight):
        return fast.halve(values, weight, least)
    pad = (0, values.shape[-1] % 2, 0, values.shape[-2] % 2)
    share = F.avg_pool2d(F.pad(weight[None], pad), 2)[0]
    return F.avg_pool2d(F.pad((values * weight)[None], pad), 2)[0] / share.clamp(min=least), share


def fill_weighted(planes: Tensor, weight: Tensor) -> Tensor:
    """Replaces values by their surroundings as far as they are not to be trusted (push and pull, softly).

    Args:
        planes: (C, H, W), finite.
        weight: (1, H, W) in 0..1; 1 keeps a pixel as it is.

    Returns:
        (C, H, W).
    """
    return _pull_soft(planes, weight)


def fill_halved(planes: Tensor, weight: Tensor, halved: Tuple[Tensor, Tensor]) -> Tensor:
    """The same where compiled kernels can be used, from what both are at half the size.

    Args:
        planes, weight: see above.
        halved: weighted means over 2 by 2 pixels (C, h, w) and their mean weight (1, h, w), h and w rounded up; means
            are sums divided by at least :data:`LEAST_WEIGHT`.
    """
    coarse, share = halved
    return fast.patch(_pull_soft(coarse, (share * 2).clamp(max=1.0)), planes, weight, softly=True)


def _pull_soft(values: Tensor, weight: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    if height == 1 and width == 1:
        return values
    compiled = fast.usable(values, weight)
    if compiled and height * width <= fast.SMALL:
        return fast.pull(values, weight, softly=True)
    coarse, share = _halved(values, weight, LEAST_WEIGHT)
    if compiled:
        return fill_halved(values, weight, (coarse, share))
    coarse = _pull_soft(coarse, (share * 2).clamp(max=1.0))
    fine = twice(coarse, height, width)
    return torch.lerp(fine, values, weight)
