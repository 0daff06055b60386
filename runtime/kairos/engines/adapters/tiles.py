"""Tiles of a frame with what surrounds them, for networks that see a part of the frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

from torch import Tensor

LEAST_HALO, HALO_CELLS = 160, 4
"""Around a tile the network sees this many pixels too, and this many cells of its coarsest grid."""


@dataclass(frozen=True)
class Region:
    """A tile: the part it answers for, and the part it sees."""

    rows: slice
    columns: slice
    outer_rows: slice
    outer_columns: slice

    def inner(self, planes: Tensor) -> Tensor:
        """The tile's own part of planes (C, h, w) that cover what it sees."""
        top, left = self.rows.start - self.outer_rows.start, self.columns.start - self.outer_columns.start
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return planes[:, top : top + height, left : left + width]


def regions(height: int, width: int, tile: int, multiple: int) -> List[Region]:
    """Tiles that cover a frame.

    What a tile sees begins at a multiple of the network's, so that its coarse grids lie where those of the whole
    frame do.
    """
    step = max(multiple, tile // multiple * multiple)
    halo = max(-(-LEAST_HALO // multiple), HALO_CELLS) * multiple
    return [
        Region(rows, columns, outer_rows, outer_columns)
        for rows, outer_rows in _spans(height, step, halo)
        for columns, outer_columns in _spans(width, step, halo)
    ]


def _spans(side: int, step: int, halo: int) -> List[Tuple[slice, slice]]:
    return [
        (slice(start, min(start + step, side)), slice(max(0, start - halo), min(start + step + halo, side)))
        for start in range(0, side, step)
    ]
