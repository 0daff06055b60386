"""Kairos' own implicit motion: motion latents and a coordinate network that says whose motion a pixel follows.

The published network tells a velocity itself. Here a pixel of a time is asked, at its place and time, which of the
motions that have arrived around it (and of those that both frames show at the ends of these) is its own: so it says
nothing that nobody has seen, and an edge is as sharp as in the flows. What it is told of every one is what both frames
show where that motion comes from and goes to: how well they agree with it, whether the way back does, and their motion
latents there, which are GIMM's: both velocities, brought to a range and encoded.

It is asked where neighbouring motions differ; elsewhere there is nothing to choose. Where the frames before and after
the pair show how paths bend, the encoder says how far to believe them, and how far what they show around. All on the
flows' own grid, in its pixels; nothing hangs on the grid's size.
"""

from __future__ import annotations

from typing import Tuple

import torch
from torch import Tensor, nn

from kairos.engines.blocks import channels_last, dtype_of
from kairos.engines.gimm.ends import PLANES, Ends, believed, rendered
from kairos.engines.gimm.evidence import TOLD, Seen, evidence
from kairos.engines.gimm.network import Residual

AROUND = "around.weight"
"""The tensor that sets this network's weights apart."""

OTHERS = 2
"""What the encoder answers with besides latents: how far bends are believed, and how far each pixel's own of them."""

_SLOPE = 0.1
_BELIEVED = 3.0
"""Of the frames around the pair, before anything is learned: all but nothing (what the encoder says goes through a
logistic function that is a little wider than 0..1, and is cut to that).
"""

_APART, _REACH = 0.5, 4
"""A pixel is asked where motions this far away on both sides, pixels, differ so much from going on evenly, pixels."""
_NEAR = 2
"""And so are pixels so near to it, along rows and columns."""
_SHARE, _ALWAYS = 0.05, 24576
"""At most so much of all pixels is asked, or so many, whichever is more (and more where many are alike): those where
motions differ most.
"""
_GONE = 0.65
"""Part of the way that a pixel goes from what has arrived to what the network says: of two answers that err each in its
own way the mean is the safer. Chosen on 10 made scenes of a seed of their own (0.5 errs less by squares, 1 by length).
"""
_CHUNK, _CHUNK_GPU = 1 << 11, 1 << 16
"""Pixels of which all motions are weighed at once: what they are told fits a processor's cache, or keeps a GPU busy.
"""


