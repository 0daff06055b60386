"""The tiny model, written once per process, and its parts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.parts import Parts, load_parts
from support.tiny_svd import tiny_changes, write_tiny_svd


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 5 pictures."""
    return write_tiny_svd(tmp_path_factory.mktemp("svd") / "tiny", frames=5)


@pytest.fixture(scope="session")
def tiny_parts(tiny_folder: Path) -> Parts:
    """Its parts, in single precision."""
    return load_parts(tiny_folder, torch.device("cpu"))


@pytest.fixture(scope="session")
def changes(tiny_folder: Path) -> Changes:
    """Differences for its backward network."""
    return Changes(tiny_changes(tiny_folder))
