"""Forward-backward consistency, occlusion and confidence."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast
from kairos.motion.warp import backward_warp

SHARE = 0.05
"""Part of a vector's length by which there and back may disagree."""


class Consistency(NamedTuple):
    """How two flows of opposite direction agree, seen from the first one's pixels. All (1, H, W)."""

    error: Tensor
    """Distance between a pixel and where the way there and back ends, pixels."""
    inside: Tensor
    """bool, the vector ends inside the frame."""


def consistency(flow: Tensor, back: Tensor) -> Consistency:
    """Follows ``flow`` and comes back along ``back``.

    Args:
        flow: (2, H, W) pixels, from these pixels to the other frame.
        back: (2, H, W) pixels, from the other frame's pixels to these.
    """
    if fast.usable(flow, back):
        return Consistency(*fast.round_trip(flow, back))
    height, width = flow.shape[-2:]
    error = (flow + backward_warp(back, flow)).square().sum(0, keepdim=True).sqrt()
    x = torch.arange(width, device=flow.device) + flow[0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[1]
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    return Consistency(error, inside[None])


def confidence(found: Consistency, flow: Tensor, slack: float = 0.5, share: float = SHARE) -> Tensor:
    """Confidence in a flow from its consistency: 1 at no error, 1/e at ``slack`` pixels plus ``share`` of its length.

    Returns:
        (1, H, W) in 0..1; 0 where the vector leaves the frame.
    """
    allowed = slack + share * flow.square().sum(0, keepdim=True).sqrt()
    return torch.exp(-(found.error / allowed).square()) * found.inside


def occlusion(found: Consistency, flow: Tensor, slack: float = 1.0, share: float = 0.1) -> Tensor:
    """What of these pixels is not visible in the other frame, by inconsistency (Sundaram, Brox and Keutzer, ECCV 2010).

    Returns:
        (1, H, W) in 0..1, soft over one pixel of error, 1 = not visible.
    """
    allowed = slack + share * flow.square().sum(0, keepdim=True).sqrt()
    return torch.where(found.inside, (found.error - allowed + 0.5).clamp(0, 1), torch.ones_like(found.error))


def clean_mask(mask: Tensor) -> Tensor:
    """Takes specks out of planes (C, H, W): the median over 3 by 3 pixels."""
    if fast.usable(mask):
        return fast.median(mask)
    height, width = mask.shape[-2:]
    padded = F.pad(mask[None], (1, 1, 1, 1), mode="replicate")[0]
    taps = [padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    for low, high in MEDIAN_OF_NINE:
        taps[low], taps[high] = torch.minimum(taps[low], taps[high]), torch.maximum(taps[low], taps[high])
    return taps[4]


MEDIAN_OF_NINE = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Exchanges after which the fifth of nine values is their median (Smith, "Implementing Median Filters", Xcell 1996)."""
