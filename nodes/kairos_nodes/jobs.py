"""Jobs as plain data: what to do, with which settings. They travel as JSON between hosts, runtime and farm."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Dict, Mapping, Optional, Type, TypeVar

from kairos_nodes.errors import BadRequest
from kairos_nodes.parameters import parameters_of
from kairos_nodes.rational import exact

VERSION = 1
"""Raise when a field changes its meaning, or goes."""

SETTLED = ("exposure",)
"""Fields that are no parameters: what was measured once for the whole shot, so that a farm's chunks share it."""

TIMINGS = ("speed", "frame_map", "to_fps", "between")

_Job = TypeVar("_Job", bound="Job")


@dataclass(frozen=True)
class Job:
    """What all jobs share. Every field is a parameter of the one table, checked by :meth:`validate`.

    Numbers that must stay exact (speed, rates, phase), ranges and frame lists are text in canonical form.
    """

    kind: ClassVar[str] = ""

    def validate(self) -> None:
        """Checks every field. Raises BadRequest naming the first that cannot be."""
        for parameter in parameters_of(self.kind):
            if parameter.in_job:
                parameter.check(getattr(self, parameter.name))
        exposure = getattr(self, "exposure", None)
        number = isinstance(exposure, (int, float)) and not isinstance(exposure, bool)
        if exposure is not None and not (number and math.isfinite(exposure) and exposure > 0):
            raise BadRequest(f"exposure: {exposure!r} is not a positive number.", "Leave it out to have it measured.")

    def to_dict(self) -> Dict[str, Any]:
        """Fields by name, JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to_json(self) -> str:
        """One JSON object with kind and version."""
        return json.dumps({"job": self.kind, "version": VERSION, **self.to_dict()}, ensure_ascii=False)

    @classmethod
    def from_json(cls: Type[_Job], text: str) -> _Job:
        """The inverse of :meth:`to_json`, with every value checked.

        Raises:
            BadRequest: no job, another kind or version, or an unknown field.
        """
        job = job_from_json(text)
        if not isinstance(job, cls):
            raise BadRequest(f"This is a {job.kind} job, not a {cls.kind} job.", "Send it to the right command.")
        return job


@dataclass(frozen=True)
class RetimeJob(Job):
    """Retime a plate: one of ``speed``, ``frame_map``, ``to_fps`` and ``between`` says how."""

    kind: ClassVar[str] = "retime"

    input: str
    output: str
    speed: Optional[str] = None
    frame_map: Optional[str] = None
    to_fps: Optional[str] = None
    between: Optional[int] = None
    fps: Optional[str] = None
    range: Optional[str] = None
    frames: Optional[str] = None
    start: Optional[int] = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    scale: str = "auto"
    weights: str = ""
    base: str = "swift"
    flow: str = "own"
    motion: str = "own"
    field: str = "grid"
    fit: str = ""
    generate: str = ""
    tta: bool = False
    tile: str = "auto"
    proxy: str = "1"
    vectors: str = "none"
    masks: bool = False
    channels: str = "all"
    layer_policy: str = ""
    shutter: float = 0.0
    shutter_samples: int = 16
    phase: str = "0"
    matte: str = ""
    vectors_in: str = ""
    regions: str = ""
    region_rules: str = ""
    cuts: str = "auto"
    repeats: str = "auto"
    filter: str = "cubic"
    colorspace: str = ""
    ocio: str = ""
    compression: str = "auto"
    bit_depth: str = "same"
    overwrite: bool = False
    on_missing: str = "error"
    exposure: Optional[float] = None

    def validate(self) -> None:
        """Checks every field, and that exactly one timing is given. Raises BadRequest."""
        super().validate()
        given = [name for name in TIMINGS if getattr(self, name) is not None]
        flags = ["--" + name.replace("_", "-") for name in given or TIMINGS]
        if not given:
            raise BadRequest("The retime has no timing.", f"Give one of {', '.join(flags)}.")
        if len(given) > 1:
            raise BadRequest(f"{' and '.join(flags)} exclude each other.", "Give one of them.")
        if self.speed is not None and exact(self.speed, "--speed") == 0:
            raise BadRequest("--speed: 0 would never reach a second frame.", "Use a frame map with a hold to freeze.")


@dataclass(frozen=True)
class VectorsJob(Job):
    """Write motion vectors and masks for every source frame."""

    kind: ClassVar[str] = "vectors"

    input: str
    output: str
    fps: Optional[str] = None
    range: Optional[str] = None
    frames: Optional[str] = None
    start: Optional[int] = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    scale: str = "auto"
    weights: str = ""
    base: str = "swift"
    flow: str = "own"
    tta: bool = False
    tile: str = "auto"
    proxy: str = "1"
    vectors: str = "nuke"
    masks: bool = True
    channels: str = "all"
    layer_policy: str = ""
    matte: str = ""
    vectors_in: str = ""
    regions: str = ""
    cuts: str = "auto"
    repeats: str = "auto"
    colorspace: str = ""
    ocio: str = ""
    compression: str = "auto"
    bit_depth: str = "same"
    overwrite: bool = False
    on_missing: str = "error"
    exposure: Optional[float] = None


@dataclass(frozen=True)
class InbetweenJob(Job):
    """Make ``count`` frames between two key frames; the keys are written too."""

    kind: ClassVar[str] = "inbetween"

    frame_a: str
    frame_b: str
    output: str
    count: int
    fps: Optional[str] = None
    start: Optional[int] = None
    engine: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    scale: str = "auto"
    weights: str = ""
    base: str = "swift"
    flow: str = "own"
    motion: str = "own"
    field: str = "grid"
    fit: str = ""
    generate: str = ""
    tta: bool = False
    tile: str = "auto"
    proxy: str = "1"
    vectors: str = "none"
    masks: bool = False
    channels: str = "all"
    layer_policy: str = ""
    matte: str = ""
    vectors_in: str = ""
    regions: str = ""
    region_rules: str = ""
    filter: str = "cubic"
    colorspace: str = ""
    ocio: str = ""
    compression: str = "auto"
    bit_depth: str = "same"
    overwrite: bool = False
    exposure: Optional[float] = None


JOB_CLASSES: Mapping[str, Type[Job]] = {cls.kind: cls for cls in (RetimeJob, VectorsJob, InbetweenJob)}


def job_from_json(text: str) -> Job:
    """A job of any kind from JSON, checked.

    Raises:
        BadRequest: no job, an unknown kind or version, an unknown or missing field, or a value that cannot be.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadRequest(f"The job is not JSON: {error}.", "Write it with this version of Kairos.") from None
    if not isinstance(data, dict) or str(data.get("job")) not in JOB_CLASSES:
        raise BadRequest("This is no job of Kairos.", f"A job is one of {', '.join(JOB_CLASSES)}.")
    kind, version = data.pop("job"), data.pop("version", None)
    if version != VERSION:
        raise BadRequest(f"The job has version {version!r}.", f"This Kairos reads version {VERSION}; use the same one.")
    cls = JOB_CLASSES[kind]
    unknown = sorted(set(data) - {field.name for field in fields(cls)})
    if unknown:
        raise BadRequest(f"The {kind} job has unknown fields: {', '.join(unknown)}.", "Use the same version of Kairos.")
    table = [parameter for parameter in parameters_of(kind) if parameter.in_job]
    values = {parameter.name: parameter.check(data.get(parameter.name)) for parameter in table}
    job = cls(**values, **{name: data[name] for name in SETTLED if name in data})
    job.validate()
    return job
