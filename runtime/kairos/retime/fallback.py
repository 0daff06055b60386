"""What does not fit into memory is made again in tiles, and so is what follows.

Tiles leave no trace (every engine that has them is tested for it), so a shot may change to them in its middle and a
frame's fingerprint does not tell them apart.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Callable, Iterator, Optional, Sequence

import torch

from kairos.allocator import is_out_of_memory
from kairos.engines.base import Engine, EngineSettings, Pair, Session, ShotView
from kairos.events import Listener
from kairos.motion.inbetween import Inbetween

STEPS = (1024, 512, 256)
"""Sides of tiles that are tried, pixels, after the whole frame."""


class Fallback:
    """Opens an engine's sessions on all views of a job; what one learns about the memory holds for all.

    Args:
        engine: engines whose card says that they have no tiles are left as they are.
        listener: what the engine tells.
        warn: told once, in words, when work goes on in tiles.
        allowed: False where the artist wants no tiles.
    """

    def __init__(self, engine: Engine, listener: Listener, warn: Callable[[str], None], allowed: bool = True) -> None:
        self._engine, self._listener, self._warn = engine, listener, warn
        self._allowed = allowed and engine.card.tiles
        self.tile: Optional[int] = None

    def open(self, view: ShotView, settings: EngineSettings) -> Session:
        """A session that makes do with the memory there is. Raises what the engine's ``open`` does."""
        if not self._allowed:
            return self._engine.open(view, settings, self._listener)
        return _Frugal(self, view, settings)

    def opened(self, view: ShotView, settings: EngineSettings, tile: Optional[int]) -> Session:
        """The engine's own session, in tiles of that side."""
        return self._engine.open(view, replace(settings, tile=tile), self._listener)

    def smaller(self, tile: Optional[int]) -> Optional[int]:
        """The next side to try; None after the smallest."""
        return next((step for step in STEPS if tile is None or step < tile), None)

    def learned(self, tile: Optional[int], device: torch.device) -> None:
        """This side was small enough, after a larger one was not."""
        self.tile = tile
        self._warn(
            f"{self._engine.card.id} ran out of memory on {device}: from here on it works in tiles of {tile} pixels. "
            "The picture stays the same."
        )


class _Frugal:
    """A session that goes on in smaller tiles where memory is short. See :class:`kairos.engines.base.Session`."""

    def __init__(self, fallback: Fallback, view: ShotView, settings: EngineSettings) -> None:
        self._fallback, self._view, self._settings = fallback, view, settings
        self._tile = settings.tile
        self._session: Optional[Session] = fallback.opened(view, settings, self._tile)

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one in-between per time."""
        for time in times:
            yield self._answer(pair, time)

    def _answer(self, pair: Pair, time: float) -> Inbetween:
        known = self._fallback.tile
        if known is not None and (self._tile is None or known < self._tile):
            self._tile, self._session = known, None
        failed = False
        while True:
            answer = self._attempt(pair, time)
            if answer is not None:
                if failed:
                    self._fallback.learned(self._tile, self._view.device)
                return answer
            # Here the error is gone, and with it all that it held.
            failed, self._tile, self._session = True, self._fallback.smaller(self._tile), None
            _let_go(self._view.device)

    def _attempt(self, pair: Pair, time: float) -> Optional[Inbetween]:
        """The answer, or None where memory was too short and a smaller tile is left to try."""
        try:
            if self._session is None:
                self._session = self._fallback.opened(self._view, self._settings, self._tile)
            return next(iter(self._session.at(pair, [time])))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or self._fallback.smaller(self._tile) is None:
                raise
            return None


def _let_go(device: torch.device) -> None:
    """Gives back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
