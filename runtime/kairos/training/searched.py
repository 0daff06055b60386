"""Flows of four frames as a quick search finds them: what motion bench and training take for an engine's."""

from __future__ import annotations

from typing import List, Tuple

from torch import Tensor

from kairos.engines.swift.prior import classical_prior
from kairos.motion.fill import fill_holes
from kairos.motion.occlusion import confidence, consistency

_SURE = 0.5
"""Confidence from which on motion beyond the pair is believed."""


def searched_flows(before: Tensor, first: Tensor, second: Tensor, after: Tensor) -> Tuple[Tensor, ...]:
    """The flows of four frames (3, H, W), evenly apart, sides of at least 64, by the search that ``swift`` begins from.

    Where motion beyond the pair does not agree with the way back, the bend of its path is told by what surrounds it.

    Returns:
        (2, H, W) pixels each: from the second frame to the third, and back, from the second to the first, and from the
        third to the fourth.
    """
    where = first.device
    there, back = classical_prior(first, second).to(where)
    beyond: List[Tensor] = []
    for own, other, frame, neighbour in ((there, back, first, before), (back, there, second, after)):
        out, home = classical_prior(frame, neighbour).to(where)
        sure = confidence(consistency(own, other), own) * confidence(consistency(out, home), out)
        beyond.append(fill_holes(own + out, sure > _SURE) - own)
    return there, back, beyond[0], beyond[1]
