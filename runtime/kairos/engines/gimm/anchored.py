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

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.blocks import channels_last, dtype_of
from kairos.engines.fetching import warp
from kairos.engines.gimm.network import Residual

AROUND = "around.weight"
"""The tensor that sets this network's weights apart."""

OTHERS = 2
"""What the encoder answers with besides latents: how far bends are believed, and how far each pixel's own of them."""

PLACES: Tuple[Tuple[int, int], ...] = (
    (0, 0),
    *((reach * row, reach * column) for reach in (3, 10) for row, column in ((1, 0), (-1, 0), (0, 1), (0, -1))),
)
"""Rows and columns away from a pixel, where motions are that may be its own; the first is what has arrived there."""

_TOLD = 16
"""What is told of every motion besides the latents at both its ends."""
_PLANES = 5
"""What a frame's latents are made of: velocity, bend, how well the way back agrees."""
_CELL = 4
"""Pixels per cell of the grid of latents, along each side."""
_SLOPE = 0.1
_BELIEVED = 3.0
"""Of the frames around the pair, before anything is learned: nearly all (as a logistic function has it)."""
_AROUND = 11
"""Cells over which bends are gathered, along each side."""

_APART, _REACH = 0.5, 4
"""A pixel is asked where motions this far away on both sides, pixels, differ so much from going on evenly, pixels."""
_SHARE = 0.25
"""At most this part of all pixels is asked: those where motions differ most."""
_CHUNK = 1 << 13
"""Pixels of which all motions are weighed at once: what they are told stays in the processor's cache."""


@dataclass(frozen=True)
class Ends:
    """What both frames tell of a pair's motion, H rows and W columns.

    Attributes:
        rows: of either frame (H * W, 5): velocity from frame 0 to frame 1, x and y; bend (times t (1 - t) it is how far
            a path lies from the straight line); how far the way back misses, pixels.
        planes: (2, 5, h, w), the same on the grid of latents, brought to a range.
        scale: pixels, what is 1 there; size: H and W; bent: any path bends.
    """

    rows: Tuple[Tensor, Tensor]
    planes: Tensor
    scale: Tensor
    size: Tuple[int, int]
    bent: bool

    def bends(self) -> Tuple[Tensor, Tensor]:
        """Of both frames, (2, H, W)."""
        zero, one = (rows[:, 2:4].T.reshape(2, *self.size).contiguous() for rows in self.rows)
        return zero, one


def ends_of(flow_01: Tensor, flow_10: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None) -> Ends:
    """From flows (2, H, W): the pair's, finite, that from frame 0 to the frame before it, and that from frame 1 to the
    frame after it, frames evenly apart. Where one of these is missing or not finite the other tells, else neither.

    With x(s) = x + v s + h s^2 at frame 0, the flows to both its neighbours are v + h and -v + h.
    """
    flows = flow_01.float(), flow_10.float()
    bends, known = zip(*(_bend(flow, beyond) for flow, beyond in zip(flows, (before, after))))
    frames: List[Tensor] = []
    for end, (flow, back, sign) in enumerate(((*flows, 1.0), (*flows[::-1], -1.0))):
        error = (warp(back[None], flow[None])[0] + flow).square().sum(0, keepdim=True).sqrt()
        there = warp(torch.cat([bends[1 - end], known[1 - end]])[None], flow[None])[0]
        bend = torch.where(known[end] > 0, bends[end], torch.where(there[2:] > 0.99, there[:2], 0.0))
        frames.append(torch.cat([flow * sign, bend, error]))
    both = torch.stack(frames)
    scale = both[:, :2].abs().amax().clamp(min=1e-3)
    ranged = torch.cat([both[:, :4] / scale, _level(both[:, 4:])], 1)
    height, width = flow_01.shape[-2:]
    padded = F.pad(ranged, (0, -width % _CELL, 0, -height % _CELL), mode="replicate")
    rows = [frame.reshape(_PLANES, -1).T.contiguous() for frame in frames]
    bent = bool(both[:, 2:4].any())
    return Ends((rows[0], rows[1]), F.avg_pool2d(padded, _CELL), scale, (int(height), int(width)), bent)


