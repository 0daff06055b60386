"""A bank of small textures, for tests of what is done with scenes and not of how they look: it takes no seconds."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import Any, Callable, Tuple

import pytest

from kairos.training.scenes import textures

SIZE = 176
"""Side of the canvases in pixels, in place of :data:`kairos.training.scenes.textures.SIZE`."""


class SmallBanks(ProcessPoolExecutor):
    """Processes whose banks are small, whatever else they begin with."""

    def __init__(self, workers: int, context: BaseContext, initializer: Callable[..., object], initargs: Any) -> None:
        super().__init__(workers, context, _begin, (initializer, initargs))


def small_banks(bench: ModuleType, scenes: str, patch: pytest.MonkeyPatch) -> None:
    """Makes banks small in this process and in those that a bench starts.

    Args:
        bench: the module.
        scenes: name of its function that keeps scenes, which may be another test's.
        patch: undoes it.
    """
    small_bank(patch)
    patch.setattr(bench, scenes, lru_cache(maxsize=1)(getattr(bench, scenes).__wrapped__))
    patch.setattr(bench, "ProcessPoolExecutor", SmallBanks)


def small_bank(patch: pytest.MonkeyPatch) -> None:
    """Makes banks small in this process alone."""
    patch.setattr(textures, "SIZE", SIZE)
    patch.setattr(textures, "_procedural", lru_cache(maxsize=2)(textures._procedural.__wrapped__))


def _begin(initializer: Callable[..., object], initargs: Tuple[Any, ...]) -> None:
    textures.SIZE = SIZE
    initializer(*initargs)
