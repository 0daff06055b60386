"""Where plates and results lie: one folder for each fingerprint, so that nothing is rendered twice. Needs no Nuke."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Mapping

from kairos_nodes import __version__


def cache_root() -> Path:
    """``$KAIROS_CACHE``, which farm machines must all see, or Nuke's own temporary folder, or the system's."""
    given = os.environ.get("KAIROS_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("NUKE_TEMP_DIR", tempfile.gettempdir())) / "kairos"


def fingerprint(facts: Mapping[str, object]) -> str:
    """Twenty letters that change when any fact does, or the version of Kairos."""
    text = json.dumps({"kairos": __version__, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:20]


def folder(kind: str, print_of: str) -> Path:
    """The folder of a plate or a result. ``kind`` is ``plates``, ``mattes`` or ``results``."""
    return cache_root() / kind / print_of


def pattern(place: Path, name: str) -> str:
    """A sequence in a folder, with slashes as Nuke wants them on every system."""
    return (place / f"{name}.%04d.exr").as_posix()


def complete(sequence: str, first: int, last: int) -> bool:
    """Whether every frame of a sequence is there."""
    return all(Path(sequence % frame).is_file() for frame in range(first, last + 1))
