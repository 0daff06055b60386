"""Contact sheets of scenes: what is trained on, to be looked at."""

from __future__ import annotations

from typing import List

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.training.scenes.batch import Scenes

GAP = 4


def contact_sheet(scenes: Scenes, first: int, count: int) -> npt.NDArray[np.uint8]:
    """(H, W, 3) picture, one scene per row: frames at 0, t, 1; flow 0 to 1 and t to 0; what of 0 is seen in 1; objects.

    Flow is coloured by its direction, as strong as its length over the row's longest. White in the sixth picture is
    seen in the other frame, black is hidden or outside, red has no one motion.
    """
    rows: List[npt.NDArray[np.uint8]] = []
    for index in range(first, first + count):
        one = scenes.batch(index, 1)
        longest = float(one.flow_01.norm(dim=1).max().clamp(min=1e-3))
        seen = one.visible_01[0].repeat(3, 1, 1)
        seen = torch.where(one.valid[0, 0] > 0.5, seen, seen * 0.5 + seen.new_tensor([0.5, 0.0, 0.0])[:, None, None])
        cells = [*one.frames[0], _wheel(one.flow_01[0], longest), _wheel(one.flow_t0[0], longest), seen]
        cells.append(_objects(one.ids[0, 1, 0]))
        row = [np.full((scenes.height, GAP, 3), 40, np.uint8)]
        for cell in cells:
            row += [(cell.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy(), row[0]]
        strip = np.concatenate(row, 1)
        rows += [np.full((GAP, strip.shape[1], 3), 40, np.uint8), strip]
    return np.concatenate([*rows, rows[0]], 0)


def _wheel(flow: Tensor, longest: float) -> Tensor:
    """(3, H, W) hue by direction, grey where nothing moves."""
    strength = (flow.norm(dim=0) / longest).clamp(max=1.0)
    angle = torch.atan2(flow[1], flow[0])
    hues = torch.stack([torch.cos(angle - shift) for shift in (0.0, 2.0943951, 4.1887902)])
    coloured: Tensor = 0.5 + 0.5 * strength * hues
    return coloured


def _objects(ids: Tensor) -> Tensor:
    shade = (ids * 0.61803398875) % 1.0
    hues = torch.stack([0.5 + 0.5 * torch.cos(6.2831853 * (shade - shift)) for shift in (0.0, 0.333, 0.667)])
    lit: Tensor = hues * (0.35 + 0.65 * (ids > 0).float())
    return lit
