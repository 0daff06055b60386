"""The part of the frame that a layer can be seen in between two frames: elsewhere nothing need be worked out of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Optional, Sequence, Tuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

_MARGIN = 8
"""Pixels around a layer that are looked at with it."""

_MOST = 0.7
"""Part of the frame over which cutting saves nothing."""

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Reach:
    """Rows and columns of a frame.

    Attributes:
        top, left: of its first pixel.
        bottom, right: one behind its last.
        size: height and width of the frame, pixels.
    """

    top: int
    bottom: int
    left: int
    right: int
    size: Tuple[int, int]

    def cut(self, planes: Tensor) -> Tensor:
        """Planes (..., H, W) here, of their own memory."""
        return planes[..., self.top : self.bottom, self.left : self.right].contiguous()

    def placed(self, part: Tensor) -> Tensor:
        """Planes of this part in a frame that is 0 elsewhere."""
        height, width = self.size
        return F.pad(part, (self.left, width - self.right, self.top, height - self.bottom))

    def within(self, whole: Kind) -> Kind:
        """A dataclass with all its tensors cut; what is no tensor stays."""
        some: Any = whole
        tensors = {each.name: getattr(some, each.name) for each in fields(some)}
        cut = {name: self.cut(value) for name, value in tensors.items() if isinstance(value, Tensor)}
        changed: Kind = replace(some, **cut)
        return changed


def reaches(shares: Sequence[Tuple[Tensor, Tensor]]) -> Tuple[Optional[Reach], ...]:
    """For each layer where it can be seen between both frames, on straight paths; None: everywhere, or nearly.

    A layer that is alone is not looked at.

    Args:
        shares: of every layer, (1, H, W) each: how much of either frame's pixels is its.
    """
    return (None,) if len(shares) == 1 else tuple(reach_of(*each) for each in shares)


def reach_of(share0: Tensor, share1: Tensor) -> Optional[Reach]:
    """Where these pixels (1, H, W) of both frames can be seen between them; None: everywhere, or nearly."""
    shows = (share0 > 0) | (share1 > 0)
    height, width = shows.shape[-2:]
    sides = []
    for axis, length in ((-1, height), (-2, width)):
        places = shows[0].any(axis).nonzero()
        if not len(places):
            return None
        first, last = (int(each) for each in torch.cat([places[0], places[-1]]))
        sides.append((max(0, first - _MARGIN), min(length, last + 1 + _MARGIN)))
    (top, bottom), (left, right) = sides
    if (bottom - top) * (right - left) > _MOST * height * width:
        return None
    return Reach(top, bottom, left, right, (height, width))
