"""Fits of the engine ``siren``: what a field is held to, and a fit that is interrupted, cancelled or ends early."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import numpy as np
import pytest
import torch

from kairos.engines.siren import fit as siren_fit
from kairos.engines.siren.fit import fit, stored
from kairos.engines.siren.loss import FORMS, Seen, carried, ways
from kairos.engines.siren.plan import Plan
from kairos.engines.siren.spline import coefficients, sampled
from kairos.errors import Cancelled
from kairos.events import Event
from support.siren import decibels, moving, observed_score, picture, scene, silent, weights_of

SMALL = Plan(width=16, depth=1, steps=24, batch=256)
"""A fit of less than a second."""


@pytest.mark.parametrize("form", ["paths", "published"])
def test_the_constraint_is_put_on_the_way_of_what_moves(form: str) -> None:
    # A colour that is the place in the moving frame stays the same along the motion.
    clip, pace = moving(16, 24, 4, (1.5, -0.5)), FORMS[form].pace_of(4)
    where = ways(clip, FORMS[form], 4000, pace, torch.Generator().manual_seed(1))
    moments = where.points[:, 2] / pace + 1.5
    carried = (where.points[:, 0] + 1) * 12 - 0.5 - 1.5 * moments
    step = where.way[:, 0] * 12 - 1.5 * where.way[:, 2] / pace
    assert float(step.abs().max()) < 1e-4
    # It begins in the middle of a pixel of some frame.
    whole = carried + 1.5 * moments.round()
    assert float((whole - whole.round()).abs().max()) < 1e-3
    assert float(moments.min()) >= 0 and float(moments.max()) <= 3 + 1e-5
    at_frames = float((moments - moments.round()).abs().max()) < 1e-4
    assert at_frames == (form == "published")
    assert 0 < float((where.weight == 0).float().mean()) < 0.3


def test_what_is_carried_comes_from_where_the_motion_says() -> None:
    speed = (1.5, -0.5)
    clip, at = moving(24, 32, 3, speed), scene(24, 32, speed)
    form = FORMS["carried"]
    # A few moments at a time.
    random = torch.Generator().manual_seed(4)
    seen = Seen(*(torch.cat(parts) for parts in zip(*(carried(clip, form, 400, 0.1, random) for _ in range(8)))))
    moments = seen.points[:, 2] / 0.1 + 1
    between = (moments - moments.round()).abs() > 0.01
    inside = (seen.points[:, :2].abs() < 0.8).all(1)
    assert bool(between.any()) and bool((~between).any())
    for moment in moments[inside].unique():
        here = inside & (moments == moment)
        truth = coefficients(at(float(moment)))
        x, y = (seen.points[here, 0] + 1) * 16 - 0.5, (seen.points[here, 1] + 1) * 12 - 0.5
        assert float((sampled(truth, x, y) - (seen.colours[here] + 1) / 2).abs().max()) < 0.02


@pytest.mark.parametrize(("field", "form", "steps"), [("siren", "paths", 120), ("grid", "carried", 90)])
def test_a_small_clip_is_fitted_in_seconds(field: str, form: str, steps: int) -> None:
    clip = moving(16, 24, 4, (0.8, 0.3))
    # Of the processor, which other tests share.
    began = time.process_time()
    fitted = fit(clip, Plan(field=field, form=form, width=48, depth=1, steps=steps), silent)
    assert observed_score(fitted, clip) > 30
    assert time.process_time() - began < 20


def test_between_the_frames_the_default_beats_plain_averaging_and_the_published_form() -> None:
    speed = (2.4, 0.8)
    clip, truth = moving(24, 24, 3, speed), scene(24, 24, speed)
    score = {}
    for form in ("paths", "published", "plain"):
        fitted = fit(clip, Plan(form=form, width=48, depth=2, steps=160), silent)
        score[form] = np.mean([decibels(picture(fitted, clip, k + 0.5), truth(k + 0.5)) for k in range(2)])
    averages = (clip.frames[:-1] + clip.frames[1:]) / 2
    average = np.mean([decibels(mean, truth(k + 0.5)) for k, mean in enumerate(averages)])
    assert score["paths"] > average + 3
    assert score["paths"] > max(score["published"], score["plain"]) + 6


@pytest.mark.parametrize("field", ["siren", "grid"])
def test_a_fit_that_was_interrupted_ends_bit_for_bit_as_one_that_was_not(field: str, tmp_path: Path) -> None:
    clip, plan, path = moving(12, 16, 3, (0.5, 0.2)), replace(SMALL, field=field), tmp_path / "a.fit"
    whole = fit(clip, plan, silent)
    for most in (5, 11):
        asked: List[int] = []
        with pytest.raises(Cancelled):
            fit(clip, plan, silent, lambda asked=asked, most=most: asked.append(1) or len(asked) > most, path, "x")
        assert stored(path, "x", plan, clip.size, 3, torch.device("cpu")) is None
    again = fit(clip, plan, silent, path=path, mark="x")
    assert again.steps == whole.steps == 24 and again.held == whole.held
    assert all(torch.equal(one, two) for one, two in zip(weights_of(whole), weights_of(again)))
    kept = stored(path, "x", plan, clip.size, 3, torch.device("cpu"))
    assert kept is not None and all(torch.equal(a, b) for a, b in zip(weights_of(kept), weights_of(whole)))
    assert list(tmp_path.iterdir()) == [path]


def test_a_fit_that_died_goes_on_from_its_last_state_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, path = moving(12, 16, 3, (0.5, 0.2)), tmp_path / "a.fit"
    whole = fit(clip, SMALL, silent)
    monkeypatch.setattr(siren_fit, "TOLD", 0.0)
    monkeypatch.setattr(siren_fit, "_SAVED", 0.0)
    steps: List[int] = []

    def die(event: Event) -> None:
        steps.append(event.data["done"])
        if len(steps) == 10:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(clip, SMALL, die, path=path, mark="x")
    again = fit(clip, SMALL, lambda event: steps.append(event.data["done"]), path=path, mark="x")
    # The tenth step was lost.
    assert steps == [*range(1, 11), *range(10, 25)]
    assert all(torch.equal(one, two) for one, two in zip(weights_of(whole), weights_of(again)))


@pytest.mark.parametrize("damage", ["cut", "foreign", "rubbish"])
def test_a_state_that_is_damaged_or_of_another_clip_is_not_gone_on_with(damage: str, tmp_path: Path) -> None:
    clip, path = moving(12, 16, 3, (0.5, 0.2)), tmp_path / "a.fit"
    whole = fit(clip, SMALL, silent, path=path, mark="x")
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "foreign": content, "rubbish": b"no state"}[damage])
    mark = "y" if damage == "foreign" else "x"
    assert stored(path, mark, SMALL, clip.size, 3, torch.device("cpu")) is None
    again = fit(clip, SMALL, silent, path=path, mark=mark)
    assert again.steps == 24 and all(torch.equal(a, b) for a, b in zip(weights_of(whole), weights_of(again)))


def test_a_fit_stops_within_two_seconds_of_being_cancelled_and_tells_how_long_it_takes(tmp_path: Path) -> None:
    clip, plan = moving(16, 24, 4, (0.5, 0.2)), replace(SMALL, steps=1_000_000)
    events: List[Any] = []
    asked: List[float] = []

    def listen(event: Event) -> None:
        events.append(event.data)
        if len(events) == 2:
            asked.append(time.monotonic())
            raise Cancelled("Cancelled.")

    with pytest.raises(Cancelled):
        fit(clip, plan, listen, path=tmp_path / "a.fit", mark="x")
    assert time.monotonic() - asked[0] < 2 and (tmp_path / "a.fit").is_file()
    assert events[1]["stage"] == "fit" and 0 < events[0]["done"] < events[1]["done"] < events[1]["total"] == 1_000_000
    assert events[1]["eta"] > 10 and events[1]["rate"] > 1
    until = time.monotonic() + 0.3
    with pytest.raises(Cancelled):
        fit(clip, plan, silent, lambda: time.monotonic() > until)
    assert time.monotonic() - until < 2


def test_a_fit_by_the_clock_ends_by_the_clock() -> None:
    fitted = fit(moving(12, 16, 3, (0.5, 0.2)), replace(SMALL, minutes=0.01), silent)
    assert 0.5 < fitted.seconds < 3 and fitted.steps > 5


def test_a_fit_ends_early_where_held_back_pixels_get_no_better() -> None:
    # Noise: nothing about one pixel tells of another.
    clip = moving(12, 16, 3, (0.0, 0.0))
    noise = replace(clip, frames=torch.rand(3, 3, 12, 16, generator=torch.Generator().manual_seed(2)))
    fitted = fit(noise, Plan(form="plain", width=64, depth=2, steps=400, batch=256), silent)
    assert fitted.steps < 400
