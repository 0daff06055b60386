"""The cache of the hosts: found where it is told to be, named by what went in."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from kairos_nodes import cache


def test_the_variable_counts_before_the_hosts_folder_and_that_before_the_systems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "farm"))
    assert cache.cache_root(str(tmp_path / "host")) == tmp_path / "farm"
    monkeypatch.delenv("KAIROS_CACHE")
    assert cache.cache_root(str(tmp_path / "host")) == tmp_path / "host" / "kairos"
    assert cache.cache_root() == Path(tempfile.gettempdir()) / "kairos"


def test_a_fingerprint_knows_every_fact_and_the_version_but_not_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache.fingerprint({"speed": "0.5", "range": (1, 9)})
    assert first == cache.fingerprint({"range": (1, 9), "speed": "0.5"})
    assert first != cache.fingerprint({"speed": "0.25", "range": (1, 9)})
    monkeypatch.setattr(cache, "__version__", "999")
    assert first != cache.fingerprint({"speed": "0.5", "range": (1, 9)})


def test_a_sequence_is_complete_with_its_last_frame(tmp_path: Path) -> None:
    sequence = cache.pattern(cache.folder("results", "abc", str(tmp_path)), "result")
    assert sequence.endswith("/results/abc/result.%04d.exr")
    Path(sequence).parent.mkdir(parents=True)
    for frame in (1001, 1002):
        Path(sequence % frame).touch()
    assert cache.complete(sequence, 1001, 1002)
    assert not cache.complete(sequence, 1001, 1003)
