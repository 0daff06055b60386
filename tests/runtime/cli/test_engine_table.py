"""``kairos engines``: one look tells what can run, on which terms, and what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from kairos.bench.measured import Cache, Measurement, Subject, key_of
from kairos.bench.untrained import keep
from kairos.cli.app import run
from kairos.engines.hierarchical import engine as hierarchical
from kairos.engines.hierarchical.architecture import plugged_values
from kairos.weights.store import Store
from support.untrained import keep_hierarchy, keep_untrained

GIB = 1 << 30


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with two sets of weights of ifrnet, and a cache of its own."""
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("KAIROS_CACHE", str(tmp_path / "cache"))
    keep_untrained(tmp_path / "weights", "ifrnet", name="a-test")
    keep_untrained(tmp_path / "weights", "ifrnet", name="ifrnet-s", seed=6)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["engines", *arguments]) == 0
    return capsys.readouterr().out


def known(weights: str, first: float) -> None:
    """Puts a figure into the cache, as if it had been measured here and now."""
    Cache().put(Measurement(key_of(Subject("ifrnet", weights)), first, first / 2, 3 * GIB, "2026-01-01T00:00:00+00:00"))


def line_of(text: str, id: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(f"{id} "))


def test_the_table_has_a_line_for_every_engine_with_terms_and_abilities(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys)
    assert line_of(text, "classic").split()[1:3] == ["ready", "yes"]
    amt = line_of(text, "amt").split()
    # Not here, not for commercial use; any time, gives motion, paints.
    assert amt[1:4] == ["no", "no", "CC-BY-NC-4.0"] and amt[-4:] == ["yes", "yes", "yes", "-"]
    film = line_of(text, "film")
    assert "none, see below" in film and film.split()[-4:] == ["yes", "yes", "yes", "-"]


def test_weights_that_are_missing_are_told_with_how_to_get_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert "film cannot run here: it has no weights. Run kairos weights fetch film" in text
    # In one line, for an address that is broken over two cannot be copied.
    assert any(
        "https://github.com/MCG-NJU/EMA-VFI" in line and "kairos weights add" in line for line in text.splitlines()
    )
    assert "ifrnet cannot" not in text


def test_weights_that_were_found_are_named_first_those_taken_unasked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ifrnet-s, a-test" in line_of(printed(capsys), "ifrnet")


def test_what_was_measured_stands_in_the_row_and_what_was_not_is_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys)
    assert line_of(text, "ifrnet").split()[-1] == "?" and "kairos engines --measure does it" in text
    known("a-test", 8.0)
    assert line_of(printed(capsys), "ifrnet").split()[-1] == "?", "those weights are not the ones taken unasked"
    known("ifrnet-s", 1.5)
    assert line_of(printed(capsys), "ifrnet").split()[-3:] == ["1.50", "0.75", "3.00"]


def test_a_figure_of_another_torch_is_told_as_outdated(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.__version__", "1.13.0")
    known("ifrnet-s", 1.5)
    monkeypatch.undo()
    monkeypatch.setenv("KAIROS_WEIGHTS", str(here / "weights"))
    monkeypatch.setenv("KAIROS_CACHE", str(here / "cache"))
    text = printed(capsys)
    assert "1.50" not in text and line_of(text, "ifrnet").split()[-1] == "outdated"
    assert "Outdated: measured with torch 1.13.0." in text


def test_an_engine_whose_weights_come_with_kairos_tells_of_the_users_besides(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = plugged_values("ifrnet", {"variant": "ifrnet", "widths": [8, 8, 12, 16], "kernel": 3, "side": 8})
    keep(Store(), "hierarchical", values, "mine")
    monkeypatch.setattr(hierarchical, "SHIPPED", keep_hierarchy(here / "plugin.safetensors"))
    text = printed(capsys, "hierarchical")
    assert "base: swift (default), ifrnet, rife, amt, ema" in text and "yours: mine" in text
    assert "weights Apache-2.0 on swift; on another base those of its weights" in text
    rows: Dict[str, Any] = {row["id"]: row for row in json.loads(printed(capsys, "--json"))}
    assert [each["weights"] for each in rows["hierarchical"]["measured"]] == ["", "mine"]


def test_one_engine_in_full_has_the_figures_of_all_its_weights(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known("ifrnet-s", 1.5)
    text = printed(capsys, "ifrnet")
    assert "ifrnet-s: first 1.50 s, further 0.75 s, peak 3.00 GiB at 1920x1080 in fp32" in text
    assert "a-test: not measured here. kairos engines ifrnet --measure" in text
    assert "gives motion: yes" in text and "arXiv 2205.14620" in text


def test_as_json_every_field_is_there(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known("ifrnet-s", 1.5)
    rows: Dict[str, Any] = {row["id"]: row for row in json.loads(printed(capsys, "--json"))}
    first, second = rows["ifrnet"]["measured"]
    assert (first["weights"], first["first"], first["memory"]) == ("ifrnet-s", 1.5, 3 * GIB)
    assert len(first["weights_sha256"]) == 64 and first["width"] == 1920 and first["precision"] == "fp32"
    assert (second["weights"], second["first"]) == ("a-test", None)
    assert rows["film"]["measured"] == [] and "kairos weights fetch film" in rows["film"]["why_not"]


@pytest.mark.slow
def test_measuring_keeps_the_figures_of_those_that_can_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Store().remove("a-test")
    monkeypatch.setattr("kairos.bench.measured.SIZE", (96, 64))
    monkeypatch.setattr("kairos.cli.engine_table.SIZE", (96, 64))
    assert run(["engines", "ifrnet", "--measure"]) == 0
    told = capsys.readouterr()
    assert "ifrnet-s: first 0." in told.out and "at 96x64" in told.out
    assert "Measuring at 96x64 takes about" in told.err
    # Kept: without measuring anew they are told again.
    assert "ifrnet-s: first 0." in printed(capsys, "ifrnet")


def test_what_cannot_run_is_not_measured(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["engines", "film", "--measure"]) == 0
    assert "film: left out, it has no weights" in capsys.readouterr().err
