"""The inbetween job: the frames between two key frames."""

from __future__ import annotations

from dataclasses import fields
from typing import Callable

from kairos.color import ColorConfig
from kairos.errors import BadRequest
from kairos.events import Listener
from kairos.images import Shot, open_shot
from kairos.retime import KeyFrames, Outcome, never, retime_shot
from kairos_nodes.jobs import InbetweenJob, RetimeJob
from kairos_nodes.rational import parse_rate


def run_inbetween(job: InbetweenJob, listener: Listener, cancelled: Callable[[], bool] = never) -> Outcome:
    """Writes both keys and ``count`` frames between them: a retime of a two-frame shot that looks for no cuts.

    Raises:
        KairosError: see :func:`kairos.retime.run_retime`; a key that is not one still is a BadRequest.
    """
    job.validate()
    config = ColorConfig.load(job.ocio or None)
    with _still(job.frame_a, job, config) as first, _still(job.frame_b, job, config) as second:
        shared = {field.name for field in fields(InbetweenJob)} & {field.name for field in fields(RetimeJob)}
        retime = RetimeJob(
            input=f"{job.frame_a} {job.frame_b}",
            between=job.count,
            cuts="off",
            repeats="keep",
            **{name: getattr(job, name) for name in shared},
        )
        keys = KeyFrames(first, second, parse_rate(job.fps) if job.fps else None)
        return retime_shot(retime, keys, config, listener, cancelled)


def _still(spec: str, job: InbetweenJob, config: ColorConfig) -> Shot:
    shot = open_shot(spec, colorspace=job.colorspace or None, config=config)
    if len(shot) != 1:
        shot.close()
        raise BadRequest(f"{spec} has {len(shot)} frames.", "Name one still for each key frame.")
    return shot
