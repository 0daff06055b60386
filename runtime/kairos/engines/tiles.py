"""What is local in a network, worked out a tile at a time.

A tile is worked on with as many cells around it as its answer depends on (its halo) and nothing else of the frame is
left out, so tiles leave no trace but the rounding of sums. Tiles at the frame's edge have no halo beyond it: what pads
the frame there pads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Iterator, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.fetching import fetched, pixels, warp

_LEAST = 32
"""Cells of a tile's side at least: smaller ones are mostly halo."""


@dataclass(frozen=True)
class Part:
    """Rows and columns of a grid; None where it is all of them."""

    rows: Optional[slice] = None
    columns: Optional[slice] = None

    def of(self, planes: Tensor) -> Tensor:
        """This part of planes (B, C, H, W)."""
        return planes if self.rows is None else planes[..., self.rows, self.columns]

    def finer(self, factor: int) -> Part:
        """The same on a grid of more cells."""
        return Part(*(span and slice(span.start * factor, span.stop * factor) for span in (self.rows, self.columns)))

    def coarser(self, factor: int) -> Part:
        """The same on a grid of fewer cells, which must divide it."""
        return Part(*(span and slice(span.start // factor, span.stop // factor) for span in (self.rows, self.columns)))


WHOLE = Part()


def in_tiles(
    work: Callable[[Part], Tensor],
    size: Tuple[int, int],
    tile: Optional[int],
    halo: int,
    multiple: int = 1,
    grown: int = 1,
) -> Tensor:
    """What ``work`` answers for a grid, put together from its tiles.

    Args:
        work: from a part of the grid to planes (B, C, h, w) of that part.
        size: height and width of the grid, cells.
        tile: side of the tiles, cells; None for all at once.
        halo: around a tile, cells that its answer depends on.
        multiple: parts begin and end at multiples of this (or at the grid's end).
        grown: of the answer's size to the grid's.
    """
    height, width = size
    if tile is None or max(height, width) <= max(tile, _LEAST):
        return work(WHOLE)
    side = -(-max(tile, _LEAST) // multiple) * multiple
    halo = -(-halo // multiple) * multiple
    out: Optional[Tensor] = None
    for top, bottom, above, below in _spans(height, side, halo):
        for left, right, before, behind in _spans(width, side, halo):
            done = work(Part(slice(above, below), slice(before, behind)))
            if out is None:
                out = done.new_empty(*done.shape[:2], height * grown, width * grown)
            rows = slice((top - above) * grown, (bottom - above) * grown)
            columns = slice((left - before) * grown, (right - before) * grown)
            out[..., top * grown : bottom * grown, left * grown : right * grown] = done[..., rows, columns]
    assert out is not None
    return out


def warp_part(planes: Tensor, flow: Tensor, part: Part) -> Tensor:
    """What a flow of a part alone fetches from the whole planes; see :func:`kairos.engines.blocks.warp`."""
    if part.rows is None or part.columns is None:
        return warp(planes, flow)
    x, y = pixels(planes)
    x, y = x[part.columns] + flow[:, 0].float(), y[part.rows] + flow[:, 1].float()
    if planes.dtype == torch.float32:
        return fetched(planes, x, y)
    # To be fetched from, planes become float32: of half ones no more than what is fetched.
    columns, rows = _reached(x, planes.shape[-1]), _reached(y, planes.shape[-2])
    return fetched(planes[..., rows, columns], x - columns.start, y - rows.start)


def cells(tile: Optional[int], size: float) -> Optional[int]:
    """Side of the tiles on a grid whose cells are so many pixels of the frame wide."""
    return None if tile is None else max(_LEAST, int(tile / size))


def _reached(places: Tensor, side: int) -> slice:
    """Rows or columns that are fetched from at places along them, the border repeated."""
    first, last = (float(end.nan_to_num()) for end in (places.amin().floor(), places.amax().ceil()))
    return slice(int(min(max(first, 0), side - 1)), int(min(max(last, 0), side - 1)) + 1)


def _spans(side: int, tile: int, halo: int) -> Iterator[Tuple[int, int, int, int]]:
    """Start and stop of every tile, and with its halo inside the grid."""
    for start in range(0, side, tile):
        stop = min(start + tile, side)
        yield start, stop, max(0, start - halo), min(side, stop + halo)
