"""What a field is fitted to: the observed colours, and colours that stay the same along the motion.

"Optical Flow Regularization of Implicit Neural Representations for Video Frame Interpolation":
L = lambda * |f - V|^2 + (1 - lambda) * |Df . (u, v, 1)|.
The direction is one frame interval long, so lambda means the same at any size and pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.siren.clip import Clip
from kairos.engines.siren.field import Field

_HOLDS = 0.018
"""Sureness over which the published form counts a vector: both ways differ by less than a pixel and some."""

_HALF = 0.5
"""How far from its frame a vector is followed, intervals: each is covered from both of its frames."""


@dataclass(frozen=True)
class Form:
    """How the constraint along the motion is put.

    Attributes:
        observed: weight of the observed colours, lambda.
        on_paths: the constraint holds at any time on the way from frame to frame; else at the observed frames alone.
        pace: how far t goes on from frame to frame, or None: from -1 to 1 over the clip. The slower, the less a sine
            network can swing between two frames.
        warm_up: part of the fit before the constraint begins.
        share: points of the constraint, as a part of those observed.
    """

    observed: float
    on_paths: bool = True
    pace: Optional[float] = None
    warm_up: float = 0.0
    share: float = 1.0

    def pace_of(self, frames: int) -> float:
        """How far t goes on from frame to frame in a clip of so many."""
        return 2.0 / max(1, frames - 1) if self.pace is None else self.pace


FORMS: Mapping[str, Form] = {
    "paths": Form(observed=0.9, pace=0.1, warm_up=0.1, share=0.25),
    "published": Form(observed=0.9, on_paths=False),
    "plain": Form(observed=1.0),
}
"""The better form, which is the default; the published one; and a field without a constraint, to compare with."""


class Ways(NamedTuple):
    """Points at which colours are to stay the same along a direction."""

    points: Tensor
    way: Tensor
    """(N, 3) each, the field's coordinates; the direction over one frame interval."""
    weight: Tensor
    """(N,) in 0..1."""


def observed(clip: Clip, index: Tensor, pace: float) -> Tuple[Tensor, Tensor]:
    """The field's coordinates and the wanted values, (N, 3) each, of pixels counted through the clip's frames."""
    height, width = clip.size
    frame, pixel = index // (height * width), index % (height * width)
    colours = clip.frames.reshape(clip.count, 3, -1)[frame, :, pixel]
    return points_of(clip, pixel % width, pixel // width, frame, pace), 2 * colours - 1


def points_of(clip: Clip, x: Tensor, y: Tensor, frame: Tensor, pace: float) -> Tensor:
    """(N, 3) coordinates of places in pixels, 0 in the first one's centre, at times in frames."""
    height, width = clip.size
    return torch.stack(
        [(2 * x + 1) / width - 1, (2 * y + 1) / height - 1, (frame - (clip.count - 1) / 2) * pace], 1
    ).to(clip.frames.dtype)


def ways(clip: Clip, form: Form, count: int, pace: float, generator: torch.Generator) -> Ways:
    """Where the constraint is put, at random: ``count`` points."""
    height, width = clip.size
    device = clip.frames.device

    def draw(high: int) -> Tensor:
        return torch.randint(high, (count,), generator=generator, device=device)

    pixel = draw(height * width)
    if form.on_paths:
        interval, is_back = draw(clip.count - 1), draw(2).bool()
        after = _HALF * torch.rand(count, generator=generator, device=device)
    else:
        # The last frame has no next one: the way it came.
        frame = draw(clip.count)
        is_back = frame == clip.count - 1
        interval, after = frame - is_back.long(), torch.zeros(count, device=device)
    flat = (clip.count - 1, 2, height * width)
    flow = torch.where(
        is_back[:, None],
        clip.behind.reshape(flat)[interval, :, pixel],
        clip.ahead.reshape(flat)[interval, :, pixel],
    ).to(clip.frames.dtype)
    sure = torch.where(
        is_back,
        clip.sure_behind.reshape(clip.count - 1, -1)[interval, pixel],
        clip.sure_ahead.reshape(clip.count - 1, -1)[interval, pixel],
    ).to(clip.frames.dtype)
    if not form.on_paths:
        sure = (sure > _HOLDS).to(sure.dtype)
    sign = torch.where(is_back, -1.0, 1.0).to(flow.dtype)
    time = interval + is_back.long() + sign * after
    x, y = pixel % width + after * flow[:, 0], pixel // width + after * flow[:, 1]
    way = torch.stack([2 * flow[:, 0] / width, 2 * flow[:, 1] / height, sign * pace], 1)
    return Ways(points_of(clip, x, y, time, pace), way, sure)


def observation_loss(field: Field, points: Tensor, colours: Tensor, counted: Tensor) -> Tensor:
    """Mean squared difference from the observed colours over the pixels that count, ``counted`` (N,) 0 or 1."""
    off: Tensor = (field(points) - colours).square().mean(1)
    return (off * counted).sum() / counted.sum().clamp(min=1)


def motion_loss(field: Field, where: Ways) -> Tensor:
    """Mean change of colour along the motion per frame interval, weighted by how far the motion is believed."""
    _, change = field.along(where.points, where.way)
    return (change.abs().mean(1) * where.weight).mean()
