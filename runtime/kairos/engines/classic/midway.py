"""From the motion between two frames to an in-between at one time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic import layered
from kairos.engines.classic.course import Course, Curve
from kairos.engines.classic.layered import Arriving
from kairos.engines.classic.motion import Layer, PairMotion
from kairos.engines.classic.path import Bend, bend_at
from kairos.engines.classic.reach import Front, Reach, in_front
from kairos.motion.fill import fill_holes, fill_weighted
from kairos.motion.inbetween import Inbetween
from kairos.motion.occlusion import clean_mask
from kairos.motion.splat import splat
from kairos.motion.tiling import resize
from kairos.motion.warp import backward_warp

REACHED = 0.25
"""Part of a pixel that must arrive for its motion to count."""

IN_FRONT = 20.0
"""How much more a pixel says that is known to hide others."""

_TRUSTED = 0.3
"""Trust over which a vector may carry something onto still ground."""

SLACK, SHARE = 1.0, 0.05
"""Disagreement between a pixel's motion and that of the source pixel it comes from which halves its visibility:
pixels, and part of its speed."""

FLOOR = 0.02
"""Least say of a motion nobody vouches for, against what surrounds it."""

_ALIEN = 0.1
"""Say of a source that shows another layer than the one seen: regions that were found are not exact."""

_KNOWN = 0.05
"""Say of both sources under which nobody knows what a layer covers."""

_DOUBT = 0.05
"""Weight of a source that does not show the pixel: where neither does, both are blended."""

_ARRIVING = Arriving(IN_FRONT, REACHED, _KNOWN, FLOOR)

SOFTENING = 3.0
"""Visibility is decided together by the pixels within this distance, at :data:`NOMINAL` pixels' width."""
NOMINAL = 640


@dataclass(frozen=True)
class _Moved:
    """A layer at the in-between's time."""

    velocity: Tensor
    trust: Tensor
    cover: Tensor
    away: Optional[Tensor] = None


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
        told = layered.told((here.seen0, here.seen1), here.trust, here.quiet, time, _DOUBT)
        answer = Inbetween(time, to_0, to_1, *told.split(1))
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
    ways, planes = (answer.flow_to_0, answer.flow_to_1), (answer.blend, answer.occlusion_0, answer.occlusion_1)
    if layered.usable(motion, here.top, *ways, *planes):
        own = layered.shown(motion, here.top, ways)
        blend, gone0, gone1 = layered.apart(planes[0], planes[1:], own, here.quiet, _ALIEN).split(1)
        return replace(answer, blend=blend, occlusion_0=gone0, occlusion_1=gone1)
    own0, own1 = torch.zeros_like(answer.blend), torch.zeros_like(answer.blend)
    for index, (front, reach) in enumerate(zip(motion.fronts, motion.reaches)):
        assert front is not None, "there are several layers"
        cut = (*ways, here.top)
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
    several = len(motion.layers) > 1
    away: Optional[Tensor]
    if several and 0 < time < 1 and not isinstance(curve, Course) and layered.usable(motion):
        (velocity, trust, top), away = layered.seen_at(motion, time, _ARRIVING), None
    else:
        velocity, trust, top, away = _seen_at(motion, time, curve)
    quiet = motion.still & ~_reached(motion, time)
    velocity = torch.where(quiet, 0.0, velocity)
    away = None if away is None else torch.where(quiet, 0.0, away)
    to_0, to_1 = _ways(velocity, away, time)
    seen0 = _visibility(motion, top, velocity, to_0, quiet, first=True)
    seen1 = _visibility(motion, top, velocity, to_1, quiet, first=False)
    return Moment(time, velocity, trust, top, quiet, seen0, seen1, away)


