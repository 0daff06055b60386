"""Working on a frame in tiles, and at a smaller size."""

from __future__ import annotations

from typing import Callable, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion import fast


def tiled(fn: Callable[[Tensor], Tensor], planes: Tensor, tile: int, halo: int) -> Tensor:
    """Applies a local function tile by tile.

    Equal to ``fn(planes)`` wherever an output pixel depends on no input pixel further away than ``halo``: tiles at the
    frame's edge are given no halo beyond it, so that ``fn`` sees the same border there.

    Args:
        fn: (C, h, w) to (D, h, w).
        planes: (C, H, W).
        tile: side of a tile's inner part, pixels.
        halo: margin around it that ``fn`` sees too, pixels.

    Raises:
        ValueError: a tile below 1 or a halo below 0.
    """
    if tile < 1 or halo < 0:
        raise ValueError(f"tile {tile} and halo {halo} must be at least 1 and 0")
    height, width = planes.shape[-2:]
    out: Tensor | None = None
    for top in range(0, height, tile):
        bottom = min(top + tile, height)
        outer_top, outer_bottom = max(0, top - halo), min(height, bottom + halo)
        for left in range(0, width, tile):
            right = min(left + tile, width)
            outer_left, outer_right = max(0, left - halo), min(width, right + halo)
            done = fn(planes[:, outer_top:outer_bottom, outer_left:outer_right])
            if out is None:
                out = torch.empty(len(done), height, width, dtype=done.dtype, device=done.device)
            out[:, top:bottom, left:right] = done[
                :, top - outer_top : bottom - outer_top, left - outer_left : right - outer_left
            ]
    if out is None:
        raise ValueError(f"no pixels in {tuple(planes.shape)}")
    return out


def resize(planes: Tensor, height: int, width: int) -> Tensor:
    """Resizes planes (C, H, W): an area mean when smaller, bilinear when larger."""
    if planes.shape[-2:] == (height, width):
        return planes
    smaller = height <= planes.shape[-2] and width <= planes.shape[-1]
    if smaller:
        return F.interpolate(planes[None], (height, width), mode="area")[0]
    rows, columns = (_places(old, new, planes) for old, new in ((planes.shape[-2], height), (planes.shape[-1], width)))
    if fast.usable(planes):
        return fast.enlarge(planes, rows, columns)
    return _enlarge(_enlarge(planes, 1, *rows), 2, *columns)


def _places(old: int, new: int, like: Tensor) -> Tuple[Tensor, Tensor]:
    """Of each of ``new`` pixels over ``old`` ones, centres kept: the one before, and how far after it."""
    place = ((torch.arange(new, device=like.device, dtype=torch.float64) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    before = place.long()
    return before, (place - before).to(like.dtype)


def _enlarge(planes: Tensor, axis: int, before: Tensor, fraction: Tensor) -> Tensor:
    """Linear interpolation along an axis. torch's own differs in the last bit with the number of threads, and a render
    farm must not.
    """
    shape = [1, 1, 1]
    shape[axis] = len(before)
    old, fraction = planes.shape[axis], fraction.reshape(shape)
    first, second = planes.index_select(axis, before), planes.index_select(axis, (before + 1).clamp(max=old - 1))
    return first * (1 - fraction) + second * fraction


def half_of(planes: Tensor) -> Tensor:
    """Means of planes (C, H, W) over 2 by 2 pixels, of what lies inside."""
    if fast.usable(planes):
        return fast.half(planes)
    return F.avg_pool2d(planes[None], 2, ceil_mode=True, count_include_pad=False)[0]


def twice(planes: Tensor, height: int, width: int) -> Tensor:
    """Planes of half this size, rounded up, enlarged."""
    return resize(planes, planes.shape[-2] * 2, planes.shape[-1] * 2)[:, :height, :width]


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Resizes a flow (2, H, W) and scales its vectors, so that they stay in pixels of the new size."""
    old_height, old_width = flow.shape[-2:]
    if (old_height, old_width) == (height, width):
        return flow
    scale = torch.tensor([width / old_width, height / old_height], dtype=flow.dtype, device=flow.device)
    return resize(flow, height, width) * scale[:, None, None]
