"""``siren`` at work on one view of one shot: motion from another engine, colours from the fitted fields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, ShotView
from kairos.engines.classic.motion import still_ground
from kairos.engines.siren.clip import Positions, base_of
from kairos.engines.siren.field import Field
from kairos.engines.siren.tiles import Tile
from kairos.motion.inbetween import Inbetween

ADDED = 0.25
"""Part of what a field has found lacking that is added to its base: it has learned the frames' grain with it. The best
of 0.25, 0.5 and 1 on made scenes."""

_CHUNK = 1 << 16
"""Points of a field that are computed at once."""

_AT_ONCE = 1 << 29
"""Bytes of pictures that are painted tile by tile before the first of them is shown."""


@dataclass(frozen=True)
class Window:
    """A field and the clip that it was fitted to: a window's frames, or a tile of them.

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

    def picture(
        self,
        size: tuple[int, int],
        moment: float,
        device: torch.device,
        told: Optional[Callable[[], None]] = None,
    ) -> Tensor:
        """(3, H, W) encoded colours at a time, 0 in the first of its frames, 1 in the second; not clamped.

        Over a base, what is to be added to it. ``size`` is the clip's; ``told`` is called now and then.
        """
        height, width = size
        time = (moment - (self.count - 1) / 2) * self.pace
        out = torch.empty(3, height * width, device=device)
        for start in range(0, height * width, _CHUNK):
            if told is not None:
                told()
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
        tiles: answers with the tiles of a window.
        fitted: answers with the field of a window's tile, by its number, which takes its time. A window is fitted when
            it is first needed, so that one frame of a long shot costs one window.
        told: called now and then while a field is painted; may raise Cancelled.
    """

    def __init__(
        self,
        shot: ShotView,
        moving: Session,
        spans: Sequence[Positions],
        tiles: Callable[[Positions], Tuple[Tile, ...]],
        fitted: Callable[[Positions, int], Window],
        told: Callable[[], None],
    ) -> None:
        self._shot, self._moving, self._spans = shot, moving, tuple(spans)
        self._tiles, self._fitted, self._told = tiles, fitted, told
        self._windows: Dict[Tuple[Positions, int], Window] = {}

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
        height, width = self._shot.size
        most = max(1, _AT_ONCE // (12 * height * width))
        for start in range(0, len(times), most):
            yield from self._some(pair, times[start : start + most], span, still)

    def _some(self, pair: Pair, times: Sequence[float], span: Positions, still: Tensor) -> Iterator[Inbetween]:
        """The same at a few times, where something moves."""
        first, second = self._shot.proxy(pair.first), self._shot.proxy(pair.second)
        between = [time for time in times if time not in (0.0, 1.0)]
        # The time in frames of the window: what was passed over in the shot is no frame of it.
        moments = [span.index(pair.first) + time for time in between]
        # Before the motion is asked: a fit asks it for other pairs.
        pictures, based = self._painted(span, moments)
        known = dict(zip(between, pictures))
        for answer in self._moving.at(pair, times):
            if answer.time in (0.0, 1.0):
                yield answer
                continue
            painted = known[answer.time]
            if based:
                painted = painted + base_of(first, second, answer)
            # Where nothing happens the frames know better than any fit.
            quiet = still & (answer.flow_to_0 == 0).all(0) & (answer.flow_to_1 == 0).all(0)
            yield replace(answer, image=torch.where(quiet, first, painted))

    def _painted(self, span: Positions, moments: Sequence[float]) -> Tuple[List[Tensor], bool]:
        """What the fields say at each moment, (3, H, W) each, and whether that is to be added to a base.

        Tile by tile over all moments: of a large frame's fields few fit into memory at once.
        """
        device = self._shot.device
        pictures = [torch.zeros(3, *self._shot.size, device=device) for _ in moments]
        based = False
        for number, tile in enumerate(self._tiles(span)):
            window, share = self._window(span, number), tile.weight(device)
            based = window.based
            for picture, moment in zip(pictures, moments):
                with torch.inference_mode():
                    said = window.picture(tile.size, moment, device, self._told)
                    tile.of(picture).add_(said * share)
        return pictures, based

    def _span(self, pair: Pair) -> Optional[Positions]:
        """The window in which the pair's frames are neighbours."""
        asked = (pair.first, pair.second)
        return next((span for span in self._spans if asked in zip(span, span[1:])), None)

    def _window(self, span: Positions, number: int) -> Window:
        """The field of a window's tile."""
        key = span, number
        if key not in self._windows:
            # Of the others one is kept: a shot is shown in order, and a large field takes gigabytes.
            kept = list(self._windows)[-1:]
            self._windows = {each: self._windows[each] for each in kept}
            self._windows[key] = self._fitted(span, number)
        return self._windows[key]
