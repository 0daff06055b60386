"""From a job's words to what is to be rendered: device, engine settings, rate, and one request per output frame."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch

from kairos.engines.base import Engine, EngineSettings
from kairos.engines.registry import engines
from kairos.errors import BadRequest, EngineError
from kairos_nodes.engine_options import parse_fit, parse_generate
from kairos_nodes.jobs import RetimeJob
from kairos_nodes.ranges import parse_frames
from kairos_nodes.rational import exact, parse_rate
from kairos_nodes.regions import parse_regions
from kairos_nodes.timecode import Timecode, retimed
from kairos_nodes.timing import TimeMap

from .footage import Footage
from .maker import Request

DEFAULT_RATE = Fraction(24)
"""For a sequence that does not say its rate, where a movie or timecode needs one."""


def settle_requests(job: RetimeJob, shot: Footage) -> List[Request]:
    """One request per output frame that the job asks for, in order.

    Raises:
        BadRequest: timing that cannot be, or ``--frames`` outside the output.
    """
    mapping, first = time_map(job, shot), shot.numbers[0]
    start = job.start if job.start is not None else mapping.start if mapping.start is not None else first
    numbers = range(start, start + len(mapping))
    wanted = set(parse_frames(job.frames) if job.frames else numbers)
    if not wanted & set(numbers):
        raise BadRequest(
            f"--frames {job.frames} holds none of the output's frames.",
            f"The output's frames are {numbers[0]}-{numbers[-1]}.",
        )
    times = [time - first for time in mapping]
    return [
        Request(
            number=number,
            time=times[index],
            speed=mapping.speed_at(index),
            previous=times[index - 1] if index else None,
            following=times[index + 1] if index + 1 < len(times) else None,
            samples=_samples(job, mapping, index, first),
            timecode=_timecode(job, shot, index),
        )
        for index, number in enumerate(numbers)
        if number in wanted
    ]


def time_map(job: RetimeJob, shot: Footage) -> TimeMap:
    """The job's timing, in absolute source frame numbers.

    Raises:
        BadRequest: the frame map cannot be read, or a rate conversion lacks the source's rate.
    """
    first, last = shot.numbers[0], shot.numbers[-1]
    phase = exact(job.phase, "--phase")
    if job.between is not None:
        return TimeMap.between(job.between, first, last, phase)
    if job.frame_map:
        path = Path(job.frame_map)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadRequest(f"The frame map {path} cannot be read: {error}.", "Check the file's name.") from None
        return TimeMap.from_text(text, first, last, phase)
    if job.to_fps:
        if shot.rate is None:
            raise BadRequest(f"{job.input} does not say its frame rate.", "Give it with --fps, for example --fps 24.")
        return TimeMap.to_rate(shot.rate, job.to_fps, first, last, phase)
    return TimeMap.constant(1 if job.speed is None else job.speed, first, last, phase)


def output_rate(job: RetimeJob, shot: Footage) -> Optional[Fraction]:
    """Frames per second of the output: the wanted rate, else the source's own; None where nobody says."""
    return parse_rate(job.to_fps) if job.to_fps else shot.rate


def settle_device(name: str) -> torch.device:
    """The device that ``--device`` means here. Raises EngineError where it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = name.partition(":")[0]
    if kind == "cuda" and not torch.cuda.is_available():
        raise EngineError("There is no CUDA device here.", "Use --device cpu, or run kairos doctor to see why.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise EngineError("There is no Metal device here.", "Use --device cpu.")
    return torch.device(name)


def settle_regions(job: RetimeJob, engine: Engine) -> RetimeJob:
    """The job with its objects made certain: ``none`` becomes empty; an engine that wants objects and is told none
    takes what moves apart, unless a matte tells the shot apart already.
    """
    if job.regions:
        return replace(job, regions="") if parse_regions(job.regions).kind == "none" else job
    return replace(job, regions="auto") if engine.card.wants_regions and not job.matte else job


def settle_engine(job: RetimeJob, engine: Engine) -> EngineSettings:
    """How the job wants its engine to run.

    Raises:
        BadRequest: a knob that this engine does not have.
    """
    flow, motion = ("" if told == "own" else told for told in (job.flow, job.motion))
    field, base = "" if job.field == "grid" else job.field, "" if job.base == "swift" else job.base
    knobs: Dict[str, Any] = {"flow": flow, "motion": motion, "weights": job.weights, "base": base}
    knobs.update(field=field, fit=job.fit, generate=job.generate, tta=job.tta)
    options: Dict[str, Any] = {name: value for name, value in knobs.items() if value}
    for name in options:
        if not _takes(engine, name):
            ids = [each.card.id for each in engines() if _takes(each, name)]
            able = " or ".join(f"--engine {id}" for id in ids)
            if name == "flow":
                raise BadRequest(
                    f"{engine.card.id} finds its motion itself: --flow is for {_listed(ids)}.", f"Use {able}."
                )
            if name == "motion":
                raise BadRequest(
                    f"{engine.card.id} decides on its paths itself: --motion is for {_listed(ids)}.", f"Use {able}."
                )
            raise BadRequest(f"--{name}: the engine {engine.card.id} has no such knob.", f"Use {able}.")
    if job.regions and not engine.card.regions:
        apart = [each.card.id for each in engines() if each.card.regions]
        raise BadRequest(
            f"{engine.card.id} cannot keep objects apart: --regions is for {_listed(apart)}.",
            f"Use {' or '.join(f'--engine {id}' for id in apart)}.",
        )
    for flag, parse in (("fit", parse_fit), ("generate", parse_generate)):
        for name, value in parse(options.pop(flag, "")).items():
            if name not in engine.card.parameters or name in (*options, flag, "weights"):
                raise BadRequest(
                    f"--{flag}: {engine.card.id} has no option {name!r} here.",
                    f"kairos engines {engine.card.id} lists them; some have a flag of their own.",
                )
            options[name] = value
    return EngineSettings(
        precision=_precision(job, engine),
        scale=None if job.scale == "auto" else float(job.scale),
        tile=None if job.tile in ("auto", "off") else int(job.tile),
        options=options,
    )


def _precision(job: RetimeJob, engine: Engine) -> str:
    """The arithmetic that the job asks for, or that its engine takes where it runs."""
    if job.precision != "auto":
        return job.precision
    return engine.card.on_gpu if settle_device(job.device).type == "cuda" else "fp32"


def _takes(engine: Engine, name: str) -> bool:
    """Whether a flag is the engine's. The base of an engine that fits is another thing, and goes by ``--fit``."""
    known = engine.card.parameters
    return name in known and not (name == "base" and "fit" in known)


def _listed(ids: List[str]) -> str:
    return f"{', '.join(ids[:-1])} and {ids[-1]}"


def _samples(job: RetimeJob, mapping: TimeMap, index: int, first: int) -> Tuple[Fraction, ...]:
    """Source times (in positions) averaged into one frame: evenly spread over the shutter's opening."""
    opening = exact(job.shutter, "--shutter") / 360
    count = job.shutter_samples
    if not opening or count == 1:
        return (mapping[index] - first,)
    offsets = (opening * (Fraction(2 * sample + 1, 2 * count) - Fraction(1, 2)) for sample in range(count))
    return tuple(mapping.at(index + offset) - first for offset in offsets)


def _timecode(job: RetimeJob, shot: Footage, index: int) -> str:
    text = shot.header(0).timecode
    if not text:
        return ""
    source = shot.rate or DEFAULT_RATE
    return str(retimed(Timecode.parse(text, source), output_rate(job, shot) or source, index))
