"""How far motion that somebody tells is borne out: whether it takes cells to where they look more alike."""

from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.fetching import warp

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
    other = looks.roll(len(looks) // 2, 0)
    own, *others = (_around((looks - warp(other, flow)).abs().float().mean(1, keepdim=True)) for flow in (told, *known))
    least = torch.stack(others).amin(0)
    lower = 2 * (least - own) / (least + own).clamp(min=1e-6)
    return ((lower - _NOTHING) / (_ALL - _NOTHING)).clamp(0, 1)


def _around(costs: Tensor) -> Tensor:
    """The mean over the window, of cells of the frame."""
    return F.avg_pool2d(costs, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
