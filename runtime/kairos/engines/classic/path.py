"""Curved paths: acceleration from the frames before and after a pair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast
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


def bend_at(bend: Bend, velocity: Tensor, seen: Tuple[Tensor, Tensor], time: float, pixel: float = 1.0) -> Tensor:
    """How far pixels of an in-between lie from the straight path, (2, H, W) pixels.

    Args:
        bend: at both sources.
        velocity: (2, H, W) at the in-between's pixels.
        seen: (1, H, W) each, how far either source shows them.
        time: 0..1.
        pixel: of the frame's, in pixels of these planes.
    """
    planes = (bend.half0, bend.half1, bend.trust0, bend.trust1, velocity, *seen)
    if fast.usable(*planes) and _kernels() is not None:
        return _bent(planes, time, pixel)
    total, weight = torch.zeros_like(velocity), torch.zeros_like(seen[0])
    for half, trust, visible, part in (
        (bend.half0, bend.trust0, seen[0], -time),
        (bend.half1, bend.trust1, seen[1], 1 - time),
    ):
        moved = backward_warp(torch.cat([half * trust, trust]), velocity * part) * visible
        total, weight = total + moved[:2], weight + moved[2:]
    gathered = resize(_smoothed(_cells(torch.cat([total, weight]))), *velocity.shape[-2:])
    half = gathered[:2] / (gathered[2:] + _PRIOR)
    away = half * (time * time - time)
    limit = _FURTHEST * 0.25 * velocity.square().sum(0, keepdim=True).sqrt() + pixel
    length = away.square().sum(0, keepdim=True).sqrt()
    return away * (limit / length.clamp(min=1e-6)).clamp(max=1.0)


def _bent(planes: Sequence[Tensor], time: float, pixel: float) -> Tensor:
    """The same by compiled kernels."""
    kernels = _kernels()
    assert kernels is not None, "only after looking"
    velocity = planes[4]
    height, width = velocity.shape[-2:]
    rows, columns = _size(height, width)
    cells, away = torch.empty(3, rows, columns), torch.empty_like(velocity, memory_format=torch.contiguous_format)
    flat, moment = [each.contiguous().view(-1).numpy() for each in planes], np.float32(time)
    edges = _edges(height, rows), _edges(width, columns)
    gather = partial(kernels.gather_rows, *flat, moment, cells.numpy(), *edges, height, width)
    fast.in_parts(gather, rows, torch.get_num_threads())
    smooth, way = _smoothed(cells).contiguous().numpy(), away.view(-1).numpy()
    limits = np.float32(_PRIOR), np.float32(_FURTHEST * 0.25), np.float32(pixel)
    bend = partial(kernels.bend_rows, smooth, flat[4], way, moment, *limits, height, width)
    fast.in_bands(bend, height, width)
    return away


def _edges(length: int, many: int) -> npt.NDArray[np.int64]:
    """(many, 2): where each cell begins, and one behind its last pixel, as torch's means by area have it."""
    cells = np.arange(many)
    return np.ascontiguousarray(np.stack([cells * length // many, -(-(cells + 1) * length // many)], 1), np.int64)


def _size(height: int, width: int) -> Tuple[int, int]:
    """Cells down and across."""
    cell = max(1.0, max(height, width) / _CELLS)
    return max(1, round(height / cell)), max(1, round(width / cell))


def _cells(planes: Tensor) -> Tensor:
    return F.interpolate(planes[None], _size(planes.shape[-2], planes.shape[-1]), mode="area")[0]


def _smoothed(cells: Tensor) -> Tensor:
    radius = round(3 * _SMOOTHING)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=cells.device) / _SMOOTHING) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(cells[:, None], (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.reshape(1, 1, 1, -1)), taps.reshape(1, 1, -1, 1))[:, 0]


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.path_kernels")
