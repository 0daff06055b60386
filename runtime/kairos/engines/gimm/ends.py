"""What both frames tell of a pair's motion, pixel by pixel, and how it is looked up where a path ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.fetching import warp
from kairos.engines.gimm import quick

PLANES = 5
"""What is known of a frame's pixels: velocity, bend, how well the way back agrees."""
CELL = 4
"""Pixels per cell of the grid on which a frame's motion is encoded, along each side."""
_RENDERED, _MOST, _MOVING = 0.02, 0.5, 0.5
"""Pixels by which the way back misses at most where a renderer has told both; the part of what moves that has to agree
so, and pixels from which on something moves.
"""
_AROUND = 11
"""Cells over which bends are gathered, along each side."""


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
    ranged = torch.cat([both[:, :4] / scale, level(both[:, 4:])], 1)
    height, width = flow_01.shape[-2:]
    padded = F.pad(ranged, (0, -width % CELL, 0, -height % CELL), mode="replicate")
    rows = [frame.reshape(PLANES, -1).T.contiguous() for frame in frames]
    bent = bool(both[:, 2:4].any())
    return Ends((rows[0], rows[1]), F.avg_pool2d(padded, CELL), scale, (int(height), int(width)), bent)


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
    if quick.usable(velocity, *ends.rows):
        return quick.bends(ends.rows, ends.size, time, velocity)
    place = _pixels(ends.size, velocity.device)
    # The ends of a path hang on its bend: looked up once more, they are near enough.
    bend = bend_of(ends, time, velocity.flatten(1).T, torch.zeros_like(velocity).flatten(1).T, place)
    return bend_of(ends, time, velocity.flatten(1).T, bend, place).T.reshape(velocity.shape)


def bend_of(ends: Ends, time: float, velocity: Tensor, bend: Tensor, place: Tuple[Tensor, Tensor]) -> Tensor:
    """(N, 2): the bend at both ends of paths of that velocity and bend, (N, 2), of pixels (columns and rows, (N,)):
    that of the end counts more which is nearer in time, and whose own velocity is nearer to the path's.
    """
    paths = torch.cat([velocity, bend], 1)[:, None]
    (near, _), (far, _) = both_ends(ends, time, paths, (place[0][:, None], place[1][:, None]))
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


def believed(ends: Ends, shares: Tensor) -> Ends:
    """With bends as far as they are believed: ``shares`` (2, 2, h, w) in 0..1, of the bend at all, and in that of each
    pixel's own beside that of the cells around.
    """
    height, width = ends.size
    rows = []
    for own, share, cells in zip(ends.rows, shares, ends.planes[:, 2:4] * ends.scale):
        total = F.avg_pool2d(torch.cat([cells * share[:1], share[:1]])[None], _AROUND, 1, _AROUND // 2)[0]
        around = torch.cat([share, total[:2] / total[2:].clamp(min=1e-6)])
        fine = F.interpolate(around[None], scale_factor=float(CELL), mode="bilinear", align_corners=False)
        told = fine[0, :, :height, :width].flatten(1).T
        bend = told[:, :1] * (own[:, 2:4] * told[:, 1:2] + told[:, 2:] * (1 - told[:, 1:2]))
        rows.append(torch.cat([own[:, :2], bend, own[:, 4:]], 1))
    return replace(ends, rows=(rows[0], rows[1]))


def rendered(ends: Ends) -> bool:
    """Whether most of what moves agrees with the way back as only a renderer's vectors do: these know what the frames
    around a pair show as well.
    """
    velocity = ends.planes[:, :2] * ends.scale
    moving = velocity.square().sum(1) > _MOVING**2
    agrees = unlevelled(ends.planes[:, -1]) < _RENDERED
    return int((moving & agrees).sum()) > _MOST * max(int(moving.sum()), 1)


def _pixels(size: Tuple[int, int], device: torch.device) -> Tuple[Tensor, Tensor]:
    """Columns and rows, (H * W,) float32."""
    y, x = torch.meshgrid(*(torch.arange(length, device=device) for length in size), indexing="ij")
    return x.flatten().float(), y.flatten().float()


Looked = Tuple[Tensor, Tuple[Tensor, Tensor]]
"""A frame's rows (..., 5), and the columns and rows in which they were looked up."""


def both_ends(ends: Ends, time: float, motions: Tensor, pixel: Tuple[Tensor, Tensor]) -> Tuple[Looked, Looked]:
    """What both frames show where motions (N, M, 4) of pixels come from and go to, in the nearest pixel."""
    found: List[Looked] = []
    for rows, to in zip(ends.rows, ways(motions[..., :2], motions[..., 2:], time)):
        x, y = (start + way for start, way in zip(pixel, to.unbind(-1)))
        height, width = ends.size
        index = y.round().clamp(0, height - 1).long() * width + x.round().clamp(0, width - 1).long()
        found.append((F.embedding(index, rows), (x, y)))
    return found[0], found[1]


def long(vectors: Tensor) -> Tensor:
    """Lengths of vectors (..., 2)."""
    return vectors.square().sum(-1).sqrt()


def unlevelled(levels: Tensor) -> Tensor:
    """The opposite of :func:`level`."""
    return (levels * 4).exp2() - 0.05


def level(pixels: Tensor) -> Tensor:
    """Lengths told by how many times they double."""
    return (pixels + 0.05).log2() / 4
