"""What Kairos' own implicit motion is told of every motion that a pixel may follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.gimm import quick
from kairos.engines.gimm.ends import CELL, Ends, both_ends, level, long

PLACES: Tuple[Tuple[int, int], ...] = (
    (0, 0),
    *((reach * row, reach * column) for reach in (3, 10) for row, column in ((1, 0), (-1, 0), (0, 1), (0, -1))),
)
"""Rows and columns away from a pixel, where motions are that may be its own; the first is what has arrived there."""

TOLD = 16
"""What is told of every motion besides the latents at both its ends."""


@dataclass(frozen=True)
class Seen:
    """What the network makes of a pair's flows.

    Attributes:
        ends: with bends as far as they are believed.
        latents: of either frame (h * w, C) float32, cell by cell.
    """

    ends: Ends
    latents: Tuple[Tensor, Tensor]


def evidence(seen: Seen, time: float, arrived: Tensor, asked: Tensor) -> Tuple[Tensor, Tensor]:
    """The motions that pixels may follow, and what is told of them.

    Args:
        seen: of the pair.
        time: 0..1.
        arrived: (H * W, 4) contiguous, velocity and bend at the time's pixels.
        asked: (N,) the pixels, row by row.

    Returns:
        (N, 3 K, 4): the motion at each of :data:`PLACES`, and what frame 0 and frame 1 show at its ends; (K, N, C):
        what is told of those.
    """
    ends = seen.ends
    if quick.usable(arrived, *ends.rows, *seen.latents):
        return quick.told(ends.rows, seen.latents, ends.size, CELL, time, arrived, asked, PLACES, TOLD)
    height, width = ends.size
    row, column = asked // width, asked % width
    around = torch.stack(
        [(row + down).clamp(0, height - 1) * width + (column + right).clamp(0, width - 1) for down, right in PLACES], 1
    )
    motions = F.embedding(around, arrived)
    zero, one = both_ends(ends, time, motions, (column[:, None].float(), row[:, None].float()))
    velocity = motions[..., :2]
    reach = velocity.new_tensor([max(map(abs, place)) for place in PLACES])
    ways_there = velocity.new_tensor([[right, down] for down, right in PLACES]) / reach.clamp(min=1)[:, None]
    apart = velocity - velocity[:, :1]
    parting = (apart * ways_there).sum(-1)
    missed = [long(rows[..., :2] - velocity) for rows, _ in (zero, one)]
    like = long(velocity[:, :, None] - velocity[:, None])
    told = [
        *map(level, missed),
        level(torch.minimum(*missed).amin(1, keepdim=True)).expand_as(parting),
        level(long(zero[0][..., :2] - one[0][..., :2])),
        level(zero[0][..., 4]),
        level(one[0][..., 4]),
        *(_outside(place, ends.size) for _, place in (zero, one)),
        torch.exp(-like.square()).mean(-1),
        level(long(apart)),
        parting.sign() * (1 + parting.abs()).log2() / 4,
        level(long(velocity)),
        torch.full_like(parting, time),
        (reach == 0).to(parting.dtype).expand_as(parting),
        (reach / 10).expand_as(parting),
        level(long(motions[..., 2:])),
    ]
    cells = -(-width // CELL)
    there = []
    for latent, (_, (x, y)) in zip(seen.latents, (zero, one)):
        row_of, column_of = (
            place.round().clamp(0, side - 1).long() // CELL for place, side in ((y, height), (x, width))
        )
        there.append(F.embedding(row_of * cells + column_of, latent))
    every = torch.stack([motions, zero[0][..., :4], one[0][..., :4]], 2).flatten(1, 2)
    return every, torch.cat([torch.stack(told, -1), *there], -1).transpose(0, 1)


def _outside(place: Tuple[Tensor, Tensor], size: Tuple[int, int]) -> Tensor:
    """How far places lie beyond the frame, up to 8 pixels, in 0..1."""
    (x, y), (height, width) = place, size
    off = torch.maximum(torch.maximum(-x, x - (width - 1)), torch.maximum(-y, y - (height - 1)))
    return off.clamp(0, 8) / 8
