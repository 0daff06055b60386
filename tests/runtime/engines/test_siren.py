"""The engine ``siren``: fields, their constraint along the motion, and the fit that makes them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, List, Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines import engine
from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.siren import engine as siren_engine
from kairos.engines.siren import fit as siren_fit
from kairos.engines.siren import plan as siren_plan
from kairos.engines.siren.clip import Clip, base_of, scenes, windows
from kairos.engines.siren.field import Field, GridField, SirenField
from kairos.engines.siren.fit import Fitted, fit, stored
from kairos.engines.siren.loss import FORMS, Seen, carried, ways
from kairos.engines.siren.plan import Plan
from kairos.engines.siren.session import Window
from kairos.engines.siren.spline import coefficients, sampled
from kairos.errors import BadRequest, Cancelled
from kairos.events import Event
from kairos.retime import run_retime
from kairos.retime.settle import settle_engine
from kairos_nodes.jobs import RetimeJob
from support import made
from support.jobs import retime
from support.scenes import MemoryShot, grid, texture

SMALL = Plan(width=16, depth=1, steps=24, batch=256)
"""A fit of less than a second."""

OPTIONS = {"width": 16, "depth": 1, "steps": 12}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("KAIROS_CACHE", str(folder))
    return folder


def scene(height: int, width: int, speed: Tuple[float, float]) -> Callable[[float], Tensor]:
    """A proxy (3, H, W) at any time: a smooth texture that moves by ``speed`` pixels per frame."""
    columns, rows = grid(height, width)
    looks = [texture(seed, 1.2) for seed in (1, 2, 3)]

    def at(moment: float) -> Tensor:
        planes = [look(columns - speed[0] * moment, rows - speed[1] * moment) for look in looks]
        return torch.from_numpy(np.stack(planes).astype(np.float32)) * 1.5

    return at


def moving(height: int, width: int, frames: int, speed: Tuple[float, float]) -> Clip:
    """A clip of that scene with its exact motion."""
    at = scene(height, width, speed)
    flow = torch.tensor(speed)[None, :, None, None].expand(frames - 1, 2, height, width).half()
    columns, rows = grid(height, width)
    sures = []
    for sign in (1, -1):
        x, y = columns + sign * speed[0], rows + sign * speed[1]
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        sures.append(torch.from_numpy(inside)[None].expand(frames - 1, -1, -1).half())
    return Clip(torch.stack([at(index) for index in range(frames)]), flow, -flow, *sures)


def silent(event: Event) -> None:
    """Nobody listens."""


def decibels(one: Tensor, two: Tensor) -> float:
    return float(-10 * torch.log10((one - two).square().mean()))


def picture(fitted: Fitted, clip: Clip, moment: float) -> Tensor:
    with torch.no_grad():
        window = Window(fitted.field, fitted.pace, clip.count)
        return window.picture(clip.size, moment, torch.device("cpu"))


def observed_score(fitted: Fitted, clip: Clip) -> float:
    made_again = torch.stack([picture(fitted, clip, index) for index in range(clip.count)])
    return decibels(made_again, clip.frames)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["siren", "grid"])
def test_the_derivative_along_the_motion_is_the_full_jacobian_times_it(kind: str, dtype: torch.dtype) -> None:
    fields: dict[str, Callable[[], Field]] = {
        "siren": lambda: SirenField(48, 3, 30.0),
        "grid": lambda: GridField((16, 24), 4, 0.1, 2.0),
    }
    field = fields[kind]().to(dtype)
    # Points of one time, and others of times of their own.
    points = torch.rand(64, 3) * 2 - 1
    points[40:, 2] = points[40, 2]
    points = points.to(dtype) * torch.tensor([1.0, 1.0, 0.15], dtype=dtype)
    way = torch.randn(64, 3).to(dtype) * 0.1
    values, change = field.along(points, way)
    given = points.clone().requires_grad_()
    # One by one: the derivatives of points of one time would be shared among them.
    plain = torch.cat([field(point[None]) for point in given])
    assert float((field(points) - plain).detach().abs().max()) < 1e-5
    rows = [torch.autograd.grad(plain[:, channel].sum(), given, retain_graph=True)[0] for channel in range(3)]
    full = torch.einsum("cnk,nk->nc", torch.stack(rows), way)
    assert float(full.detach().abs().max()) > 0.01
    least = 1e-5 if dtype is torch.float32 else 1e-12
    assert float((change - full).detach().abs().max()) < least and float((values - plain).detach().abs().max()) < least


@pytest.mark.parametrize(("motion", "planes"), [(0.0, 12), (2.0, 12), (4.0, 20), (50.0, 36)])
def test_a_grids_planes_lie_the_closer_the_more_moves(motion: float, planes: int) -> None:
    # Five frames, and a plane more at either end: 1/2, 1/4 and (at the least) 1/8 of a frame apart.
    assert len(GridField((16, 24), 5, 0.1, motion).levels[-1].planes) == planes - 1


def test_the_derivative_is_torchs_own_forward_mode_and_learns_by_ordinary_backward() -> None:
    field = SirenField(32, 2, 30.0).double()
    points, way = torch.rand(20, 3).double(), torch.randn(20, 3).double()
    _, change = field.along(points, way)
    _, theirs = torch.func.jvp(field, (points,), (way,))
    assert torch.allclose(change, theirs, atol=1e-10)
    ours = torch.autograd.grad(change.abs().mean(), list(field.parameters()), allow_unused=True)
    others = torch.autograd.grad(theirs.abs().mean(), list(field.parameters()), allow_unused=True)
    for one, two in zip(ours, others):
        assert (one is None) == (two is None) and (one is None or torch.allclose(one, two, atol=1e-10))


def test_a_sine_network_begins_as_its_authors_published_it() -> None:
    field = SirenField(64, 3, 30.0)
    layers = [*field.sines.waves, field.sines.last]
    first, *others = [layer.weight.detach() for layer in layers]
    assert 0.3 < float(first.abs().max()) <= 1 / 3
    bound = math.sqrt(6 / 64) / 30
    assert all(0.9 * bound < float(weight.abs().max()) <= bound for weight in others)
    assert len(others) == 4 and [group["lr"] for group in field.groups()] == [1e-3]
    assert SirenField(1024, 1).groups()[0]["lr"] == pytest.approx(1e-4, rel=0.01)


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


def weights_of(fitted: Fitted) -> List[Tensor]:
    return list(fitted.field.state_dict().values())


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
    monkeypatch.setattr(siren_engine, "fit", lambda clip, plan, *given, **named: blank(plan, clip))
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


def test_a_spline_goes_through_its_samples_and_holds_a_slow_wave_between_them() -> None:
    columns, rows = grid(24, 40)
    planes = torch.from_numpy(np.stack([np.sin(columns * 0.5) * np.cos(rows * 0.4)])).float()
    made_of = coefficients(planes)
    x, y = torch.rand(300) * 30 + 5, torch.rand(300) * 13 + 5
    whole = sampled(made_of, x.round(), y.round())[:, 0]
    assert torch.allclose(whole, planes[0, y.round().long(), x.round().long()], atol=1e-5)
    # A cubic spline is off by a part of the fourth power of the frequency.
    assert float((sampled(made_of, x, y)[:, 0] - torch.sin(x * 0.5) * torch.cos(y * 0.4)).abs().max()) < 5e-3


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


def test_what_the_field_says_is_not_clamped() -> None:
    field = SirenField(8, 0)
    with torch.no_grad():
        field.sines.last.bias.copy_(torch.tensor([9.0, -7.0, 0.0]))
        painted = Window(field, 0.1, 2).picture((4, 6), 0.5, torch.device("cpu"))
    assert painted[0].mean() > 4.5 and painted[1].mean() < -2.5


def test_a_shot_that_is_fitted_is_not_fitted_again(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    shot = shot_of(frames=5)
    (first,) = opened(shot, window=3).at(Pair(1, 2), [0.5])
    # The pair's window alone.
    assert len(list((cache / siren_engine.FOLDER).iterdir())) == 1

    def never(*given: Any, **named: Any) -> Any:
        raise AssertionError("fitted again")

    with monkeypatch.context() as patch:
        patch.setattr(siren_engine, "fit", never)
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
    with pytest.raises(BadRequest, match="bf16"):
        engine("siren").open(shot_of(), EngineSettings(precision="bf16"), silent)


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
