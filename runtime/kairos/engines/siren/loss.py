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

from kairos.engines.siren.clip import STEPS, Clip
from kairos.engines.siren.field import Field
from kairos.engines.siren.spline import sampled

_HOLDS = 0.018
"""Sureness over which the published form counts a vector: both ways differ by less than a pixel and some."""

_HALF = 0.5
"""How far from its frame a vector is followed, intervals: each is covered from both of its frames."""

MOMENTS = 4
"""Moments of a step: points of one time cost a grid less."""

_FLOOR = 0.1
"""Least weight of what is carried: where nothing sure comes, the unsure is better than nothing."""


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
        carried: in place of a derivative that is to be 0, the colours themselves are carried along the paths:
            ``observed`` is then the part of a step's moments that are frames.
    """

    observed: float
    on_paths: bool = True
    carried: bool = False
    pace: Optional[float] = None
    warm_up: float = 0.0
    share: float = 1.0

    def pace_of(self, frames: int) -> float:
        """How far t goes on from frame to frame in a clip of so many."""
        return 2.0 / max(1, frames - 1) if self.pace is None else self.pace


FORMS: Mapping[str, Form] = {
    "carried": Form(observed=0.5, carried=True, pace=0.1),
    "paths": Form(observed=0.9, pace=0.1, warm_up=0.1, share=0.25),
    "published": Form(observed=0.9, on_paths=False),
    "plain": Form(observed=1.0),
}
"""The default; the published constraint at any time; the published form; and a field without a constraint, to compare
with."""


class Ways(NamedTuple):
    """Points at which colours are to stay the same along a direction."""

    points: Tensor
    way: Tensor
    """(N, 3) each, the field's coordinates; the direction over one frame interval."""
    weight: Tensor
    """(N,) in 0..1."""


class Seen(NamedTuple):
    """Points whose colours are known."""

    points: Tensor
    colours: Tensor
    """(N, 3) each, the field's coordinates and values."""
    weight: Tensor
    """(N,) in 0..1."""
    pixel: Tensor
    """(N,) the pixels that they come from, counted through the clip's frames."""


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


def ways(
    clip: Clip, form: Form, count: int, pace: float, generator: torch.Generator, moments: Optional[int] = None
) -> Ways:
    """Where the constraint is put, at random: ``count`` points, of so many moments, or each of a time of its own."""
    height, width = clip.size
    device = clip.frames.device

    def draw(high: int) -> Tensor:
        return torch.randint(high, (count,), generator=generator, device=device)

    pixel = draw(height * width)
    if form.on_paths:
        interval, is_back = draw(clip.count - 1), draw(2).bool()
        after = _HALF * torch.rand(count, generator=generator, device=device)
        if moments is not None:
            shared = torch.arange(count, device=device) % moments
            interval, is_back, after = interval[shared], is_back[shared], after[shared]
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


def carried(clip: Clip, form: Form, count: int, pace: float, generator: torch.Generator) -> Seen:
    """Observed pixels where the motion has taken them, at a few random moments: about ``count`` points.

    A moment between two frames is told by both, by each in proportion to its nearness and as far as its motion holds.
    Over a base the colours are what it lacks of them: at the frames themselves, nothing.
    """
    height, width = clip.size
    device, parts = clip.frames.device, []
    each = max(1, count // MOMENTS)
    for _ in range(MOMENTS):
        chance, passed = torch.rand(2, generator=generator, device=device).tolist()
        if chance < form.observed and clip.base is None:
            start = _draw(clip.count, 1, generator, device) * height * width
            index = start + _draw(height * width, each, generator, device)
            parts.append((*observed(clip, index, pace), torch.ones(each, device=device), index))
            continue
        interval, shown = int(_draw(clip.count - 1, 1, generator, device)), None
        if clip.base is not None:
            step = min(int(passed * STEPS), STEPS - 1)
            passed, shown = step / STEPS, clip.base[interval, step]
        for frame, flows, sures, time in (
            (interval, clip.ahead, clip.sure_ahead, passed),
            (interval + 1, clip.behind, clip.sure_behind, 1 - passed),
        ):
            pixel = _draw(height * width, each // 2 + 1, generator, device)
            flow = flows[interval].reshape(2, -1)[:, pixel].float()
            x, y = pixel % width + time * flow[0], pixel // width + time * flow[1]
            inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
            sure = sures[interval].reshape(-1)[pixel].float().clamp(min=_FLOOR)
            moment = torch.full_like(x, interval + passed)
            colours = 2 * clip.frames[frame].reshape(3, -1)[:, pixel].T - 1
            if shown is not None:
                colours = colours + 1 - 2 * sampled(shown, x, y)
            weight = (1 - time) * sure * inside
            parts.append((points_of(clip, x, y, moment, pace), colours, weight, frame * height * width + pixel))
    return Seen(*(torch.cat(column) for column in zip(*parts)))


def _draw(high: int, count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randint(high, (count,), generator=generator, device=device)


def observation_loss(field: Field, points: Tensor, colours: Tensor, counted: Tensor) -> Tensor:
    """Mean squared difference from the observed colours over the pixels that count, ``counted`` (N,) 0 or 1."""
    off: Tensor = (field(points) - colours).square().mean(1)
    return (off * counted).sum() / counted.sum().clamp(min=1)


def motion_loss(field: Field, where: Ways) -> Tensor:
    """Mean change of colour along the motion per frame interval, weighted by how far the motion is believed."""
    _, change = field.along(where.points, where.way)
    return (change.abs().mean(1) * where.weight).mean()
