"""``kairos test``: lint, types and the test suite, as the continuous integration runs them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Sequence, Tuple

from kairos_installer.machine import clean_environment
from kairos_installer.runtime import Runtime

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_SLOWEST = ("--durations=15",)
_SHARED_OUT = ("--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0")
"""File by file: what the tests of one share is made once. In the order of tests/conftest.py. A process that crashed
ends the run: another would begin the same test again, without end.
"""
_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """How one of the checks ended, and its own last line."""

    title: str
    status: int
    seconds: float
    said: str = ""


def checks(workers: int, pytest_arguments: Sequence[str]) -> List[Tuple[str, List[str]]]:
    """Titles and Python arguments of what to run; with arguments of one's own for pytest, pytest alone."""
    color = ["--color=yes"] if sys.stdout.isatty() else []
    if pytest_arguments:
        return [("pytest", ["-m", "pytest", *color, *pytest_arguments])]
    return [
        ("ruff check", ["-m", "ruff", "check", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "."]),
        ("mypy", ["-m", "mypy"]),
        ("pytest", ["-m", "pytest", *color, "-n", str(workers), *_SHARED_OUT, *_SLOWEST]),
    ]


def run(runtime: Runtime, pytest_arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs the checks one after the other, all of them, and sums them up.

    Returns:
        0 where all passed, else pytest's status or 1.
    """
    variables = clean_environment(environment)
    for name in _ONE_THREAD:
        variables.setdefault(name, "1")
    outcomes = []
    for title, arguments in checks(min(os.cpu_count() or 1, 2), pytest_arguments):
        print(f"== {title}", flush=True)
        begun = time.monotonic()
        # Not isolated (-I): pytest's plugins and the tests' own processes may read variables such as PYTHONWARNINGS.
        status, said = _watch([str(runtime.python), *arguments], runtime.checkout, variables)
        outcomes.append(Outcome(title, status, time.monotonic() - begun, said))
    print(summary(outcomes), flush=True)
    return next((outcome.status for outcome in reversed(outcomes) if outcome.status), 0)


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line for all checks; with pytest's own closing line, which holds its counts."""
    states = []
    for one in outcomes:
        state = "passed" if one.status == 0 else "FAILED"
        detail = f": {one.said}" if one.title == "pytest" and one.said else f" in {one.seconds:.0f} s"
        states.append(f"{one.title} {state}{detail}")
    return "== " + ", ".join(states)


def _watch(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Tuple[int, str]:
    """Runs a command, passes its output on as it comes, and answers with its status and its last line."""
    process = subprocess.Popen(list(command), cwd=str(folder), env=dict(variables), stdout=subprocess.PIPE)
    assert process.stdout is not None
    end = b""
    try:
        while True:
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            end = (end + piece)[-4096:]
        status = process.wait()
    finally:
        # Ctrl-C reaches the command too; it gets the time to tidy up.
        process.stdout.close()
        process.wait()
    lines = [line for line in _COLOR.sub("", end.decode("utf-8", "replace")).splitlines() if line.strip()]
    return status, lines[-1].strip("= ") if lines else ""
