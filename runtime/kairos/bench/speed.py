"""``kairos bench speed``: engines by themselves, published networks, whole jobs, and a GPU's ceiling."""

from __future__ import annotations

import os
from typing import Callable, List, Optional, Sequence, Tuple

from kairos.bench.engine_speed import (
    choose_device,
    device_name,
    measure_ceiling,
    measure_engine,
    measure_engine_alone,
    parse_size,
)
from kairos.bench.network_speed import OFFICIAL, measure_network
from kairos.bench.speed_report import EngineSpeed, JobSpeed, NetworkSpeed, Report, network_line, render
from kairos.bench.untrained import only_untrained
from kairos.engines.architectures import variant
from kairos.engines.registry import engines as known_engines
from kairos.errors import BadRequest
from kairos.events import Listener
from kairos.weights.store import Store
from kairos_nodes.jobs import RetimeJob

__all__ = ["Report", "render", "speed"]

EVERY = "all"
"""In place of variants: all that the official code was measured on."""


def speed(
    sizes: Sequence[str],
    engines: Sequence[str] = ("classic",),
    device: str = "auto",
    retime: Optional[Callable[[RetimeJob, Listener], object]] = None,
    listener: Optional[Callable[[str], None]] = None,
    weights: str = "",
    untrained: Sequence[str] = (),
) -> Report:
    """Runs the bench.

    Args:
        sizes: ``1920x1080`` and so on.
        engines: ids to measure.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        retime: runs a job; None measures engines alone, for a bare GPU machine without image libraries.
        listener: told one line per finished measurement.
        weights: name of the user's weights for a published network; empty for those it takes unasked.
        untrained: variants of published networks to measure with random weights; ``all`` stands for those that the
            official code was measured on.

    Raises:
        BadRequest: an unknown engine, size, device, variant or weights.
        EngineError: an engine cannot run here.
    """
    where = choose_device(device)
    measured = [parse_size(size) for size in sizes]
    variants = [name for each in untrained for name in (OFFICIAL if each == EVERY else (each,))]
    for name in variants:
        variant(name)
    if weights:
        _check(weights, engines)
    told = listener or (lambda line: None)
    load = _load()
    rows: List[EngineSpeed] = []
    jobs: List[JobSpeed] = []
    networks: List[NetworkSpeed] = []
    # A GPU counts its own memory; on the CPU a fresh process does.
    alone = measure_engine if where.type == "cuda" else measure_engine_alone
    for width, height in measured:
        for id in engines:
            rows.append(alone(id, width, height, str(where), weights))
            told(f"{rows[-1].engine} {width}x{height}: {rows[-1].first:.3f} s, {rows[-1].further:.3f} s each further")
            if weights and where.type == "cpu":
                networks.append(measure_network(Store().get(weights).variant, width, height, weights, rows[-1]))
                told(network_line(networks[-1]))
            if retime is not None:
                # Needs the image libraries.
                from kairos.bench.job_speed import measure_job

                jobs.append(measure_job(id, width, height, str(where), retime, weights=weights))
                told(f"{id} {width}x{height}: {jobs[-1].frames / jobs[-1].wall:.2f} frames a second, whole job")
        for name in variants:
            id = variant(name)[0].id
            row = None
            if id in {engine.card.id for engine in known_engines()}:
                with only_untrained(name):
                    row = alone(id, width, height, str(where), name)
                    rows.append(row)
            if where.type == "cpu":
                networks.append(measure_network(name, width, height, engine=row))
                told(network_line(networks[-1]))
    return Report(device_name(where), tuple(rows), tuple(jobs), measure_ceiling(where), tuple(networks), load)


def _check(weights: str, engines: Sequence[str]) -> None:
    """Raises BadRequest where the weights are not those of the one engine that is measured."""
    owner = Store().get(weights).architecture
    if list(engines) != [owner]:
        raise BadRequest(f"{weights} are weights of {owner}.", f"Measure them with --engine {owner} alone.")


def _load() -> Tuple[float, int]:
    """Processes that wanted to run in the last minute, and cores; no load where the system does not tell."""
    cores = os.cpu_count() or 1
    try:
        return os.getloadavg()[0], cores
    except (AttributeError, OSError):
        return 0.0, cores
