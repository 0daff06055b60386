"""``kairos retime``, ``kairos vectors`` and ``kairos inbetween``."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Callable, Dict, Optional, Union

import typer

from kairos_nodes.jobs import InbetweenJob, RetimeJob, VectorsJob

from .options import add_job_command
from .report import Bar, JsonLines


def add_commands(app: typer.Typer) -> None:
    """Adds the three jobs."""
    add_job_command(app, "retime", "Retime a sequence or movie.", _retime)
    add_job_command(app, "vectors", "Write motion vectors and masks for every source frame.", _vectors)
    add_job_command(app, "inbetween", "Make the frames between two key frames.", _inbetween)


def reporter(as_json: bool, title: str) -> Union[Bar, JsonLines]:
    """Who listens to a job on the command line."""
    return JsonLines() if as_json else Bar(title)


class Interrupts:
    """Turns the first Ctrl-C or termination signal into a polite request; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before: Dict[int, Any] = {}

    def __call__(self) -> bool:
        return self._asked.is_set()

    def __enter__(self) -> Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: Optional[FrameType]) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()


def _retime(values: Dict[str, Any]) -> int:
    from kairos.retime import run_retime

    as_json = values.pop("json", False)
    return _watched(lambda listen, stop: run_retime(RetimeJob(**values), listen, stop), as_json, "retime")


def _vectors(values: Dict[str, Any]) -> int:
    from kairos.vectors import run_vectors

    as_json = values.pop("json", False)
    return _watched(lambda listen, stop: run_vectors(VectorsJob(**values), listen, stop), as_json, "vectors")


def _inbetween(values: Dict[str, Any]) -> int:
    from kairos.inbetween import run_inbetween

    as_json = values.pop("json", False)
    return _watched(lambda listen, stop: run_inbetween(InbetweenJob(**values), listen, stop), as_json, "inbetween")


def _watched(job: Callable[[Any, Callable[[], bool]], Any], as_json: bool, title: str) -> int:
    listener = reporter(as_json, title)
    try:
        with Interrupts() as stop:
            return int(job(listener, stop).exit_status)
    finally:
        listener.close()
