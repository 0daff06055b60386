"""From what a published network finds to an engine's full answer: weights, occlusion, confidence, still ground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.motion.fill import fill_holes
from kairos.motion.inbetween import Inbetween
from kairos.motion.splat import splat
from kairos.motion.warp import backward_warp

_STILL_SPEED = 0.75
"""Pixels by which a network may err on ground that both frames share and still leave it where it is."""

_LIKE = 0.02
"""Difference of a fetched source and the network's own picture, proxy units, over which the source counts for less."""

_DOUBT, _DOUBT_RANGE = 0.04, 0.12
"""Difference of both fetched sources, proxy units, from which on neither is trusted, and over which that grows."""

_SLACK, _SHARE = 0.5, 0.05
"""Disagreement of both halves of a path that is let pass: pixels, and part of its length."""

_REACHED = 0.25
"""Part of a pixel that must arrive for its motion to count."""


@dataclass(frozen=True)
class Finding:
    """What a network says about one time, of the frame's size, (C, H, W) float32.

    Attributes:
        flow_to_0, flow_to_1: (2, H, W) pixels.
        image: (3, H, W), the network's own picture, not clamped; None where it has been left behind.
        mask: (1, H, W) in 0..1, weight of source 0; None where the network gives none.
        residual: (3, H, W) beyond the blend of both; None where the network gives none.
    """

    flow_to_0: Tensor
    flow_to_1: Tensor
    image: Optional[Tensor] = None
    mask: Optional[Tensor] = None
    residual: Optional[Tensor] = None


def answered(
    found: Finding,
    proxy0: Tensor,
    proxy1: Tensor,
    still: Tensor,
    time: float,
    paints: bool,
    bent: Optional[Tuple[Tensor, Tensor]] = None,
) -> Inbetween:
    """The in-between at a time strictly between 0 and 1.

    Args:
        found: by the network.
        proxy0, proxy1: (3, H, W), what it saw.
        still: (1, H, W) bool, ground that both frames share.
        time: 0..1.
        paints: the network's picture is the answer; else its residual is, where neither source is trusted.
        bent: (2, H, W) pixels each, the flows to both sources in place of the network's. Whether ground stands still,
            and how far motion is to be trusted, its own tell still.
    """
    quiet = still & (_length(found.flow_to_0) < _STILL_SPEED) & (_length(found.flow_to_1) < _STILL_SPEED)
    to_0, to_1 = (torch.where(quiet, 0.0, flow) for flow in bent or (found.flow_to_0, found.flow_to_1))
    fetched0, fetched1 = backward_warp(proxy0, to_0), backward_warp(proxy1, to_1)
    mask = found.mask if found.mask is not None else _resemblance(found.image, fetched0, fetched1, time)
    inside0, inside1 = _inside(to_0), _inside(to_1)
    weight0, weight1 = mask.clamp(0, 1) * inside0, (1 - mask).clamp(0, 1) * inside1
    seen = weight0 + weight1
    blend = torch.where(seen > 1e-6, weight0 / seen.clamp(min=1e-6), mask.clamp(0, 1))
    # A network that takes less of a source than its nearness in time would give sees it hidden.
    hidden0, hidden1 = (1 - blend / (1 - time)).clamp(0, 1), (1 - (1 - blend) / time).clamp(0, 1)
    differ = (fetched0 - fetched1).abs().mean(0, keepdim=True)
    undecided = torch.minimum(blend / (1 - time), (1 - blend) / time).clamp(0, 1)
    doubt = ((differ - _DOUBT) / _DOUBT_RANGE).clamp(0, 1) * undecided
    nowhere = 1 - torch.maximum(inside0, inside1)
    hidden0, hidden1 = (
        torch.where(quiet, 0.0, torch.maximum(torch.maximum(hidden, doubt), torch.maximum(1 - inside, nowhere)))
        for hidden, inside in ((hidden0, inside0), (hidden1, inside1))
    )
    residual = found.residual
    if residual is None and found.image is not None and not paints:
        residual = found.image - torch.lerp(fetched1, fetched0, blend)
    sure = _confidence(found.flow_to_0, found.flow_to_1, time)
    return Inbetween(
        time=time,
        flow_to_0=to_0,
        flow_to_1=to_1,
        blend=blend,
        occlusion_0=hidden0,
        occlusion_1=hidden1,
        confidence=torch.where(quiet, 1.0, sure * (1 - torch.minimum(hidden0, hidden1))),
        residual=None if paints else residual,
        image=found.image if paints else None,
    )


