"""A frame in overlapping tiles, each with a field of its own: what a fit takes is bounded at any resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Tensor

POINTS = 5_000_000
"""Pixels of a clip, over all its frames, that are fitted at once where nobody gives a tile's side: with few pixels of
motion, 9 frames of 960x540 in about 2 GB."""

OVERLAP = 64
"""Pixels that neighbouring tiles share. At its border a tile lacks the colours that the motion brings in from beyond,
and its largest cells are 8 pixels wide."""

LEAST = 32
"""Shortest side of a tile that can be asked for, pixels."""


@dataclass(frozen=True)
class Tile:
    """Part of a frame, in pixels.

    Attributes:
        top, left: its first row and column in the frame.
        height, width: its size.
        fades: how many rows and columns it shares with its neighbours above, below, left and right; 0 at the frame's
            edges.
    """

    top: int
    left: int
    height: int
    width: int
    fades: Tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width, pixels."""
        return self.height, self.width

    @property
    def is_whole(self) -> bool:
        """It has no neighbours."""
        return not any(self.fades)

    def of(self, planes: Tensor) -> Tensor:
        """Its part of planes (..., H, W): a view (..., height, width)."""
        return planes[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def weight(self, device: torch.device) -> Tensor:
        """(height, width) float32 in 0..1: its share of every pixel. Over the tiles of a frame the shares sum to 1."""
        above, below, left, right = self.fades
        return _share(self.height, above, below, device)[:, None] * _share(self.width, left, right, device)


def tiles(size: Tuple[int, int], frames: int, side: int = 0) -> Tuple[Tile, ...]:
    """The tiles of frames of ``size`` (height, width), row by row; a single one that is the frame where it suffices.

    Args:
        size: of the frames, pixels.
        frames: that are fitted together.
        side: of a tile, pixels, the overlap included; 0 takes tiles as large as :data:`POINTS` allows. It depends on
            the clip alone, never on the machine: a frame looks the same everywhere.
    """
    height, width = size
    if not side:
        if height * width * frames <= POINTS:
            return (Tile(0, 0, height, width),)
        side = max(LEAST, math.isqrt(POINTS // frames))
    overlap = min(OVERLAP, side // 3)
    rows, columns = _spans(height, side, overlap), _spans(width, side, overlap)
    return tuple(
        Tile(top, left, bottom - top, right - left, (above, below, before, after))
        for top, bottom, above, below in rows
        for left, right, before, after in columns
    )


def _spans(length: int, side: int, overlap: int) -> List[Tuple[int, int, int, int]]:
    """Begin, end, and what is shared with the one before and the one after, of about equal parts of a side."""
    parts = max(1, math.ceil((length - overlap) / (side - overlap)))
    # Only so far apart that each is as long as is allowed, or shorter.
    begins = [(length - overlap) * part // parts for part in range(parts)]
    ends = [*(begin + overlap for begin in begins[1:]), length]
    last = parts - 1
    return [
        (begin, end, overlap if part else 0, overlap if part < last else 0)
        for part, (begin, end) in enumerate(zip(begins, ends))
    ]


def _share(length: int, before: int, after: int, device: torch.device) -> Tensor:
    """(length,) from 0 to 1 over the first pixels and back over the last, smoothly: both slopes sum to 1."""
    found = torch.ones(length, device=device)
    for count, at_end in ((before, False), (after, True)):
        if count:
            slope = _slope(count).to(device)
            if at_end:
                found[length - count :] = 1 - slope
            else:
                found[:count] = slope
    return found


def _slope(count: int) -> Tensor:
    """(count,) from 0 to 1, level at both ends."""
    place = (torch.arange(count) + 0.5) / count
    return place.square() * (3 - 2 * place)
