"""Where a host's plates and results lie: one folder for each fingerprint, so that nothing is rendered twice."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Mapping, Optional

from kairos_nodes import __version__

CACHE_VARIABLE = "KAIROS_CACHE"
"""Names the cache for all hosts; on a farm, a folder that every machine sees."""


def cache_root(temporary: Optional[str] = None) -> Path:
    """``$KAIROS_CACHE``, or a folder of Kairos' own in the temporary one.

    Args:
        temporary: the host's own temporary folder, where it has one; otherwise the system's.
    """
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    return Path(temporary or tempfile.gettempdir()) / "kairos"


def fingerprint(facts: Mapping[str, object]) -> str:
    """Twenty letters that change when any fact does, or the version of Kairos."""
    text = json.dumps({"kairos": __version__, **facts}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:20]


def folder(kind: str, print_of: str, temporary: Optional[str] = None) -> Path:
    """The folder of one fingerprint; not made yet.

    Args:
        kind: what lies there, such as ``plates``, ``mattes`` or ``results``.
        print_of: its :func:`fingerprint`.
        temporary: as of :func:`cache_root`.
    """
    return cache_root(temporary) / kind / print_of


def pattern(place: Path, name: str) -> str:
    """A sequence in a folder, such as ``.../result.%04d.exr``, with forward slashes on every system."""
    return (place / f"{name}.%04d.exr").as_posix()


def complete(sequence: str, first: int, last: int) -> bool:
    """Whether every frame of a sequence is there, both ends included."""
    return all(Path(sequence % frame).is_file() for frame in range(first, last + 1))
