"""Flows of four frames as they are found in pictures: what motion bench and training take for an engine's."""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, List, Tuple

import torch
from torch import Tensor

from kairos.engines.classic.motion import Look
from kairos.engines.swift.estimator import SwiftEstimator
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.engines.swift.prior import classical_prior
from kairos.motion.fill import fill_holes
from kairos.motion.occlusion import confidence, consistency

_SURE = 0.5
"""Confidence from which on motion beyond the pair is believed."""


Find = Callable[[Tensor, Tensor], Tensor]
"""Two frames (3, H, W) to the flows (2, 2, H, W) from the first to the second and back, pixels."""


def swift_flows(first: Tensor, second: Tensor) -> Tensor:
    """A :data:`Find`: those of ``swift``, with the weights that come with Kairos."""
    found = _swift(str(first.device))(Look(first, None), Look(second, None))
    return torch.stack([found.there, found.back])


@lru_cache(maxsize=1)
def _swift(device: str) -> SwiftEstimator:
    return SwiftEstimator(load_network(SHIPPED, torch.device(device)), torch.float32, True)


def searched_flows(
    before: Tensor, first: Tensor, second: Tensor, after: Tensor, find: Find = classical_prior
) -> Tuple[Tensor, ...]:
    """The flows of four frames (3, H, W), evenly apart, sides of at least 64, by the search that ``swift`` begins from,
    or another.

    Where motion beyond the pair does not agree with the way back, the bend of its path is told by what surrounds it.

    Returns:
        (2, H, W) pixels each: from the second frame to the third, and back, from the second to the first, and from the
        third to the fourth.
    """
    where = first.device
    there, back = find(first, second).to(where)
    beyond: List[Tensor] = []
    for own, other, frame, neighbour in ((there, back, first, before), (back, there, second, after)):
        out, home = find(frame, neighbour).to(where)
        sure = confidence(consistency(own, other), own) * confidence(consistency(out, home), out)
        beyond.append(fill_holes(own + out, sure > _SURE) - own)
    return there, back, beyond[0], beyond[1]
