"""The pictures between two encoded keys: found finished on disk, gone on with, or generated from the beginning."""

from __future__ import annotations

import gc
import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import torch
from torch import Tensor

from kairos.allocator import give_back, is_out_of_memory, lean_memory
from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.memory import REMEDY, Needs, Switches, needs_of
from kairos.engines.inbetween.motion import Mover
from kairos.engines.inbetween.options import Options
from kairos.engines.inbetween.parts import Parts, load_parts
from kairos.engines.inbetween.placing import Placing, placing_of
from kairos.engines.inbetween.plate import Placed, Plate, PlateSettings
from kairos.engines.inbetween.preview import colours_of, picture_of, sheet, write_sheet
from kairos.engines.inbetween.sampling import Conditions, State, conditions, decoded, run
from kairos.engines.inbetween.span import Span
from kairos.engines.inbetween.store import Kept, Place
from kairos.engines.siren.fits import digest
from kairos.engines.stored import DTYPES
from kairos.errors import EngineError
from kairos.events import Event, Listener

TOLD = 0.5
"""Seconds between two reports within a step."""


@dataclass(frozen=True)
class Way:
    """How pictures are generated.

    Attributes:
        options: settled.
        folder: of the model.
        changes: tuned differences, or None.
        precision: of :data:`kairos.engines.stored.DTYPES`.
        identity: of the weights and of all that decides what is generated from two pictures.
        device: that computes.
    """

    options: Options
    folder: Path
    changes: Optional[Changes]
    precision: str
    identity: str
    device: torch.device


class Generator:
    """Generates between pairs of encoded keys.

    Args:
        way: how.
        mover: finds motion between pictures.
        listener: told of the plan before anything is loaded, then of progress; may raise Cancelled.
    """

    def __init__(self, way: Way, mover: Mover, listener: Listener) -> None:
        self._way, self._mover, self._listener = way, mover, listener
        self._placing: Dict[Tuple[int, int], Placing] = {}

    def check(self, size: Tuple[int, int]) -> None:
        """Raises EngineError, before anything is done, where memory is too little for plates of a height and width."""
        needs = self._needs(size, None)
        if needs.lacking:
            self._listener(_planned(needs))
            raise EngineError(needs.lacking, REMEDY)

    def span(self, first: Tensor, second: Tensor) -> Span:
        """All that lies between two keys (3, H, W). Errors as :meth:`pictures`."""
        deeper = self.pictures if self._way.options.longer == "keys" else None
        return Span(self.pictures(first, second), self._mover, deeper)

    def pictures(self, first: Tensor, second: Tensor) -> Placed:
        """Pictures at even times from one key (3, H, W) to the other, both included.

        Raises:
            Cancelled: finished steps are kept.
            EngineError: memory is too short, or the libraries are missing.
            KairosError: the model cannot be read, or the cache cannot be written.
        """
        way, size = self._way, (int(first.shape[-2]), int(first.shape[-1]))
        plate = Plate(first, second, _plate_settings(way.options, size))
        shown = plate.shown()
        place = Place(
            digest({"how": way.identity, "precision": way.precision, "keys": [_content(each) for each in shown]})
        )
        kept = place.read()
        switches = self._switches(size, kept)
        generated = self._generated(shown, place, kept, switches)
        told = _Progress(self._listener, "match")
        return plate.place(generated, self._mover, told)

    def _switches(self, size: Tuple[int, int], kept: Optional[Kept]) -> Switches:
        """How memory is saved, told with what is needed and what is free. Raises EngineError where it is too little."""
        needs = self._needs(size, kept)
        self._listener(_planned(needs))
        if needs.lacking:
            raise EngineError(needs.lacking, REMEDY)
        return needs.switches

    def _needs(self, size: Tuple[int, int], kept: Optional[Kept]) -> Needs:
        """What pictures on a plate of a height and width need."""
        way, settings = self._way, _plate_settings(self._way.options, size)
        if size not in self._placing:
            self._placing[size] = placing_of(size, settings, way.options.recipe.frames, self._mover, way.device)
        return needs_of(
            way.folder,
            way.options,
            settings.canvas,
            DTYPES[way.precision],
            way.device,
            self._placing[size],
            None if kept is None else kept.switches,
        )

    def _generated(
        self, shown: Tuple[Tensor, Tensor], place: Place, kept: Optional[Kept], switches: Switches
    ) -> List[Tensor]:
        """Stacks of pictures (k, 3, h, w) in 0..1 on the host; the model is let go of."""
        try:
            with lean_memory():
                return self._painted(shown, place, kept, switches)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            said = (str(error).splitlines() or ["no more is to be had."])[0]
            raise EngineError(
                f"Out of memory on {self._way.device} while frames were generated: {said}",
                "Use --generate with canvas=768x448, offload=yes, split=yes or maps=host; finished steps are kept.",
            ) from error
        finally:
            gc.collect()
            give_back()
            if self._way.device.type == "cuda":
                torch.cuda.empty_cache()

    def _painted(
        self, shown: Tuple[Tensor, Tensor], place: Place, kept: Optional[Kept], switches: Switches
    ) -> List[Tensor]:
        way, frames = self._way, self._way.options.recipe.frames
        parts = load_parts(way.folder, way.device, DTYPES[way.precision], frames, switches.offload)
        state = self._finished(parts, shown, place, kept, switches)
        told, pictures = _Progress(self._listener, "decode"), []
        for stack in decoded(parts, state.latents, switches.chunk):
            pictures.append(stack.half().cpu())
            told(sum(map(len, pictures)), frames)
        return pictures

    def _finished(
        self, parts: Parts, shown: Tuple[Tensor, Tensor], place: Place, kept: Optional[Kept], switches: Switches
    ) -> State:
        """The state after the last step."""
        recipe = replace(self._way.options.recipe, maps=switches.maps, split=switches.split)
        if kept is not None and kept.state.step >= recipe.steps:
            return kept.state
        told = _Steps(self._listener, kept.state.step if kept else 0, recipe.steps)
        keys = conditions(parts, recipe, *shown)
        colours = _colours(parts, keys, shown)
        before, began = (kept.seconds if kept else 0.0), time.monotonic()
        state = kept.state if kept else None
        for finished in run(parts, self._way.changes, recipe, keys, state, told):
            state = finished
            place.write(Kept(state, switches.as_text(), before + time.monotonic() - began))
            every = self._way.options.preview
            if every and (state.step % every == 0 or state.step == recipe.steps):
                title = f"step {state.step} of {recipe.steps}"
                write_sheet(place.sheet, sheet(picture_of(state.clean[0].float().cpu(), colours).clamp(0, 1), title))
                told.sheet = str(place.sheet)
            told.finished(state.step)
        assert state is not None
        place.tidy()
        return state


