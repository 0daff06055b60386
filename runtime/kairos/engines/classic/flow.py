"""Motion found by something else, in place of ``classic``'s searches."""

from __future__ import annotations

from typing import Hashable, Optional, Protocol, Tuple

from torch import Tensor

from kairos.engines.classic.motion import Found, Look
from kairos.engines.classic.regions import Labels
from kairos.motion.tiling import resize, resize_flow


class Finder(Protocol):
    """Finds motion both ways between two pictures."""

    def __call__(
        self,
        first: Tensor,
        second: Tensor,
        keys: Tuple[Hashable, Hashable],
        regions: Optional[Tuple[Labels, Labels]] = None,
    ) -> Tensor:
        """(2, 2, H, W) pixels between pictures (3, H, W).

        Args:
            first, second: the pictures.
            keys: what tells a picture seen before; None tells nothing.
            regions: label maps of both, where objects are told apart: a search may begin from these, and need not.
        """


class FlowEstimator:
    """A finder as an :class:`kairos.engines.classic.motion.Estimator`.

    Args:
        find: the finder, on pictures of the shot's device.
        scale: size at which it looks, part of the frame's.
    """

    def __init__(self, find: Finder, scale: float = 1.0) -> None:
        self._find, self._scale = find, min(1.0, scale)

    def __call__(self, first: Look, second: Look) -> Found:
        """(2, H, W) pixels both ways."""
        height, width = first.proxy.shape[-2:]
        rows, columns = (max(1, round(side * self._scale)) for side in (height, width))
        one, two = (resize(look.proxy, rows, columns) for look in (first, second))
        there, back = self._find(one, two, (first.position, second.position))
        # What was made in inference mode would stay so: the answer is copied out of it.
        there, back = (resize_flow(flow, height, width).clone() for flow in (there, back))
        return Found(there, back, scale=self._scale)
