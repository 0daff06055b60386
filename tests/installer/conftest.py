"""No test of the installer touches what this machine's user has installed."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def record_of_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where these tests remember Kairos' folder."""
    path = tmp_path / "remembered" / "home.json"
    monkeypatch.setenv("KAIROS_HOME_FILE", str(path))
    return path
