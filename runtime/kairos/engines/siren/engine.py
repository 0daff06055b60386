"""The engine ``siren``: fits a field to the shot, held to the optical flow of what it shows. Needs no weights."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Callable, List

import torch

from kairos.engines.base import Engine, EngineCard, EngineSettings, Session, ShotView
from kairos.engines.gimm.option import MEANING as MOTION_MEANING
from kairos.engines.gimm.option import MOTION
from kairos.engines.raft.motion import FLOW, MEANING
from kairos.engines.siren.clip import Positions, Told, look_at, scenes, windows
from kairos.engines.siren.fit import TOLD, fit, stored
from kairos.engines.siren.plan import MEANINGS, Plan
from kairos.engines.siren.session import SirenSession, Window
from kairos.errors import BadRequest
from kairos.events import Event, Listener
from kairos_nodes.cache import cache_root

FOLDER = "fits"
"""Of the cache: one file per window."""

KEPT = 2 << 30
"""Bytes of fits that are kept; the longest unused go first."""


class SirenEngine:
    """A field held to the optical-flow constraint, at any time between the frames and not at these alone.

    After "Optical Flow Regularization of Implicit Neural Representations for Video Frame Interpolation".

    Args:
        find: answers with the engine of a name, for the motion.
    """

    card = EngineCard(
        id="siren",
        title="A field of colour fitted to the shot along its motion: for small motion, where time is no matter",
        paper="Optical Flow Regularization of Implicit Neural Representations for Video Frame Interpolation",
        code_licence="Apache-2.0",
        paints=True,
        clip=True,
        parameters={"fit": "pairs NAME=VALUE of the following", **MEANINGS, FLOW: MEANING, MOTION: MOTION_MEANING},
    )

    def __init__(self, find: Callable[[str], Engine]) -> None:
        self._find = find

    def unavailable(self) -> str:
        """Always empty: what is fitted is the shot."""
        return ""

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of how the shot is fitted, and of the motion's weights. Raises KairosError for what is not there."""
        plan = Plan.of(settings.options)
        motion = self._moving(plan).weights_hash(self._inner(plan, settings))
        return _digest({**plan.facts(), "weights": motion})

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the motion's scale made certain. Raises KairosError where that engine cannot run."""
        plan = Plan.of(settings.options)
        return replace(settings, scale=self._moving(plan).settle(shot, self._inner(plan, settings)).scale)

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot, which fits a window, or finds it fitted, when it is first asked for it.

        The listener is told twice a second and may raise Cancelled: what is fitted so far is gone on with next time.

        Raises:
            BadRequest: an option that cannot be, or a precision that is not fp32.
            KairosError: the motion's engine cannot run, or the cache cannot be written.
        """
        if settings.precision != "fp32":
            raise BadRequest(f"siren cannot compute in {settings.precision}.", "Use --precision auto.")
        plan = Plan.of(settings.options)
        moving = self._moving(plan).open(shot, self._inner(plan, settings), listener)
        looked = _Looked(listener, shot.count)
        known = scenes(shot, looked) if settings.scenes is None else settings.scenes
        how = self.weights_hash(settings)

        def fitted(positions: Positions) -> Window:
            # A session is asked without gradients, and its tensors have to take part in a fit.
            with torch.inference_mode(False):
                return self._window(shot, moving, positions, plan, how, looked, listener)

        return SirenSession(shot, moving, windows(known, plan.window), fitted)

    def _window(
        self,
        shot: ShotView,
        moving: Session,
        positions: Positions,
        plan: Plan,
        how: str,
        looked: Told,
        listener: Listener,
    ) -> Window:
        mark = _digest({"how": how, "frames": _content(shot, positions, looked)})
        path = cache_root() / FOLDER / f"{mark[:32]}.fit"
        found = stored(path, mark, plan, shot.size, len(positions), shot.device)
        if found is None:
            clip = look_at(shot, moving, positions, looked, plan.base == "warp")
            found = fit(clip, plan, listener, path=path, mark=mark)
            _tidy(path.parent, path)
        else:
            with contextlib.suppress(OSError):
                path.touch()
        return Window(found.field, found.pace, len(positions), plan.base == "warp")

    def _moving(self, plan: Plan) -> Engine:
        """The engine of the motion. Raises BadRequest where it gives none."""
        engine = self._find(plan.motion)
        if not engine.card.gives_motion or engine.card.clip:
            raise BadRequest(f"siren cannot take its motion from {plan.motion}.", "Use --fit engine=classic.")
        return engine

    def _inner(self, plan: Plan, settings: EngineSettings) -> EngineSettings:
        """Settings of the engine of the motion: what it knows of the options, and none of a field's."""
        known = self._moving(plan).card.parameters
        return replace(settings, options={name: value for name, value in settings.options.items() if name in known})


class _Looked:
    """Tells twice a second which frame is being looked at: before a fit every frame is read, and its motion found."""

    def __init__(self, listener: Listener, count: int) -> None:
        self._listener, self._count, self._told = listener, count, time.monotonic()

    def __call__(self, position: int) -> None:
        if time.monotonic() - self._told < TOLD:
            return
        self._told = time.monotonic()
        told = {"done": position, "total": self._count, "rate": 0.0, "eta": None, "stage": "look"}
        self._listener(Event("progress", told))


def _content(shot: ShotView, positions: Positions, told: Told) -> List[str]:
    """Digests of all that a window shows: frames, mattes, and motion that came with the plate."""
    found = []
    for before, position, after in zip((None, *positions), positions, (*positions[1:], None)):
        told(position)
        beside = (before, after)
        planes = [shot.proxy(position), shot.matte(position)]
        for other in beside:
            planes.append(None if other is None else shot.given_motion(position, other))
        digest = hashlib.sha256()
        for plane in planes:
            text = "none" if plane is None else f"{tuple(plane.shape)} {plane.dtype}"
            digest.update(text.encode())
            if plane is not None:
                digest.update(plane.contiguous().cpu().numpy().tobytes())
        found.append(digest.hexdigest())
    return found


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _tidy(folder: Path, kept: Path) -> None:
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
        if path != kept:
            total -= size
            with contextlib.suppress(OSError):
                path.unlink()
