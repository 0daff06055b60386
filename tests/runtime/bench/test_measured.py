"""What engines took is kept, and told for what it holds alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest

from kairos.bench.measured import SIZE, Cache, Key, Measurement, Subject, key_of, measure
from kairos.bench.speed_report import EngineSpeed
from kairos.errors import EngineError, KairosError

KEY = Key("rife", "abc", "a card", "2.9.0", "1.0", *SIZE, "fp32")

TAKES = {"slow": 40.0, "quick": 1.0, "endless": 3600.0}
"""Seconds of made-up engines. They are looked up by their weights: the engine has to be one that there is."""


def subjects(*names: str) -> List[Subject]:
    return [Subject("classic", name) for name in names]


def measured(id: str, width: int, height: int, device: str, weights: str) -> EngineSpeed:
    return EngineSpeed(id, width, height, TAKES[weights], TAKES[weights] / 2, 0.1, 1 << 30, 0.0)


def estimated(id: str, width: int, height: int, device: str, weights: str) -> float:
    return TAKES[weights]


def run(names: List[str], cache: Cache, **more: Any) -> List[str]:
    lines: List[str] = []
    measure(subjects(*names), cache, lines.append, **{"estimated": estimated, "measured": measured, **more})
    return lines


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    # Without weights every made-up engine would have one key.
    monkeypatch.setattr("kairos.bench.measured.key_of", lambda subject, device: replace(KEY, engine=subject.weights))
    return Cache(tmp_path / "cache" / "engine_speed.json")


def test_what_was_measured_is_found_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new" / "speed.json")
    kept = Measurement(KEY, 0.5, 0.25, 1 << 30, "2026-01-01T00:00:00+00:00")
    cache.put(kept)
    assert Cache(cache.path).find(KEY) == (kept, "")


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"torch": "2.10.0"}, "torch 2.9.0"),
        ({"kairos": "1.1"}, "Kairos 1.0"),
        ({"weights_sha256": "def"}, ""),
        ({"device": "another card"}, ""),
        ({"precision": "fp16"}, ""),
        ({"engine": "film"}, ""),
    ],
)
def test_a_figure_of_other_versions_weights_or_devices_is_not_told_as_current(
    tmp_path: Path, other: Dict[str, str], words: str
) -> None:
    cache = Cache(tmp_path / "speed.json")
    cache.put(Measurement(KEY, 0.5, 0.25, 1, "now"))
    found, outdated = cache.find(replace(KEY, **other))  # type: ignore[arg-type]
    assert found is None and outdated == (f"measured with {words}" if words else "")


def test_a_new_figure_takes_the_place_of_the_one_it_outdates_and_of_no_other(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "speed.json")
    for key in (KEY, replace(KEY, weights_sha256="def"), replace(KEY, torch="2.10.0")):
        cache.put(Measurement(key, 0.5, 0.25, 1, "now"))
    assert [(row.key.weights_sha256, row.key.torch) for row in cache.all()] == [("def", "2.9.0"), ("abc", "2.10.0")]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99, "rows": []}', '{"format": 1, "rows": [{"key": 3}, 4]}']
)
def test_a_damaged_cache_is_an_empty_one(tmp_path: Path, text: str) -> None:
    cache = Cache(tmp_path / "speed.json")
    cache.path.write_text(text)
    assert cache.all() == []
    cache.put(Measurement(KEY, 0.5, 0.25, 1, "now"))
    assert len(cache.all()) == 1


def test_a_write_that_fails_leaves_the_cache_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(tmp_path / "speed.json")
    cache.put(Measurement(KEY, 0.5, 0.25, 1, "now"))
    before = cache.path.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(KairosError, match="No space left"):
        cache.put(Measurement(replace(KEY, engine="film"), 9.0, 9.0, 1, "now"))
    assert cache.path.read_bytes() == before and list(tmp_path.iterdir()) == [cache.path]


def test_the_quick_ones_are_measured_first_and_it_is_told_how_long_it_takes(cache: Cache) -> None:
    lines = run(["slow", "quick"], cache)
    assert [row.key.engine for row in cache.all()] == ["quick", "slow"]
    assert "about 41 s" in lines[1] and "Ctrl-C" in lines[1]


def test_one_that_takes_too_long_is_left_out_unless_it_is_asked_for(cache: Cache) -> None:
    lines = run(["endless", "quick"], cache)
    assert [row.key.engine for row in cache.all()] == ["quick"]
    assert any("endless: left out, it would take about 60 min" in line for line in lines)
    run(["endless"], cache, limit=None)
    assert [row.key.engine for row in cache.all()] == ["quick", "endless"]


def test_an_interrupt_keeps_what_was_measured(cache: Cache) -> None:
    def interrupted(id: str, width: int, height: int, device: str, weights: str) -> EngineSpeed:
        if weights == "slow":
            raise KeyboardInterrupt
        return measured(id, width, height, device, weights)

    with pytest.raises(KeyboardInterrupt):
        run(["slow", "quick"], cache, measured=interrupted)
    assert [row.key.engine for row in cache.all()] == ["quick"]


def test_one_that_cannot_be_measured_does_not_keep_the_others_from_it(cache: Cache) -> None:
    def fails(id: str, width: int, height: int, device: str, weights: str) -> EngineSpeed:
        if weights == "quick":
            raise EngineError("The weights are damaged.")
        return measured(id, width, height, device, weights)

    lines = run(["slow", "quick"], cache, measured=fails)
    assert [row.key.engine for row in cache.all()] == ["slow"]
    assert any("quick: cannot be measured: The weights are damaged." in line for line in lines)


def test_a_key_names_what_is_in_use_here() -> None:
    import torch

    key = key_of(Subject("swift"), "cpu")
    assert len(key.weights_sha256) == 64 and key.torch == torch.__version__
    assert (key.width, key.height) == (1920, 1080) and "threads" in key.device


def test_the_file_can_be_read_by_others(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "speed.json")
    cache.put(Measurement(KEY, 0.5, 0.25, 1, "now"))
    (row,) = json.loads(cache.path.read_text())["rows"]
    assert row["first"] == 0.5 and row["key"]["engine"] == "rife"
