"""The nodes that every host offers, made of parameters of the one table: knobs, channels, and how to make a job."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, Mapping, Optional, Tuple, Type

from kairos_nodes.channels import mask_channels, vector_channels
from kairos_nodes.errors import BadRequest
from kairos_nodes.jobs import TIMINGS, Job, RetimeJob, VectorsJob
from kairos_nodes.parameter import Parameter, Value
from kairos_nodes.parameters import parameters_of

HOSTS: Tuple[str, ...] = ("blender", "nuke", "resolve")
"""Hosts that Kairos has a plugin for; each is a folder of the same name under ``plugin/``."""

FILLED_IN = ("input", "output")
"""Arguments that a host fills in from its own inputs and paths."""

TIMING_TITLES: Mapping[str, str] = {
    "speed": "Output Speed",
    "frame_map": "Frame",
    "to_fps": "Frame Rate",
    "between": "Between",
}
"""What a node's Timing knob calls each way to say when; the first two as Kronos calls them."""


@dataclass(frozen=True)
class Node:
    """One node as a host shows it.

    Attributes:
        id: class name in hosts.
        title, description: for people.
        job: what it submits.
        inputs: image inputs by name; the first must be connected.
        timings: parameters of which exactly one goes into the job; a host shows a Timing knob to choose, the first one
            being the default. Empty for nodes that do not retime.
        without: parameters of the job that this node does not show.
        defaults: values that this node begins with where they differ from the table's.
    """

    id: str
    title: str
    description: str
    job: Type[Job]
    inputs: Tuple[str, ...] = ("Source", "Matte")
    timings: Tuple[str, ...] = ()
    without: Tuple[str, ...] = ()
    defaults: Mapping[str, Value] = field(default_factory=dict)

    @property
    def parameters(self) -> Tuple[str, ...]:
        """Names of the knobs, in order."""
        return tuple(one.name for one in self.knobs)

    @property
    def knobs(self) -> Tuple[Parameter, ...]:
        """The parameters that this node shows, in order, each with the value that it begins with as its default."""
        hidden = {*FILLED_IN, *self.without, *(name for name in TIMINGS if name not in self.timings)}
        table = [one for one in parameters_of(self.job.kind) if one.in_job and one.name not in hidden]
        return tuple(self._own(one) for one in table)

    def outputs(self, preset: str, masks: bool) -> Tuple[str, ...]:
        """Channels that the node adds to the plate's own: vectors of this preset, and masks."""
        names = [channel.name for channel in vector_channels(preset)]
        return (*names, *mask_channels(preset).values()) if masks else tuple(names)

    def make_job(self, source: str, output: str, values: Mapping[str, object], timing: Optional[str] = None) -> Job:
        """The job that this node submits.

        Args:
            source: the plate, as ``--input`` takes it.
            output: where to write.
            values: of the knobs, by parameter name; those left out keep this node's default. A host may hand over the
                values of every timing.
            timing: which of :attr:`timings` counts; the others are left out of the job. None takes the only one that
                is given, or else the node's first.

        Raises:
            BadRequest: a name that is no knob of this node, a value that cannot be, or no or several timings.
        """
        knobs = {one.name: one for one in self.knobs}
        unknown = sorted(set(values) - set(knobs))
        if unknown:
            raise BadRequest(f"{self.title} has no knob {', '.join(unknown)}.", f"Its knobs are {', '.join(knobs)}.")
        chosen = self._timing(values, timing)
        checked: Dict[str, Value] = {"input": source, "output": output}
        for name, knob in knobs.items():
            if name in self.timings and name != chosen:
                continue
            checked[name] = knob.check(values.get(name))
        if chosen and checked[chosen] is None:
            raise BadRequest(f"{self.title}: {knobs[chosen].label} is empty.", knobs[chosen].help)
        job = self.job(**checked)
        job.validate()
        return job

    def _own(self, one: Parameter) -> Parameter:
        """The parameter with this node's default."""
        if one.name in self.defaults:
            one = replace(one, job_defaults={self.job.kind: self.defaults[one.name]}).for_job(self.job.kind)
        return replace(one, job_defaults={})

    def _timing(self, values: Mapping[str, object], timing: Optional[str]) -> str:
        if not self.timings:
            return ""
        if timing is not None:
            if timing not in self.timings:
                raise BadRequest(
                    f"{self.title}: Timing cannot be {timing!r}.", f"Use one of {', '.join(self.timings)}."
                )
            return timing
        given = [name for name in self.timings if values.get(name) not in (None, "")]
        if len(given) > 1:
            raise BadRequest(f"{self.title}: {' and '.join(given)} exclude each other.", "Give one of them.")
        return given[0] if given else self.timings[0]


NODES: Tuple[Node, ...] = (
    Node(
        "Retime",
        "Retime",
        "Retimes a plate by speed, curve or frame rate; every layer moves with it.",
        RetimeJob,
        timings=("speed", "frame_map", "to_fps"),
        defaults={"speed": "0.5"},
    ),
    Node(
        "MotionVectors",
        "Motion Vectors",
        "Writes motion vectors and occlusion masks for every frame of a plate.",
        VectorsJob,
    ),
    Node(
        "SlowMotion",
        "Slow Motion",
        "Slows a clip of a timeline down: by speed, by curve, or by new frames between each two.",
        RetimeJob,
        inputs=("Clip",),
        timings=("speed", "frame_map", "between"),
        without=("matte",),
        defaults={"speed": "0.25", "between": 3},
    ),
)


def node(name: str) -> Node:
    """A node by its id. Raises BadRequest for one that Kairos does not have."""
    for one in NODES:
        if one.id == name:
            return one
    raise BadRequest(f"Kairos has no node {name!r}.", f"Its nodes are {', '.join(one.id for one in NODES)}.")
