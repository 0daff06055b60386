"""Paths that something else tells from the flows between two frames, in place of straight lines and parabolas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Protocol, Tuple, Union

import torch
from torch import Tensor

from kairos.engines.classic.path import Bend, half_acceleration
from kairos.motion.fill import fill_holes

_SURE = 0.3
"""Trust in the motion to both neighbours over which it shows acceleration."""


class Mover(Protocol):
    """Tells where pixels are at any time between two frames."""

    def know(
        self, flow_01: Tensor, flow_10: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None
    ) -> Any:
        """What is shared by all times.

        Args:
            flow_01, flow_10: (2, H, W) pixels, from frame 0 to frame 1 and back.
            before, after: (2, H, W) pixels, from frame 0 to the frame before it and from frame 1 to the frame after it,
                as far away as both are from each other; None where there is none.
        """

    def at(self, known: Any, time: float, arrived: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """The flows to frame 0 and to frame 1 from the pixels of a time, (2, H, W) pixels each.

        Args:
            known: of :meth:`know`.
            time: between 0 and 1.
            arrived: (2, H, W) pixels per interval, the velocity that the engine itself sees at the time.
        """


@dataclass(frozen=True)
class Course:
    """The paths of a pair's layers.

    Attributes:
        mover: tells them.
        known: what it keeps of every layer, furthest first.
    """

    mover: Mover
    known: Tuple[Any, ...]

    def at(self, layer: int, time: float, arrived: Tensor) -> Tuple[Tensor, Tensor]:
        """Of the pixels of a time: the velocity over the whole interval, and how far they lie from the straight line
        between both ends of their path, (2, H, W) pixels each; ``arrived`` as :meth:`Mover.at` has it.
        """
        to_0, to_1 = self.mover.at(self.known[layer], time, arrived)
        return to_1 - to_0, to_0 * (time - 1) - to_1 * time


Curve = Union[Bend, Course]
"""What may bend the paths of a pair."""


def beyond(onward: Tensor, backward: Tensor, ratio: float, trust: Tensor) -> Optional[Tensor]:
    """The motion from a frame's pixels to the frame behind it, as if that were as far away as the one ahead.

    Args:
        onward: (2, H, W) pixels, motion over one interval.
        backward: (2, H, W) pixels, motion the other way, over ``ratio`` intervals.
        ratio: above 0.
        trust: (1, H, W) in 0..1, in both.

    Returns:
        (2, H, W); where trust is missing, things accelerate as those around them. None where it is missing everywhere.
    """
    half = half_acceleration(onward, backward, ratio)
    sure = (trust > _SURE) & half.isfinite().all(0, keepdim=True)
    if not bool(sure.any()):
        return None
    return 2 * fill_holes(half, sure) - torch.nan_to_num(onward, 0.0, 0.0, 0.0)
