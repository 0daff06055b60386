"""Label maps of two frames at the cells that hierarchical motion compares."""

from __future__ import annotations

from typing import Tuple

from torch import Tensor

from kairos.motion.regions import at_cells, shared


def both_at_cells(first: Tensor, second: Tensor, size: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
    """Both frames' label maps at the cells of their features, with the labels alone that both show there.

    What only one frame shows, or what is too small for a cell of the other, is of the rest.

    Args:
        first, second: (H, W) int16, of what the features were computed from.
        size: h and w of the features.

    Returns:
        Both, (1, h, w) int16.

    Raises:
        ValueError: no label maps.
    """
    one, two = (at_cells(labels, size) for labels in shared(first, second))
    one, two = shared(one, two)
    return one[None], two[None]
