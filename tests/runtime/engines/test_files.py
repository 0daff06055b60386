"""Files of weights: which they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from kairos.engines import files
from kairos.engines.files import file_hash
from kairos.errors import BadRequest


def test_weights_written_twice_within_a_tick_of_the_clock_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"one")
    written = path.stat().st_mtime_ns
    first = file_hash(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(written, written))
    assert first == hashlib.sha256(b"one").hexdigest() != file_hash(path) == hashlib.sha256(b"two").hexdigest()


def test_weights_that_stay_as_they_are_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"one")
    os.utime(path, (1e9, 1e9))
    first = file_hash(path)
    monkeypatch.setattr(files.hashlib, "sha256", None)
    assert file_hash(path) == first
    with pytest.raises(BadRequest, match="There are no weights"):
        file_hash(tmp_path / "none")