def _plate_settings(options: Options, size: Tuple[int, int]) -> PlateSettings:
    return PlateSettings(
        canvas=options.canvas_of(size),
        fit=options.aspect,
        colours=options.colours,
        detail=options.detail,
        grain=options.grain,
        seed=options.recipe.seed,
    )


def _colours(parts: Parts, keys: Conditions, shown: Tuple[Tensor, Tensor]) -> Tensor:
    """What latents look like, by both keys. Those of the keys are not scaled, and generated ones are."""
    scale = float(parts.vae.config.scaling_factor)
    latents = torch.cat(list(keys.latents)).float().cpu() * scale
    return colours_of(latents, torch.stack(list(shown)).float().cpu())


def _content(picture: Tensor) -> str:
    """SHA-256 of a picture's numbers."""
    return hashlib.sha256(picture.detach().float().contiguous().cpu().numpy().tobytes()).hexdigest()


def _planned(needs: Needs) -> Event:
    """The plan, before anything is loaded. It counts nothing yet."""
    told = {"done": 0, "total": 0, "rate": 0.0, "eta": needs.seconds, "stage": "plan", "detail": needs.text}
    return Event("progress", {**told, "needs": needs.facts()})


class _Progress:
    """Tells twice a second of work whose parts take about the same time; called with how many are done and all."""

    def __init__(self, listener: Listener, stage: str) -> None:
        self._listener, self._stage = listener, stage
        self._began = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last < TOLD and done < total:
            return
        self._last = now
        _tell(self._listener, self._stage, done, total, done / max(now - self._began, 1e-6))


class _Steps:
    """Tells of steps: after each, and twice a second within one. Called with how many runs are done and all.

    Attributes:
        sheet: the contact sheet, once there is one.
    """

    def __init__(self, listener: Listener, step: int, steps: int) -> None:
        self._listener, self._step, self._steps = listener, step, steps
        self._first: Optional[int] = None
        self._began = self._last = time.monotonic()
        self._done = self._total = 0
        self.sheet = ""

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._first is None:
            # What was done before the first of these is an earlier run's, and the first one warms up.
            self._first, self._began = done, now
        self._done, self._total = done, total
        if now - self._last >= TOLD:
            self._told(now)

    def finished(self, step: int) -> None:
        """A step is done, and on disk."""
        self._step = step
        self._told(time.monotonic())

    def _told(self, now: float) -> None:
        self._last = now
        made = self._done - (self._first or 0)
        rate = made / max(now - self._began, 1e-6) if made else 0.0
        more = {"step": self._step, "steps": self._steps, **({"preview": self.sheet} if self.sheet else {})}
        _tell(self._listener, "generate", self._done, self._total, rate, **more)


def _tell(listener: Listener, stage: str, done: int, total: int, rate: float, **more: object) -> None:
    eta = round((total - done) / rate, 1) if rate > 0 else None
    told = {"done": done, "total": total, "rate": round(rate, 3), "eta": eta, "stage": stage, **more}
    listener(Event("progress", told))
