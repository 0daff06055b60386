"""What of a pair's layers arrives at one time between both frames, and which of them is seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic import layered
from kairos.engines.classic.course import Course, Curve
from kairos.engines.classic.layered import Arriving
from kairos.engines.classic.motion import Layer, PairMotion, Rest
from kairos.engines.classic.reach import Front, in_front
from kairos.motion import fast
from kairos.motion.fill import fill_holes, fill_weighted
from kairos.motion.occlusion import clean_mask
from kairos.motion.splat import TINY_SHARE, splat
from kairos.motion.warp import backward_warp

REACHED = 0.25
"""Part of a pixel that must arrive for its motion to count."""

IN_FRONT = 20.0
"""How much more a pixel says that is known to hide others."""

FLOOR = 0.02
"""Least say of a motion nobody vouches for, against what surrounds it."""

_KNOWN = 0.05
"""Say of both sources under which nobody knows what a layer covers."""

_STRIP = 1 << 15
"""Pixels that are worked on at once: what arrives there stays in a core's cache."""

_ARRIVING = Arriving(IN_FRONT, REACHED, _KNOWN, FLOOR)


@dataclass(frozen=True)
class _Moved:
    """A layer at the in-between's time."""

    velocity: Tensor
    trust: Tensor
    cover: Tensor
    away: Optional[Tensor] = None


