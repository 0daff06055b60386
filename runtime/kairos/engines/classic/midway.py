"""From the motion between two frames to an in-between at one time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic import layered
from kairos.engines.classic.arriving import quick, seen_at, shown, ways
from kairos.engines.classic.course import Curve
from kairos.engines.classic.motion import PairMotion
from kairos.engines.classic.path import Bend, bend_at
from kairos.motion.inbetween import Inbetween
from kairos.motion.splat import splat
from kairos.motion.tiling import twice
from kairos.motion.warp import backward_warp

_TRUSTED = 0.3
"""Trust over which a vector may carry something onto still ground."""

SLACK, SHARE = 1.0, 0.05
"""Disagreement between a pixel's motion and that of the source pixel it comes from which halves its visibility:
pixels, and part of its speed."""

_ALIEN = 0.1
"""Say of a source that shows another layer than the one seen: regions that were found are not exact."""

DOUBT = 0.05
"""Weight of a source that does not show the pixel: where neither does, both are blended."""

SOFTENING = 3.0
"""Visibility is decided together by the pixels within this distance, at :data:`NOMINAL` pixels' width."""
NOMINAL = 640


@dataclass(frozen=True)
class Moment:
    """What the motion of both frames says about one time between them.

    Attributes:
        time: 0..1.
        velocity: (2, H, W) pixels over the whole interval.
        trust: (1, H, W) in 0..1.
        top: (1, H, W), index of the layer seen.
        quiet: (1, H, W) bool, both frames are the same there and nothing passes.
        seen0, seen1: (1, H, W) in 0..1, how far either source shows the point.
        away: (2, H, W) pixels, how far the point lies from the straight line between both ends of its path, where
            something else tells the paths (:class:`kairos.engines.classic.course.Course`); else None.
    """

    time: float
    velocity: Tensor
    trust: Tensor
    top: Tensor
    quiet: Tensor
    seen0: Tensor
    seen1: Tensor
    away: Optional[Tensor] = None


def between(motion: PairMotion, curve: Optional[Curve], time: float) -> Inbetween:
    """The in-between at a time.

    Args:
        motion: of the pair.
        curve: what the neighbouring frames tell of its acceleration, or what tells its paths; None: they are straight.
        time: 0..1.
    """
    here = moment(motion, time, curve)
    to_0, to_1 = paths(here, curve)
    if layered.usable(motion, here.trust):
        told = layered.told((here.seen0, here.seen1), here.trust, here.quiet, time, DOUBT)
        answer = Inbetween(time, to_0, to_1, told[:1], told[1:2], told[2:3], told[3:])
        return kept_apart(answer, motion, here)
    weight0, weight1 = weights(here)
    seen0, seen1 = here.seen0, here.seen1
    answer = Inbetween(
        time=time,
        flow_to_0=to_0,
        flow_to_1=to_1,
        blend=weight0 / (weight0 + weight1),
        occlusion_0=hidden(seen0, seen1),
        occlusion_1=hidden(seen1, seen0),
        confidence=torch.where(here.quiet, 1.0, here.trust * torch.maximum(seen0, seen1)).clamp(0, 1),
    )
    return kept_apart(answer, motion, here)