def nothing_moves(size: Tuple[int, int], time: float, device: torch.device) -> Inbetween:
    """Between a frame and itself: every source pixel stays as it is."""
    flow = torch.zeros(2, *size, device=device)
    plane = torch.zeros(1, *size, device=device)
    return Inbetween(time, flow, flow, plane + (1 - time), plane, plane, plane + 1)


def at_source(found: Finding, middle: float, time: float, still: Tensor) -> Inbetween:
    """The motion from source 0's own pixels (``time`` 0) or source 1's (``time`` 1), from what holds in between.

    What is found at ``middle`` is carried to the source; where nothing arrives its surroundings tell.
    """
    there, back = (found.flow_to_0, found.flow_to_1) if time == 0 else (found.flow_to_1, found.flow_to_0)
    carried, arrived = splat(back - there, there)
    motion = fill_holes(carried, arrived >= _REACHED)
    quiet = still & (_length(motion) < 2 * _STILL_SPEED)
    motion = torch.where(quiet, 0.0, motion)
    gone = torch.where(quiet, 0.0, 1 - torch.minimum(arrived.clamp(0, 1), _inside(motion)))
    sure = _confidence(found.flow_to_0, found.flow_to_1, middle)
    sure = torch.where(quiet, 1.0, splat(sure, there)[0].clamp(0, 1) * (1 - gone))
    zero, here = torch.zeros_like(motion), torch.zeros_like(gone)
    if time == 0:
        return Inbetween(0.0, zero, motion, here + 1, here, gone, sure)
    return Inbetween(1.0, motion, zero, here, gone, here, sure)


def carried_on(found: Finding, start: float, time: float) -> Finding:
    """What was found at one time, carried to another along its own motion."""
    speed0, speed1 = -found.flow_to_0 / start, found.flow_to_1 / (1 - start)
    way = (time - start) * torch.lerp(speed0, speed1, start)
    values = [found.flow_to_0 - way, found.flow_to_1 - way]
    if found.mask is not None:
        values.append(found.mask)
    carried, arrived = splat(torch.cat(values), way)
    filled = fill_holes(carried, arrived >= _REACHED)
    return Finding(filled[:2], filled[2:4], mask=filled[4:] if found.mask is not None else None)


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(0, keepdim=True).sqrt()


def _inside(flow: Tensor) -> Tensor:
    """(1, H, W), 1 where a vector ends inside the frame, else 0."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[1]
    return ((x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5))[None].float()


def _confidence(to_0: Tensor, to_1: Tensor, time: float) -> Tensor:
    """(1, H, W): 1 where both halves of the path go on straight, 1/e where they differ by what is let pass."""
    off = _length((1 - time) * to_0 + time * to_1)
    allowed = _SLACK + _SHARE * _length(to_1 - to_0)
    return torch.exp(-(off / allowed).square())


def _resemblance(image: Optional[Tensor], fetched0: Tensor, fetched1: Tensor, time: float) -> Tensor:
    """(1, H, W), weight of source 0 by what the network painted: the more a source is like it, the more it counts."""
    if image is None:
        return torch.full_like(fetched0[:1], 1 - time)
    off = [(fetched - image).abs().mean(0, keepdim=True) for fetched in (fetched0, fetched1)]
    off0, off1 = (F.avg_pool2d(each[None], 5, 1, 2, count_include_pad=False)[0] for each in off)
    # The lesser of both errors is the painter's own blur, which says nothing about either source.
    base = torch.minimum(off0, off1)
    near0, near1 = ((1 - time) * torch.exp(-(off0 - base) / _LIKE), time * torch.exp(-(off1 - base) / _LIKE))
    return near0 / (near0 + near1)
