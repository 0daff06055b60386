"""The picture as it is and turned over, for answers that are averaged (``--tta``).

A network looks a little different at a picture and at its mirror image. The mean of all four costs four times as much
and errs less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.swift.network import Decision


@dataclass(frozen=True)
class Turn:
    """A way to turn pictures over. Turned twice, they are as they were.

    Attributes:
        across: left and right change places.
        down: top and bottom change places.
    """

    across: bool
    down: bool

    def planes(self, planes: Tensor) -> Tensor:
        """Planes (..., H, W) without a direction of their own."""
        axes = [axis for axis, turned in ((-1, self.across), (-2, self.down)) if turned]
        return planes.flip(axes) if axes else planes

    def vectors(self, planes: Tensor, pairs: int) -> Tensor:
        """Planes (B, C, H, W) whose first ``2 * pairs`` channels are x and y of vectors."""
        if not (self.across or self.down):
            return planes
        sign = planes.new_ones(planes.shape[1])
        sign[0 : 2 * pairs : 2] = -1.0 if self.across else 1.0
        sign[1 : 2 * pairs : 2] = -1.0 if self.down else 1.0
        return self.planes(planes) * sign[:, None, None]

    def decision(self, decision: Decision) -> Decision:
        """What was decided on the turned picture, for the picture as it is."""
        return Decision(
            self.vectors(decision.flows, 2),
            self.planes(decision.weight),
            self.planes(decision.hidden),
            self.planes(decision.residual),
        )


TURNS: Tuple[Turn, ...] = (Turn(False, False), Turn(True, False), Turn(False, True), Turn(True, True))
"""As it is, left to right, top to bottom, both."""


def mean(answers: Sequence[Tensor]) -> Tensor:
    """The mean, summed in order; of one answer that answer, bit by bit."""
    return answers[0] if len(answers) == 1 else torch.stack(list(answers)).mean(0)


def mean_decision(decisions: List[Decision]) -> Decision:
    """The mean of flows and residual, and of the logits of weight and of being hidden."""
    names = ("flows", "weight", "hidden", "residual")
    return Decision(*(mean([getattr(each, name) for each in decisions]) for name in names))
