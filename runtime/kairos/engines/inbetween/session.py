"""``inbetween`` at work on one view of one shot: generated pictures, and the motion of what they show."""

from __future__ import annotations

from typing import Callable, Dict, Hashable, Iterator, Optional, Sequence, Tuple, TypeVar

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, ShotView
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.span import Span
from kairos.motion.inbetween import Inbetween

_KEPT = 2
"""Times whose pictures, and motions to the next, are kept: vectors to both neighbours are asked for one by one."""

Motion = Tuple[Tensor, Tensor]
"""(2, H, W) pixels there and back."""


class InbetweenSession:
    """See :class:`kairos.engines.base.Session`. Answers depend on the frames alone, never on what was asked before.

    Args:
        shot: with the frames.
        moving: the motion engine's session on it, which answers at the frames' own times.
        mover: finds motion between pictures.
        spans: generates between two encoded frames (3, H, W), which takes its time.
    """

    def __init__(self, shot: ShotView, moving: Session, mover: Mover, spans: Callable[[Tensor, Tensor], Span]) -> None:
        self._shot, self._moving, self._mover, self._spans = shot, moving, mover, spans
        self._span: Optional[Tuple[Pair, Span]] = None
        self._shown: Dict[Tuple[Pair, float], Inbetween] = {}
        self._moved: Dict[Tuple[Pair, float, float], Motion] = {}

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time: generated strictly between the frames, of source pixels at 0 and 1.

        Between two frames that are the same nothing happens, and nothing is generated.
        """
        for time in times:
            if time in (0.0, 1.0) or self._still(pair):
                yield from self._moving.at(pair, [time])
            else:
                yield self._at(pair, time)

    def motion(self, pair: Pair, start: float, end: float) -> Optional[Tensor]:
        """(2, H, W) pixels from what is shown at one time to what is shown at another, found between both pictures.

        Generated movement keeps to no curve through both frames: only its own pictures tell of it. None from frame to
        frame, where nothing is generated.
        """
        if {start, end} <= {0.0, 1.0} or self._still(pair):
            return None
        key = (pair, min(start, end), max(start, end))
        if key not in self._moved:
            first, second = (self._picture(pair, time) for time in key[1:])
            begin, finish = self._mover.between(first, second).at(Pair(0, 1), [0.0, 1.0])
            _keep(self._moved, key, (begin.flow_to_1, finish.flow_to_0))
        there, back = self._moved[key]
        return there if start < end else back

    def _still(self, pair: Pair) -> bool:
        return torch.equal(self._shot.proxy(pair.first), self._shot.proxy(pair.second))

    def _picture(self, pair: Pair, time: float) -> Tensor:
        """(3, H, W) encoded, what is shown at a time; at the frames' own times the frames."""
        if time in (0.0, 1.0):
            return self._shot.proxy(pair.second if time else pair.first)
        image = self._at(pair, time).image
        assert image is not None
        return image

    def _at(self, pair: Pair, time: float) -> Inbetween:
        key = (pair, time)
        if key not in self._shown:
            if self._span is None or (self._span[0].first, self._span[0].second) != (pair.first, pair.second):
                first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
                self._span = None
                self._span = pair, self._spans(first, second)
            _keep(self._shown, key, self._span[1].at(time))
        return self._shown[key]


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def _keep(memory: Dict[K, V], key: K, value: V) -> None:
    """Remembers the latest few."""
    while len(memory) >= _KEPT:
        del memory[next(iter(memory))]
    memory[key] = value
