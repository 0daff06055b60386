"""What adaptation learns from: windows of the evidence about times between frames, small enough to keep many."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic.midway import Moment
from kairos.engines.swift.meeting import Told
from kairos.engines.swift.network import Meeting
from kairos.motion.inbetween import Inbetween

_MARGIN = 16
"""Pixels around what a window's motion fetches."""


class Example(NamedTuple):
    """A window of one time between two frames, and the truth there."""

    told: Told
    sources: Tuple[Tensor, Tensor]
    """(3, h, w) what of both frames the window's motion can reach."""
    corners: Tuple[Tuple[int, int], Tuple[int, int]]
    """x and y of the window's corner in either source's pixels."""
    truth: Tensor
    """(3, S, S)."""
    hidden: Optional[Tensor]
    """(2, S, S) true occlusion, where it is known."""


def window(
    told: Told,
    frames: Tuple[Tensor, Tensor],
    truth: Tensor,
    hidden: Optional[Tensor],
    corner: Tuple[int, int],
    size: int,
) -> Example:
    """A square part of what is told.

    Args:
        told: about a time between two frames.
        frames: (3, H, W) both.
        truth: (3, H, W) the frame at that time.
        hidden: (2, H, W) true occlusion in either frame, or None.
        corner: y and x, multiples of :data:`MULTIPLE`.
        size: side, another.
    """
    top, left = corner
    rows, columns = slice(top, top + size), slice(left, left + size)
    small = tuple(slice(each.start // Meeting.SCALE, each.stop // Meeting.SCALE) for each in (rows, columns))

    def part(planes: Tensor) -> Tensor:
        # A copy that autograd may keep, also of what was computed without it.
        return planes[..., rows, columns].clone()

    here = told.here
    here = Moment(here.time, *map(part, (here.velocity, here.trust, here.top, here.quiet, here.seen0, here.seen1)))
    to_0, to_1 = part(told.to_0), part(told.to_1)
    known = told.known[..., small[0], small[1]].clone()
    sources, corners = [], []
    for frame, flow in zip(frames, (to_0, to_1)):
        (low, high), (first, last) = (
            _reach(flow[axis], start, frame.shape[2 - axis], axis) for axis, start in ((1, top), (0, left))
        )
        sources.append(frame[:, low:high, first:last].clone())
        corners.append((left - first, top - low))
    return Example(
        Told(here, to_0, to_1, part(told.hidden), part(told.moved), known),
        (sources[0], sources[1]),
        (corners[0], corners[1]),
        part(truth),
        None if hidden is None else part(hidden),
    )


def picture_of(example: Example, answer: Inbetween) -> Tensor:
    """(3, S, S): what composition makes of an answer, so that gradients pass."""
    pairs = zip(example.sources, example.corners, (answer.flow_to_0, answer.flow_to_1))
    moved0, moved1 = (_cubic(source, corner, flow) for source, corner, flow in pairs)
    picture = torch.lerp(moved1, moved0, answer.blend)
    if answer.residual is None:
        return picture
    return picture + torch.minimum(answer.occlusion_0, answer.occlusion_1) * answer.residual


def _reach(flow: Tensor, start: int, side: int, axis: int) -> Tuple[int, int]:
    """First and one past the last of a source's rows or columns that a window's motion may fetch."""
    along = torch.arange(flow.shape[1 - axis], device=flow.device) + start
    place = flow + (along[:, None] if axis else along)
    low = min(max(0, math.floor(float(place.min())) - _MARGIN), side - 1)
    return low, max(low + 1, min(side, math.ceil(float(place.max())) + _MARGIN + 1))


def _cubic(source: Tensor, corner: Tuple[int, int], flow: Tensor) -> Tensor:
    height, width = source.shape[-2:]
    rows, columns = flow.shape[-2:]
    x = torch.arange(columns, device=flow.device) + corner[0] + flow[0]
    y = (torch.arange(rows, device=flow.device) + corner[1])[:, None] + flow[1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)[None]
    return F.grid_sample(source[None], grid, "bicubic", "border", align_corners=False)[0]
