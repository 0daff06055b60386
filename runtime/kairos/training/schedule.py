"""How far a training is, and its learning rate there."""

from __future__ import annotations

import math
import time
from typing import Optional

FLOOR = 0.01
"""Learning rate at the end, as a part of the peak."""


def rate(step: int, progress: float, warm_up: int) -> float:
    """Learning rate of a step (counted from 0) as a part of the peak: linear warm-up, then a cosine over progress."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    ramp = 1.0 if step >= warm_up else (step + 1) / (warm_up + 1)
    return ramp * (FLOOR + (1.0 - FLOOR) * cosine)


class Clock:
    """Length of a schedule, in steps or by the clock.

    Args:
        steps, minutes: the schedule's length; exactly one is given.
        elapsed: seconds already spent on it.
    """

    def __init__(self, steps: Optional[int], minutes: Optional[float], elapsed: float = 0.0) -> None:
        self._steps, self._minutes = steps, minutes
        self._started = time.monotonic() - elapsed

    @property
    def elapsed(self) -> float:
        """Seconds spent, those before a resumption included."""
        return time.monotonic() - self._started

    def progress(self, step: int) -> float:
        """0..1 before that step."""
        if self._steps is not None:
            return min(1.0, step / self._steps)
        return min(1.0, self.elapsed / (60.0 * (self._minutes or 0.0)))

    def over(self, step: int) -> bool:
        """True where no step is left."""
        return self.progress(step) >= 1.0
