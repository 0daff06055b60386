"""Curved paths: acceleration from the frames before and after a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion.tiling import resize
from kairos.motion.warp import backward_warp

_CELLS = 80
"""Acceleration is smooth: it is gathered over a grid of this many cells on the longer side."""
_SMOOTHING = 2.5
"""Standard deviation of the gathering, cells."""
_PRIOR = 0.05
"""Trust that speaks for a straight path: where the neighbours say little, motion stays straight."""
_FURTHEST = 0.5
"""Most that a path may bend, as a part of its own length, plus a pixel."""


@dataclass(frozen=True)
class Bend:
    """Half the acceleration at either source's pixels, pixels per interval squared, and how far to trust it.

    A source without a neighbour has trust 0 throughout.
    """

    half0: Tensor
    half1: Tensor
    trust0: Tensor
    trust1: Tensor


def half_acceleration(onward: Tensor, backward: Tensor, ratio: float) -> Tensor:
    """Half the acceleration at a frame's pixels, from the motion to a frame on either side.

    Args:
        onward: (2, H, W) pixels, motion over one interval.
        backward: (2, H, W) pixels, motion the other way, over ``ratio`` intervals.
        ratio: above 0.

    Returns:
        (2, H, W): the coefficient of the squared time on the parabola through all three points.
    """
    return (backward + ratio * onward) / (ratio * ratio + ratio)


def bend_at(bend: Bend, velocity: Tensor, seen: Tuple[Tensor, Tensor], time: float) -> Tensor:
    """How far pixels of an in-between lie from the straight path, (2, H, W) pixels.

    Args:
        bend: at both sources.
        velocity: (2, H, W) at the in-between's pixels.
        seen: (1, H, W) each, how far either source shows them.
        time: 0..1.
    """
    total, weight = torch.zeros_like(velocity), torch.zeros_like(seen[0])
    for half, trust, visible, part in (
        (bend.half0, bend.trust0, seen[0], -time),
        (bend.half1, bend.trust1, seen[1], 1 - time),
    ):
        moved = backward_warp(torch.cat([half * trust, trust]), velocity * part) * visible
        total, weight = total + moved[:2], weight + moved[2:]
    gathered = _gather(torch.cat([total, weight]))
    half = gathered[:2] / (gathered[2:] + _PRIOR)
    away = half * (time * time - time)
    limit = _FURTHEST * 0.25 * velocity.square().sum(0, keepdim=True).sqrt() + 1.0
    length = away.square().sum(0, keepdim=True).sqrt()
    return away * (limit / length.clamp(min=1e-6)).clamp(max=1.0)


def _gather(planes: Tensor) -> Tensor:
    height, width = planes.shape[-2:]
    cell = max(1.0, max(height, width) / _CELLS)
    size = (max(1, round(height / cell)), max(1, round(width / cell)))
    small = F.interpolate(planes[None], size, mode="area")[0]
    radius = round(3 * _SMOOTHING)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=planes.device) / _SMOOTHING) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(small[:, None], (radius,) * 4, mode="replicate")
    soft = F.conv2d(F.conv2d(padded, taps.reshape(1, 1, 1, -1)), taps.reshape(1, 1, -1, 1))[:, 0]
    return resize(soft, height, width)
