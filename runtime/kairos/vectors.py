"""The vectors job: motion vectors and masks for every source frame, the plate's pixels passed through."""

from __future__ import annotations

from dataclasses import fields
from typing import Callable

from kairos.events import Listener
from kairos.retime import Outcome, never, run_retime
from kairos_nodes.jobs import RetimeJob, VectorsJob


def run_vectors(job: VectorsJob, listener: Listener, cancelled: Callable[[], bool] = never) -> Outcome:
    """Writes every source frame with its vectors and masks: a retime at speed 1, where every frame is a copy.

    Raises:
        KairosError: see :func:`kairos.retime.run_retime`.
    """
    job.validate()
    shared = {field.name for field in fields(VectorsJob)} & {field.name for field in fields(RetimeJob)}
    return run_retime(RetimeJob(**{name: getattr(job, name) for name in shared}, speed="1"), listener, cancelled)