def _seen_at(
    motion: PairMotion, time: float, curve: Optional[Curve]
) -> Tuple[Tensor, Tensor, Tensor, Optional[Tensor]]:
    """Velocity, trust, index of the layer, and how far off the straight line, of what is seen at a time."""
    moved = [_move(*each, time) for each in zip(motion.layers, motion.fronts, motion.reaches)]
    if isinstance(curve, Course) and 0 < time < 1:
        shares = [(layer.share0, layer.share1) for layer in motion.layers]
        above = in_front(shares) if len(shares) > 1 else [None]
        moved = [
            _led(curve, index, layer, each, front, time)
            for index, (layer, each, front) in enumerate(zip(motion.layers, moved, above))
        ]
    velocity, trust, away = moved[0].velocity, moved[0].trust, moved[0].away
    top = torch.zeros_like(trust)
    covers = _covering([each.cover for each in moved])
    for index, (upper, above) in enumerate(zip(moved[1:], covers), start=1):
        velocity, trust = torch.where(above, upper.velocity, velocity), torch.where(above, upper.trust, trust)
        top = torch.where(above, float(index), top)
        if away is not None and upper.away is not None:
            away = torch.where(above, upper.away, away)
    return velocity, trust, top, away


def paths(here: Moment, curve: Optional[Curve]) -> Tuple[Tensor, Tensor]:
    """The flows to both sources, (2, H, W) pixels: straight, or bent as the neighbouring frames or a course tell."""
    away = here.away
    if isinstance(curve, Bend) and 0 < here.time < 1:
        away = bend_at(curve, here.velocity, (here.seen0, here.seen1), here.time)
        away = torch.where(here.quiet, 0.0, away)
    return _ways(here.velocity, away, here.time)


def _ways(velocity: Tensor, away: Optional[Tensor], time: float) -> Tuple[Tensor, Tensor]:
    to_0, to_1 = velocity * -time, velocity * (1 - time)
    return (to_0, to_1) if away is None else (to_0 - away, to_1 - away)


def weights(here: Moment) -> Tuple[Tensor, Tensor]:
    """(1, H, W) each: say of either source, nearer in time and seen."""
    return (1 - here.time) * (here.seen0 + _DOUBT), here.time * (here.seen1 + _DOUBT)


def _covering(covers: List[Tensor]) -> List[Tensor]:
    """(1, H, W) bool for every layer but the furthest: it covers the pixel. Where none covers most of it, the one that
    covers more than any other does.
    """
    if len(covers) == 1:
        return []
    most = torch.cat(covers).amax(0, keepdim=True)
    return [(cover > 0.5) | ((most <= 0.5) & (cover == most) & (cover > covers[0])) for cover in covers[1:]]


def _move(layer: Layer, front: Optional[Front], reach: Optional[Reach], time: float) -> _Moved:
    """A layer's motion at a time, from both sources by how far their vectors are to be trusted.

    Args:
        layer: the layer.
        front: what is in front of it; None for a layer that is alone.
        reach: where it can be seen: elsewhere it stands still and covers nothing. None: everywhere.
        time: 0..1.
    """
    above = None if front is None else (front.above0, front.above1)
    if reach is None or above is None or time in (0.0, 1.0):
        return _arrived(layer, time, above)
    part = _arrived(reach.within(layer), time, above)
    return _Moved(*(reach.placed(each) for each in (part.velocity, part.trust, part.cover)))


def _arrived(layer: Layer, time: float, above: Optional[Tuple[Tensor, Tensor]]) -> _Moved:
    if time == 0.0:
        return _Moved(layer.there, layer.trust0, layer.share0)
    if time == 1.0:
        return _Moved(-layer.back, layer.trust1, layer.share1)
    sides = []
    for flow, trust, front, share, part, sign, hides in (
        (layer.there, layer.trust0, layer.front0, layer.share0, time, 1.0, above and above[0]),
        (layer.back, layer.trust1, layer.front1, layer.share1, 1 - time, -1.0, above and above[1]),
    ):
        weight = trust * (1.0 + IN_FRONT * front) * share.clamp(min=1e-3)
        values = [flow * sign, trust] if hides is None else [flow * sign, trust, share, 1 - hides]
        found, area = splat(torch.cat(values), flow * part, weight, "linear")
        sides.append((found[:2], found[2:3] * (area > REACHED), found[3:4], found[4:], area))
    (flow0, trust0, share0, open0, area0), (flow1, trust1, share1, open1, area1) = sides
    total = trust0 + trust1
    velocity = (flow0 * trust0 + flow1 * trust1) / total.clamp(min=1e-9)
    velocity = fill_holes(velocity, total > 1e-4)
    trust = torch.maximum(trust0, trust1)
    if not layer.given:
        velocity = _filled(clean_mask(velocity), trust)
    if above is None:
        return _Moved(velocity, trust, layer.share0)
    # Nearer in time knows better how much of the pixel is the layer's, if anything arrived from there.
    say0, say1 = (1 - time) * (area0 > REACHED) * open0, time * (area1 > REACHED) * open1
    return _Moved(velocity, trust, _covered(share0, say0, share1, say1))


