"""How far motion that somebody tells is borne out: whether it takes cells to where they look more alike."""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.fetching import recorded, warp
from kairos.motion import fast

_WINDOW = 3
"""Cells across that are judged together."""

_NOTHING, _ALL = 0.02, 0.06
"""Of the mean of two costs: by so much the told motion's has to be the lower one for it to count at all, and wholly."""


@torch.no_grad()
def borne_out(looks: Tensor, told: Tensor, known: Sequence[Tensor]) -> Tensor:
    """How far told motion may take the place of what was known, by the looks of both ends: (2B, 1, h, w) in 0..1.

    Of what is hidden in the other frame nothing can be told from its looks: there, what was known stays.

    Args:
        looks: (2B, C, h, w) features of both frames, stacked.
        told: (2B, 2, h, w) cells, motion from each to the other.
        known: other such motions, all of which it has to be better than.
    """
    costs = unlike(looks, torch.stack([told, *known]))
    costs = _around(costs.flatten(0, 1)).view_as(costs)
    own, least = costs[0], costs[1:].amin(0)
    lower = 2 * (least - own) / (least + own).clamp(min=1e-6)
    return ((lower - _NOTHING) / (_ALL - _NOTHING)).clamp(0, 1)


def unlike(planes: Tensor, flows: Tensor) -> Tensor:
    """Mean difference of features to what they are fetched from in the other frame: (n, 2B, 1, h, w) float32.

    Args:
        planes: (2B, C, h, w) of both frames, stacked.
        flows: (n, 2B, 2, h, w) cells.
    """
    kernels = _kernels(planes, flows)
    if kernels is None:
        other = planes.roll(len(planes) // 2, 0)
        return torch.stack([(planes - warp(other, flow)).abs().float().mean(1, keepdim=True) for flow in flows])
    pictures, channels, rows, columns = planes.shape
    out = torch.empty(len(flows), pictures, 1, rows, columns)
    lines = (fast.array(each).reshape(-1) for each in (planes.permute(0, 2, 3, 1), flows, out))
    work = partial(kernels.unlike_cells, *lines, pictures, channels, rows, columns)
    fast.in_bands(work, pictures * rows * columns, len(flows))
    return out


def _kernels(planes: Tensor, flows: Tensor) -> Optional[ModuleType]:
    """Those that look at all flows in one pass, where they can."""
    fits = planes.shape[1] % 8 == 0 and planes.numel() > 0 and not recorded() and fast.usable(planes, flows)
    return fast.compiled("kairos.engines.hierarchical.proving_kernels") if fits else None


def _around(costs: Tensor) -> Tensor:
    """The mean over the window, of cells of the frame."""
    return F.avg_pool2d(costs, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