@dataclass(frozen=True)
class Seen:
    """What the network makes of a pair's flows.

    Attributes:
        ends: with bends as far as they are believed.
        latents: of either frame (h * w, C) float32, cell by cell.
    """

    ends: Ends
    latents: Tuple[Tensor, Tensor]


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
            nn.Conv2d(_PLANES, width, 3, 1, 1),
            nn.LeakyReLU(_SLOPE),
            Residual(width),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width, latent + OTHERS, 3, 1, 1),
        )
        channels_last(self.encoder)
        self.first = nn.Linear(_TOLD + 2 * latent, hidden)
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
            encoded = self.encoder[-1]
            encoded.weight[-OTHERS:].zero_()
            encoded.bias[-OTHERS:].fill_(_BELIEVED)

    def seen(self, ends: Ends) -> Seen:
        """What depends on the flows alone."""
        found = self.encoder(ends.planes.to(dtype_of(self))).float()
        latents, shares = found[:, :-OTHERS], found[:, -OTHERS:].sigmoid()
        # A mean square of one at most: nothing else would hold them back.
        latents = latents * (latents.square().mean(1, keepdim=True) + 1).rsqrt()
        zero, one = latents.flatten(2).transpose(1, 2)
        return Seen(_believed(ends, shares) if ends.bent else ends, (zero, one))

    def weighed(self, seen: Seen, time: float, base: Tensor, asked: Tensor) -> Tuple[Tensor, Tensor]:
        """The motions that some pixels may follow, and how much each of them is believed.

        Args:
            seen: of the pair.
            time: 0..1.
            base: (4, H, W), velocity and bend that have arrived at the time's pixels.
            asked: (N,) the pixels, row by row.

        Returns:
            (N, M, 4) velocity and bend; (N, M) in 0..1, of sum 1.
        """
        motions, told = _evidence(seen, time, base, asked)
        dtype = dtype_of(self)
        each = self.second(self.first(told.to(dtype)).relu()).relu()
        among = self.around(torch.cat([each.mean(1), each.amax(1)], -1))
        says = self.last(self.third((self.own(each) + among[:, None]).relu()).relu())
        return motions, says.float().flatten(1).softmax(1)

    def told(self, seen: Seen, time: float, base: Tensor) -> Tensor:
        """Velocity and bend (4, H, W) at a time, from those that have arrived, ``base`` (4, H, W)."""
        asked = places(base[:2])
        if not len(asked):
            return base
        parts = []
        for some in asked.split(_CHUNK):
            motions, says = self.weighed(seen, time, base, some)
            parts.append((motions * says[..., None]).sum(1))
        answer = base.flatten(1).clone()
        answer[:, asked] = torch.cat(parts).T
        return answer.reshape(base.shape)


def places(velocity: Tensor) -> Tensor:
    """(N,) pixels, row by row, near which a velocity (2, H, W) does not go on evenly."""
    uneven = torch.zeros_like(velocity[:1])
    for axis in (1, 2):
        length = velocity.shape[axis]
        if length <= 2 * _REACH:
            continue
        bend = velocity.narrow(axis, 0, length - 2 * _REACH) + velocity.narrow(axis, 2 * _REACH, length - 2 * _REACH)
        bend = (bend - 2 * velocity.narrow(axis, _REACH, length - 2 * _REACH)).abs().sum(0, keepdim=True)
        inner = uneven.narrow(axis, _REACH, length - 2 * _REACH)
        torch.maximum(inner, bend, out=inner)
    uneven = F.max_pool2d(uneven[None], 5, 1, 2).flatten()
    least = _APART
    while int((uneven > least).sum()) > _SHARE * len(uneven):
        least *= 1.1
    return (uneven > least).nonzero()[:, 0]


def ways(velocity: Tensor, bend: Tensor, time: float) -> Tuple[Tensor, Tensor]:
    """The flows to both frames along a path, planes (..., 2, H, W) in pixels per interval and its square: times
    t (1 - t) the bend is how far a pixel lies from the straight line between both ends.
    """
    away = bend * (time * (1 - time))
    return -velocity * time - away, velocity * (1 - time) - away


def bends_at(ends: Ends, time: float, velocity: Tensor) -> Tensor:
    """(2, H, W): how paths bend that arrive with a velocity (2, H, W), as both frames tell at their ends."""
    if not ends.bent:
        return torch.zeros_like(velocity)
    place = _pixels(ends.size, velocity.device)
    # The ends of a path hang on its bend: looked up once more, they are near enough.
    bend = bend_of(ends, time, velocity.flatten(1).T, torch.zeros_like(velocity).flatten(1).T, place)
    return bend_of(ends, time, velocity.flatten(1).T, bend, place).T.reshape(velocity.shape)


def bend_of(ends: Ends, time: float, velocity: Tensor, bend: Tensor, place: Tuple[Tensor, Tensor]) -> Tensor:
    """(N, 2): the bend at both ends of paths of that velocity and bend, (N, 2), of pixels (columns and rows, (N,)):
    that of the end counts more which is nearer in time, and whose own velocity is nearer to the path's.
    """
    paths = torch.cat([velocity, bend], 1)[:, None]
    (near, _), (far, _) = _both_ends(ends, time, paths, (place[0][:, None], place[1][:, None]))
    off = [(each[:, 0, :2] - velocity).abs().sum(1, keepdim=True) + 0.1 for each in (near, far)]
    say = (1 - time) * off[1] / ((1 - time) * off[1] + time * off[0])
    return near[:, 0, 2:4] * say + far[:, 0, 2:4] * (1 - say)