def seen_at(motion: PairMotion, time: float, curve: Optional[Curve]) -> Tuple[Tensor, Tensor, Tensor, Optional[Tensor]]:
    """What is seen at a time: velocity, trust, index of the layer, and how far off the straight line it lies, as
    :class:`kairos.engines.classic.midway.Moment` has them.
    """
    led = isinstance(curve, Course)
    if len(motion.layers) > 1 and 0 < time < 1 and not led and layered.usable(motion):
        return (*layered.seen_at(motion, time, _ARRIVING), None)
    rest = motion.rest if 0 < time < 1 else None
    moved = [] if rest is None else [_rest(rest, motion.layers[0], time)]
    moved += [_move(*each, time) for each in list(zip(motion.layers, motion.fronts))[len(moved) :]]
    if isinstance(curve, Course) and 0 < time < 1:
        layers = [layer.in_frame() for layer in motion.layers]
        shares = [(layer.share0, layer.share1) for layer in layers]
        hiding: Sequence[Optional[Tuple[Tensor, Tensor]]] = in_front(shares) if len(shares) > 1 else [None]
        moved = [
            _led(curve, index, layer, each, front, time)
            for index, (layer, each, front) in enumerate(zip(layers, moved, hiding))
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


def quick(layer: Layer, *planes: Tensor) -> bool:
    """Whether compiled kernels can take a layer that is alone, and these planes."""
    return fast.usable(layer.there, layer.back, *planes) and _kernels() is not None


def shown(
    layer: Layer, velocity: Tensor, ways: Tuple[Tensor, Tensor], slack: Tuple[float, float]
) -> Tuple[Tensor, ...]:
    """(1, H, W) each in 0..1: how far the source pixel that a vector comes from moves the same way; 0 outside the
    frame. Only where :func:`quick` says so.

    Args:
        layer: alone.
        velocity: (2, H, W) pixels, of what is seen.
        ways: (2, H, W) pixels each, to both sources.
        slack: disagreement that halves the answer, pixels and part of the speed.
    """
    kernels = _kernels()
    assert kernels is not None, "only after quick()"
    height, width = velocity.shape[-2:]
    seen = torch.empty(1, height, width), torch.empty(1, height, width)
    planes = [fast.array(each).reshape(-1) for each in (layer.there, layer.back, velocity, *ways, *seen)]
    numbers = [np.float32(each) for each in slack]
    fast.in_bands(partial(kernels.show_rows, *planes, *numbers, height, width), height, width)
    return seen


def ways(velocity: Tensor, away: Optional[Tensor], time: float) -> Tuple[Tensor, Tensor]:
    """The flows to both sources, (2, H, W) pixels, of what moves so over the whole interval and lies so far off the
    straight line.
    """
    to_0, to_1 = velocity * -time, velocity * (1 - time)
    return (to_0, to_1) if away is None else (to_0 - away, to_1 - away)


def _covering(covers: List[Tensor]) -> List[Tensor]:
    """(1, H, W) bool for every layer but the furthest: it covers the pixel. Where none covers most of it, the one that
    covers more than any other does.
    """
    if len(covers) == 1:
        return []
    most = torch.cat(covers).amax(0, keepdim=True)
    return [(cover > 0.5) | ((most <= 0.5) & (cover == most) & (cover > covers[0])) for cover in covers[1:]]


def _move(layer: Layer, front: Optional[Front], time: float) -> _Moved:
    """A layer's motion at a time, from both sources by how far their vectors are to be trusted. Where it cannot be seen
    it stands still and covers nothing.

    Args:
        layer: the layer.
        front: what is in front of it; None for a layer that is alone.
        time: 0..1.
    """
    part = _arrived(layer, time, None if front is None else (front.above0, front.above1))
    return part if layer.reach is None else layer.reach.around(part)


def _rest(rest: Rest, layer: Layer, time: float) -> _Moved:
    """The same of the furthest layer, told on half the grid."""
    found = _arrived(rest.layer, time, rest.above)
    part = _Moved(*rest.grown(found.velocity, found.trust, found.cover, layer))
    return part if layer.reach is None else layer.reach.around(part)


def _arrived(layer: Layer, time: float, above: Optional[Tuple[Tensor, Tensor]]) -> _Moved:
    if time == 0.0:
        return _Moved(layer.there, layer.trust0, layer.share0)
    if time == 1.0:
        return _Moved(-layer.back, layer.trust1, layer.share1)
    planes = (layer.trust0, layer.trust1, layer.front0, layer.front1, layer.share0, layer.share1)
    if above is None and quick(layer, *planes):
        return _arrived_alone(layer, time)
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


def _arrived_alone(layer: Layer, time: float) -> _Moved:
    """The same of a layer that nothing can be in front of, by compiled kernels."""
    kernels = _kernels()
    assert kernels is not None, "only after quick()"
    height, width = layer.trust0.shape[-2:]
    sides = []
    for planes, part in (
        ((layer.there, layer.trust0, layer.front0, layer.share0), time),
        ((layer.back, layer.trust1, layer.front1, layer.share1), 1 - time),
    ):
        given, share = [fast.array(each).reshape(-1) for each in planes], np.float32(part)
        spans = np.empty((height, 2), np.int64)
        fast.in_bands(partial(kernels.span_rows, given[0], share, spans, height, width), height, width)
        numbers = np.float32(IN_FRONT), share, np.float32(TINY_SHARE)
        sides.append(partial(kernels.arrive_rows, *given, *numbers, spans))
    found = torch.empty(4, height, width)
    out = found.numpy().reshape(-1)

    def rows(top: int, bottom: int) -> None:
        arrived = [np.empty((bottom - top) * width * kernels.LANES, np.float32) for _ in sides]
        for side, each in zip(sides, arrived):
            side(each, height, width, top, bottom)
        kernels.meet_rows(*arrived, np.float32(REACHED), out, height, width, top, bottom)

    fast.in_parts(rows, height, max(1, height * width // _STRIP))
    velocity, trust = fill_holes(found[:2], found[3:] > 0), found[2:3]
    if not layer.given:
        velocity = _filled(clean_mask(velocity), trust)
    return _Moved(velocity, trust, layer.share0)


def _led(
    course: Course, index: int, layer: Layer, moved: _Moved, above: Optional[Tuple[Tensor, Tensor]], time: float
) -> _Moved:
    """A layer on its course: its motion, and the part of each pixel that is the layer's, told along it."""
    velocity, away = course.at(index, time, moved.velocity)
    if above is None:
        return _Moved(velocity, moved.trust, moved.cover, away)
    to_0, to_1 = ways(velocity, away, time)
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
    if fast.usable(trust):
        return fill_weighted(velocity, fast.mean(trust, FLOOR))
    weight = F.avg_pool2d(F.pad(trust[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0].clamp(FLOOR, 1.0)
    return fill_weighted(velocity, weight)


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.arriving_kernels")
