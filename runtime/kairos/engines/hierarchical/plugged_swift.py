"""Hierarchical motion for ``swift``, which finds the motion between frames before it asks for a time.

It stands where cells are 16 pixels of the frame wide: level 0 of the coarse features where motion is found at half
size, level 1 at full size. Before the decoder looks around there, regions tell how an object moves as a whole (HIR-L),
and the window around the motion so far is compared once more with what is known of regions (HIR-S). What comes of that
is added to the motion so far; the last layer begins at 0. As it does not depend on a time, nothing is done for more
in-betweens.
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from kairos.engines.blocks import Conv, beside, channels_last, conv_prelu
from kairos.engines.fetching import warp
from kairos.engines.hierarchical.attention import attend_near
from kairos.engines.hierarchical.blocks import FAR, PARTS, Compared, Met, Regional, Settings
from kairos.engines.swift.motion import COARSE, Features, Step

CELL = 16
"""Pixels of the frame that a cell is wide."""

_INPUTS = 48
"""Channels of the coarse features."""


def level_of(scale: float, levels: int) -> int:
    """At which of so many coarse levels cells are :data:`CELL` pixels wide, or come nearest to it.

    Args:
        scale: part of the frame's size at which motion is found.
        levels: that the picture is looked at in.
    """
    level = 0
    while level + 1 < levels and COARSE << level < CELL * scale:
        level += 1
    return level


class SwiftHierarchy(Regional):
    """The hierarchy between two frames.

    Args:
        parts: of :data:`kairos.engines.hierarchical.blocks.PARTS`.
        width: channels that it works in.
    """

    def __init__(self, parts: Tuple[str, ...] = PARTS, width: int = _INPUTS) -> None:
        super().__init__(Settings(_INPUTS, width, parts=parts))
        self.hir_s = Compared(width) if "hir_s" in parts else None
        self._guesses = int(self.hir_l is not None) + int(self.hir_s is not None)
        inner = 2 * width + 2 * (1 + self._guesses)
        self.inter = nn.Sequential(conv_prelu(inner, width), conv_prelu(width, width))
        self.last = Conv(width, 2 + self._guesses, 3, 1, 1)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        channels_last(self)

    def step(
        self,
        first: Features,
        second: Features,
        scale: float = 1.0,
        labels: Optional[Tuple[Tensor, Tensor]] = None,
    ) -> Step:
        """What :class:`kairos.engines.swift.motion.Motion` takes as its ``step``.

        Args:
            first, second: of both frames.
            scale: part of the frame's size at which motion is found.
            labels: label maps (B, h, w) of both frames at the cells of the level (:func:`level_of`); None: all is one
                region.

        Raises:
            BadRequest: a label map has another size.
        """
        level = level_of(scale, len(first.coarse))
        met = self.meet(first.coarse[level], second.coarse[level], *(labels or (None, None)))
        return Step(level, lambda flow: flow + self.addition(met, flow))

    def meet(self, first: Tensor, second: Tensor, labels0: Optional[Tensor], labels1: Optional[Tensor]) -> Met:
        """What is known of a pair; arguments and errors are those of :meth:`paired`."""
        planes, motion = self.paired(first, second, labels0, labels1)
        keys, values = (None, None) if self.hir_s is None else self.hir_s(planes)
        return Met(planes, motion, keys, values)

    def addition(self, met: Met, flow: Tensor) -> Tensor:
        """(2B, 2, h, w) cells to add to the motion so far, there stacked on back; 0 until it is trained."""
        half = len(flow) // 2
        own, other = met.features, met.features.roll(half, 0)
        ways = [] if met.motion is None else [met.motion - flow]
        if met.keys is not None and met.values is not None:
            near = attend_near(met.keys, met.keys.roll(half, 0), met.values.roll(half, 0), flow)
            own, other = met.values, near.values.to(own.dtype)
            ways.append(near.offset)
        else:
            other = warp(other, flow)
        told = torch.cat([flow, *ways], 1) / FAR
        found: Tensor = self.last(self.inter(beside([own, other, told.to(own.dtype)]))).float()
        change = found[:, :2]
        for number, way in enumerate(ways):
            # A gate lets as much of what was matched in as has been learned.
            change = change + found[:, 2 + number : 3 + number] * way
        return change