class Anchored(nn.Module):
    """The network.

    Args:
        latent: channels of the motion latents.
        width: of the encoder's convolutions.
        hidden: channels of the coordinate network.
    """

    def __init__(self, latent: int, width: int, hidden: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(PLANES, width, 3, 1, 1),
            nn.LeakyReLU(_SLOPE),
            Residual(width),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width, latent + OTHERS, 3, 1, 1),
        )
        channels_last(self.encoder)
        self.first = nn.Linear(TOLD + 2 * latent, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.own = nn.Linear(hidden, hidden)
        self.around = nn.Linear(2 * hidden, hidden, bias=False)
        self.third = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 3)
        with torch.no_grad():
            self.last.weight.zero_()
            # Before it has learned, what has arrived is worth more than what the ends show.
            self.last.bias.copy_(torch.tensor([0.0, -1.0, -1.0]))
            # And the frames around the pair are believed.
            encoded: nn.Conv2d = self.encoder[-1]  # type: ignore[assignment]
            encoded.weight[-OTHERS:].zero_()
            encoded.bias[-OTHERS:].fill_(_BELIEVED)  # type: ignore[index]

    def seen(self, ends: Ends) -> Seen:
        """What depends on the flows alone."""
        found = self.encoder(ends.planes.to(dtype_of(self))).float()
        latents, said = found[:, :-OTHERS], (found[:, -OTHERS:].sigmoid() * 1.1 - 0.05).clamp(0, 1)
        # A mean square of one at most: nothing else would hold them back.
        latents = latents * (latents.square().mean(1, keepdim=True) + 1).rsqrt()
        zero, one = latents.flatten(2).transpose(1, 2)
        sure = not ends.bent or rendered(ends)
        return Seen(ends if sure else believed(ends, said), (zero, one))

    def weighed(self, seen: Seen, time: float, arrived: Tensor, asked: Tensor) -> Tuple[Tensor, Tensor]:
        """The motions that some pixels may follow, and how much each of them is believed.

        Args:
            seen: of the pair.
            time: 0..1.
            arrived: (H * W, 4), velocity and bend at the time's pixels.
            asked: (N,) the pixels, row by row.

        Returns:
            (N, M, 4) velocity and bend; (N, M) in 0..1, of sum 1.
        """
        motions, told = evidence(seen, time, arrived, asked)
        each = rectified(self.second, rectified(self.first, told.to(dtype_of(self))))
        among = self.around(torch.cat([each.mean(0), each.amax(0)], -1))
        says = self.last(rectified(self.third, (self.own(each) + among).relu()))
        return motions, says.float().transpose(0, 1).flatten(1).softmax(1)

    def told(self, seen: Seen, time: float, base: Tensor) -> Tensor:
        """Velocity and bend (4, H, W) at a time, from those that have arrived, ``base`` (4, H, W)."""
        asked = places(base[:2])
        if not len(asked):
            return base
        arrived, parts = base.flatten(1).T.contiguous(), []
        for some in asked.split(_CHUNK if base.device.type == "cpu" else _CHUNK_GPU):  # type: ignore[no-untyped-call]
            motions, says = self.weighed(seen, time, arrived, some)
            parts.append(torch.bmm(says[:, None], motions)[:, 0])
        arrived[asked] = arrived[asked].lerp(torch.cat(parts), _GONE)
        return arrived.T.reshape(base.shape)


def places(velocity: Tensor) -> Tensor:
    """(N,) pixels, row by row, near which a velocity (2, H, W) does not go on evenly."""
    uneven = torch.zeros_like(velocity[0])
    for axis in (0, 1):
        length = velocity.shape[axis + 1] - 2 * _REACH
        if length > 0:
            before, here, behind = (velocity.narrow(axis + 1, step * _REACH, length) for step in range(3))
            off = (before + behind).sub_(here, alpha=2).abs_()
            inner = uneven.narrow(axis, _REACH, length)
            torch.maximum(inner, off[0].add_(off[1]), out=inner)
    for axis in (0, 1):
        uneven = _greatest(uneven, axis)
    flat = uneven.flatten()
    most, least = min(max(int(_SHARE * len(flat)), _ALWAYS), len(flat) - 1), _APART
    asked = flat > least
    if int(asked.sum()) > most:
        least = max(least, float(flat.kthvalue(len(flat) - most).values))
        asked = flat >= least
    return asked.nonzero()[:, 0]


def _greatest(plane: Tensor, axis: int) -> Tensor:
    """Of each pixel of a plane (H, W) and those up to :data:`_NEAR` away along an axis."""
    answer = plane.clone()
    for step in range(1, min(_NEAR, plane.shape[axis] - 1) + 1):
        length = plane.shape[axis] - step
        for to, source in ((0, step), (step, 0)):
            target = answer.narrow(axis, to, length)
            torch.maximum(target, plane.narrow(axis, source, length), out=target)
    return answer


def rectified(layer: nn.Linear, values: Tensor) -> Tensor:
    """A linear layer of values (..., C) with a ReLU behind it, in one pass where torch can."""
    fused = getattr(getattr(torch.ops, "mkldnn", None), "_linear_pointwise", None)
    gradient = torch.is_grad_enabled() and (values.requires_grad or layer.weight.requires_grad)
    if fused is None or gradient or values.device.type != "cpu" or values.dtype is not torch.float32:
        answer: Tensor = layer(values).relu()
        return answer
    flat = values.reshape(-1, values.shape[-1])
    quick: Tensor = fused(flat, layer.weight, layer.bias, "relu", [], "")
    return quick.reshape(*values.shape[:-1], -1)
