"""From layers to frames, and to what is true about them: motion, visibility, objects, depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from kairos.training.scenes.layer import ADDITIVE, OPAQUE, SHADOW, Layer, Window, paired

MIXED = 0.1
"""From this share on, what is seen through a transparent or additive layer counts as a mixture."""


@dataclass(frozen=True)
class Ownership:
    """Whose pixels one instant shows. Screen-sized maps.

    Attributes:
        owner: (H, W) int64 index of the layer, the topmost opaque one that covers more than half of the pixel.
        members: per opaque layer that owns any: its index, its pixels (N,) counted row by row, and the points (N,)
            of its plane seen there, x and y.
        clear: per opaque layer index, (H, W) share of it that nothing in front hides.
        valid: (H, W) 1 where one surface makes up the pixel.
    """

    owner: Tensor
    members: List[Tuple[int, Tensor, Tensor, Tensor]]
    clear: Dict[int, Tensor]
    valid: Tensor


def picture(
    layers: Sequence[Layer],
    time: float,
    height: int,
    width: int,
    device: torch.device,
    truth: bool,
    colours: bool = True,
) -> Tuple[Tensor, Optional[Ownership]]:
    """(3, H, W) of one instant, layers given from far to near, and whose pixels they are if truth is asked for; black
    where ``colours`` are not.
    """
    rgb = torch.zeros(3, height, width, device=device)
    owner = torch.zeros(height, width, dtype=torch.int64, device=device)
    plane_x, plane_y = torch.zeros(2, height, width, device=device)
    weight, mixed = torch.ones(height, width, device=device), torch.zeros(height, width, device=device)
    covers: List[Tuple[int, Window, Tensor]] = []
    for index, layer in enumerate(layers):
        window = layer.window(time, height, width)
        if window is None:
            continue
        top, bottom, left, right = window
        area = (slice(top, bottom), slice(left, right))
        x, y = layer.plane(window, time, device)
        alpha, depth = layer.cover(x, y)
        if colours:
            _paint(rgb[:, area[0], area[1]], layer, x, y, alpha, depth)
        if layer.kind == SHADOW or not truth:
            continue
        if layer.kind != OPAQUE:
            assert alpha is not None
            mixed[area] = torch.maximum(mixed[area], (alpha > MIXED).float())
            continue
        if alpha is None:
            plane_x[area], plane_y[area] = x, y
            owner[area] = index
            continue
        mine = alpha > 0.5
        owner[area].masked_fill_(mine, index)
        plane_x[area] = torch.where(mine, x, plane_x[area])
        plane_y[area] = torch.where(mine, y, plane_y[area])
        weight[area] = torch.where(mine, alpha, weight[area] * (1.0 - alpha))
        if layer.softness > 3.0:
            mixed[area] = torch.maximum(mixed[area] * (alpha < 0.9), ((alpha > 0.15) & (alpha < 0.85)).float())
        else:
            mixed[area] *= alpha < 0.9
        covers.append((index, window, alpha))
    if not truth:
        return rgb, None
    valid = (1.0 - mixed) * (weight > 0.45)
    return rgb, Ownership(
        owner, _members(layers, owner, plane_x, plane_y), _clear(layers, covers, height, width, device), valid
    )


def _paint(
    behind: Tensor, layer: Layer, x: Tensor, y: Tensor, alpha: Optional[Tensor], depth: Optional[Tensor]
) -> None:
    """Puts a layer over what is behind it, (3, h, w), in place."""
    if layer.kind == SHADOW:
        assert alpha is not None
        behind.mul_(1.0 - alpha)
        return
    assert layer.surface is not None
    colours = layer.surface.colours(x, y, depth)
    if alpha is None:
        behind.copy_(colours)
    elif layer.kind == ADDITIVE:
        behind.add_(colours.mul_(alpha))
    else:
        behind.add_(colours.sub_(behind).mul_(alpha))


def _members(
    layers: Sequence[Layer], owner: Tensor, plane_x: Tensor, plane_y: Tensor
) -> List[Tuple[int, Tensor, Tensor, Tensor]]:
    flat, x, y = owner.reshape(-1), plane_x.reshape(-1), plane_y.reshape(-1)
    members = []
    for index, layer in enumerate(layers):
        if layer.kind == OPAQUE:
            mine = (flat == index).nonzero()[:, 0]
            if len(mine):
                members.append((index, mine, x.index_select(0, mine), y.index_select(0, mine)))
    return members


def _clear(
    layers: Sequence[Layer], covers: List[Tuple[int, Window, Tensor]], height: int, width: int, device: torch.device
) -> Dict[int, Tensor]:
    """For every opaque layer, what of it the nearer ones leave to be seen."""
    clear: Dict[int, Tensor] = {}
    through = torch.ones(height, width, device=device)
    for index, (top, bottom, left, right), alpha in reversed(covers):
        clear[index] = through.clone()
        through[top:bottom, left:right] *= 1.0 - alpha
    for index, layer in enumerate(layers):
        if layer.kind == OPAQUE and index not in clear:
            # Off screen it hides nothing, and the first layer lies behind all others.
            clear[index] = through if layer.shape is None else torch.zeros_like(through)
    return clear


def motion(layers: Sequence[Layer], start: Ownership, end: Ownership, time: float) -> Tuple[Tensor, Tensor]:
    """Flow (2, H, W) in pixels from one instant to another, and the visibility (1, H, W) there of what is seen here.

    Args:
        start: whose pixels the first instant shows.
        end: the same of the second, which is at ``time``.
    """
    height, width = start.owner.shape
    device = start.owner.device
    x, y, seen = torch.empty(3, height * width, device=device)
    for index, mine, plane_x, plane_y in start.members:
        to_x, to_y = layers[index].course.to_screen(plane_x, plane_y, time)
        x.index_copy_(0, mine, to_x)
        y.index_copy_(0, mine, to_y)
        grid = paired(to_x * (2.0 / (width - 1)) - 1.0, to_y * (2.0 / (height - 1)) - 1.0)[None, None]
        clear = functional.grid_sample(end.clear[index][None, None], grid, "bilinear", "border", align_corners=True)
        inside = (to_x >= -0.5) & (to_x <= width - 0.5) & (to_y >= -0.5) & (to_y <= height - 0.5)
        seen.index_copy_(0, mine, clear[0, 0, 0] * inside)
    columns = torch.arange(width, dtype=torch.float32, device=device)[None, :]
    rows = torch.arange(height, dtype=torch.float32, device=device)[:, None]
    flow = torch.stack((x.reshape(height, width) - columns, y.reshape(height, width) - rows))
    return flow, seen.reshape(1, height, width)
