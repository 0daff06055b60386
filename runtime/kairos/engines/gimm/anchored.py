"""Kairos' own implicit motion: GIMM's latents and coordinate network, which correct what arrives and bend its path.

The published network tells the velocity itself, and that the way to both frames is straight. Here the velocities are
carried forward beside the latents, and the coordinate network corrects them. It also tells how far the path bends.
Where the frames before and after the pair are known, they tell most of it: their flows are carried forward as well.
Two frames show no acceleration; they show turns, though. Of something that turns, neighbouring pixels move differently,
and where a pixel's velocity changes along its own way, so does the pixel's (the convective part of acceleration): so
it is where the centre rests. How far to believe either is learned.

All on the flows' own grid, in its pixels; nothing hangs on the grid's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.gimm.network import GIMM, State, places
from kairos.engines.gimm.splatting import deposited
from kairos.engines.published import Time

GAIN = "gain"
"""The tensor that sets this network's weights apart."""

_FEATURES, _BESIDE = 24, 15
"""What the coordinate network answers with, and what it is told beside the latent."""
_COUNTS = (0.1, 0.1, 0.1, 0.1, 1.0, 1.0)
"""What is decided from the features: corrections of velocity and bend, of which a tenth counts, and two shares."""

_HALVINGS = 7
"""How often a plane is halved to fill its holes: wider ones than this make are told to be at rest."""

_LEAST = 1e-4
"""Arrivals under this part of a pixel are none."""


@dataclass(frozen=True)
class Bends:
    """What the frames before and after a pair tell of its paths.

    Attributes:
        at_0, at_1: (B, 2, H, W) pixels per squared interval, at the pixels of both frames, as :class:`Path` has it.
        known_0, known_1: (B, 1, H, W), 1 where it is known, else 0.
    """

    at_0: Tensor
    at_1: Tensor
    known_0: Tensor
    known_1: Tensor


@dataclass(frozen=True)
class Path:
    """At the pixels of a time, (B, 2, H, W) pixels per interval and its square.

    Attributes:
        velocity: from frame 0 to frame 1.
        bend: times t (1 - t) it is how far the pixel lies from the straight line between both.
        arrived, given: the velocity, and the bend that the neighbouring frames tell (0 where they do not), carried
            forward, uncorrected.
    """

    velocity: Tensor
    bend: Tensor
    arrived: Tensor
    given: Tensor


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
        super().__init__(latent, widths, blocks, refined, refiners, hidden, layers, _BESIDE, _FEATURES)
        # Before it has learned it corrects nothing.
        self.gain = nn.Parameter(torch.zeros(_FEATURES, len(_COUNTS)))

    def flows(self, state: State, time: Time) -> Tuple[Tensor, Tensor]:
        """From the pixels of a time to frame 0 and to frame 1, (B, 2, H, W) pixels."""
        path = self.path(state, time)
        return ways(path.velocity, path.bend, time)

    def path(self, state: State, time: Time, bends: Optional[Bends] = None) -> Path:
        """Velocity and bend at a time. Without ``bends`` it sees the two frames alone."""
        scale = state.scale[:, None, None, None]
        longest = torch.where(scale == 0, 1.0, scale)
        bends = bends or _unknown(state)
        zero, sure_0 = _carried(
            [state.latent_0, 2 * state.velocities[:, :, 0] - 1, bends.at_0 / longest * bends.known_0, bends.known_0],
            state.flow_01 * time,
            state.weight_0,
        )
        one, sure_1 = _carried(
            [state.latent_1, 2 * state.velocities[:, :, 1] - 1, bends.at_1 / longest * bends.known_1, bends.known_1],
            state.flow_10 * (1 - time),
            state.weight_1,
        )
        say_0, say_1 = sure_0 * (1 - time), sure_1 * time
        total = say_0 + say_1
        both = (zero[:, -5:] * say_0 + one[:, -5:] * say_1) / total.clamp(min=_LEAST)
        # Between -1 and 1 of the pair's longest component.
        anchor = filled(both[:, :2], (total > _LEAST).to(both.dtype))
        given = both[:, 2:4] / both[:, 4:].clamp(min=_LEAST)
        # One of both neighbours will do.
        known = torch.maximum(zero[:, -1:] * sure_0, one[:, -1:] * sure_1)
        slopes = slopes_of(anchor * scale)
        steady = -0.5 * (slopes[:, :2] * anchor[:, :1] + slopes[:, 2:] * anchor[:, 1:])
        apart = (zero[:, -5:-3] - one[:, -5:-3]) * torch.minimum(sure_0, sure_1)
        latent = self.refined(state, torch.cat([zero[:, :-5], one[:, :-5]], 1)).float()
        # A sine of large numbers is noise, and nothing would hold the latents back.
        latent = latent * (latent.square().mean(1, keepdim=True) + 1).rsqrt()
        told = [latent, anchor, apart, sure_0, sure_1, slopes, steady, given, known]
        features = self.hyponet(torch.cat(told, 1), places(latent, time)) - 0.5
        decided = self.gain.float() * self.gain.new_tensor(_COUNTS, dtype=torch.float32)
        found = torch.einsum("bfhw,fd->bdhw", features, decided)
        bend = found[:, 2:4] + found[:, 4:5] * steady + (1 + found[:, 5:]) * known * given
        return Path((anchor + found[:, :2]) * scale, bend * scale, anchor * scale, known * given * scale)


def ways(velocity: Tensor, bend: Tensor, time: Time) -> Tuple[Tensor, Tensor]:
    """The flows to both frames along a path (see :class:`Path`), (B, 2, H, W) pixels."""
    away = bend * (time * (1 - time))
    return -velocity * time - away, velocity * (1 - time) - away


def bends_of(
    flow_01: Tensor, flow_10: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None
) -> Bends:
    """What the neighbouring frames tell, from flows (B, 2, H, W): the pair's, that from frame 0 to the frame before it,
    and that from frame 1 to the frame after it, frames evenly apart. What is missing or not finite is not known.

    With x(s) = x + v s + h s^2 at frame 0, the flows to both its neighbours are v + h and -v + h.
    """
    found = []
    for onward, beyond in ((flow_01, before), (flow_10, after)):
        none = torch.zeros_like(onward)
        bend = none if beyond is None else -0.5 * (onward + beyond)
        known = bend.isfinite().all(1, keepdim=True) & torch.tensor(beyond is not None, device=onward.device)
        found.append((torch.where(known, bend, none), known.to(onward.dtype)))
    (at_0, known_0), (at_1, known_1) = found
    return Bends(at_0, at_1, known_0, known_1)


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


def _carried(parts: Sequence[Tensor], flow: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Planes (B, C, H, W) carried forward, put together, and in 0..1 how much arrived."""
    planes = torch.cat([part.float() for part in parts], 1)
    arrived = deposited(torch.cat([planes * weight, weight, torch.ones_like(weight)], 1), flow)
    total, area = arrived[:, -2:-1], arrived[:, -1:]
    return arrived[:, :-2] / torch.where(total == 0, 1.0, total), area.clamp(max=1)


def _unknown(state: State) -> Bends:
    rest, none = torch.zeros_like(state.flow_01), torch.zeros_like(state.weight_0)
    return Bends(rest, rest, none, none)
