"""A generated picture at the plate's full size: what the keys show of it, pasted where they correspond.

In bands: a generated picture says where things are and what the light is, the keys say what they look like. Detail is
the keys' wherever they are trusted; light over wider areas is theirs as long as the generated picture does not clearly
say otherwise. Highlights beyond what the network can be shown, and negative values, are the keys' altogether.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic.midway import inside
from kairos.engines.inbetween.canvas import Canvas
from kairos.engines.inbetween.correspond import Match
from kairos.engines.inbetween.look import Look
from kairos.motion.tiling import resize
from kairos.motion.warp import backward_warp

_DOUBTED, _TRUSTED = 0.15, 0.5
"""Trust up to which nothing is pasted, and from which on all is."""

CELL = 8
"""Side of the cells between whose means lies light, and within which lies detail: canvas pixels, as the network's
latents.
"""

_LIGHT = 0.06
"""Encoded difference in light that is taken for half a drift of colour, and half for the generated picture's own; from
half of it down it is all drift, from half as much again it is all light.
"""

_NEARER = 3
"""How clearly the nearer key's detail is taken, as a power: mixed halves of both would be soft."""


@dataclass(frozen=True)
class Moved:
    """Both keys at a generated picture's time, at full size.

    Attributes:
        flows: (2, H, W) pixels, from the picture to either key.
        keys: (3, H, W) encoded, moved along them.
        pasted: (1, H, W) in 0..1, how far either key is to be pasted.
        shown: (1, H, W) in 0..1, how far the flows end inside the plate.
        time: 0..1.
    """

    flows: Tuple[Tensor, Tensor]
    keys: Tuple[Tensor, Tensor]
    pasted: Tuple[Tensor, Tensor]
    shown: Tuple[Tensor, Tensor]
    time: float

    @property
    def near(self) -> Tuple[float, float]:
        """Say of either key by its distance in time."""
        return 1 - self.time, self.time


def moved(keys: Tuple[Tensor, Tensor], matches: Tuple[Match, Match], canvas: Canvas, time: float) -> Moved:
    """Moves both keys (3, H, W) along a generated picture's correspondences."""
    flows, pictures, pasted, shown = [], [], [], []
    on_canvas = canvas.inside(keys[0].device)
    for key, match in zip(keys, matches):
        flow = canvas.back_flow(match.flow, match.trust)
        within = inside(flow)
        flows.append(flow)
        pictures.append(backward_warp(key, flow, "cubic"))
        pasted.append(canvas.back(_paste(match.trust)) * within * on_canvas)
        shown.append(within)
    return Moved(_two(flows), _two(pictures), _two(pasted), _two(shown), time)


def _two(items: List[Tensor]) -> Tuple[Tensor, Tensor]:
    return items[0], items[1]


def _paste(trust: Tensor) -> Tensor:
    """How far to paste, from trust (1, h, w), drawn in by a pixel and with a soft edge: a rim of something else shows
    more than a rim of what was generated.
    """
    part = ((trust - _DOUBTED) / (_TRUSTED - _DOUBTED)).clamp(0, 1)
    drawn = -F.max_pool2d(-part[None], 3, 1, 1)
    soft = F.avg_pool2d(F.pad(drawn, (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    return torch.minimum(soft * soft * (3 - 2 * soft), part)


def ground(generated: Tensor, keys: Moved, canvas: Canvas) -> Tensor:
    """A generated picture (3, h, w), encoded, at full size, (3, H, W): outside a crop both keys, cross-dissolved along
    motion that goes on from within.
    """
    base = canvas.back(generated)
    if not canvas.cropped:
        return base
    say0, say1 = (near * (shown + 1e-3) for near, shown in zip(keys.near, keys.shown))
    dissolved = torch.lerp(keys.keys[0], keys.keys[1], say1 / (say0 + say1).clamp(min=1e-6))
    return torch.lerp(dissolved, base, canvas.inside(base.device))


def detailed(base: Tensor, keys: Moved, look: Look, cell: Tuple[float, float]) -> Tensor:
    """Pastes the keys into a picture.

    Args:
        base: (3, H, W) encoded, from :func:`ground`.
        keys: both, moved.
        look: in which the network was shown them.
        cell: height and width of the cells between detail and light, pixels.

    Returns:
        (3, H, W) encoded. Where a key alone is pasted fully and the light agrees, it is that key's pixel.
    """
    total = torch.zeros_like(base)
    weigh = torch.zeros_like(base[:1])
    for key, pasted, near in zip(keys.keys, keys.pasted, keys.near):
        if near <= 0 or not bool((pasted > 0).any()):
            continue
        # What the network could not be shown says nothing about the light.
        beyond = look.beyond(key)
        difference = key - base
        light = _light(difference, pasted * (1 - beyond), cell)
        agreed = (1.5 - light.abs().amax(0, keepdim=True) / _LIGHT).clamp(0, 1)
        agreed = torch.maximum(agreed, beyond)
        say = pasted.square() * near**_NEARER
        total += say * torch.lerp(key - light, key, agreed)
        weigh += say
    most = torch.maximum(*keys.pasted)
    mean = torch.where(weigh > 0, total / weigh.clamp(min=1e-12), base)
    return torch.where(most >= 1, mean, torch.lerp(base, mean, most))


def _light(difference: Tensor, weight: Tensor, cell: Tuple[float, float]) -> Tensor:
    """The part of a difference (3, H, W) that varies over cells, measured where the weight (1, H, W) is."""
    height, width = difference.shape[-2:]
    rows, columns = (max(1, round(side / each)) for side, each in zip((height, width), cell))
    small = resize(torch.cat([difference * weight, weight]), rows, columns)
    wide = F.avg_pool2d(F.pad(small[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    # A little of nothing everywhere: cells of which little is known differ by little.
    return resize(wide[:3] / (wide[3:] + 0.02), height, width)
