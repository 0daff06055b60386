"""The shared test data beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
"""The repository's folder."""


def shared_data(*parts: str) -> Path:
    """Path of the shared data, or of a file or folder in it.

    Where it is missing the test is skipped with the reason; with KAIROS_REQUIRE_SHARED=1 it fails instead.
    """
    return _shared("data", *parts)


def shared_parity(*parts: str) -> Path:
    """Path of what published networks compute, or of a file or folder in it; missing as in :func:`shared_data`."""
    return _shared("parity", *parts)


def _shared(*parts: str) -> Path:
    path = ROOT.parent.joinpath("shared", *parts)
    if not path.exists():
        reason = f"shared test data is missing: {path}"
        if os.environ.get("KAIROS_REQUIRE_SHARED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
