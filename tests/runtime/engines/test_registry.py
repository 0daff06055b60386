"""The list of engines."""

from __future__ import annotations

import pytest

from kairos.engines.registry import MEASURED, best_available, engine, engines
from kairos.errors import BadRequest, EngineError


def test_every_engine_is_found_by_its_own_name_and_names_are_unique() -> None:
    names = [each.card.id for each in engines()]
    assert len(set(names)) == len(names)
    assert all(engine(name) is each for name, each in zip(names, engines()))


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BadRequest, match=r"riffe.*classic"):
        engine("riffe")


def test_auto_takes_the_best_measured_engine_that_may_be_used() -> None:
    chosen = best_available()
    assert engine("auto") is chosen
    assert chosen.card.commercial and chosen.card.gives_motion and not chosen.card.paints
    assert [score for _, score in MEASURED] == sorted((score for _, score in MEASURED), reverse=True)


def test_where_no_engine_can_run_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(engine("swift")), "unavailable", lambda self: "its weights are missing.")
    assert best_available().card.id == "classic"
    monkeypatch.setattr(type(engine("classic")), "unavailable", lambda self: "OpenCV is missing.")
    with pytest.raises(EngineError, match=r"swift: its weights are missing\. classic: OpenCV is missing\."):
        best_available()
