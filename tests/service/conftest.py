"""One real runtime for the tests that leave it as it is, and folders for those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest

from kairos_nodes.client import Client
from support import service


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running runtime."""
    folder = tmp_path_factory.mktemp("service", numbered=True)
    folder.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        service.use_this_checkout(patch)
        with service.client(folder):
            yield folder
    service.end(folder)


@pytest.fixture
def client(runtime: Path) -> Iterator[Client]:
    """A client of the running runtime."""
    with Client("a test", folder=runtime, start=False) as found:
        yield found


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private folder without a runtime; whatever runs there at the end is ended."""
    service.use_this_checkout(monkeypatch)
    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    yield folder
    service.end(folder)
