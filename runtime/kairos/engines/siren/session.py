"""``siren`` at work on one view of one shot: motion from another engine, colours from the fitted fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterator, Optional, Sequence

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, ShotView
from kairos.engines.classic.motion import still_ground
from kairos.engines.siren.field import Field
from kairos.motion.inbetween import Inbetween

_CHUNK = 1 << 16
"""Points of a field that are computed at once."""


@dataclass(frozen=True)
class Window:
    """A field and the shot's positions that it was fitted to.

    Attributes:
        field: fitted.
        pace: of its t from frame to frame.
        positions: consecutive.
    """

    field: Field
    pace: float
    positions: range

    def holds(self, position: float) -> bool:
        """Whether a time, in positions of the shot, lies between frames of the window."""
        return self.positions[0] <= position <= self.positions[-1]

    def picture(self, size: tuple[int, int], position: float, device: torch.device) -> Tensor:
        """(3, H, W) encoded colours at a time, in positions of the shot; not clamped."""
        height, width = size
        middle = (self.positions[0] + self.positions[-1]) / 2
        time = (position - middle) * self.pace
        out = torch.empty(3, height * width, device=device)
        for start in range(0, height * width, _CHUNK):
            pixel = torch.arange(start, min(start + _CHUNK, height * width), device=device)
            x = (2.0 * (pixel % width) + 1) / width - 1
            y = (2.0 * (pixel // width) + 1) / height - 1
            points = torch.stack([x, y, torch.full_like(x, time)], 1)
            out[:, start : start + len(pixel)] = (self.field(points).T + 1) / 2
        return out.reshape(3, height, width)


class SirenSession:
    """See :class:`kairos.engines.base.Session`. Answers depend on the frames alone, never on what was asked before.

    Args:
        shot: with the frames.
        moving: session of the engine that the motion comes from.
        windows: fitted, in the shot's order.
    """

    def __init__(self, shot: ShotView, moving: Session, windows: Sequence[Window]) -> None:
        self._shot, self._moving, self._windows = shot, moving, tuple(windows)

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time: painted strictly between the frames, of source pixels at 0 and 1."""
        still: Optional[Tensor] = None
        first = self._shot.proxy(pair.first)
        for answer in self._moving.at(pair, times):
            position = pair.first + answer.time * (pair.second - pair.first)
            window = next((each for each in self._windows if each.holds(position)), None)
            if answer.time in (0.0, 1.0) or window is None:
                yield answer
                continue
            if still is None:
                still = still_ground(first, self._shot.proxy(pair.second))
            if bool(still.all()):
                yield answer
                continue
            with torch.inference_mode():
                painted = window.picture(self._shot.size, position, self._shot.device)
            # Where nothing happens the frames know better than any fit.
            quiet = still & (answer.flow_to_0 == 0).all(0) & (answer.flow_to_1 == 0).all(0)
            yield replace(answer, image=torch.where(quiet, first, painted))
