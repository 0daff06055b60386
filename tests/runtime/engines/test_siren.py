"""The engine ``siren`` at work on a shot: windows, the cache of fits, options, and jobs."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, List

import pytest
import torch

from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine
from kairos.engines.siren import engine as siren_engine
from kairos.engines.siren import fits as siren_fits
from kairos.engines.siren import plan as siren_plan
from kairos.engines.siren.clip import Clip, base_of, scenes, windows
from kairos.engines.siren.fit import Fitted
from kairos.engines.siren.plan import Plan
from kairos.errors import BadRequest, Cancelled
from kairos.events import Event
from kairos.retime import run_retime
from kairos.retime.settle import settle_engine
from kairos_nodes.jobs import RetimeJob
from support import made
from support.jobs import retime
from support.scenes import MemoryShot
from support.siren import scene, silent

OPTIONS = {"width": 16, "depth": 1, "steps": 12}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KAIROS_CACHE", str(folder))
    return folder


def shot_of(frames: int = 3, height: int = 40, width: int = 56) -> MemoryShot:
    at = scene(height, width, (1.0, 0.4))
    return MemoryShot([at(index) for index in range(frames)])


def opened(shot: MemoryShot, listener: Any = silent, **options: Any) -> Session:
    return engine("siren").open(shot, EngineSettings(options={**OPTIONS, **options}), listener)


def test_it_answers_in_full_with_the_motion_it_was_held_to() -> None:
    shot = shot_of()
    session = opened(shot)
    start, middle, end = session.at(Pair(0, 1, after=2), [0.0, 0.4, 1.0])
    (theirs,) = engine("classic").open(shot, EngineSettings(), silent).at(Pair(0, 1, after=2), [0.4])
    assert torch.equal(middle.flow_to_0, theirs.flow_to_0) and torch.equal(middle.flow_to_1, theirs.flow_to_1)
    assert torch.equal(middle.blend, theirs.blend) and torch.equal(middle.confidence, theirs.confidence)
    assert start.image is None and end.image is None and middle.image is not None
    assert middle.image.shape == (3, 40, 56) and bool(middle.image.isfinite().all())


def test_a_frame_that_only_repeats_is_no_frame_of_a_window() -> None:
    shot = shot_of(frames=4)
    settings = EngineSettings(options=OPTIONS, scenes=((0, 2, 3),))
    session = engine("siren").open(shot, settings, silent)
    (bridged,) = session.at(Pair(0, 2), [0.5])
    (repeated,) = session.at(Pair(0, 1), [0.5])
    assert bridged.image is not None and repeated.image is None


@pytest.mark.parametrize("base", ["warp", "none"])
def test_over_a_base_a_field_that_learned_nothing_shows_the_base(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = shot_of()
    monkeypatch.setattr(siren_fits, "fit", lambda clip, plan, *given, **named: blank(plan, clip))
    (answer,) = opened(shot, base=base).at(Pair(0, 1, after=2), [0.5])
    (theirs,) = engine("classic").open(shot, EngineSettings(), silent).at(Pair(0, 1, after=2), [0.5])
    expected = base_of(shot.proxy(0), shot.proxy(1), theirs)
    assert answer.image is not None
    if base == "warp":
        assert torch.equal(answer.image, expected)
    else:
        assert torch.equal(answer.image, torch.full_like(expected, 0.5))


def blank(plan: Plan, clip: Clip) -> Fitted:
    """A field that is 0 everywhere."""
    field = plan.build(clip.size, clip.count, clip.motion)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.zero_()
    return Fitted(field.requires_grad_(False), plan.constraint.pace_of(clip.count), 0, 0.0, 0.0)


def test_a_shot_that_is_fitted_is_not_fitted_again(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    shot = shot_of(frames=5)
    (first,) = opened(shot, window=3).at(Pair(1, 2), [0.5])
    # The pair's window alone.
    assert len(list((cache / siren_fits.FOLDER).iterdir())) == 1

    def never(*given: Any, **named: Any) -> Any:
        raise AssertionError("fitted again")

    with monkeypatch.context() as patch:
        patch.setattr(siren_fits, "fit", never)
        (second,) = opened(shot, window=3).at(Pair(1, 2), [0.5])
        assert first.image is not None and second.image is not None and torch.equal(first.image, second.image)
        for change in ({"lambda": 0.7}, {"form": "plain"}, {"seed": 3}):
            with pytest.raises(AssertionError, match="fitted again"):
                list(opened(shot, window=3, **change).at(Pair(1, 2), [0.5]))
        shot.frames[0][0, 2, 2] += 0.01
        with pytest.raises(AssertionError, match="fitted again"):
            list(opened(shot, window=3).at(Pair(1, 2), [0.5]))


def test_windows_share_a_frame_and_reach_over_no_cut() -> None:
    one, two = scene(48, 64, (1.0, 0.0)), scene(48, 64, (-1.0, 0.5))
    frames = [one(index) for index in range(6)] + [1 - two(index + 60).flip(1) for index in range(4)]
    seen: List[int] = []
    found = scenes(MemoryShot(frames), seen.append)
    assert found == [tuple(range(6)), tuple(range(6, 10))]
    assert windows([*found, (10,)], 4) == [(0, 1, 2), (2, 3, 4, 5), (6, 7, 8, 9)]
    # A frame that only repeats is none.
    assert windows([(0, 1, 3, 4)], 9) == [(0, 1, 3, 4)]
    assert seen == list(range(10))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"field": "mesh"}, "no field 'mesh'.*grid or siren"),
        ({"form": "best"}, "no form 'best'"),
        ({"steps": "many"}, "steps 'many'"),
        ({"window": 1}, "window 1"),
        ({"lambda": 2}, "lambda 2"),
        ({"goal": 40}, "goal is for fits of whole colours"),
        ({"base": "warp", "form": "paths"}, "form paths fits whole colours"),
        ({"engine": "siren"}, "motion from siren"),
    ],
)
def test_options_that_cannot_be_are_refused_in_words(options: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        engine("siren").settle(shot_of(), EngineSettings(options=options))
    with pytest.raises(BadRequest, match=r"cannot compute in fp16.*auto or bf16"):
        engine("siren").open(shot_of(), EngineSettings(precision="fp16"), silent)


def test_a_fit_in_bfloat16_is_another_and_its_motion_is_the_same() -> None:
    half, whole = EngineSettings(precision="bf16"), EngineSettings()
    assert engine("siren").weights_hash(half) != engine("siren").weights_hash(whole)
    shot = shot_of()
    flows = []
    for settings in (half, whole):
        options = {"field": "siren", "width": 16, "steps": 3}
        session = engine("siren").open(shot, replace(settings, options=options), silent)
        (answer,) = session.at(Pair(0, 1), [0.5])
        assert answer.image is not None and bool(torch.isfinite(answer.image).all())
        flows.append(answer.flow_to_0)
    assert torch.equal(*flows)


def test_the_artists_field_and_fit_reach_the_engine_and_no_other() -> None:
    job = RetimeJob("a", "b", between=1, engine="siren", field="siren", fit="form=published, omega=20,lambda=0.8")
    plan = Plan.of(settle_engine(job, engine("siren")).options)
    assert (plan.field, plan.form, plan.base, plan.omega) == ("siren", "published", "none", 20)
    assert plan.constraint.observed == 0.8 and plan.width == 256
    default = Plan.of(settle_engine(replace(job, field="grid", fit=""), engine("siren")).options)
    assert (default.field, default.form, default.base) == ("grid", "carried", "warp")
    for fit_of in ("speed=2", "field=grid"):
        with pytest.raises(BadRequest, match=f"siren has no option '{fit_of.partition('=')[0]}'"):
            settle_engine(replace(job, fit=fit_of), engine("siren"))
    with pytest.raises(BadRequest, match="the engine classic has no such knob"):
        settle_engine(job, engine("classic"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs, which name no options, fit in a second."""
    monkeypatch.setattr(siren_plan, "STEPS", {"siren": 20, "grid": 20})
    monkeypatch.setattr(siren_plan, "_WIDTH", {"siren": 16, "grid": 16})


