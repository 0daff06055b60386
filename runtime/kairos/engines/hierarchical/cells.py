"""Label maps of two frames at the cells that hierarchical motion compares."""

from __future__ import annotations

from functools import partial
from typing import Optional, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.motion import fast
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
    one, two = _at_cells(first, second, size) or (at_cells(labels, size) for labels in shared(first, second))
    one, two = shared(one, two)
    return one[None], two[None]


def _at_cells(first: Tensor, second: Tensor, size: Tuple[int, int]) -> Optional[Tuple[Tensor, Tensor]]:
    """The labels that both show at their cells, by compiled kernels; None where these cannot do it."""
    cells = fast.compiled("kairos.engines.hierarchical.cell_kernels")
    told = [each for each in (first, second) if each.dtype is torch.int16 and each.ndim == 2 and each.numel()]
    smaller = any(side < count for each in told for side, count in zip(each.shape, size))
    if cells is None or len(told) < 2 or first.device.type != "cpu" or smaller or min(size) < 1:
        return None
    maps = [np.ascontiguousarray(each.numpy()) for each in told]
    most = [int(each.max()) for each in maps]
    if any(int(each.min()) < 0 for each in maps):
        return None
    seen = np.zeros((2, max(most) + 1), np.uint8)
    for each, has in zip(maps, seen):
        cells.mark(each, has)
    numbers = np.flatnonzero(seen.all(0))
    # Objects by number, then the rest: of those that most of a cell's pixels show, the first wins.
    numbers = np.append(numbers[numbers > 0], 0)
    ranks = np.full(seen.shape[1], len(numbers) - 1, np.int32)
    ranks[numbers] = np.arange(len(numbers), dtype=np.int32)
    found = []
    for each in maps:
        edges = [_edges(side, count) for side, count in zip(each.shape, size)]
        ranked = np.empty(size, np.int32)
        fast.in_bands(partial(cells.vote_rows, each, ranks, len(numbers), *edges, ranked), *size)
        found.append(torch.from_numpy(numbers[ranked].astype(np.int16)))
    return found[0], found[1]


def _edges(pixels: int, cells: int) -> npt.NDArray[np.int64]:
    """(cells + 1,): the first pixel of every cell along an axis, those whose centres lie in it, and where all end."""
    return np.array([-((pixels * -2 * cell + cells) // (2 * cells)) for cell in range(cells)] + [pixels], np.int64)
