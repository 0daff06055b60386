"""Real runtimes for tests: each in a folder of its own, ended with the test."""

from __future__ import annotations

import array
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, List

from kairos_nodes.client import Client, FrameBuffer, stop_runtime
from kairos_nodes.client.rendezvous import Rendezvous, read_rendezvous
from kairos_nodes.errors import KairosError
from kairos_nodes.jobs import RetimeJob
from support.exr import write_exr
from support.frames import ramp
from support.process import environment

LAUNCHER = [sys.executable, "-m", "kairos"]

WIDTH, HEIGHT = 48, 32


def use_this_checkout(monkeypatch: object) -> None:
    """Runtimes that a client starts import this checkout, on one thread."""
    for name in ("PYTHONPATH", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, environment()[name])  # type: ignore[attr-defined]
    monkeypatch.delenv("OCIO", raising=False)  # type: ignore[attr-defined]


def client(folder: Path, **options: object) -> Client:
    """A client of the runtime in ``folder``; starts it."""
    return Client("a test", launcher=LAUNCHER, folder=folder, **options)  # type: ignore[arg-type]


def rendezvous(folder: Path) -> Rendezvous:
    """Of the runtime that runs there."""
    found = read_rendezvous(folder)
    assert found is not None
    return found


def end(folder: Path) -> None:
    """Ends whatever runs there."""
    try:
        stop_runtime(folder, now=True)
    except KairosError:
        kill(rendezvous(folder).pid)


def kill(pid: int) -> None:
    """As the system kills: without a word."""
    os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """True while the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Waits for a condition; False where it does not come true."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def pixels(index: int, width: int = WIDTH, height: int = HEIGHT, channels: int = 4) -> array.array[float]:
    """Interleaved floats: a bright square that moves 3 px a frame over a texture; alpha 1."""
    values = array.array("f")
    for y in range(height):
        for x in range(width):
            inside = 8 + 3 * index <= x < 20 + 3 * index and 8 <= y < 24
            base = ((x * 7919 + y * 104729) % 97) / 97.0
            colour = [4.0 + base, 2.5, -0.25 + base] if inside else [0.1 + 0.2 * base, 0.15, 0.05 * base]
            values.extend(([*colour, 1.0])[:channels])
    return values


def shot(count: int, **options: object) -> List[FrameBuffer]:
    """Frames in memory, numbered from 1001."""
    return [
        FrameBuffer(pixels(index), WIDTH, HEIGHT, number=1001 + index, **options)  # type: ignore[arg-type]
        for index in range(count)
    ]


def plate(folder: Path, count: int = 2, size: int = 24) -> str:
    """A small sequence on disk, numbered from 1."""
    planes = ramp(3, (size, size))
    for index in range(count):
        write_exr(folder / "plate" / f"p.{1 + index:04d}.exr", dict(zip("RGB", planes + index / 64)))
    return str(folder / "plate" / "p.%04d.exr")


def quick_job(source: str, folder: Path, name: str, **settings: object) -> RetimeJob:
    """A job that takes no time; ``name`` is of its output's folder."""
    given = {"speed": "1", "engine": "classic", "device": "cpu", **settings}
    return RetimeJob(input=source, output=str(folder / name / "o.%04d.exr"), **given)  # type: ignore[arg-type]


def long_job(source: str, folder: Path, name: str) -> RetimeJob:
    """A job that would take minutes."""
    return quick_job(source, folder, name, speed=None, between=3000)


_HOST = """
import sys
from pathlib import Path
from kairos_nodes.client import Client
from kairos_nodes.jobs import job_from_json
client = Client("a host", folder=Path(sys.argv[1]), start=False)
detached = sys.argv[2] == "detached"
jobs = [client.submit(job_from_json(text), detached=detached) for text in sys.argv[3:]]
print(*(job.id for job in jobs), flush=True)
for job in jobs:
    assert job.wait(120)["exit_status"] == 0
print("all done", flush=True)
"""


@contextlib.contextmanager
def host(folder: Path, *jobs: RetimeJob, detached: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A host in a process of its own: it submits jobs, says their names on a line, and waits until all are done."""
    how = "detached" if detached else "bound"
    command = [sys.executable, "-c", _HOST, str(folder), how, *(job.to_json() for job in jobs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def said_by(host: subprocess.Popen[str]) -> str:
    """The next line that a host says; empty where it has ended."""
    assert host.stdout is not None
    return host.stdout.readline()