def test_a_job_is_cancelled_while_it_fits_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siren_plan, "STEPS", {"grid": 1_000_000})
    monkeypatch.setattr(siren_plan, "_WIDTH", {"grid": 16})
    clip = made.pan(tmp_path / "plate", frames=3)
    out = str(tmp_path / "out" / "o.%04d.exr")
    job = RetimeJob(input=clip.pattern, output=out, between=1, engine="siren", device="cpu", cuts="1002")
    fitting: List[float] = []
    told: List[Any] = []

    def cut_apart(scenes: Any, most: int) -> Any:
        told.append(scenes)
        return windows(scenes, most)

    monkeypatch.setattr(siren_engine, "windows", cut_apart)

    def listen(event: Event) -> None:
        if event.data.get("stage") == "fit":
            fitting.append(time.monotonic())

    with pytest.raises(Cancelled):
        run_retime(job, listen, lambda: bool(fitting))
    assert time.monotonic() - fitting[0] < 2
    # The artist's cut has reached the engine.
    assert told == [((0,), (1, 2))]


def test_a_frame_is_known_again_by_the_whole_clip_that_it_was_fitted_with(tmp_path: Path, quick: None) -> None:
    clip = made.pan(tmp_path / "plate", frames=6)
    ways_out = {id: {"between": 1, "engine": id, "frames": "1002", "exposure": 0.2} for id in ("siren", "classic")}
    for id, settings in ways_out.items():
        assert retime(clip, tmp_path / id, **settings).outcome.rendered
        assert retime(clip, tmp_path / id, **settings).outcome.skipped
    # The last frame: four frames behind those that the picture lies between.
    Path(clip.files[5]).write_bytes(Path(clip.files[4]).read_bytes())
    assert retime(clip, tmp_path / "classic", **ways_out["classic"]).outcome.skipped
    with pytest.raises(BadRequest, match="from other frames"):
        retime(clip, tmp_path / "siren", **ways_out["siren"])
