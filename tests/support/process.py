"""Kairos in a process of its own, as an artist or a host runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Sequence

ROOT = Path(__file__).resolve().parents[2]


def kairos(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(command(*arguments), env=environment(), capture_output=True, text=True, **options)


def command(*arguments: str) -> Sequence[str]:
    """What to run for ``kairos ARGUMENTS``."""
    return [sys.executable, "-m", "kairos", *arguments]


def environment() -> dict[str, str]:
    """The tests' environment with Kairos on the path."""
    places = os.pathsep.join(str(ROOT / place) for place in ("runtime", "nodes", "installer"))
    return {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
