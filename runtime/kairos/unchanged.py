"""What was told of a file is kept for as long as the file does not change."""

from __future__ import annotations

import time
from functools import lru_cache, wraps
from pathlib import Path
from typing import Callable, TypeVar

Told = TypeVar("Told")

_TICK = 2_000_000_000
"""Nanoseconds between two times of change that the slowest of file systems tells apart."""


def while_unchanged(most: int) -> Callable[[Callable[[Path], Told]], Callable[[Path], Told]]:
    """A function of a file that works once for each, and again where its size or time of change is another.

    The function raises OSError where there is no file.

    Args:
        most: files that are remembered.
    """

    def kept(work: Callable[[Path], Told]) -> Callable[[Path], Told]:
        @lru_cache(maxsize=most)
        def remembered(path: Path, changed: int, size: int) -> Told:
            return work(path)

        @wraps(work)
        def told(path: Path) -> Told:
            status = path.stat()
            # Written once more before the file system's clock ticks, it would look as it did.
            is_settled = time.time_ns() - status.st_mtime_ns > _TICK
            return remembered(path, status.st_mtime_ns, status.st_size) if is_settled else work(path)

        return told

    return kept
