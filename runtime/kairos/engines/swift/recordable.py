"""What happens between the two parts of ``swift``, written so that it can be recorded as a graph.

The same as :mod:`kairos.engines.classic.midway` and what it stands on do for one layer of motion, without branches
that hang on pixels or sizes, in torch alone. Planes are (C, H, W) as there, with sides that are multiples of 4.
"""

from __future__ import annotations

from typing import Tuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines import fetching
from kairos.engines.classic import arriving, midway, motion
from kairos.engines.classic.midway import Moment
from kairos.engines.classic.motion import Found, Layer
from kairos.engines.fetching import counted, ones
from kairos.motion import occlusion
from kairos.motion.occlusion import Consistency, confidence
from kairos.motion.splat import TINY_SHARE

_DEEPEST = 12
"""Halvings after which a frame 4096 pixels wide is one pixel."""

_WIDEST = 8
"""Radius of the softening's window on a frame 4096 pixels wide."""


def warp(planes: Tensor, flow: Tensor) -> Tensor:
    """Planes fetched from where a flow points, the border repeated."""
    return fetching.warp(planes[None], flow[None])[0]


def splat(values: Tensor, flow: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Values carried along a flow, by weight (1, H, W) where several meet: their mean, and how much area arrived."""
    count, height, width = len(values), flow.shape[-2], flow.shape[-1]
    x, y = counted(flow[0, 0]) + flow[0], counted(flow[0, :, 0])[:, None] + flow[1]
    left, above = torch.floor(x), torch.floor(y)
    told = torch.cat([values * weight, weight, ones(weight)]).flatten(1)
    total = told * 0
    for column, across in ((left, left + 1 - x), (left + 1, x - left)):
        for row, down in ((above, above + 1 - y), (above + 1, y - above)):
            inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
            share = across * down * inside
            share = (share * (share > TINY_SHARE)).reshape(1, -1)
            place = row.clamp(min=0).minimum(ones(row) * (height - 1)) * width
            place = place + column.clamp(min=0).minimum(ones(row) * (width - 1))
            total = total.scatter_add(1, place.long().reshape(1, -1).expand(count + 2, -1), told * share)
    found = total.reshape(count + 2, height, width)
    mean = found[:count] / found[count : count + 1].clamp(min=torch.finfo(torch.float32).tiny)
    return mean, found[count + 1 :]


def layer_of(found: Found) -> Layer:
    """A layer from its motion: how far both ways agree, and what is in front."""
    assert found.hidden0 is not None and found.hidden1 is not None
    (trust0, front0), (trust1, front1) = (
        _agreement(flow, back, hidden)
        for flow, back, hidden in ((found.there, found.back, found.hidden0), (found.back, found.there, found.hidden1))
    )
    every = ones(trust0)
    sides = (trust0, trust1, front0 * trust0, front1 * trust1, every, every)
    return Layer(found.there, found.back, *sides, False, found.hidden0, found.hidden1)


def _agreement(flow: Tensor, back: Tensor, hidden: Tensor) -> Tuple[Tensor, Tensor]:
    """(1, H, W) each: how far both ways agree, and where a pixel goes, others arrive too."""
    height, width = flow.shape[-2:]
    error = (flow + warp(back, flow)).square().sum(0, keepdim=True).sqrt()
    x, y = counted(flow[0, 0]) + flow[0], counted(flow[0, :, 0])[:, None] + flow[1]
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    trust = confidence(Consistency(error, inside[None]), flow, motion.SLACK) * (1 - hidden)
    _, arrived = splat(flow[:0], flow, ones(flow[:1]))
    return trust.clamp(min=motion.LEAST_TRUST), warp((arrived - 1.0).clamp(0, 1), flow)


def moment(layer: Layer, time: Tensor) -> Moment:
    """What arrives at a time (1, 1, 1), and which source shows it."""
    sides = []
    for flow, trust, front, part, sign in (
        (layer.there, layer.trust0, layer.front0, time, 1.0),
        (layer.back, layer.trust1, layer.front1, 1 - time, -1.0),
    ):
        weight = trust * (1.0 + arriving.IN_FRONT * front)
        found, area = splat(torch.cat([flow * sign, trust]), flow * part, weight)
        sides.append((found[:2], found[2:] * (area > arriving.REACHED)))
    (flow0, trust0), (flow1, trust1) = sides
    total = trust0 + trust1
    velocity = (flow0 * trust0 + flow1 * trust1) / total.clamp(min=1e-9)
    trust = torch.maximum(trust0, trust1)
    velocity = _settled(_median(_filled(velocity, (total > 1e-4).float(), _DEEPEST)), trust)
    seen0 = _visibility(layer.there, velocity, velocity * -time)
    seen1 = _visibility(-layer.back, velocity, velocity * (1 - time))
    return Moment(cast(float, time), velocity, trust, trust * 0, trust < 0, seen0, seen1)


def _filled(values: Tensor, known: Tensor, depth: int) -> Tensor:
    """Unknown pixels from what surrounds them, near ones first; ``known`` is 1 or 0."""
    if not depth:
        return values
    coarse, share = _halved(values, known, 1e-12)
    coarse = _filled(coarse, (share > 0).float(), depth - 1)
    return torch.where(known > 0, values, _doubled(coarse, values))


def _settled(velocity: Tensor, trust: Tensor) -> Tensor:
    """Motion nobody vouches for gives way to what surrounds it."""
    weight = F.avg_pool2d(F.pad(trust[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    return _pulled(velocity, weight.clamp(arriving.FLOOR, 1.0), _DEEPEST)


def _pulled(values: Tensor, weight: Tensor, depth: int) -> Tensor:
    if not depth:
        return values
    coarse, share = _halved(values, weight, 1e-6)
    coarse = _pulled(coarse, (share * 2).clamp(max=1.0), depth - 1)
    return torch.lerp(_doubled(coarse, values), values, weight)


def _halved(values: Tensor, weight: Tensor, least: float) -> Tuple[Tensor, Tensor]:
    """Weighted means over 2 by 2 pixels, and their mean weight."""
    margin = (0, values.shape[-1] % 2, 0, values.shape[-2] % 2)
    both = F.avg_pool2d(F.pad(torch.cat([values * weight, weight])[None], margin), 2)[0]
    share = both[len(values) :]
    return both[: len(values)] / share.clamp(min=least), share


def _doubled(coarse: Tensor, like: Tensor) -> Tensor:
    """Planes at twice the size, cropped to that of others."""
    return twice(coarse)[:, : like.shape[-2], : like.shape[-1]]


def twice(planes: Tensor) -> Tensor:
    """Planes at twice the size, bilinear."""
    return F.interpolate(planes[None], scale_factor=2.0, mode="bilinear", align_corners=False)[0]


def _median(planes: Tensor) -> Tensor:
    """The median over 3 by 3 pixels."""
    height, width = planes.shape[-2:]
    padded = F.pad(planes[None], (1, 1, 1, 1), mode="replicate")[0]
    taps = [padded[:, row : row + height, column : column + width] for row in range(3) for column in range(3)]
    for low, high in occlusion.MEDIAN_OF_NINE:
        taps[low], taps[high] = torch.minimum(taps[low], taps[high]), torch.maximum(taps[low], taps[high])
    return taps[4]


def _visibility(flow: Tensor, velocity: Tensor, to_source: Tensor) -> Tensor:
    """How far the source pixel that a vector comes from moves the same way, 0..1."""
    slack = midway.SLACK + midway.SHARE * velocity.square().sum(0, keepdim=True).sqrt()
    error = (warp(flow, to_source) - velocity).square().sum(0, keepdim=True) / slack.square()
    return _softened(1.0 / (1.0 + error) * midway.inside(to_source))


def _softened(mask: Tensor) -> Tensor:
    """A Gaussian mean, computed at half size; wider on larger frames."""
    longest = torch.maximum(counted(mask[0, 0])[-1:], counted(mask[0, :, 0])[-1:]) + 1
    sigma = 0.5 * midway.SOFTENING * (longest / midway.NOMINAL).clamp(min=1).sqrt()
    step = torch.arange(-_WIDEST, _WIDEST + 1, device=mask.device, dtype=torch.float32)
    taps = torch.exp(-0.5 * (step / sigma) ** 2) * (step.abs() <= torch.round(3 * sigma))
    taps = taps / taps.sum()
    padded = F.pad(F.avg_pool2d(mask[None], 2), (_WIDEST,) * 4, mode="replicate")
    size = 2 * _WIDEST + 1
    return twice(F.conv2d(F.conv2d(padded, taps.reshape(1, 1, 1, size)), taps.reshape(1, 1, size, 1))[0])
