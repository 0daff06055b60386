"""The way to implicit motion's compiled kernels; the way of torch, in the calling modules, answers the same but for
rounding.
"""

from __future__ import annotations

from types import ModuleType
from typing import Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.motion import fast

_WORK = 16
"""A pixel's motions are as much work as so many pixels of a plane."""

Pair = Tuple[Tensor, Tensor]


def usable(*planes: Tensor) -> bool:
    """Whether the kernels can take these tensors."""
    return fast.usable(*planes) and _kernels() is not None


def told(
    rows: Pair,
    latents: Pair,
    size: Tuple[int, int],
    cell: int,
    time: float,
    arrived: Tensor,
    asked: Tensor,
    places: Sequence[Tuple[int, int]],
    besides: int,
) -> Pair:
    """See :func:`kairos.engines.gimm.evidence.evidence`; ``besides``: what is told besides the latents."""
    kernels = _loaded()
    count, channels = len(asked), besides + 2 * latents[0].shape[1]
    motions, told = torch.empty(count, 3 * len(places), 4), torch.empty(len(places), count, channels)
    given = [each.contiguous().numpy() for each in (arrived, *rows, *latents, asked)]
    offsets, moment, out, lines = np.array(places, np.int64), np.float32(time), motions.numpy(), told.numpy()

    def some(first: int, end: int) -> None:
        kernels.told_rows(*given, offsets, *size, cell, moment, out, lines, first, end)

    fast.in_bands(some, count, _WORK)
    return motions, told


def bends(rows: Pair, size: Tuple[int, int], time: float, velocity: Tensor) -> Tensor:
    """See :func:`kairos.engines.gimm.ends.bends_at`."""
    kernels = _loaded()
    bend = torch.empty(2, *size)
    flat, given = velocity.reshape(2, -1).contiguous().numpy(), [each.contiguous().numpy() for each in rows]
    out, moment = bend.numpy().reshape(2, -1), np.float32(time)
    fast.in_bands(lambda top, bottom: kernels.bend_rows(flat, *given, *size, moment, out, top, bottom), *size)
    return bend


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.gimm.kernels")


def _loaded() -> ModuleType:
    kernels = _kernels()
    assert kernels is not None, "only after usable()"
    return kernels
