"""What the meeting network is told about one time between two frames, and what becomes of its decision."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic.course import Curve
from kairos.engines.classic.midway import Moment, hidden, moment, strayed, weights
from kairos.engines.classic.motion import Layer, PairMotion
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.network import Decision, Meeting
from kairos.motion.inbetween import Inbetween
from kairos.motion.tiling import half_of, twice
from kairos.motion.warp import backward_warp

SPEED = 32.0
"""Pixels per interval that count as 1."""

WHITE, _FADE = 1.02, 0.1
"""Proxy value over which corrections fade out, and within how much: display white is still corrected."""
_NEAR = 9

SURE = 0.02
"""Visibility is told as a probability between this and its opposite before the network corrects it."""


def halved(motion: PairMotion) -> PairMotion:
    """The same motion on a grid of half the size, in its pixels: fine enough to tell what arrives where."""
    return PairMotion(tuple(layer.halved() for layer in motion.layers), half_of(motion.still.float()) == 1)


def arrival(motion: PairMotion, time: float, height: int, width: int, curve: Optional[Curve] = None) -> Moment:
    """What arrives at a time, at full size.

    Args:
        motion: :func:`halved`.
        time: between 0 and 1.
        height, width: of the frame.
        curve: what tells the paths, on the same grid as the motion.
    """
    return enlarged(small_arrival(motion, time, curve), height, width)


def small_arrival(motion: PairMotion, time: float, curve: Optional[Curve] = None) -> Moment:
    """What arrives at a time, on the grid of the motion and in its pixels; arguments as for :func:`arrival`."""
    here = moment(motion, time, curve)
    # Half a pixel of this grid is one of the frame's.
    return replace(here, away=strayed(here, curve, 0.5))


def enlarged(here: Moment, height: int, width: int) -> Moment:
    """What arrives at full size, from :func:`small_arrival`."""
    bent = [] if here.away is None else [here.away * 2]
    soft = torch.cat([here.velocity * 2, here.trust, here.seen0, here.seen1, *bent])
    soft = twice(soft, height, width)
    quiet, top = (at_full(plane, height, width) for plane in (here.quiet, here.top))
    velocity = torch.where(quiet, 0.0, soft[:2])
    seen0, seen1 = (torch.where(quiet, 1.0, soft[row : row + 1]) for row in (3, 4))
    away = torch.where(quiet, 0.0, soft[5:]) if bent else None
    return Moment(here.time, velocity, soft[2:3], top, quiet, seen0, seen1, away)


def at_full(planes: Tensor, height: int, width: int) -> Tensor:
    """Planes of half the size, in which no number may be mixed with another, at full size."""
    return planes.repeat_interleave(2, 1).repeat_interleave(2, 2)[:, :height, :width]


def evidence(
    here: Moment,
    layer: Layer,
    to_0: Tensor,
    to_1: Tensor,
    first: Tensor,
    second: Tensor,
    fetch: Callable[[Tensor, Tensor], Tensor] = backward_warp,
) -> Tuple[Tensor, Tensor]:
    """Inputs of :class:`kairos.engines.swift.network.Meeting` for one time.

    Args:
        here: what arrives at the time.
        layer: the motion it came from, all layers put together.
        to_0, to_1: (2, H, W) pixels, flows to both sources.
        first, second: (3, H, W) proxies.
        fetch: moves planes along a flow.

    Returns:
        (1, 6, H', W') both proxies moved, and (1, INPUTS, H' / 4, W' / 4), sides padded to MULTIPLE.
    """
    moved = torch.cat([fetch(first, to_0), fetch(second, to_1)])[None]
    seen = torch.cat([here.seen0, here.seen1, here.trust])
    small = F.avg_pool2d(padded(torch.cat([to_0, to_1, seen, here.velocity])[None]), Meeting.SCALE)
    to_0, to_1, seen, velocity = small[:, :2], small[:, 2:4], small[:, 4:7], small[:, 7:]
    none = torch.zeros_like(layer.trust0)
    at_0 = torch.cat([layer.there, none if layer.hidden0 is None else layer.hidden0])
    at_1 = torch.cat([-layer.back, none if layer.hidden1 is None else layer.hidden1])
    fetched0, fetched1 = fetch_small(at_0, to_0), fetch_small(at_1, to_1)
    apart0, apart1 = ((each[:, :2] - velocity).square().sum(1, keepdim=True).sqrt() for each in (fetched0, fetched1))
    known = [
        velocity / SPEED,
        seen,
        torch.zeros_like(seen[:, :1]) + here.time,
        fetched0[:, 2:],
        fetched1[:, 2:],
        torch.log1p(apart0),
        torch.log1p(apart1),
    ]
    return padded(moved), torch.cat(known, 1)


def _calm(moved: Tensor) -> Tensor:
    """(1, 1, H, W) in 0..1: nothing brighter than diffuse white is near."""
    bright = moved.amax(1)
    calm = calm_of(bright)
    return torch.ones_like(bright)[None] if calm is None else calm[None]


def calm_of(bright: Tensor) -> Optional[Tensor]:
    """(1, H, W) in 0..1: nothing brighter than diffuse white is near; None where nothing is anywhere.

    Args:
        bright: (1, H, W), the brightest value at each pixel.
    """
    if not bool((bright > WHITE).any()):
        return None
    if bright.device.type == "cpu" and not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        wide = cv2.dilate(bright[0].numpy(), np.ones((_NEAR, _NEAR), np.uint8))
        return (1.0 - (torch.from_numpy(wide)[None] - WHITE) / _FADE).clamp(0, 1)
    near = bright[None]
    for window, padding in (((_NEAR, 1), (_NEAR // 2, 0)), ((1, _NEAR), (0, _NEAR // 2))):
        near = F.max_pool2d(near, window, 1, padding)
    return (1.0 - (near[0] - WHITE) / _FADE).clamp(0, 1)


def fetch_small(planes: Tensor, flow: Tensor) -> Tensor:
    """Full-size planes (C, H, W), fetched where a flow (1, 2, h, w) of the small grid, in full-size pixels, points."""
    height, width = planes.shape[-2:]
    rows, columns = flow.shape[-2:]
    x = (torch.arange(columns, device=flow.device) + 0.5) * Meeting.SCALE + flow[:, 0]
    y = ((torch.arange(rows, device=flow.device) + 0.5) * Meeting.SCALE)[:, None] + flow[:, 1]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)
    return F.grid_sample(planes[None], grid, "bilinear", "border", align_corners=False)


def padded(planes: Tensor) -> Tensor:
    """Planes (B, C, H, W) with sides a multiple of :data:`MULTIPLE`, border repeated."""
    height, width = planes.shape[-2:]
    if height % MULTIPLE == 0 and width % MULTIPLE == 0:
        return planes
    return F.pad(planes, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")


def told_hidden(layer: Layer, to_0: Tensor, to_1: Tensor) -> Tensor:
    """(2, H, W) in 0..1, hidden in the first and in the second frame as far as the motion network said so of the other
    frame's pixel that comes here.
    """
    if layer.hidden0 is None or layer.hidden1 is None:
        return torch.zeros_like(to_0)
    return torch.cat([backward_warp(layer.hidden1, to_1), backward_warp(layer.hidden0, to_0)])


def base_logits(here: Moment, told: Tensor) -> Tuple[Tensor, Tensor]:
    """What holds without the meeting network: logits of the first frame's weight (1, H, W), and of being hidden in
    either frame (2, H, W).

    Args:
        here: what arrives at the time.
        told: of :func:`told_hidden`.
    """
    weight0, weight1 = weights(here)
    covered = torch.cat([hidden(here.seen0, here.seen1), hidden(here.seen1, here.seen0)])
    covered = torch.maximum(covered, told)
    return (weight0 / weight1).log(), torch.logit(covered.clamp(SURE, 1 - SURE))


class Told(NamedTuple):
    """All that the decision at one time between two frames hangs on."""

    here: Moment
    to_0: Tensor
    to_1: Tensor
    """(2, H, W) pixels, before correction."""
    hidden: Tensor
    """(2, H, W), see :func:`told_hidden`."""
    moved: Tensor
    known: Tensor
    """What the network is told, see :func:`evidence`."""


def decided(told: Told, decision: Decision) -> Inbetween:
    """The in-between at the time.

    Where both frames are the same and nothing passes, nothing moves. Near what is brighter than diffuse white the
    network's corrections fade out: highlights move whole, as measured.
    """
    here, to_0, to_1 = told.here, told.to_0, told.to_1
    height, width = to_0.shape[-2:]
    weight, covered = base_logits(here, told.hidden)
    calm = _calm(told.moved)[0, :, :height, :width] * ~here.quiet
    flows = decision.flows[0, :, :height, :width] * calm
    to_0, to_1 = to_0 + flows[:2], to_1 + flows[2:]
    weight = weight + decision.weight[0, :, :height, :width] * calm
    covered = covered + decision.hidden[0, :, :height, :width]
    residual = decision.residual[0, :, :height, :width]
    occlusion = torch.where(here.quiet, 0.0, torch.sigmoid(covered))
    shown = 1 - occlusion.amin(0, keepdim=True)
    return Inbetween(
        time=here.time,
        flow_to_0=to_0,
        flow_to_1=to_1,
        blend=torch.sigmoid(weight),
        occlusion_0=occlusion[:1],
        occlusion_1=occlusion[1:],
        confidence=torch.where(here.quiet, 1.0, here.trust * shown).clamp(0, 1),
        residual=residual,
    )
