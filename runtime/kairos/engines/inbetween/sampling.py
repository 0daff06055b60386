"""From two keys to the latents between them: both directions predicted, fused and stepped."""

from __future__ import annotations

from typing import Callable, Iterator, Optional

from torch import Tensor

from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.parts import Parts
from kairos.engines.inbetween.recipe import Conditions, Recipe, State

__all__ = ["Conditions", "Recipe", "State", "conditions", "decoded", "run"]


def conditions(parts: Parts, recipe: Recipe, first: Tensor, second: Tensor) -> Conditions:
    """What the U-Net is told about two keys.

    Args:
        parts: of the model.
        recipe: of the generation.
        first, second: (3, H, W), display-like, 0..1; sides are multiples of 64.
    """
    raise NotImplementedError


def run(
    parts: Parts,
    changes: Optional[Changes],
    recipe: Recipe,
    conditions: Conditions,
    state: Optional[State],
    tell: Callable[[int, int], None],
) -> Iterator[State]:
    """Yields the state after each step that was not finished yet.

    Args:
        parts: of the model.
        changes: of the tuned network; None is for ``trf`` and ``layers="up"``.
        recipe: of the generation.
        conditions: by :func:`conditions`.
        state: to go on from, bit for bit as if nothing had happened; None begins.
        tell: called after every run of the U-Net with the number of runs done and to be done; may raise Cancelled.
    """
    raise NotImplementedError


def decoded(parts: Parts, latents: Tensor, chunk: int = 4) -> Iterator[Tensor]:
    """Yields pictures, (k, 3, H, W) in about 0..1, not clamped, of latents (1, N, 4, h, w), k <= chunk at a time."""
    raise NotImplementedError
