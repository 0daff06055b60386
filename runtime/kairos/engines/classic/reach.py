"""The part of the frame that a layer can be seen in between two frames: elsewhere nothing need be worked out of it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from types import ModuleType
from typing import Any, Callable, List, Optional, Sequence, Tuple, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic import counted
from kairos.engines.classic.counted import Ends
from kairos.motion import fast

_MARGIN = 8
"""Pixels around a layer that are looked at with it."""

_MOST = 0.7
"""Part of the frame over which cutting saves nothing."""

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Reach:
    """Rows and columns of a frame.

    Attributes:
        top, left: of its first pixel; even, so that half the part is a part of half the frame.
        bottom, right: one behind its last.
        size: height and width of the frame, pixels.
    """

    top: int
    bottom: int
    left: int
    right: int
    size: Tuple[int, int]

    def cut(self, planes: Tensor) -> Tensor:
        """Planes (..., H, W) here, one row of theirs behind the other."""
        return self.of(planes).contiguous()

    def of(self, planes: Tensor) -> Tensor:
        """Planes (..., H, W) here, where they are."""
        return planes[..., self.top : self.bottom, self.left : self.right]

    def placed(self, part: Tensor) -> Tensor:
        """Planes of this part in a frame that is 0 elsewhere."""
        height, width = self.size
        return F.pad(part, (self.left, width - self.right, self.top, height - self.bottom))

    def within(self, whole: Kind) -> Kind:
        """A dataclass with all its tensors cut to this part."""
        return _changed(whole, self.cut)

    def over(self, whole: Kind) -> Kind:
        """The same, where they are."""
        return _changed(whole, self.of)

    def around(self, part: Kind) -> Kind:
        """A dataclass with all its tensors, of this part, in a frame that is 0 elsewhere."""
        return _changed(part, self.placed)

    def halved(self) -> Reach:
        """The same part of a frame of half the size, rounded up."""
        height, width = ((side + 1) // 2 for side in self.size)
        return Reach(self.top // 2, (self.bottom + 1) // 2, self.left // 2, (self.right + 1) // 2, (height, width))


def _changed(whole: Kind, work: Callable[[Tensor], Tensor]) -> Kind:
    """A dataclass with all its tensors changed; what is no tensor stays."""
    some: Any = whole
    tensors = {each.name: getattr(some, each.name) for each in fields(some)}
    changed: Kind = replace(some, **{name: work(value) for name, value in tensors.items() if isinstance(value, Tensor)})
    return changed


@dataclass(frozen=True)
class Front:
    """What lies in front of a layer, in the part of the frame in which that can be seen, (1, h, w) each.

    Attributes:
        above0, above1: how much of source 0's and source 1's pixels belongs to layers in front of it.
        clear0, clear1: how much is its own and shows it cleanly: not within a pixel of what is in front.
    """

    above0: Tensor
    above1: Tensor
    clear0: Tensor
    clear1: Tensor


def fronts(shares: Sequence[Tuple[Tensor, Tensor]], seen: Sequence[Optional[Reach]]) -> Tuple[Optional[Front], ...]:
    """For every layer what lies in front of it; None for a layer that is alone.

    Args:
        shares: of every layer, furthest first, (1, h, w) each: how much of either frame's pixels is its, where it can
            be seen.
        seen: where that is.
    """
    if len(shares) == 1:
        return (None,)
    size = shares[0][0].shape[-2:] if seen[0] is None else seen[0].size
    above = shares[0][0].new_zeros(1, *size), shares[0][1].new_zeros(1, *size)
    found: List[Front] = []
    kernels = _kernels() if fast.usable(*(plane for own in shares for plane in own)) else None
    for own, reach in zip(shares[::-1], seen[::-1]):
        if kernels is not None:
            found.append(_front_in_one_go(kernels, own, above, reach))
            continue
        found.append(_front(own, above, reach))
        for plane, share in zip(above, own):
            # Elsewhere nothing of the layer is.
            here = plane if reach is None else reach.of(plane)
            here.add_(share).clamp_(max=1)
    return tuple(found[::-1])


def _front_in_one_go(
    kernels: ModuleType, shares: Tuple[Tensor, Tensor], above: Tuple[Tensor, Tensor], reach: Optional[Reach]
) -> Front:
    """What lies in front of a layer by compiled kernels; the layer is added to what lies above those behind it."""
    size = shares[0].shape[-2:]
    box = np.array((0, 0) if reach is None else (reach.top, reach.left), np.int64)
    planes: List[List[Tensor]] = []
    for share, over in zip(map(fast.array, shares), above):
        own = [torch.empty(1, *size), torch.empty(1, *size)]
        before, clear = (each.numpy() for each in own)
        fast.in_bands(partial(kernels.above_rows, share, over.numpy(), box, before), *size)
        fast.in_bands(partial(kernels.clear_rows, share, before, clear), *size)
        planes.append(own)
    return Front(planes[0][0], planes[1][0], planes[0][1], planes[1][1])


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.front_kernels")


def in_front(shares: Sequence[Tuple[Tensor, Tensor]]) -> List[Tuple[Tensor, Tensor]]:
    """For every layer, (1, H, W) each, how much of source 0's and source 1's pixels belongs to layers in front of it.

    Args:
        shares: of every layer, furthest first, (1, H, W) each.
    """
    above0, above1 = (torch.zeros_like(share) for share in shares[0])
    found: List[Tuple[Tensor, Tensor]] = []
    for share0, share1 in reversed(shares):
        found.append((above0, above1))
        above0, above1 = (above0 + share0).clamp(max=1), (above1 + share1).clamp(max=1)
    return found[::-1]


def _front(shares: Tuple[Tensor, Tensor], above: Tuple[Tensor, Tensor], reach: Optional[Reach]) -> Front:
    # What is above goes on growing: of memory of their own.
    front = [
        (plane if reach is None else reach.of(plane)).clone(memory_format=torch.contiguous_format) for plane in above
    ]
    clear0, clear1 = (share * (1 - _greatest(over)) for share, over in zip(shares, front))
    return Front(front[0], front[1], clear0, clear1)


def _greatest(planes: Tensor) -> Tensor:
    """The greatest of planes (1, H, W) over 3 by 3 pixels."""
    if planes.device.type == "cpu":
        return torch.from_numpy(cv2.dilate(planes[0].numpy(), np.ones((3, 3), np.uint8)))[None]
    return F.max_pool2d(planes[None], 3, 1, 1)[0]


def reach_of(share0: Tensor, share1: Tensor) -> Optional[Reach]:
    """Where these pixels (1, H, W) of both frames can be seen between them, on straight paths; None: everywhere, or
    nearly.
    """
    ends = ends_of(share0, share1)
    return None if ends is None else reach_around(ends, (share0.shape[-2], share0.shape[-1]))


def reach_around(ends: Ends, size: Tuple[int, int]) -> Optional[Reach]:
    """The same for pixels between these rows and columns (first and the one behind the last) of a frame (H, W)."""
    top, bottom, left, right = ends
    height, width = size
    top, left = (max(0, side - _MARGIN) // 2 * 2 for side in (top, left))
    bottom, right = min(height, (bottom + _MARGIN + 1) // 2 * 2), min(width, (right + _MARGIN + 1) // 2 * 2)
    if (bottom - top) * (right - left) > _MOST * height * width:
        return None
    return Reach(top, bottom, left, right, (height, width))


def ends_of(share0: Tensor, share1: Tensor) -> Optional[Ends]:
    """Between which rows and columns all of these pixels (1, H, W) of both frames lie; None for nothing."""
    if counted.usable(share0, share1):
        return counted.shown(share0, share1)
    shows = ((share0 > 0) | (share1 > 0))[0]
    sides: List[int] = []
    for axis in (-1, -2):
        places = shows.any(axis).nonzero()
        if not len(places):
            return None
        first, last = (int(each) for each in torch.cat([places[0], places[-1]]))
        sides += [first, last + 1]
    top, bottom, left, right = sides
    return top, bottom, left, right