def kept_apart(answer: Inbetween, motion: PairMotion, here: Moment) -> Inbetween:
    """The in-between without what another layer shows: of two sources the one counts that shows the layer seen.

    At the border of what is in front of it a source does not show a layer cleanly: one pixel there counts as the
    other's.

    Args:
        answer: at the time.
        motion: of the pair at full size.
        here: which of its layers is seen.
    """
    if len(motion.layers) == 1:
        return answer
    flows, planes = (answer.flow_to_0, answer.flow_to_1), (answer.blend, answer.occlusion_0, answer.occlusion_1)
    if layered.usable(motion, here.top, *flows, *planes):
        own = layered.shown(motion, here.top, flows)
        told = layered.apart(planes[0], planes[1:], own, here.quiet, _ALIEN)
        return replace(answer, blend=told[:1], occlusion_0=told[1:2], occlusion_1=told[2:])
    own0, own1 = torch.zeros_like(answer.blend), torch.zeros_like(answer.blend)
    for index, (front, reach) in enumerate(zip(motion.fronts, motion.reaches)):
        assert front is not None, "there are several layers"
        cut = (*flows, here.top)
        to_0, to_1, top = cut if reach is None else map(reach.cut, cut)
        clear = (front.clear0, to_0), (front.clear1, to_1)
        shown = (torch.where(top == index, backward_warp(*each), 0.0) for each in clear)
        # Every pixel shows one layer only.
        one, two = shown if reach is None else map(reach.placed, shown)
        own0, own1 = own0 + one, own1 + two
    own0 = own0 * inside(answer.flow_to_0) + _ALIEN
    own1 = own1 * inside(answer.flow_to_1) + _ALIEN
    weight0, weight1 = answer.blend * own0, (1 - answer.blend) * own1
    blend = torch.where(here.quiet, answer.blend, weight0 / (weight0 + weight1).clamp(min=1e-9))
    gone0, gone1 = (torch.where(here.quiet, 0.0, each.clamp(0, 1)) for each in (own1 - own0, own0 - own1))
    return replace(
        answer,
        blend=blend,
        occlusion_0=torch.maximum(answer.occlusion_0, gone0),
        occlusion_1=torch.maximum(answer.occlusion_1, gone1),
    )


def moment(motion: PairMotion, time: float, curve: Optional[Curve] = None) -> Moment:
    """What arrives at a time, and which source shows it."""
    velocity, trust, top, away = seen_at(motion, time, curve)
    quiet = motion.still & ~_reached(motion, time)
    velocity = torch.where(quiet, 0.0, velocity)
    away = None if away is None else torch.where(quiet, 0.0, away)
    to_0, to_1 = ways(velocity, away, time)
    if len(motion.layers) == 1 and quick(motion.layers[0], velocity, to_0, to_1):
        seen = shown(motion.layers[0], velocity, (to_0, to_1), (SLACK, SHARE))
        seen0, seen1 = (layered.softened(each, _taps(each), quiet) for each in seen)
    else:
        seen0 = _visibility(motion, top, velocity, to_0, quiet, first=True)
        seen1 = _visibility(motion, top, velocity, to_1, quiet, first=False)
    return Moment(time, velocity, trust, top, quiet, seen0, seen1, away)


def paths(here: Moment, curve: Optional[Curve]) -> Tuple[Tensor, Tensor]:
    """The flows to both sources, (2, H, W) pixels: straight, or bent as the neighbouring frames or a course tell."""
    return ways(here.velocity, strayed(here, curve), here.time)


def strayed(here: Moment, curve: Optional[Curve], pixel: float = 1.0) -> Optional[Tensor]:
    """How far what is seen lies from the straight line, (2, H, W) pixels; None: nothing bends its path.

    Args:
        here: what is seen.
        curve: on the same grid; of a :class:`kairos.engines.classic.course.Course` ``here`` says already what it tells.
        pixel: of the frame's, in pixels of the grid.
    """
    if not isinstance(curve, Bend) or not 0 < here.time < 1:
        return here.away
    away = bend_at(curve, here.velocity, (here.seen0, here.seen1), here.time, pixel)
    return torch.where(here.quiet, 0.0, away)


def weights(here: Moment) -> Tuple[Tensor, Tensor]:
    """(1, H, W) each: say of either source, nearer in time and seen."""
    return (1 - here.time) * (here.seen0 + DOUBT), here.time * (here.seen1 + DOUBT)


