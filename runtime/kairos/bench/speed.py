"""``kairos bench speed``: engines by themselves, whole jobs, and a GPU's ceiling."""

from __future__ import annotations

import platform
from typing import Callable, List, Optional, Sequence

import torch

from kairos.bench.engine_speed import (
    choose_device,
    measure_ceiling,
    measure_engine,
    measure_engine_alone,
    parse_size,
)
from kairos.bench.speed_report import EngineSpeed, JobSpeed, Report, render
from kairos.events import Listener
from kairos_nodes.jobs import RetimeJob

__all__ = ["Report", "render", "speed"]


def speed(
    sizes: Sequence[str],
    engines: Sequence[str] = ("classic",),
    device: str = "auto",
    retime: Optional[Callable[[RetimeJob, Listener], object]] = None,
    listener: Optional[Callable[[str], None]] = None,
) -> Report:
    """Runs the bench.

    Args:
        sizes: ``1920x1080`` and so on.
        engines: ids to measure.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        retime: runs a job; None measures engines alone, for a bare GPU machine without image libraries.
        listener: told one line per finished measurement.

    Raises:
        BadRequest: an unknown engine, size or device.
        EngineError: an engine cannot run here.
    """
    where = choose_device(device)
    measured = [parse_size(size) for size in sizes]
    rows: List[EngineSpeed] = []
    jobs: List[JobSpeed] = []
    # A GPU counts its own memory; on the CPU a fresh process does.
    alone = measure_engine if where.type == "cuda" else measure_engine_alone
    for width, height in measured:
        for id in engines:
            rows.append(alone(id, width, height, str(where)))
            if listener is not None:
                listener(f"{id} {width}x{height}: {rows[-1].first:.3f} s, {rows[-1].further:.3f} s each further")
            if retime is not None:
                # Needs the image libraries.
                from kairos.bench.job_speed import measure_job

                jobs.append(measure_job(id, width, height, str(where), retime))
                if listener is not None:
                    listener(f"{id} {width}x{height}: {jobs[-1].frames / jobs[-1].wall:.2f} frames a second, whole job")
    return Report(_named(where), tuple(rows), tuple(jobs), measure_ceiling(where))


def _named(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
