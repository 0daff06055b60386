"""``kairos test``: lint, types and the test suite, as the continuous integration runs them."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import List, Mapping, Sequence, Tuple

from kairos_installer.machine import clean_environment
from kairos_installer.runtime import Runtime

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """How one of the checks ended."""

    title: str
    status: int
    seconds: float


def checks(workers: int, pytest_arguments: Sequence[str]) -> List[Tuple[str, List[str]]]:
    """Titles and Python arguments of what to run; with arguments of one's own for pytest, pytest alone."""
    if pytest_arguments:
        return [("pytest", ["-m", "pytest", *pytest_arguments])]
    return [
        ("ruff check", ["-m", "ruff", "check", "."]),
        ("ruff format", ["-m", "ruff", "format", "--check", "."]),
        ("mypy", ["-m", "mypy"]),
        ("pytest", ["-m", "pytest", "-n", str(workers)]),
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
        status = subprocess.call([str(runtime.python), *arguments], cwd=str(runtime.checkout), env=variables)
        outcomes.append(Outcome(title, status, time.monotonic() - begun))
    print(summary(outcomes), flush=True)
    return next((outcome.status for outcome in reversed(outcomes) if outcome.status), 0)


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line for all checks."""
    states = (f"{one.title} {'passed' if one.status == 0 else 'FAILED'} in {one.seconds:.0f} s" for one in outcomes)
    return "== " + ", ".join(states)
