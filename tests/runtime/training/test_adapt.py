"""Weights fitted to one shot: kept only where they prove better, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Sequence, Tuple

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from kairos.bench.arrays import ArrayShot
from kairos.cli.adapt import ENDING, TASK, Request, run_adapt, shot_name
from kairos.cli.adapt import adapt as command
from kairos.engines.base import Pair
from kairos.engines.files import file_hash
from kairos.engines.swift.meeting import decided
from kairos.engines.swift.network import Swift
from kairos.engines.swift.session import SwiftSession
from kairos.errors import BadRequest, Cancelled
from kairos.events import Event
from kairos.images import open_shot
from kairos.training import adapt as adaptation
from kairos.training import triplets
from kairos.training.adapt import (
    NOISE,
    WORST,
    AdaptSettings,
    Gain,
    adapt,
    mixed,
    verdict,
)
from kairos.training.checkpoint import load_weights
from kairos.training.triplets import LEAST_FRAMES, usable
from kairos.training.windows import picture_of, window
from support import made
from support.jobs import kairos_here, retime
from support.scenes import grid, texture

CPU = torch.device("cpu")
QUICK = AdaptSettings(steps=25, lr=2e-3, scenes=0)
"""A rate far above the usual one: the network of these tests is far off."""


def deaf(event: Event) -> None:
    """Listens to nothing."""


def panning(
    count: int = 7, size: Tuple[int, int] = (64, 96), speed: float = 3.0, scenes: Sequence[int] = ()
) -> ArrayShot:
    """A texture that moves evenly; at each position of ``scenes`` another one begins."""
    columns, rows = grid(*size)
    frames = []
    for position in range(count):
        scene = sum(position >= start for start in scenes)
        planes = [texture(10 * scene + channel)(columns - speed * position, rows) for channel in range(3)]
        # Scenes differ in colour, too.
        odd = scene % 2
        frames.append((np.roll(np.stack(planes), odd, 0) * [[[1.0]], [[0.5**odd]], [[1.0]]]).astype(np.float32))
    return ArrayShot(frames)


def network(off: float = 0.0) -> Swift:
    """A fresh network: what the classical search finds, straight through. ``off`` pixels are added to every motion."""
    torch.manual_seed(0)
    made_now = Swift()
    with torch.no_grad():
        made_now.meeting.answer.bias[:4] = off
    return made_now.eval().requires_grad_(False)


def saved(path: Path, off: float) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in network(off).state_dict().items()}, path)
    return path


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values())
    return all(torch.equal(a, b) for a, b in pairs)


# What is learned from.


def test_a_shot_too_short_is_refused_with_its_length() -> None:
    with pytest.raises(BadRequest, match=f"{LEAST_FRAMES - 1} frames"):
        usable(panning(LEAST_FRAMES - 1))
    assert len(usable(panning(LEAST_FRAMES))) == 3


def test_nothing_is_learned_across_a_cut() -> None:
    shot = panning(12, scenes=[5])
    pairs = usable(shot)
    for pair in pairs:
        seen = [place for place in (pair.first, pair.second, pair.before, pair.after) if place is not None]
        assert max(seen) < 5 or min(seen) >= 5, pair
    assert [pair.first for pair in pairs] == [0, 1, 2, 5, 6, 7, 8, 9]
    assert pairs[2].after is None and pairs[2].before == 0 and pairs[3].before is None and pairs[3].after == 9


def test_cuts_everywhere_leave_nothing_and_say_so() -> None:
    with pytest.raises(BadRequest, match="Cuts"):
        usable(panning(6, scenes=[1, 2, 3, 4, 5]))


def test_repeated_frames_teach_no_timing() -> None:
    moving = panning(8)
    order = [0, 1, 2, 3, 3, 4, 5, 6]
    shot = ArrayShot([moving.proxy(position).numpy() for position in order])
    assert [pair.first for pair in usable(shot)] == [0, 1, 4, 5]


def test_a_long_shot_is_sampled_from_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triplets, "MOST_TRIPLETS", 6)
    firsts = [pair.first for pair in usable(panning(50, size=(32, 48)))]
    # 48 places for a triplet, the first and the last among them.
    assert firsts == [0, 9, 19, 28, 38, 47]


def test_a_window_shows_what_the_whole_frame_shows_there() -> None:
    shot, fitted = panning(3, size=(96, 128), speed=5.3), network(0.7)
    frames = shot.proxy(0), shot.proxy(2)
    told = SwiftSession(shot, fitted, torch.float32, True, 1.0).told(Pair(0, 2), 0.5)
    pictures = []
    for corner, size in (((0, 0), 96), ((32, 16), 48)):
        part = window(told, frames, shot.proxy(1), None, corner, size)
        decision = fitted.meeting(part.told.moved, part.told.known)
        answer = decided(part.told, decision)
        pictures.append(picture_of(part, answer))
    # The fresh network's decision is one number everywhere, so that a window's surroundings do not matter.
    assert torch.allclose(pictures[0][:, 32:80, 16:64], pictures[1], atol=1e-5)
    assert float((pictures[0][:, 32:80, 16:64] - shot.proxy(1)[:, 32:80, 16:64]).abs().mean()) < 0.05


# Fitting.


def test_a_network_that_is_off_is_put_right_and_kept() -> None:
    base = network(1.0)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    events: List[Event] = []
    result = adapt(panning(), base, QUICK, events.append)
    # 1 px of error on a texture with wavelengths from 5 px up; without it the search is right to a few hundredths.
    assert result.kept and result.after - result.before > 3.0
    assert result.fitted == (1, 3, 5) and [gain.position for gain in result.held] == [2, 4]
    assert result.steps == QUICK.steps and result.part == 1.0
    assert all(torch.equal(tensor, before[name]) for name, tensor in base.state_dict().items())
    assert same(result.network.motion, base.motion)
    stages = [event.data["stage"] for event in events]
    assert list(dict.fromkeys(stages)) == ["look", "fit", "judge", "done"]
    assert events[-1].data["score"] == pytest.approx(result.after)


def test_only_as_much_is_taken_over_as_serves_the_held_back_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    learned, base = network(-1.0), network(1.0)
    assert float(mixed(base, learned, 0.25).meeting.answer.bias[0]) == 0.5
    # All of the way from 1 px off to 1 px off the other way is no better; half of it is right.
    monkeypatch.setattr(adaptation._Run, "fit", lambda run, examples: learned)
    result = adapt(panning(5), base, QUICK, deaf)
    assert result.kept and result.part == 0.5
    assert float(result.network.meeting.answer.bias[0]) == 0.0


def test_what_gains_nothing_is_not_kept() -> None:
    result = adapt(panning(), network(), AdaptSettings(steps=1, lr=1e-9, scenes=0), deaf)
    assert not result.kept and "noise" in result.why


def test_fitting_by_steps_is_repeatable() -> None:
    one, two, other = (
        adapt(panning(5), network(0.5), AdaptSettings(steps=3, lr=1e-3, scenes=0, seed=seed), deaf)
        for seed in (0, 0, 1)
    )
    assert same(one.network, two.network)
    assert not same(one.network, other.network)


def test_made_scenes_are_mixed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of the seed that other tests use: its textures are painted already.
    monkeypatch.setattr("kairos.training.adapt._SCENE_SEED", 5)
    one, two = (
        adapt(panning(5), network(0.5), AdaptSettings(steps=4, lr=1e-3, scenes=scenes), deaf) for scenes in (0, 1)
    )
    assert not same(one.network, two.network)


@pytest.mark.parametrize(
    ("differences", "kept"),
    [
        ([0.4, 0.5, 0.6], True),
        ([2 * NOISE], False),
        ([0.4], True),
        ([NOISE / 2] * 4, False),
        ([2 * NOISE] * 4, True),
        # A mean of 0.1 with a standard error of 0.3.
        ([1.0, -0.2, -0.25, -0.15], False),
        ([2.0, 2.0, 2.0, -WORST - 0.01], False),
        ([2.0, 2.0, 2.0, -WORST + 0.01], True),
        ([float("nan"), 1.0], False),
    ],
    ids=str,
)
def test_better_means_more_than_noise_and_nowhere_much_worse(differences: List[float], kept: bool) -> None:
    assert verdict([Gain(index, 30.0, 30.0 + value) for index, value in enumerate(differences)])[0] is kept


@pytest.mark.parametrize("wrong", [{"minutes": 0.0}, {"minutes": float("inf")}, {"lr": -1.0}, {"steps": 0}], ids=str)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadRequest, match=f"--{next(iter(wrong))}"):
        AdaptSettings(**wrong)  # type: ignore[arg-type]


# The command.


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "off.safetensors", 1.0)


def clip_of(folder: Path, frames: int = 6) -> made.Clip:
    return made.pan(folder, frames=frames, size=(64, 96), velocity=(3.0, 1.0))


def files(folder: Path) -> List[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_weights_lie_beside_the_shot_say_where_they_come_from_and_retime_it(tmp_path: Path, off: Path) -> None:
    clip = clip_of(tmp_path / "plate")
    events: List[Event] = []
    untouched = off.read_bytes()
    request = Request(clip.pattern, weights=off, device="cpu")
    done = run_adapt(request, QUICK, events.append, lambda: False)
    assert done.path == tmp_path / "plate" / f"pan{ENDING}"
    assert f"--weights {done.path}" in done.text and "kairos retime" in done.text
    record = load_weights(done.path)[1]
    assert record["task"] == TASK and record["frames"] == "1001-1006" and record["base"] == file_hash(off)
    assert float(record["gain"]) == pytest.approx(done.result.after - done.result.before, abs=1e-3)
    assert json.loads(record["fitted"]) == [1002, 1004] and list(json.loads(record["held"])) == ["1003", "1005"]
    assert off.read_bytes() == untouched
    assert events[0].kind == "planned" and events[-1].kind == "done" and events[-1].data["file"] == str(done.path)
    frames = []
    for index, weights in enumerate((off, done.path)):
        ran = retime(clip, tmp_path / str(index), between=1, engine="swift", weights=str(weights), frames="1004")
        frames.append(open_shot(str(ran.file(1004))).read(0).parts[0].planes)
    error = [float(np.square(frame - clip.rgb(1.5)).mean()) for frame in frames]
    assert error[1] < 0.5 * error[0]
    # A second time the file may be written over: it was made by the same command.
    assert run_adapt(request, QUICK, deaf, lambda: False).path == done.path


def test_no_gain_writes_nothing_and_says_so(tmp_path: Path) -> None:
    clip, weights = clip_of(tmp_path / "plate"), saved(tmp_path / "right.safetensors", 0.0)
    before = files(tmp_path)
    settings = AdaptSettings(steps=1, lr=1e-9, scenes=0)
    events: List[Event] = []
    done = run_adapt(Request(clip.pattern, weights=weights, device="cpu"), settings, events.append, lambda: False)
    assert done.path is None and "Nothing was written" in done.text
    assert events[-1].data["kept"] is False and events[-1].data["file"] is None
    assert files(tmp_path) == before


@pytest.mark.parametrize("after", [1, 4, 8])
def test_cancelled_it_leaves_nothing_behind(tmp_path: Path, off: Path, after: int) -> None:
    clip = clip_of(tmp_path / "plate")
    before = files(tmp_path)
    asked: List[bool] = []

    def cancelled() -> bool:
        asked.append(True)
        return len(asked) > after

    with pytest.raises(Cancelled):
        run_adapt(Request(clip.pattern, weights=off, device="cpu"), QUICK, deaf, cancelled)
    assert files(tmp_path) == before


def test_it_writes_over_nothing_but_its_own(tmp_path: Path, off: Path) -> None:
    clip = clip_of(tmp_path / "plate")
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"precious")
    for out, words in ((off, "stay as they are"), (other, "is there already"), (tmp_path / "w.exr", "no name")):
        with pytest.raises(BadRequest, match=words):
            run_adapt(Request(clip.pattern, out=out, weights=off, device="cpu"), QUICK, deaf, lambda: False)
    assert other.read_bytes() == b"precious"


def test_the_command_refuses_what_cannot_be_in_one_line(
    tmp_path: Path, off: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = clip_of(tmp_path / "plate", frames=4)
    done = kairos_here(capfd, "adapt", clip.pattern, "--device", "cpu", "--weights", str(off))
    assert done.returncode == 2 and "4 frames" in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    with pytest.raises(BadRequest, match="--engine classic"):
        command(clip.pattern, engine="classic")


@pytest.mark.parametrize(
    ("file", "name"),
    [("plate.1001.exr", "plate"), ("sh010_v2_0001.png", "sh010_v2"), ("000160.jpg", "dog-run"), ("comp.mov", "comp")],
)
def test_a_shots_name_is_its_files_without_the_number(file: str, name: str, tmp_path: Path) -> None:
    class Named:
        movie = file.endswith(".mov")

        def path(self, position: int) -> Path:
            return tmp_path / "dog-run" / file

    assert shot_name(Named()) == name  # type: ignore[arg-type]
