"""How fast a whole retime job is: files in, frames out, against files alone and model alone."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Callable, FrozenSet, List

import numpy as np

from kairos.bench.engine_speed import made_frames
from kairos.bench.speed_report import JobSpeed
from kairos.color import ColorConfig
from kairos.events import Listener
from kairos.frame import Frame, Part, Planes, Window
from kairos.images import Header, Shot, header_of, open_shot, write_image
from kairos.retime import retime_shot
from kairos_nodes.jobs import RetimeJob

FIRST = 1001
BETWEEN = 3
KEPT = BETWEEN + 1
"""Output frames whose pixels are kept to time writing with: one source interval's."""

GRAIN = 0.006
"""Standard deviation of the grain on the made plate: without noise its files would be smaller than any real plate's."""


def measure_job(
    id: str,
    width: int,
    height: int,
    device: str,
    retime: Callable[[RetimeJob, Listener], object],
    frames: int = 5,
    weights: str = "",
) -> JobSpeed:
    """Times a job that makes three frames between two, on a made plate (EXR, RGBA, half, zip) in a temporary folder.

    Args:
        id, width, height, device: engine, size in pixels and device.
        retime: runs a job.
        frames: of the source.
        weights: name of a published network's weights; empty for those it takes unasked.

    Raises:
        KairosError: whatever the job or the disk objects to.
    """
    with tempfile.TemporaryDirectory(prefix="kairos-speed-") as name:
        folder = Path(name)
        source, result = str(folder / "in" / "a.%04d.exr"), str(folder / "out" / "a.%04d.exr")
        for index, planes in enumerate(made_frames(width, height, frames)):
            write_image(Path(source % (FIRST + index)), _plate(FIRST + index, planes))
        job = RetimeJob(source, result, between=BETWEEN, engine=id, device=device, weights=weights)
        # A first job of two frames loads what loads once: kernels, colour configuration, file formats.
        warm = replace(job, output=str(folder / "warm" / "a.%04d.exr"), range=f"{FIRST}-{FIRST + 1}")
        retime(warm, _deaf)

        started = time.perf_counter()
        retime(job, _deaf)
        wall = time.perf_counter() - started

        config = ColorConfig.load(None)
        with open_shot(source, config=config) as shot:
            started = time.perf_counter()
            held = [shot.read(position) for position in range(len(shot))]
            reading = time.perf_counter() - started
            sink = Sink()
            started = time.perf_counter()
            retime_shot(job, InMemory(shot, held), config, _deaf, output=sink)
            model = time.perf_counter() - started
        started = time.perf_counter()
        for index in range(sink.count):
            kept = sink.frames[index % len(sink.frames)]
            write_image(folder / "files" / f"a.{index:04d}.exr", kept, config=config)
        writing = time.perf_counter() - started
    return JobSpeed(id, width, height, sink.count, wall, reading + writing, model)


class InMemory:
    """A shot whose frames were read already (see :class:`kairos.retime.Footage`)."""

    movie = False
    missing: FrozenSet[int] = frozenset()

    def __init__(self, shot: Shot, frames: List[Frame]) -> None:
        self._shot, self._frames = shot, frames
        self.spec, self.numbers, self.rate = shot.spec, shot.numbers, shot.rate
        self.scene_linear, self.colorspace = shot.scene_linear, shot.colorspace

    def __len__(self) -> int:
        return len(self._frames)

    def path(self, position: int) -> Path:
        """The file it was read from."""
        return self._shot.path(position)

    def identity(self, position: int) -> str:
        """What the pixels come from."""
        return str(self.numbers[position])

    def header(self, position: int) -> Header:
        """Everything but the pixels."""
        return header_of(self._frames[position], "openexr")

    def read(self, position: int) -> Frame:
        """The frame, at once."""
        return self._frames[position]

    def close(self) -> None:
        """The shot is closed by whoever opened it."""


class Sink:
    """Takes finished frames and writes nothing (see :class:`kairos.retime.outputs.Output`).

    Attributes:
        count: how many came.
        frames: the first few, kept.
    """

    def __init__(self) -> None:
        self.count = 0
        self.frames: List[Frame] = []

    def finished(self, number: int, fingerprint: str) -> bool:
        """False: nothing is ever there."""
        return False

    def put(self, frame: Frame, fingerprint: str) -> None:
        """Counts the frame."""
        self.count += 1
        if len(self.frames) < KEPT:
            self.frames.append(frame)

    def close(self) -> None:
        """Nothing waits."""

    def abort(self) -> None:
        """Nothing waits."""


def _plate(number: int, planes: Planes) -> Frame:
    """A half-float RGBA frame with grain."""
    height, width = planes.shape[1:]
    grain = np.random.default_rng(number).standard_normal(planes.shape, np.float32) * np.float32(GRAIN)
    rgba = np.concatenate([planes + grain, np.ones((1, height, width), np.float32)])
    rgba = rgba.astype(np.float16).astype(np.float32)
    window = Window(0, 0, width, height)
    part = Part(("R", "G", "B", "A"), rgba, window, ("half",) * 4, compression="zip")
    return Frame(number, window, (part,), rate=Fraction(24))


def _deaf(event: object) -> None:
    """Nobody listens."""
