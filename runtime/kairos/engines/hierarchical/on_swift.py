"""The hierarchy as ``swift`` asks it: by the label maps of the pictures that it looks at."""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.hierarchical.cells import both_at_cells
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy, level_of
from kairos.engines.swift.motion import COARSE, FINE, Features, Step


class OnSwift:
    """A :class:`kairos.engines.swift.estimator.Hierarchy`.

    Args:
        plugin: in evaluation mode, on the device of the shot.
    """

    def __init__(self, plugin: SwiftHierarchy) -> None:
        self._plugin = plugin

    def step(self, first: Features, second: Features, scale: float, regions: Optional[Tuple[Tensor, Tensor]]) -> Step:
        """What regions add at one scale. Worked out here, once for a pair; arguments are the protocol's."""
        if regions is None:
            return self._plugin.step(first, second, scale)
        level = level_of(scale, len(first.coarse))
        rows, columns = first.coarse[level].shape[-2:]
        one, two = (_grown(each, rows, columns, COARSE << level) for each in regions)
        labels = both_at_cells(one, two, (rows, columns))
        height, width = first.fine.shape[-2:]
        outlines = [_grown(each, height, width, FINE)[None] for each in regions]
        return self._plugin.step(first, second, scale, labels, (outlines[0], outlines[1]))


def _grown(labels: Tensor, rows: int, columns: int, stride: int) -> Tensor:
    """A label map (H, W) as large as its cells are together: beyond the picture, its border is repeated, as it is
    where features are computed.
    """
    height, width = labels.shape
    margins = 0, columns * stride - width, 0, rows * stride - height
    # Whole numbers of 16 bits are exact in float32, which can be padded.
    return F.pad(labels[None, None].float(), margins, mode="replicate")[0, 0].to(torch.int16)
