"""Planes that are stored finer than they were sampled.

Colour that a camera or a codec recorded at half the frame's resolution often arrives with every sample repeated over 2
by 2 pixels. Warping such a plane pixel by pixel breaks its blocks; it has to move on the grid it was sampled on.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

from kairos.motion.tiling import resize

_ALLOWED = 0.01
"""Part of the blocks that need not be constant: edges of the frame are often treated differently."""

_DETAIL = 0.6
"""Part of neighbouring blocks that must differ: below it, a plane is flat and not coarse."""

_PROBE_ROWS, _PROBE_ALLOWED = 32, 0.1


class Grid(NamedTuple):
    """Where the 2 by 2 blocks of a coarse plane begin."""

    row: int
    column: int


def coarse_grid(plane: Tensor) -> Optional[Grid]:
    """The grid of a plane (H, W) whose samples are repeated over 2 by 2 pixels, or None for any other plane."""
    if min(plane.shape) < 4:
        return None
    # Nearly every plane is told by a few rows.
    step = max(1, plane.shape[0] // _PROBE_ROWS)
    if _phase(plane[::step], _PROBE_ALLOWED) is None:
        return None
    column, row = _phase(plane, _ALLOWED), _phase(plane.t(), _ALLOWED)
    return None if row is None or column is None else Grid(row, column)


def _phase(plane: Tensor, allowed: float) -> Optional[int]:
    """Whether columns come in equal pairs, and with which column pairs begin."""
    differ = (plane[:, 1:] != plane[:, :-1]).float().mean(0)
    even, odd = differ[0::2].mean(), differ[1::2].mean()
    for phase, (inside, across) in enumerate(((even, odd), (odd, even))):
        if float(inside) <= allowed and float(across) >= _DETAIL:
            return phase
    return None


def to_coarse(planes: Tensor, grid: Grid) -> Tensor:
    """Means over the grid's blocks: (C, H, W) to (C, h, w)."""
    height, width = planes.shape[-2:]
    bottom, right = (height + grid.row) % 2, (width + grid.column) % 2
    padded = F.pad(planes[None], (grid.column, right, grid.row, bottom), mode="replicate")
    return F.avg_pool2d(padded, 2)[0]


def from_coarse(planes: Tensor, grid: Grid, size: Tuple[int, int]) -> Tensor:
    """Repeats samples over the grid's blocks: (C, h, w) to (C, *size)."""
    height, width = size
    whole = planes.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return whole[:, grid.row : grid.row + height, grid.column : grid.column + width]


def smooth_coarse(planes: Tensor) -> Tensor:
    """Planes with every coarse one interpolated between its samples: blocks, which do not move, mislead a search."""
    out = planes
    height, width = planes.shape[-2:]
    for channel, plane in enumerate(planes):
        grid = coarse_grid(plane)
        if grid is None:
            continue
        small = to_coarse(plane[None], grid)
        fine = resize(small, small.shape[-2] * 2, small.shape[-1] * 2)
        if out is planes:
            out = planes.clone()
        out[channel] = fine[0, grid.row : grid.row + height, grid.column : grid.column + width]
    return out


def common_grid(first: Tensor, second: Tensor) -> Optional[Grid]:
    """The grid two planes (H, W) share, or None."""
    grid = coarse_grid(first)
    return grid if grid is not None and coarse_grid(second) == grid else None
