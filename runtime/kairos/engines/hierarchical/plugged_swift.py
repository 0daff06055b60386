"""Hierarchical motion for ``swift``, which finds the motion between frames before it asks for a time.

It stands where cells are 16 pixels of the frame wide: level 0 of the coarse features where motion is found at half
size, level 1 at full size. Before the decoder looks around there, regions tell how an object moves as a whole (HIR-L),
and the window around the motion so far is compared once more with what is known of regions (HIR-S). What comes of that
is added to the motion so far, and takes the prior's place as far as it is thought better, object by object up to their
outlines; in use, only where both ends of it look more alike (:mod:`kairos.engines.hierarchical.proving`). The last
layer begins at 0. As nothing depends on a time, nothing is done for more in-betweens.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from kairos.engines.blocks import channels_last, conv_prelu
from kairos.engines.convolutions import Conv
from kairos.engines.fetching import warp
from kairos.engines.hierarchical.attention import attend_near
from kairos.engines.hierarchical.blocks import FAR, PARTS, Compared, Met, Regional, Settings
from kairos.engines.hierarchical.proving import borne_out, unlike
from kairos.engines.layout import beside
from kairos.engines.swift.motion import COARSE, Features, Step, in_cells
from kairos.motion import fast

CELL = 16
"""Pixels of the frame that a cell is wide."""

_INPUTS = 48
"""Channels of the coarse features."""

_APART, _ANOTHER = 1e-3, 1e-6
"""Weights of a cell that lies a whole cell from a pixel, and of one that shows another object."""

Labels = Tuple[Tensor, Tensor]
"""Label maps of both frames, or at cells and at pixels."""


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
        # Besides the motion so far: the prior, and what HIR-L and HIR-S find.
        self._guesses = 1 + int(self.hir_l is not None) + int(self.hir_s is not None)
        inner = 2 * width + 3 * (1 + self._guesses) + 1
        self.inter = nn.Sequential(conv_prelu(inner, width), conv_prelu(width, width))
        self.last = Conv(width, 3 + self._guesses, 3, 1, 1)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        channels_last(self)

    def step(
        self,
        first: Features,
        second: Features,
        scale: float = 1.0,
        labels: Optional[Labels] = None,
        outlines: Optional[Labels] = None,
    ) -> Step:
        """What :class:`kairos.engines.swift.motion.Motion` takes as its ``step``.

        Args:
            first, second: of both frames.
            scale: part of the frame's size at which motion is found.
            labels: label maps (B, h, w) of both frames at the cells of the level (:func:`level_of`); None: all is one
                region.
            outlines: label maps (B, H, W) of both frames at the pixels of the prior, by which what is found in cells
                is told to pixels; None: smoothly.

        Raises:
            BadRequest: a label map has another size.
        """
        level = level_of(scale, len(first.coarse))
        met = self.meet(first.coarse[level], second.coarse[level], *(labels or (None, None)))
        around = None if labels is None or outlines is None else (torch.cat(labels), torch.cat(outlines))
        looks = torch.cat([first.coarse[level], second.coarse[level]])
        return Step(level, lambda flow, prior: self.bettered(met, flow, prior, COARSE << level, around, looks))

    def meet(self, first: Tensor, second: Tensor, labels0: Optional[Tensor], labels1: Optional[Tensor]) -> Met:
        """What is known of a pair; arguments and errors are those of :meth:`paired`."""
        planes, motion = self.paired(first, second, labels0, labels1)
        keys, values = (None, None) if self.hir_s is None else self.hir_s(planes)
        return Met(planes, motion, keys, values)

    def bettered(
        self,
        met: Met,
        flow: Tensor,
        prior: Optional[Tensor],
        stride: int,
        around: Optional[Labels] = None,
        looks: Optional[Tensor] = None,
    ) -> Tuple[Tensor, Optional[Tensor]]:
        """Motion and prior with what regions tell; unchanged to the bit until it is trained.

        Args:
            met: of the pair.
            flow: (2B, 2, h, w) cells, the motion so far, there stacked on back.
            prior: (2B, 2, H, W) pixels, or None.
            stride: pixels of the prior that a cell is wide.
            around: label maps (2B, h, w) and (2B, H, W) of both frames.
            looks: (2B, C, h, w) features of both frames by which it has to prove itself; None: all of it is taken, as
                it is in training.
        """
        near = flow if prior is None else told_to_cells(prior, stride, (flow.shape[-2], flow.shape[-1]))
        change, share = self._told(met, flow, near, prior is not None)
        told = flow + change
        if looks is not None:
            proved = borne_out(looks, told, (flow, near))
            flow, share = flow + proved * change, proved * share
        else:
            flow = told
        if prior is None:
            return flow, None
        return flow, mixed(prior, torch.cat([told * stride, share], 1), stride, around)

    def _told(self, met: Met, flow: Tensor, near: Tensor, is_known: bool) -> Tuple[Tensor, Tensor]:
        """(2B, 2, h, w) cells to add to the motion so far, and (2B, 1, h, w), how much the prior gives way to it."""
        half, own = len(flow) // 2, met.features
        guesses = [near]
        if met.motion is not None:
            guesses.append(met.motion)
        if met.keys is not None and met.values is not None:
            found = attend_near(met.keys, met.keys.roll(half, 0), met.values.roll(half, 0), flow)
            guesses.append(flow + found.offset)
            seen = [met.values, found.values.to(own.dtype)]
        else:
            seen = [own, warp(own.roll(half, 0), flow)]
        flows = torch.stack([flow, *guesses])
        ways, known = flows[1:] - flow, torch.full_like(flow[:, :1], float(is_known))
        told = torch.cat([flow / FAR, *(ways / FAR), known, *unlike(own, flows)], 1).to(own.dtype)
        # All of a cell in a row, as what it is put beside is.
        told = told.contiguous(memory_format=torch.channels_last)
        answer: Tensor = self.last(self.inter(beside([*seen, told]))).float().contiguous()
        change = answer[:, :2]
        for number, way in enumerate(ways):
            # A gate lets as much of a guess in as has been learned.
            change = change + answer[:, 3 + number : 4 + number] * way
        return change, torch.tanh(answer[:, 2:3])


def told_to_cells(prior: Tensor, stride: int, size: Tuple[int, int]) -> Tensor:
    """What :func:`kairos.engines.swift.motion.in_cells` answers."""
    kernels = fast.compiled("kairos.engines.hierarchical.pixel_kernels") if fast.usable(prior) else None
    if kernels is None:
        return in_cells(prior, stride, size)
    out = torch.empty(*prior.shape[:2], *size)
    for planes, answer in zip(prior, out):
        work = partial(kernels.mean_rows, fast.array(planes), stride, answer.numpy())
        fast.in_bands(work, size[0], size[1] * stride**2)
    return out


def told_to_pixels(planes: Tensor, size: Tuple[int, int], stride: int, around: Optional[Labels] = None) -> Tensor:
    """Planes of cells (B, C, h, w) at the pixels (B, C, H, W): interpolated, among cells of the pixel's own label.

    Args:
        planes: float32.
        size: H and W; the cells cover it, and may reach beyond it.
        stride: pixels that a cell is wide.
        around: label maps (B, h, w) and (B, H, W); None: all have the same. A pixel with no cell of its own around it
            takes what is nearest.
    """
    rows, columns = planes.shape[-2:]
    kernels = fast.compiled("kairos.engines.hierarchical.pixel_kernels") if fast.usable(planes) else None
    if kernels is not None:
        return _compiled(kernels, planes, size, stride, around, None)
    y, x = (((torch.arange(side, device=planes.device) + 0.5) / stride - 0.5) for side in size)
    if around is None:
        around = torch.zeros(1, rows, columns, device=planes.device), torch.zeros(1, *size, device=planes.device)
    total, weights = torch.zeros_like(planes[:1, :1, :1, :1]), torch.zeros_like(planes[:1, :1, :1, :1])
    for down in (0, 1):
        for across in (0, 1):
            row, column = y.floor() + down, x.floor() + across
            # Even the cell that has no share of a pixel has a little, for where no other is of its own label.
            near = ((1 - (y - row).abs())[:, None] * (1 - (x - column).abs())).clamp(min=_APART)
            here = row.clamp(0, rows - 1).long()[:, None], column.clamp(0, columns - 1).long()
            same = (around[0][:, here[0], here[1]] == around[1])[:, None]
            weight = near * torch.where(same, 1.0, _ANOTHER)
            total, weights = total + planes[:, :, here[0], here[1]] * weight, weights + weight
    return total / weights


def mixed(prior: Tensor, planes: Tensor, stride: int, around: Optional[Labels] = None) -> Tensor:
    """A prior (B, C, H, W) mixed with planes of cells (B, C + 1, h, w), the last of which is their share.

    The others are told to pixels as :func:`told_to_pixels` does, and so is the share.
    """
    size = prior.shape[-2], prior.shape[-1]
    kernels = fast.compiled("kairos.engines.hierarchical.pixel_kernels") if fast.usable(prior, planes) else None
    if kernels is not None:
        return _compiled(kernels, planes, size, stride, around, prior)
    grown = told_to_pixels(planes, size, stride, around)
    return torch.lerp(prior, grown[:, :-1], grown[:, -1:])


def _compiled(
    kernels: ModuleType,
    planes: Tensor,
    size: Tuple[int, int],
    stride: int,
    around: Optional[Labels],
    prior: Optional[Tensor],
) -> Tensor:
    prior = planes.new_empty(len(planes), 0, *size) if prior is None else prior
    out = torch.empty(len(planes), prior.shape[1] or planes.shape[1], *size)
    if around is None:
        # One map of either kind serves the whole batch.
        one = torch.zeros(1, *planes.shape[-2:], dtype=torch.int16), torch.zeros(1, *size, dtype=torch.int16)
        around = one[0].expand(len(planes), -1, -1), one[1].expand(len(planes), -1, -1)
    numbers = [np.float32(each) for each in (stride, _APART, _ANOTHER)]
    for some, cells, pixels, before, answer in zip(planes, *around, prior, out):
        labels = [each.to(torch.int16).contiguous().numpy() for each in (cells, pixels)]
        work = partial(kernels.told_rows, fast.array(some), *labels, *numbers, fast.array(before), answer.numpy())
        fast.in_bands(work, *size)
    return out
