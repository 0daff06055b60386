"""The nodes that every host offers, made of parameters of the one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple, Type

from kairos_nodes.channels import mask_channels, vector_channels
from kairos_nodes.jobs import Job, RetimeJob, VectorsJob
from kairos_nodes.parameters import parameters_of

HOSTS: Tuple[str, ...] = ()
"""Hosts that Kairos has a plugin for; each is a folder of the same name under ``plugin/``."""

_FILLED_IN = ("input", "output")
"""Arguments that a host fills in from its own inputs and paths."""


@dataclass(frozen=True)
class Node:
    """One node as a host shows it.

    Attributes:
        id: class name in hosts.
        title, description: for people.
        job: what it submits.
        inputs: image inputs by name; the first must be connected.
        without: parameters of the job that this node does not show.
    """

    id: str
    title: str
    description: str
    job: Type[Job]
    inputs: Tuple[str, ...] = ("Source", "Matte")
    without: Tuple[str, ...] = ()

    @property
    def parameters(self) -> Tuple[str, ...]:
        """Names of the knobs, in order."""
        hidden = {*_FILLED_IN, *self.without}
        return tuple(one.name for one in parameters_of(self.job.kind) if one.in_job and one.name not in hidden)

    def outputs(self, preset: str, masks: bool) -> Tuple[str, ...]:
        """Channels that the node adds to the plate's own: vectors of this preset, and masks."""
        names = [channel.name for channel in vector_channels(preset)]
        return (*names, *mask_channels(preset).values()) if masks else tuple(names)


NODES: Tuple[Node, ...] = (
    Node(
        "Retime",
        "Retime",
        "Retimes a plate by speed, curve or frame rate; every layer moves with it.",
        RetimeJob,
        without=("between",),
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
        "Puts a number of new frames between each two frames of a plate.",
        RetimeJob,
        without=("speed", "frame_map", "to_fps"),
    ),
)
