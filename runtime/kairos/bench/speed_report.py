"""What ``kairos bench speed`` measured, and its tables."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import List, Optional, Tuple

GIB = float(1 << 30)

_BUSY = 0.5
"""Part of the cores that may be at work on something else without a word."""

COMPOSE_PLANES = 2 * 4 + 4 + 1 + 4
"""Planes that moving an RGBA plate reads and writes at least: two sources, two flows, the blend, the result."""


@dataclass(frozen=True)
class EngineSpeed:
    """One engine by itself, at one size.

    Attributes:
        engine, width, height: which.
        first: seconds for a pair's first in-between, the pair's own work included.
        further: seconds for each one more of the same pair.
        compose: seconds to move an RGBA plate by it.
        memory: peak, bytes: of the GPU where the engine ran on one, else of a process that did nothing else; 0 where
            unknown.
        flops: floating-point operations of a first in-between in matrix products and convolutions.
    """

    engine: str
    width: int
    height: int
    first: float
    further: float
    compose: float
    memory: int
    flops: float


@dataclass(frozen=True)
class NetworkSpeed:
    """One published network by itself, from two frames to the one between, on the CPU.

    Attributes:
        variant, width, height: which.
        untrained: its numbers are random.
        seconds: for one in-between, all included.
        minterpolate: seconds that ffmpeg's filter takes for one in the same run: of a whole call, and for one more.
        multiple: the medians of the ratios to both, turn by turn.
        memory: peak of a process that did nothing else, bytes.
        official, official_peak: the multiple that the official code needs, and its peak, GiB; None where unknown.
        engine: the engine around it; None where none runs it.
    """

    variant: str
    width: int
    height: int
    untrained: bool
    seconds: float
    minterpolate: Tuple[float, float]
    multiple: Tuple[float, float]
    memory: int
    official: Optional[float] = None
    official_peak: Optional[float] = None
    engine: Optional[EngineSpeed] = None


@dataclass(frozen=True)
class Ceiling:
    """What the card reaches in the same run: bfloat16 matrix products (FLOP/s), and copies on it (bytes/s)."""

    matmul: float
    copy: float


@dataclass(frozen=True)
class JobSpeed:
    """One whole job, files to files, at one size. Times in seconds.

    Attributes:
        engine, width, height: which.
        frames: output frames.
        wall: as an artist runs it.
        files: the same reads and writes with nothing between.
        model: the same frames from memory to memory.
    """

    engine: str
    width: int
    height: int
    frames: int
    wall: float
    files: float
    model: float

    @property
    def of_sum(self) -> float:
        """Wall time over files and model one after the other: 1 without overlap, less with it."""
        return self.wall / (self.files + self.model)

    @property
    def of_slower(self) -> float:
        """The slower of files and model over wall time: 1 is perfect overlap."""
        return max(self.files, self.model) / self.wall


@dataclass(frozen=True)
class Report:
    """Everything measured; ``ceiling`` is None off an NVIDIA card, ``jobs`` is empty where no job could be run.

    ``load`` is how many processes wanted to run on how many cores when it began: other people's work.
    """

    device: str
    engines: Tuple[EngineSpeed, ...]
    jobs: Tuple[JobSpeed, ...]
    ceiling: Optional[Ceiling]
    networks: Tuple[NetworkSpeed, ...] = ()
    load: Tuple[float, int] = (0.0, 1)


def render(report: Report) -> str:
    """The tables as text."""
    lines = [f"On {report.device}"]
    if report.engines:
        lines += ["", *_engine_table(report)]
    if report.jobs:
        lines += ["", *_job_table(report)]
    if report.networks:
        lines += ["", *_network_lines(report)]
    waiting, cores = report.load
    if waiting > _BUSY * cores:
        lines += ["", f"Other work was running ({waiting:.1f} processes on {cores} cores): these figures are doubtful."]
    return "\n".join(lines)


def _engine_table(report: Report) -> List[str]:
    ceiling = report.ceiling
    head = f"{'engine':<14}{'size':>11}{'first s':>10}{'further s':>11}{'compose s':>11}{'peak GiB':>10}"
    lines = [head + ("" if ceiling is None else f"{'of matmul':>11}{'of copy':>9}")]
    for row in report.engines:
        memory = f"{row.memory / GIB:.2f}" if row.memory else "?"
        line = f"{row.engine:<14}{f'{row.width}x{row.height}':>11}{row.first:>10.4f}{row.further:>11.4f}"
        line += f"{row.compose:>11.4f}{memory:>10}"
        if ceiling is not None:
            moved = COMPOSE_PLANES * 4.0 * row.width * row.height
            products = f"{100 * row.flops / row.first / ceiling.matmul:.1f} %" if row.flops else "-"
            line += f"{products:>11}{100 * moved / row.compose / ceiling.copy:>7.1f} %"
        lines.append(line)
    lines.append("Seconds per in-between: a pair's first, each further one, and moving an RGBA plate by it.")
    if ceiling is not None:
        lines.append(
            f"Ceiling, measured in this run: {ceiling.matmul / 1e12:.0f} TFLOP/s in bfloat16 products (engines), "
            f"{ceiling.copy / 1e9:.0f} GB/s in copies (compose)."
        )
    return lines


def _job_table(report: Report) -> List[str]:
    head = f"{'whole job':<14}{'size':>11}{'frames':>8}{'wall s':>9}{'frames/s':>10}{'files s':>9}{'model s':>9}"
    lines = [head + f"{'wall/sum':>10}{'gain':>8}{'of slower':>11}"]
    for job in report.jobs:
        lines.append(
            f"{job.engine:<14}{f'{job.width}x{job.height}':>11}{job.frames:>8}{job.wall:>9.2f}"
            f"{job.frames / job.wall:>10.2f}{job.files:>9.2f}{job.model:>9.2f}{job.of_sum:>10.3f}"
            f"{100 * (1 - job.of_sum):>6.1f} %{job.of_slower:>11.3f}"
        )
    lines += [
        "EXR to EXR (RGBA, half, zip), three frames between two. Files: the same reads and writes alone. Model: the",
        "same frames from memory to memory. Gain: the time overlapping saves. Of slower: the slower of both over wall.",
    ]
    return lines


def network_line(row: NetworkSpeed) -> str:
    """One network in one line."""
    engine = row.engine
    asked = "" if engine is None else f"first {engine.first:.2f} s  further {engine.further:.2f} s  "
    official = "" if row.official is None else f" (official {row.official:g}x)"
    whole, more = row.multiple
    line = f"{row.variant:<15}{asked}network {row.seconds:.2f} s  {whole:.2f} to {more:.2f}x minterpolate{official}"
    memory = row.memory if engine is None else max(row.memory, engine.memory)
    if memory:
        peak = "" if row.official_peak is None else f" (official {row.official_peak:g} GiB)"
        line += f"  peak {memory / GIB:.2f} GiB{peak}"
    return line + ("  random weights" if row.untrained else "")


def _network_lines(report: Report) -> List[str]:
    lines = [network_line(row) for row in report.networks]
    lines.append("First, further: the engine's seconds per in-between. Network: alone, from two frames to one.")
    if any(row.untrained for row in report.networks):
        lines.append("Random weights: pictures are noise, but time and memory are those of the trained network.")
    for size in dict.fromkeys((row.width, row.height) for row in report.networks):
        rows = [row.minterpolate for row in report.networks if (row.width, row.height) == size]
        whole, more = (statistics.median(row[way] for row in rows) for way in (0, 1))
        lines.append(
            f"Minterpolate, turn by turn with these: {whole:.2f} s for one in-between of a call "
            f"at {size[0]}x{size[1]}, {more:.2f} s for one more; so each network's two multiples."
        )
    if any(row.official is not None for row in report.networks):
        lines.append(
            "Official: measured with the official code, two idle cores, 1280x720, where minterpolate took 0.62 s."
        )
    return lines