def _bend(onward: Tensor, beyond: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
    """(2, H, W) bend and (1, H, W) where it is known."""
    if beyond is None:
        return torch.zeros_like(onward), torch.zeros_like(onward[:1])
    bend = -0.5 * (onward + beyond.float())
    known = bend.isfinite().all(0, keepdim=True)
    return torch.where(known, bend, 0.0), known.to(bend.dtype)


def _believed(ends: Ends, shares: Tensor) -> Ends:
    """With bends as far as they are believed: ``shares`` (2, 2, h, w) in 0..1, of the bend at all, and in that of each
    pixel's own beside that of the cells around.
    """
    height, width = ends.size
    rows = []
    for own, share, cells in zip(ends.rows, shares, ends.planes[:, 2:4] * ends.scale):
        total = F.avg_pool2d(torch.cat([cells * share[:1], share[:1]])[None], _AROUND, 1, _AROUND // 2)[0]
        around = torch.cat([share, total[:2] / total[2:].clamp(min=1e-6)])
        fine = F.interpolate(around[None], scale_factor=float(_CELL), mode="bilinear", align_corners=False)
        told = fine[0, :, :height, :width].flatten(1).T
        bend = told[:, :1] * (own[:, 2:4] * told[:, 1:2] + told[:, 2:] * (1 - told[:, 1:2]))
        rows.append(torch.cat([own[:, :2], bend, own[:, 4:]], 1))
    return replace(ends, rows=(rows[0], rows[1]))


def _pixels(size: Tuple[int, int], device: torch.device) -> Tuple[Tensor, Tensor]:
    """Columns and rows, (H * W,) float32."""
    y, x = torch.meshgrid(*(torch.arange(length, device=device) for length in size), indexing="ij")
    return x.flatten().float(), y.flatten().float()


Looked = Tuple[Tensor, Tuple[Tensor, Tensor]]
"""A frame's rows (..., 5), and the columns and rows in which they were looked up."""


def _both_ends(ends: Ends, time: float, motions: Tensor, pixel: Tuple[Tensor, Tensor]) -> Tuple[Looked, Looked]:
    """What both frames show where motions (N, M, 4) of pixels come from and go to, in the nearest pixel."""
    found: List[Looked] = []
    for rows, to in zip(ends.rows, ways(motions[..., :2], motions[..., 2:], time)):
        x, y = (start + way for start, way in zip(pixel, to.unbind(-1)))
        height, width = ends.size
        index = y.round().clamp(0, height - 1) * width + x.round().clamp(0, width - 1)
        found.append((F.embedding(index.long(), rows), (x, y)))
    return found[0], found[1]


def _evidence(seen: Seen, time: float, base: Tensor, asked: Tensor) -> Tuple[Tensor, Tensor]:
    """Motions (N, 3 K, 4), those that arrived and what either end shows in turns, and what is told (N, K, ...)."""
    ends = seen.ends
    height, width = ends.size
    row, column = asked // width, asked % width
    table = base.flatten(1).T.contiguous()
    around = torch.stack(
        [(row + down).clamp(0, height - 1) * width + (column + right).clamp(0, width - 1) for down, right in PLACES], 1
    )
    motions = F.embedding(around, table)
    zero, one = _both_ends(ends, time, motions, (column[:, None].float(), row[:, None].float()))
    velocity = motions[..., :2]
    reach = velocity.new_tensor([max(map(abs, place)) for place in PLACES])
    ways_there = velocity.new_tensor([[right, down] for down, right in PLACES]) / reach.clamp(min=1)[:, None]
    apart = velocity - velocity[:, :1]
    parting = (apart * ways_there).sum(-1)
    missed = [_long(rows[..., :2] - velocity) for rows, _ in (zero, one)]
    like = _long(velocity[:, :, None] - velocity[:, None])
    told = [
        *map(_level, missed),
        _level(torch.minimum(*missed).amin(1, keepdim=True)).expand_as(parting),
        _level(_long(zero[0][..., :2] - one[0][..., :2])),
        _level(zero[0][..., 4]),
        _level(one[0][..., 4]),
        *(_outside(place, ends.size) for _, place in (zero, one)),
        torch.exp(-like.square()).mean(-1),
        _level(_long(apart)),
        parting.sign() * (1 + parting.abs()).log2() / 4,
        _level(_long(velocity)),
        torch.full_like(parting, time),
        (reach == 0).to(parting.dtype).expand_as(parting),
        (reach / 10).expand_as(parting),
        _level(_long(motions[..., 2:])),
    ]
    cells = -(-width // _CELL)
    there = []
    for latent, (_, (x, y)) in zip(seen.latents, (zero, one)):
        row_of, column_of = (
            (place.round().clamp(0, side - 1) / _CELL).floor() for place, side in ((y, height), (x, width))
        )
        there.append(F.embedding((row_of * cells + column_of).long(), latent))
    every = torch.stack([motions, zero[0][..., :4], one[0][..., :4]], 2).flatten(1, 2)
    return every, torch.cat([torch.stack(told, -1), *there], -1)


def _long(vectors: Tensor) -> Tensor:
    return vectors.square().sum(-1).sqrt()


def _level(pixels: Tensor) -> Tensor:
    """Lengths told by how many times they double."""
    return (pixels + 0.05).log2() / 4


def _outside(place: Tuple[Tensor, Tensor], size: Tuple[int, int]) -> Tensor:
    """How far places lie beyond the frame, up to 8 pixels, in 0..1."""
    (x, y), (height, width) = place, size
    off = torch.maximum(torch.maximum(-x, x - (width - 1)), torch.maximum(-y, y - (height - 1)))
    return off.clamp(0, 8) / 8