def _reached(motion: PairMotion, time: float) -> Tensor:
    """(1, H, W) bool: something that moves comes near the pixel at this time."""
    if not bool(motion.still.any()):
        return torch.zeros_like(motion.still)
    if layered.usable(motion):
        return _around(layered.reached(motion, time, _TRUSTED))
    area = torch.zeros_like(motion.still, dtype=torch.float32)
    for layer, reach in zip(motion.layers, motion.reaches):
        still = motion.still if reach is None else reach.of(motion.still)
        for flow, trust, part in ((layer.there, layer.trust0, time), (layer.back, layer.trust1, 1 - time)):
            # A vector that is not finite carries nothing.
            carried = torch.where(~still & (trust > _TRUSTED), flow * part, torch.inf)
            arrived = splat(carried[:0], carried)[1]
            area += arrived if reach is None else reach.placed(arrived)
    return _around(area > 0)


def _around(places: Tensor) -> Tensor:
    """Places (1, H, W) bool and all within two pixels of them."""
    if places.device.type == "cpu":
        return torch.from_numpy(cv2.dilate(places[0].numpy().view(np.uint8), np.ones((5, 5), np.uint8)) > 0)[None]
    near = places.float()[None]
    return F.max_pool2d(F.max_pool2d(near, (5, 1), 1, (2, 0)), (1, 5), 1, (0, 2))[0] > 0


def _visibility(
    motion: PairMotion, top: Tensor, velocity: Tensor, to_source: Tensor, quiet: Tensor, first: bool
) -> Tensor:
    """How far the source pixel a vector comes from moves the same way and belongs to the same layer, 0..1."""
    if layered.usable(motion, top, velocity, to_source):
        seen = layered.visible(motion, top, velocity, to_source, first, (SLACK, SHARE))
        return layered.softened(seen, _taps(seen), quiet)
    seen = torch.zeros_like(top)
    slack = SLACK + SHARE * velocity.square().sum(0, keepdim=True).sqrt()
    for index, (layer, reach) in enumerate(zip(motion.layers, motion.reaches)):
        flow, share = (layer.there, layer.share0) if first else (-layer.back, layer.share1)
        planes = to_source, velocity, slack, top
        way, moves, least, shown = planes if reach is None else map(reach.cut, planes)
        both = backward_warp(torch.cat([flow, share]), way)
        error = (both[:2] - moves).square().sum(0, keepdim=True) / least.square()
        own = 1.0 / (1.0 + error) * (both[2:] if len(motion.layers) > 1 else 1.0)
        own = torch.where(shown == index, own, 0.0)
        seen = seen + (own if reach is None else reach.placed(own))
    seen = seen * inside(to_source)
    return torch.where(quiet, 1.0, _soften(seen))


def inside(flow: Tensor) -> Tensor:
    """(1, H, W) in 0..1: the vector ends inside the frame, fading out over one pixel."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[1]
    room = torch.minimum(torch.minimum(x, width - 1 - x), torch.minimum(y, height - 1 - y))
    return (1.0 + room).clamp(0, 1)[None]


def _soften(mask: Tensor) -> Tensor:
    """A Gaussian mean, computed at half size."""
    height, width = mask.shape[-2:]
    taps = _taps(mask)
    small = F.avg_pool2d(mask[None], 2, ceil_mode=True)
    padded = F.pad(small, (len(taps) // 2,) * 4, mode="replicate")
    soft = F.conv2d(F.conv2d(padded, taps.reshape(1, 1, 1, -1)), taps.reshape(1, 1, -1, 1))
    return twice(soft[0], height, width)


def _taps(mask: Tensor) -> Tensor:
    """Weights of that mean, at half size."""
    sigma = 0.5 * SOFTENING * max(1.0, max(mask.shape[-2:]) / NOMINAL) ** 0.5
    radius = round(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=mask.device) / sigma) ** 2)
    return taps / taps.sum()


def hidden(seen: Tensor, other: Tensor) -> Tensor:
    """Not visible in one source though it is in the other, 0..1."""
    return ((other - seen - 0.2) / 0.4).clamp(0, 1)
