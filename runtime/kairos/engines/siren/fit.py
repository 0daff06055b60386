"""The fit of a field to a clip: random pixels, a cosine schedule, and a state that outlives a kill."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import torch
from torch import Tensor

from kairos.engines.siren.clip import Clip
from kairos.engines.siren.field import Field
from kairos.engines.siren.loss import MOMENTS, carried, motion_loss, observation_loss, observed, ways
from kairos.engines.siren.plan import FORMAT, Plan
from kairos.errors import Cancelled, EngineError
from kairos.events import Event, Listener
from kairos.training.checkpoint import put_optimizer
from kairos.training.files import written_whole
from kairos.training.schedule import Clock, rate

_HELD, _MOST_HELD = 64, 4096
"""One pixel of so many is held back, and so many at most: what is never fitted to tells how far the fit is."""

_CHECKS = 40
"""Looks at the held-back pixels over the length of a fit."""

_FROM = 0.5
"""Part of the fit from which on looks count: before, the constraint has just made the observed pixels worse."""

_PATIENCE = 10
"""Looks without a better one after which the fit ends: it has begun to learn by heart."""

_BY_CLOCK = 25
"""Steps from look to look where the clock decides."""

TOLD, _SAVED = 0.5, 30.0
"""Seconds between two reports, and between two states on disk."""


@dataclass(frozen=True)
class Fitted:
    """A field that has been fitted.

    Attributes:
        field: with the weights that were best on the held-back pixels (carried fits: the last), in evaluation mode.
        pace: of its t from frame to frame.
        steps: taken.
        seconds: that took, those before an interruption included.
        held: PSNR of the held-back pixels, dB of 0..1.
    """

    field: Field
    pace: float
    steps: int
    seconds: float
    held: float


def never() -> bool:
    """The answer of a fit that nobody cancels."""
    return False


def fit(
    clip: Clip,
    plan: Plan,
    listener: Listener,
    cancelled: Callable[[], bool] = never,
    path: Optional[Path] = None,
    mark: str = "",
) -> Fitted:
    """Fits a field to a clip, or goes on with a fit that was interrupted.

    On one processor a fit that was interrupted any number of times ends with the same field, bit for bit, as one that
    was not (by ``steps``; ``minutes`` is up to the clock).

    Args:
        clip: of two frames at least.
        plan: how.
        listener: told of progress twice a second (``stage`` is ``fit``); it may raise :class:`Cancelled`, too.
        cancelled: asked before every step.
        path: file of the state, written now and then and at the end; what is there is gone on with.
        mark: of what is fitted; a state with another one is not gone on with.

    Raises:
        Cancelled: with the state on disk.
        EngineError: the numbers left all bounds.
        KairosError: the state cannot be written.
    """
    with torch.inference_mode(False), torch.enable_grad():
        going = _Fit(clip, plan, mark)
        state = None if path is None else _read(path, mark)
        if state is not None and not going.take(state):
            going = _Fit(clip, plan, mark)
        return going.run(listener, cancelled, path)


def stored(
    path: Path, mark: str, plan: Plan, size: tuple[int, int], frames: int, device: torch.device
) -> Optional[Fitted]:
    """A finished fit; None where there is none, or it is damaged or of something else."""
    state = _read(path, mark)
    if state is None or not state["finished"]:
        return None
    try:
        field = plan.build(size, frames, float(state["motion"]), device)
        field.load_state_dict(state["best"])
    except (RuntimeError, LookupError, AttributeError, TypeError, ValueError):
        return None
    pace = plan.constraint.pace_of(frames)
    return Fitted(_quiet(field), pace, state["step"], state["elapsed"], state["held"])


class _Fit:
    """One fit at work."""

    def __init__(self, clip: Clip, plan: Plan, mark: str) -> None:
        self._clip, self._plan, self._mark = clip, plan, mark
        self._form, device = plan.constraint, clip.frames.device
        self._pace = self._form.pace_of(clip.count)
        self._field = plan.build(clip.size, clip.count, clip.motion, device)
        self._adam = torch.optim.Adam(self._field.groups(), betas=(0.9, 0.99))
        self._peaks = [group["lr"] for group in self._adam.param_groups]
        self._random = torch.Generator(device).manual_seed(plan.seed)
        self._pixels = clip.count * clip.size[0] * clip.size[1]
        self._batch = plan.batch_of(clip)
        self._every = _BY_CLOCK if plan.minutes else max(1, plan.steps // _CHECKS)
        self._held, self._free = self._hold_back()
        self._shown = self._free.nonzero()[:, 0]
        self._shown = self._shown[:: max(1, len(self._shown) // _MOST_HELD)]
        self._step, self._elapsed = 0, 0.0
        self._decibels, self._least, self._since = 0.0, float("inf"), 0
        self._best = self._weights()

    def run(self, listener: Listener, cancelled: Callable[[], bool], path: Optional[Path]) -> Fitted:
        first, began = self._step, time.monotonic()
        clock = Clock(None if self._plan.minutes else self._plan.steps, self._plan.minutes, self._elapsed)
        told = saved = time.monotonic()
        try:
            while not (clock.over(self._step) or self._since >= _PATIENCE or self._good()):
                if cancelled():
                    raise Cancelled("Cancelled.", "The fit is kept; the same command goes on from there.")
                self._one(clock.progress(self._step))
                self._elapsed, now = clock.elapsed, time.monotonic()
                if now - told >= TOLD:
                    told = now
                    listener(self._progress(clock, (self._step - first) / max(now - began, 1e-6)))
                if path is not None and now - saved >= _SAVED:
                    self._save(path, finished=False)
                    saved = time.monotonic()
        except (Cancelled, KeyboardInterrupt):
            if path is not None:
                self._save(path, finished=False)
            raise
        self._look(1.0)
        self._field.load_state_dict(self._best)
        if path is not None:
            self._save(path, finished=True)
        held = _decibels(self._least)
        return Fitted(_quiet(self._field), self._pace, self._step, self._elapsed, held)

    def _hold_back(self) -> tuple[Tensor, Tensor]:
        """Pixels that are never fitted to, and (by pixel) which of all are."""
        device = self._clip.frames.device
        order = torch.Generator().manual_seed(self._plan.seed + 1)
        count = min(_MOST_HELD, self._pixels // _HELD)
        held = torch.randint(self._pixels, (max(1, count),), generator=order).to(device)
        free = torch.ones(self._pixels, dtype=torch.bool, device=device)
        free[held] = False
        return held, free

    def _one(self, progress: float) -> None:
        """One step."""
        factor = rate(self._step, progress, 0)
        for group, peak in zip(self._adam.param_groups, self._peaks):
            group["lr"] = peak * factor
        loss = self._loss(progress)
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._step += 1
        if self._step % self._every == 0:
            self._look(progress)

    def _loss(self, progress: float) -> Tensor:
        """Of random points."""
        clip, form = self._clip, self._form
        if form.carried:
            seen = carried(clip, form, self._batch, self._pace, self._random)
            return observation_loss(self._field, seen.points, seen.colours, seen.weight * self._free[seen.pixel])
        index = torch.randint(self._pixels, (self._batch,), generator=self._random, device=clip.frames.device)
        counted = self._free[index].to(clip.frames.dtype)
        loss = observation_loss(self._field, *observed(clip, index, self._pace), counted)
        if form.observed < 1 and progress >= form.warm_up:
            count = max(1, round(self._batch * form.share))
            moments = MOMENTS if self._plan.field == "grid" else None
            where = ways(clip, form, count, self._pace, self._random, moments)
            loss = form.observed * loss + (1 - form.observed) * motion_loss(self._field, where)
        return loss

    def _good(self) -> bool:
        """As good as is asked for."""
        return self._plan.goal > 0 and self._decibels >= self._plan.goal

    def _look(self, progress: float) -> None:
        """Judges the held-back pixels, and keeps the best weights so far; of fits to carried colours, the last."""
        error = self._error(self._held)
        if not error < float("inf"):
            raise EngineError(
                "The fit of siren left all bounds.", "Fit fewer frames (window), or a wider network (width)."
            )
        self._decibels = _decibels(self._error(self._shown) if self._plan.goal else error)
        if progress < _FROM and not self._good():
            return
        # The frames are a part of what a carried fit sees, and the first that it learns: what lies between them gets
        # better for as long as it goes on (by 0.3 and 0.7 dB on two clips, where the frames would have ended it).
        if error < self._least or self._form.carried:
            self._least, self._since, self._best = error, 0, self._weights()
        else:
            self._since += 1

    def _error(self, index: Tensor) -> float:
        """Mean squared error of pixels, of values in 0..1; over a base, at the frames, of nothing lacking."""
        points, colours = observed(self._clip, index, self._pace)
        if self._clip.base is not None:
            colours = torch.zeros_like(colours)
        with torch.no_grad():
            return float((self._field(points) - colours).square().mean()) / 4

    def _weights(self) -> Dict[str, Tensor]:
        return copy.deepcopy(self._field.state_dict())

    def _progress(self, clock: Clock, pace: float) -> Event:
        progress = clock.progress(self._step)
        left = clock.elapsed * (1 - progress) / progress if progress > 0 else None
        total = self._plan.steps if self._plan.minutes is None else round(self._step / max(progress, 1e-6))
        return Event(
            "progress",
            {
                "done": self._step,
                "total": total,
                "rate": round(pace, 3),
                "eta": None if left is None else round(left, 1),
                "stage": "fit",
                "held": round(self._decibels, 2),
            },
        )

    def _save(self, path: Path, finished: bool) -> None:
        state: Dict[str, Any] = {
            "format": FORMAT,
            "mark": self._mark,
            "finished": finished,
            "motion": self._clip.motion,
            "step": self._step,
            "elapsed": self._elapsed,
            "held": _decibels(self._least),
            "best": self._best,
        }
        if not finished:
            state.update(
                batch=self._batch,
                least=self._least,
                decibels=self._decibels,
                since=self._since,
                field=self._field.state_dict(),
                adam=self._adam.state_dict(),
                random=self._random.get_state(),
            )
        with written_whole(path) as temporary:
            torch.save(state, temporary)

    def take(self, state: Dict[str, Any]) -> bool:
        """Goes on from a state. False where it does not fit: then this fit is of no more use."""
        try:
            if state["finished"] or state["batch"] != self._batch:
                return False
            put_optimizer(self._adam, state["adam"])
            self._random.set_state(state["random"])
            self._field.load_state_dict(state["field"])
            self._step, self._elapsed = int(state["step"]), float(state["elapsed"])
            self._least, self._since = float(state["least"]), int(state["since"])
            self._decibels = float(state["decibels"])
            self._best = {name: tensor.to(self._clip.frames.device) for name, tensor in state["best"].items()}
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):
            return False
        return True


def _read(path: Path, mark: str) -> Optional[Dict[str, Any]]:
    """A state of this fit; None where there is none, or it is damaged or another's."""
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        # The restricted unpickler fails in a dozen ways, by the kind of damage. A fit can always be made again.
        return None
    known = isinstance(state, dict) and state.get("format") == FORMAT and state.get("mark") == mark
    return state if known else None


def _quiet(field: Field) -> Field:
    return field.eval().requires_grad_(False)


def _decibels(error: float) -> float:
    """PSNR of a mean squared error of values in 0..1."""
    return float(-10 * torch.log10(torch.tensor(max(error, 1e-12)))) if error < float("inf") else 0.0