def _led(
    course: Course, index: int, layer: Layer, moved: _Moved, above: Optional[Tuple[Tensor, Tensor]], time: float
) -> _Moved:
    """A layer on its course: its motion, and the part of each pixel that is the layer's, told along it."""
    velocity, away = course.at(index, time, moved.velocity)
    if above is None:
        return _Moved(velocity, moved.trust, moved.cover, away)
    to_0, to_1 = _ways(velocity, away, time)
    side0 = backward_warp(torch.cat([layer.share0, 1 - above[0]]), to_0)
    side1 = backward_warp(torch.cat([layer.share1, 1 - above[1]]), to_1)
    cover = _covered(side0[:1], (1 - time) * side0[1:], side1[:1], time * side1[1:])
    return _Moved(velocity, moved.trust, cover, away)


def _covered(share0: Tensor, say0: Tensor, share1: Tensor, say1: Tensor) -> Tensor:
    """(1, H, W) how much of each pixel is a layer's, from what either source says of it.

    A source that shows something in front does not know; where neither does it goes on as it is around.
    """
    say = say0 + say1
    return fill_holes((share0 * say0 + share1 * say1) / say.clamp(min=1e-6), say > _KNOWN)


def _filled(velocity: Tensor, trust: Tensor) -> Tensor:
    """Motion nobody vouches for gives way to what surrounds it; what is trusted fully stays exactly as it is."""
    weight = F.avg_pool2d(F.pad(trust[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0].clamp(FLOOR, 1.0)
    return fill_weighted(velocity, weight)


def _reached(motion: PairMotion, time: float) -> Tensor:
    """(1, H, W) bool: something that moves comes near the pixel at this time."""
    if not bool(motion.still.any()):
        return torch.zeros_like(motion.still)
    if layered.usable(motion):
        return _around(layered.reached(motion, time, _TRUSTED))
    area = torch.zeros_like(motion.still, dtype=torch.float32)
    for layer, reach in zip(motion.layers, motion.reaches):
        for flow, trust, part in ((layer.there, layer.trust0, time), (layer.back, layer.trust1, 1 - time)):
            moves = ~motion.still & (trust > _TRUSTED)
            # A vector that is not finite carries nothing.
            carried = torch.where(moves, flow * part, torch.inf)
            some = carried if reach is None else reach.cut(carried)
            arrived = splat(some[:0], some)[1]
            area += arrived if reach is None else reach.placed(arrived)
    return _around(area > 0)


def _around(places: Tensor) -> Tensor:
    """Places (1, H, W) bool and all within two pixels of them."""
    if places.device.type == "cpu":
        near = cv2.dilate(places[0].numpy().view(np.uint8), np.ones((5, 5), np.uint8))
        return torch.from_numpy(near > 0)[None]
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
        planes = [torch.cat([flow, share]), to_source, velocity, slack, top]
        source, way, moves, least, shown = planes if reach is None else map(reach.cut, planes)
        both = backward_warp(source, way)
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
    return resize(soft[0], soft.shape[-2] * 2, soft.shape[-1] * 2)[:, :height, :width]


def _taps(mask: Tensor) -> Tensor:
    """Weights of that mean, at half size."""
    sigma = 0.5 * SOFTENING * max(1.0, max(mask.shape[-2:]) / NOMINAL) ** 0.5
    radius = round(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=mask.device) / sigma) ** 2)
    return taps / taps.sum()


def hidden(seen: Tensor, other: Tensor) -> Tensor:
    """Not visible in one source though it is in the other, 0..1."""
    return ((other - seen - 0.2) / 0.4).clamp(0, 1)
