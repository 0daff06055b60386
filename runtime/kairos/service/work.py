"""From a submitted job to what a worker does."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Callable, Dict, List, Mapping, Optional

from kairos.color import ColorConfig
from kairos.engines.registry import engines
from kairos.errors import BadRequest
from kairos.events import Event
from kairos.inbetween import run_inbetween
from kairos.retime import Outcome, retime_shot, run_retime
from kairos.retime.settle import settle_device
from kairos.vectors import as_retime, run_vectors
from kairos_nodes.client.protocol import Message
from kairos_nodes.jobs import InbetweenJob, Job, RetimeJob, VectorsJob, job_from_json
from kairos_nodes.ranges import parse_range

from .lending import Lent
from .memory import MemoryFootage, MemoryOutput

Work = Callable[[Callable[[Event], None], Callable[[], bool]], Dict[str, Any]]
"""See :class:`kairos.service.board.JobRecord`."""

_FILES: Mapping[str, Callable[..., Outcome]] = {
    RetimeJob.kind: run_retime,
    VectorsJob.kind: run_vectors,
    InbetweenJob.kind: run_inbetween,
}


def job_of(said: object) -> Job:
    """The job that a message holds, checked. Raises BadRequest."""
    if not isinstance(said, Mapping):
        raise BadRequest("The message holds no job.", "Send it as an object.")
    return job_from_json(json.dumps(said))


def device_of(job: Job) -> str:
    """Whose queue the job waits in, such as ``cuda:0``. Raises EngineError where the device is not there."""
    device = settle_device(getattr(job, "device", "auto"))
    return f"{device.type}:{device.index or 0}" if device.type == "cuda" else device.type


def on_files(job: Job) -> Work:
    """A job that reads and writes files."""
    run = _FILES[job.kind]
    return lambda listener, cancelled: _told(run(job, listener, cancelled))


class InMemory:
    """A job on frames that the client has handed over.

    Args:
        job: a retime or vectors job.
        said: the message's ``frames``.
        lent: the client's folders.
        send: tells the client of a finished frame.

    Raises:
        BadRequest: frames that cannot be, or a job that has no use for them.
    """

    def __init__(self, job: Job, said: object, lent: Lent, send: Callable[[Message], None]) -> None:
        if isinstance(job, VectorsJob):
            job = as_retime(job)
        if not isinstance(job, RetimeJob) or not isinstance(said, Mapping):
            raise BadRequest("Frames in memory are for retime and vectors.", "Submit this job with files.")
        self._job, self._lent, self._send = job, lent, send
        self._footage = MemoryFootage(said, lent, job.fps)
        if job.range:
            self._footage.within(*parse_range(job.range))
        self._output: Optional[MemoryOutput] = None

    def __call__(self, listener: Callable[[Event], None], cancelled: Callable[[], bool]) -> Dict[str, Any]:
        """Runs it. Raises KairosError."""
        job, footage = self._job, self._footage
        config = ColorConfig.load(job.ocio or None)
        like = footage.pictures[0]
        output = self._output = MemoryOutput(self._lent, like, job.bit_depth, self._send, listener, cancelled)

        def heard(event: Event) -> None:
            if event.kind == "planned":
                output.total = event.data["frames"]
            listener(event)

        try:
            outcome = retime_shot(job, footage.colored(config), config, heard, cancelled, output)
        finally:
            output.drop()
        return {**_told(outcome), "rendered": output.rendered}

    def release(self, name: object) -> None:
        """The client is done with a finished frame."""
        if self._output is not None:
            self._output.release(name)


def _told(outcome: Outcome) -> Dict[str, Any]:
    return {**asdict(outcome), "exit_status": outcome.exit_status}


def engine_rows() -> List[Dict[str, Any]]:
    """What can run here, and why not."""
    rows = []
    for engine in engines():
        row = asdict(engine.card)
        rows.append({**json.loads(json.dumps(row, default=str)), "why_not": engine.unavailable()})
    return rows
