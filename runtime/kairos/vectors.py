"""The vectors job: motion vectors and masks for every source frame, the plate's pixels passed through."""

from __future__ import annotations

from dataclasses import fields
from typing import Callable

from kairos.events import Listener
from kairos.retime import Outcome, never, run_retime
from kairos_nodes.jobs import RetimeJob, VectorsJob


def run_vectors(job: VectorsJob, listener: Listener, cancelled: Callable[[], bool] = never) -> Outcome:
    """Writes every source frame with its vectors and masks.

    Raises:
        KairosError: see :func:`kairos.retime.run_retime`.
    """
    job.validate()
    return run_retime(as_retime(job), listener, cancelled)


def as_retime(job: VectorsJob) -> RetimeJob:
    """The same as a retime at speed 1, where every frame is a copy."""
    shared = {field.name for field in fields(VectorsJob)} & {field.name for field in fields(RetimeJob)}
    return RetimeJob(**{name: getattr(job, name) for name in shared}, speed="1")
