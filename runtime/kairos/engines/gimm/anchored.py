"""Kairos' own implicit motion: GIMM's latents and coordinate network, which correct what arrives and bend its path.

The published network tells the velocity itself, and that the way to both frames is straight. Here the velocities are
carried forward beside the latents, and the coordinate network corrects them. It also tells how far the path bends: of
something that turns, neighbouring pixels move differently, and where a pixel's velocity changes along its own way, so
does the pixel's (the convective part of acceleration). About which centre it turns two flows leave open; the network
chooses among several.

All on the flows' own grid, in its pixels; nothing hangs on the grid's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.gimm.network import GIMM, State, places
from kairos.engines.gimm.splatting import deposited
from kairos.engines.published import Time

GAIN = "gain"
"""The tensor that sets this network's weights apart."""

_SURROUNDINGS = (0, 9, 33)
"""Sides, cells, of the squares whose mean velocity may be that of the centre of a turn; 0: the frame's own rest."""

_OUTPUTS = 4 + len(_SURROUNDINGS)
_BESIDE = 2 + 2 + 2 + 4 + 2 * len(_SURROUNDINGS)
_SMALL, _SHARE = 0.01, 0.3
"""What the network's corrections, and its shares of every centre, count for before it has learned."""

_HALVINGS = 7
"""How often a plane is halved to fill its holes: wider ones than this make are told to be at rest."""

_LEAST = 1e-4
"""Arrivals under this part of a pixel are none."""


@dataclass(frozen=True)
class Path:
    """At the pixels of a time, (B, 2, H, W) pixels per interval and its square.

    Attributes:
        velocity: from frame 0 to frame 1.
        bend: times t (1 - t) it is how far the pixel lies from the straight line between both.
        arrived: the velocity carried forward, uncorrected.
    """

    velocity: Tensor
    bend: Tensor
    arrived: Tensor


class Anchored(GIMM):
    """The network; arguments as :class:`kairos.engines.gimm.network.GIMM` has them, but for those of its making."""

    def __init__(
        self,
        latent: int,
        widths: Sequence[int],
        blocks: int,
        refined: Sequence[int],
        refiners: int,
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__(latent, widths, blocks, refined, refiners, hidden, layers, _BESIDE, _OUTPUTS)
        self.gain = nn.Parameter(torch.tensor([_SMALL] * 4 + [_SHARE] * len(_SURROUNDINGS)))

    def flows(self, state: State, time: Time) -> Tuple[Tensor, Tensor]:
        """From the pixels of a time to frame 0 and to frame 1, (B, 2, H, W) pixels."""
        return ways(self.path(state, time), time)

    def path(self, state: State, time: Time) -> Path:
        """Velocity and bend at a time."""
        zero, sure_0 = _carried(state.latent_0, state.velocities[:, :, 0], state.flow_01 * time, state.weight_0)
        one, sure_1 = _carried(state.latent_1, state.velocities[:, :, 1], state.flow_10 * (1 - time), state.weight_1)
        say_0, say_1 = sure_0 * (1 - time), sure_1 * time
        total = say_0 + say_1
        both = (zero[:, -2:] * say_0 + one[:, -2:] * say_1) / total.clamp(min=_LEAST)
        # Between -1 and 1 of the pair's longest component.
        anchor = filled(both, (total > _LEAST).to(both.dtype))
        scale = state.scale[:, None, None, None]
        slopes = slopes_of(anchor * scale)
        bends = [_steady(anchor - _mean(anchor, side), slopes) for side in _SURROUNDINGS]
        apart = (zero[:, -2:] - one[:, -2:]) * torch.minimum(sure_0, sure_1)
        latent = self.refined(state, torch.cat([zero[:, :-2], one[:, :-2]], 1))
        told = [latent.float(), anchor, apart, sure_0, sure_1, slopes, *bends]
        found = self.hyponet(torch.cat(told, 1), places(latent, time)) - 0.5
        found = found * self.gain.float()[:, None, None]
        bend = found[:, 2:4]
        for number, each in enumerate(bends):
            bend = bend + found[:, 4 + number : 5 + number] * each
        return Path((anchor + found[:, :2]) * scale, bend * scale, anchor * scale)


def ways(path: Path, time: Time) -> Tuple[Tensor, Tensor]:
    """The flows to both frames along a path, (B, 2, H, W) pixels."""
    away = path.bend * (time * (1 - time))
    return -path.velocity * time - away, path.velocity * (1 - time) - away


def slopes_of(velocity: Tensor) -> Tensor:
    """(B, 4, H, W): how much the velocity's x and y change per pixel along x, then along y.

    Of the changes to either side the lesser is taken, and none where they differ in sign: a border between two things
    that move is no turn of either.
    """
    found: List[Tensor] = []
    for axis in (3, 2):
        change = velocity.diff(dim=axis)
        pad = (1, 1, 0, 0) if axis == 3 else (0, 0, 1, 1)
        around = F.pad(change, pad, mode="replicate")
        length = velocity.shape[axis]
        before, after = around.narrow(axis, 0, length), around.narrow(axis, 1, length)
        least = torch.where(before.abs() < after.abs(), before, after)
        found.append(torch.where(before * after > 0, least, 0.0))
    return torch.cat(found, 1)


def filled(planes: Tensor, known: Tensor) -> Tensor:
    """Planes (B, C, H, W) with their unknown pixels (``known``, (B, 1, H, W), is 0 there) told by those around."""
    levels, share = [(planes * known, known)], known
    for _ in range(_HALVINGS):
        whole, share = levels[-1]
        if min(whole.shape[-2:]) < 2:
            break
        levels.append((F.avg_pool2d(whole, 2, ceil_mode=True), F.avg_pool2d(share, 2, ceil_mode=True)))
    answer = levels[-1][0] / levels[-1][1].clamp(min=1e-9)
    for whole, share in reversed(levels[:-1]):
        answer = F.interpolate(answer, whole.shape[-2:], mode="bilinear", align_corners=False)
        answer = torch.where(share > 0, whole / share.clamp(min=1e-9), answer)
    return answer


def _carried(latent: Tensor, velocity: Tensor, flow: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Latent and velocity (in -1..1) carried forward, (B, C + 2, H, W), and in 0..1 how much arrived."""
    planes = torch.cat([latent.float(), 2 * velocity - 1], 1)
    arrived = deposited(torch.cat([planes * weight, weight, torch.ones_like(weight)], 1), flow)
    total, area = arrived[:, -2:-1], arrived[:, -1:]
    return arrived[:, :-2] / torch.where(total == 0, 1.0, total), area.clamp(max=1)


def _steady(relative: Tensor, slopes: Tensor) -> Tensor:
    """(B, 2, H, W): the bend of a path through velocities that do not change in time, seen from what moves along."""
    return -0.5 * (slopes[:, :2] * relative[:, :1] + slopes[:, 2:] * relative[:, 1:])


def _mean(planes: Tensor, side: int) -> Tensor:
    """Means over squares of that side; 0 for none."""
    if side == 0:
        return torch.zeros_like(planes)
    height, width = planes.shape[-2:]
    step = max(1, side // 8)
    small = F.avg_pool2d(planes, step, ceil_mode=True, count_include_pad=False)
    window = side // step // 2 * 2 + 1
    soft = F.avg_pool2d(small, window, 1, window // 2, count_include_pad=False)
    return F.interpolate(soft, (height, width), mode="bilinear", align_corners=False)
