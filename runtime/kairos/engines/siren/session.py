"""``siren`` at work on one view of one shot: motion from another engine, colours from the fitted fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, Optional, Sequence

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, ShotView
from kairos.engines.classic.motion import still_ground
from kairos.engines.siren.clip import Positions, base_of
from kairos.engines.siren.field import Field
from kairos.motion.inbetween import Inbetween

ADDED = 0.25
"""Part of what a field has found lacking that is added to its base: it has learned the frames' grain with it. The best
of 0.25, 0.5 and 1 on made scenes."""

_CHUNK = 1 << 16
"""Points of a field that are computed at once."""


@dataclass(frozen=True)
class Window:
    """A field and the shot's positions that it was fitted to.

    Attributes:
        field: fitted.
        pace: of its t from frame to frame.
        count: of its frames.
        based: the field holds what its base lacks, not all.
    """

    field: Field
    pace: float
    count: int
    based: bool = False

    def picture(self, size: tuple[int, int], moment: float, device: torch.device) -> Tensor:
        """(3, H, W) encoded colours at a time, 0 in the first of its frames, 1 in the second; not clamped.

        Over a base, what is to be added to it.
        """
        height, width = size
        time = (moment - (self.count - 1) / 2) * self.pace
        out = torch.empty(3, height * width, device=device)
        for start in range(0, height * width, _CHUNK):
            pixel = torch.arange(start, min(start + _CHUNK, height * width), device=device)
            x = (2.0 * (pixel % width) + 1) / width - 1
            y = (2.0 * (pixel // width) + 1) / height - 1
            points = torch.stack([x, y, torch.full_like(x, time)], 1)
            values = self.field(points).T
            out[:, start : start + len(pixel)] = ADDED * values / 2 if self.based else (values + 1) / 2
        return out.reshape(3, height, width)


class SirenSession:
    """See :class:`kairos.engines.base.Session`. Answers depend on the frames alone, never on what was asked before.

    Args:
        shot: with the frames.
        moving: session of the engine that the motion comes from.
        spans: positions of the windows, in the shot's order; neighbours share a frame.
        fitted: answers with the field of a window, which takes its time. A window is fitted when it is first needed,
            so that one frame of a long shot costs one window.
    """

    def __init__(
        self, shot: ShotView, moving: Session, spans: Sequence[Positions], fitted: Callable[[Positions], Window]
    ) -> None:
        self._shot, self._moving, self._spans, self._fitted = shot, moving, tuple(spans), fitted
        self._windows: Dict[Positions, Window] = {}

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time: painted strictly between the frames, of source pixels at 0 and 1."""
        span = self._span(pair)
        if span is None or all(time in (0.0, 1.0) for time in times):
            yield from self._moving.at(pair, times)
            return
        first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
        still = still_ground(first, second)
        if bool(still.all()):
            yield from self._moving.at(pair, times)
            return
        # Before the motion is asked: a fit asks it for other pairs.
        window = self._window(span)
        for answer in self._moving.at(pair, times):
            if answer.time in (0.0, 1.0):
                yield answer
                continue
            # The time in frames of the window: what was passed over in the shot is no frame of it.
            moment = span.index(pair.first) + answer.time
            with torch.inference_mode():
                painted = window.picture(self._shot.size, moment, self._shot.device)
            if window.based:
                painted = painted + base_of(first, second, answer)
            # Where nothing happens the frames know better than any fit.
            quiet = still & (answer.flow_to_0 == 0).all(0) & (answer.flow_to_1 == 0).all(0)
            yield replace(answer, image=torch.where(quiet, first, painted))

    def _span(self, pair: Pair) -> Optional[Positions]:
        """The window in which the pair's frames are neighbours."""
        asked = (pair.first, pair.second)
        return next((span for span in self._spans if asked in zip(span, span[1:])), None)

    def _window(self, span: Positions) -> Window:
        if span not in self._windows:
            # Of the others one is kept: a shot is shown in order, and a large field takes gigabytes.
            kept = list(self._windows)[-1:]
            self._windows = {each: self._windows[each] for each in kept}
            self._windows[span] = self._fitted(span)
        return self._windows[span]
