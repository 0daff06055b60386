"""The fits of a shot: window by window and tile by tile, found in the cache or made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Collection, Dict, List, Tuple

import torch

from kairos.engines.base import Session, ShotView
from kairos.engines.siren.clip import Positions, Told, look_at
from kairos.engines.siren.fit import TOLD, fit, stored
from kairos.engines.siren.plan import Plan
from kairos.engines.siren.session import Window
from kairos.engines.siren.tiles import Tile
from kairos.events import Event, Listener
from kairos_nodes.cache import cache_root

FOLDER = "fits"
"""Of the cache: one file per tile of a window."""

KEPT = 2 << 30
"""Bytes of fits that are kept; the longest unused go first. Those of a window at work stay, however large."""


class Fits:
    """Answers with the field of a window's tile: as it lies in the cache, or fitted, which takes its time.

    Args:
        shot: with the frames.
        moving: the session that finds the motion.
        plan: how fields are fitted.
        how: digest of that and of the motion's weights.
        told: of every frame that is looked at.
        listener: told of a fit's progress, of all tiles of its window; may raise Cancelled.
    """

    def __init__(self, shot: ShotView, moving: Session, plan: Plan, how: str, told: Told, listener: Listener) -> None:
        self._shot, self._moving, self._plan, self._how = shot, moving, plan, how
        self._told, self._listener = told, listener
        self._contents: Dict[Positions, List[str]] = {}

    def tiles(self, positions: Positions) -> Tuple[Tile, ...]:
        """The tiles of a window, in the order in which they are fitted."""
        return self._plan.tiles_of(self._shot.size, len(positions))

    def window(self, positions: Positions, number: int) -> Window:
        """The field of a window's tile. Raises Cancelled, and KairosError where the cache cannot be written."""
        # A session is asked without gradients, and its tensors have to take part in a fit.
        with torch.inference_mode(False):
            return self._window(positions, number)

    def _window(self, positions: Positions, number: int) -> Window:
        shot, plan, tiles = self._shot, self._plan, self.tiles(positions)
        tile, mark = tiles[number], self._mark(positions, number)
        path = _path(mark)
        found = stored(path, mark, plan, tile.size, len(positions), shot.device)
        if found is None:
            clip = look_at(shot, self._moving, positions, self._told, plan.base == "warp", tile)
            if plan.minutes is not None:
                plan = replace(plan, minutes=plan.minutes / len(tiles))
            found = fit(clip, plan, _Across(self._listener, number, len(tiles)), path=path, mark=mark)
            _tidy(path.parent, {_path(self._mark(positions, each)) for each in range(len(tiles))})
        else:
            with contextlib.suppress(OSError):
                path.touch()
        return Window(found.field, found.pace, len(positions), plan.base == "warp")

    def _mark(self, positions: Positions, number: int) -> str:
        """What a tile's field is made from."""
        if positions not in self._contents:
            self._contents = {positions: _content(self._shot, positions, self._told)}
        tile = self.tiles(positions)[number]
        place = {} if tile.is_whole else {"tile": [tile.top, tile.left, tile.height, tile.width]}
        return digest({"how": self._how, "frames": self._contents[positions], **place})


class Looked:
    """Tells twice a second of what takes its time beside the fits; the listener may raise Cancelled.

    Called with a position, it tells which frame is being looked at: before a fit every frame is read, and its motion
    found.
    """

    def __init__(self, listener: Listener, count: int) -> None:
        self._listener, self._count, self._last = listener, count, time.monotonic()

    def __call__(self, position: int) -> None:
        self._tell("look", position, self._count)

    def painting(self) -> None:
        """A field is being painted. How far that is, nobody counts: it is part of one frame."""
        self._tell("paint", 0, 0)

    def _tell(self, stage: str, done: int, total: int) -> None:
        if time.monotonic() - self._last >= TOLD:
            self._last = time.monotonic()
            told = {"done": done, "total": total, "rate": 0.0, "eta": None, "stage": stage}
            self._listener(Event("progress", told))


class _Across:
    """Hears of a tile's fit, and tells how far all of its window are.

    Args:
        listener: told.
        number: of the tile; those before it are fitted.
        count: of the window's tiles.
    """

    def __init__(self, listener: Listener, number: int, count: int) -> None:
        self._listener, self._number, self._count = listener, number, count

    def __call__(self, event: Event) -> None:
        steps, eta = event.data["total"], event.data["eta"]
        done, total = self._number * steps + event.data["done"], self._count * steps
        if eta is not None and self._count > 1:
            rate = event.data["rate"]
            eta = round((total - done) / rate, 1) if rate > 0 else None
        self._listener(Event(event.kind, {**event.data, "done": done, "total": total, "eta": eta}))


def digest(value: object) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _path(mark: str) -> Path:
    return cache_root() / FOLDER / f"{mark[:32]}.fit"


def _content(shot: ShotView, positions: Positions, told: Told) -> List[str]:
    """Digests of all that a window shows: frames, mattes, and motion that came with the plate."""
    found = []
    for before, position, after in zip((None, *positions), positions, (*positions[1:], None)):
        told(position)
        beside = (before, after)
        planes = [shot.proxy(position), shot.matte(position)]
        for other in beside:
            planes.append(None if other is None else shot.given_motion(position, other))
        content = hashlib.sha256()
        for plane in planes:
            text = "none" if plane is None else f"{tuple(plane.shape)} {plane.dtype}"
            content.update(text.encode())
            if plane is not None:
                content.update(plane.contiguous().cpu().numpy().tobytes())
        found.append(content.hexdigest())
    return found


def _tidy(folder: Path, kept: Collection[Path]) -> None:
    """Removes the fits that were longest unused, where they take too much."""
    files = []
    with contextlib.suppress(OSError):
        for path in folder.glob("*.fit"):
            facts = path.stat()
            files.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= KEPT:
            return
        if path not in kept:
            total -= size
            with contextlib.suppress(OSError):
                path.unlink()
