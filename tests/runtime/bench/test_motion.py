"""The motion bench: methods on motions of known error, figures of known errors, and runs through the command."""

from __future__ import annotations

import cmath
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Iterator, List, Tuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from kairos.bench import motion as bench
from kairos.bench import motion_clips, motion_cost
from kairos.bench.clip_paths import clip_trajectories
from kairos.bench.clips import Clip
from kairos.bench.metrics import Image as Picture
from kairos.bench.motion import EDGES, TRUTH, Tally, add_motion, motion
from kairos.bench.motion_clips import measure_clips, render_clips, split_apart
from kairos.bench.motion_cost import Cost, measure_cost, render_cost
from kairos.bench.motion_methods import (
    CARRIED,
    FORWARD,
    GIMM_FOUR,
    GIMM_TWO,
    LINEAR,
    QUADRATIC,
    At,
    Flows,
    Weights,
    found_flows,
    gimm_weights,
    methods,
)
from kairos.bench.motion_report import NO_WEIGHTS, render
from kairos.bench.trajectories import SEEN, STEPS, STRAIGHT, SWIFT, SWIFT_GIMM, draw, followed, trajectories
from kairos.cli import main
from kairos.engines.registry import engine
from kairos.errors import BadRequest, EngineError
from kairos.training.gimm import TIMES
from kairos.training.scenes import Paths, Scenes, Switches
from support.banks import small_banks
from support.implicit import silent

HEIGHT, WIDTH = 64, 96
CPU = torch.device("cpu")


def _everywhere(x: float, y: float) -> Tensor:
    return torch.tensor([float(x), float(y)])[:, None, None].expand(2, HEIGHT, WIDTH).contiguous()


def _silent() -> Weights:
    """GIMM without corrections: what it is given it leaves as it is."""
    return Weights(silent(), "silent")


def _error(at: At, time: float, to_0: Tensor, to_1: Tensor) -> Tensor:
    """(H, W): the greater of both ways' errors, pixels."""
    found = at(time)
    return torch.stack([(a - b).square().sum(0).sqrt() for a, b in zip(found, (to_0, to_1))]).amax(0)


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr("kairos.bench.motion_methods.SHIPPED", tmp_path / "none.safetensors")


@pytest.mark.parametrize("time", [0.125, 0.5, 0.875])
def test_even_motion_is_told_exactly_by_all(time: float) -> None:
    flow = _everywhere(7.0, -3.0)
    flows = Flows(flow, -flow, -flow, flow)
    for name, method in methods(_silent()).items():
        error = _error(method(flows), time, -time * flow, (1 - time) * flow)
        # At the frame's border nothing may arrive, and by the published way nothing moves there.
        assert float((error[8:-8, 8:-8] if name == FORWARD else error).max()) < 1e-3, name


@pytest.mark.parametrize("time", [0.125, 0.5, 0.75])
def test_steady_acceleration_is_exact_where_four_frames_are_seen_and_known_for_the_others(time: float) -> None:
    """Everything is at v s + h s^2: between 0 and 1 it lies h s (1 - s) beside the straight line."""
    v, h = _everywhere(9.0, 2.0), _everywhere(-4.0, 3.0)
    flows = Flows(v + h, -v - h, h - v, v + 3 * h)
    to_0 = -(v * time + h * time * time)
    to_1 = v + h + to_0
    beside = 5.0 * time * (1 - time)
    shares = {LINEAR: 1.0, FORWARD: 1.0, CARRIED: 1.0, QUADRATIC: 0.0, GIMM_TWO: 1.0, GIMM_FOUR: 0.0}
    for name, method in methods(_silent()).items():
        error = _error(method(flows), time, to_0, to_1)[20:-20, 20:-20]
        assert torch.allclose(error, torch.full_like(error, beside * shares[name]), atol=2e-3), name


@pytest.mark.parametrize("time", [0.125, 0.5])
def test_a_turn_costs_what_geometry_says(time: float) -> None:
    """As complex numbers, about the centre: what is at p at time 0 is at e^(i angle s) p at time s.

    Mixed in place, the velocity at p is ((1 - t) (e - 1) - t (1/e - 1)) p with e = e^(i angle). Carried forward from
    frame 0 it is (e - 1) / (1 + t (e - 1)) p, from frame 1 (1 - 1/e) / (1 + (1 - t) (1/e - 1)) p, and both weigh 1 - t
    and t. The truth is e^(1 - t) - e^(-t). Half-way, in place falls short as much as carried is too long.
    """
    angle, side = 0.5, 97
    line = torch.arange(float(side)) - (side - 1) / 2
    place = torch.complex(line[None].expand(side, side).contiguous(), line[:, None].expand(side, side).contiguous())

    def turned(turn: float) -> Tensor:
        found = place * (cmath.exp(1j * turn) - 1)
        return torch.stack([found.real, found.imag])

    flows = Flows(turned(angle), turned(-angle), turned(-angle), turned(angle))
    out, back = cmath.exp(1j * angle) - 1, cmath.exp(-1j * angle) - 1
    told = {
        LINEAR: (1 - time) * out - time * back,
        CARRIED: (1 - time) * out / (1 + time * out) - time * back / (1 + (1 - time) * back),
    }
    truth = cmath.exp(1j * angle * (1 - time)) - cmath.exp(-1j * angle * time)
    ring = (place.abs() > 15) & (place.abs() < 30)
    for name, ratio in told.items():
        to_0, to_1 = methods(None)[name](flows)(time)
        velocity = to_1 - to_0
        found = complex((torch.complex(velocity[0], velocity[1])[ring] / place[ring]).mean())
        # Both sums of angles begin with i angle: what is told apart here is a hundredth of it.
        assert abs(found - ratio) < 0.15 * abs(truth - ratio), name
    assert abs(told[CARRIED] - truth) > abs(told[LINEAR] - truth)


def test_what_moves_over_still_ground_is_half_lost_in_place_and_kept_when_carried() -> None:
    """24 pixels wide and 20 pixels on. Half-way, each end of it is where one of both frames shows still ground."""
    there, back = _everywhere(0, 0), _everywhere(0, 0)
    there[0, 20:40, 30:54], back[0, 20:40, 50:74] = 20.0, -20.0
    flows, truth = Flows(there, back, back, there), _everywhere(10, 0)
    in_place, carried = (
        _error(methods(None)[name](flows), 0.5, -truth, truth)[20:40, 40:64] for name in (LINEAR, CARRIED)
    )
    # Half of the velocity of 20 is missing, half of which shows in either way.
    assert bool((in_place == torch.tensor([5.0] * 10 + [0.0] * 4 + [5.0] * 10)).all())
    # What it hides disagrees by 20 pixels with the way back: e^(-0.3 * 20) of it is left.
    assert float(carried.max()) < 20 * math.exp(-6)


def test_where_nothing_arrives_published_forward_warp_rests_and_carried_motion_is_filled() -> None:
    """Seen from either frame both halves part by 20 pixels: half-way, 20 pixels between them are nobody's. All of it
    goes 6 pixels down.
    """
    there, back = _everywhere(20, 6), _everywhere(20, -6)
    for flow in (there, back):
        flow[0, :, : WIDTH // 2] *= -1
    forward, filled = (methods(None)[name](Flows(there, back, back, there))(0.5) for name in (FORWARD, CARRIED))
    gap = (slice(8, -8), slice(WIDTH // 2 - 8, WIDTH // 2 + 8))
    assert not any(bool(way[1][gap].any()) for way in forward)
    assert torch.allclose((filled[1] - filled[0])[1][gap], torch.tensor(6.0), atol=1e-3)


def test_a_search_finds_the_motion_of_four_frames() -> None:
    columns, rows = torch.arange(128.0), torch.arange(96.0)[:, None]

    def frame(shift: float) -> Tensor:
        x = columns - shift
        plane = torch.sin(x * 0.31) * torch.cos(rows * 0.27) + torch.sin((x + rows) * 0.11)
        return (0.5 + 0.2 * plane).expand(3, 96, 128).contiguous()

    # 3 s + s^2: -2, 0, 4 and 10 pixels.
    flows = found_flows(*(frame(shift) for shift in (-2.0, 0.0, 4.0, 10.0)))
    inner = (slice(24, -24), slice(24, -24))
    for flow, across in zip((flows.flow_01, flows.flow_10, flows.before, flows.after), (4.0, -4.0, -2.0, 6.0)):
        assert float((flow[0][inner] - across).abs().mean()) < 0.25 and float(flow[1][inner].abs().mean()) < 0.25


def _paths(to_0: Tensor, to_1: Tensor, longest: float = 10.0) -> Paths:
    """The same at every time, all valid and visible; the longest flow is as asked."""
    still, ones = torch.zeros(2, HEIGHT, WIDTH), torch.ones(1, HEIGHT, WIDTH)
    shape, full = (len(TIMES), 1, HEIGHT, WIDTH), _everywhere(longest, 0)
    ways = (way.expand(len(TIMES), *way.shape).clone() for way in (to_0, to_1))
    return Paths(
        full,
        -full,
        ones,
        ones,
        torch.ones(2, 1, HEIGHT, WIDTH),
        still,
        still,
        ones,
        ones,
        *ways,
        *(torch.ones(shape) for _ in range(3)),
    )


def test_the_truth_makes_no_error_and_a_known_one_is_counted() -> None:
    paths, tally = _paths(_everywhere(-2, 0), _everywhere(2, 0)), Tally(scenes=1)
    add_motion(tally, (paths.flow_t0[3], paths.flow_t1[3]), paths, 3)
    assert tally.velocity_epe[3] == tally.way_epe[3] == 0.0 and tally.flow_psnr[3] == pytest.approx(100.0)
    add_motion(tally, (paths.flow_t0[1] + 3.0, paths.flow_t1[1] + _everywhere(3, 7)), paths, 1)
    # The velocity is off by (0, 4), the ways by (3, 3) and (3, 7).
    assert tally.velocity_epe[1] == pytest.approx(4.0)
    assert tally.way_epe[1] == pytest.approx(0.5 * (math.sqrt(18) + math.sqrt(58)))
    # The mean square of both components is 8; 0..1 is 20 pixels long.
    assert tally.flow_psnr[1] == pytest.approx(-10 * math.log10(8 / 400))
    assert math.isnan(tally.velocity_epe[0])


def test_only_valid_points_that_either_frame_shows_count() -> None:
    paths, tally = _paths(_everywhere(-2, 0), _everywhere(2, 0)), Tally(scenes=1)
    paths.valid_t[2, :, :, :16] = 0.0
    paths.visible_t0[2, :, :, 16:32] = 0.0
    paths.visible_t1[2, :, :, 24:32] = 0.0
    add_motion(tally, (_everywhere(0, 0), _everywhere(0, 0)), paths, 2)
    assert tally.pixels[2] == HEIGHT * (WIDTH - 16 - 8)


def test_pixels_are_told_apart_by_how_far_the_path_bends() -> None:
    """At t = 1/2 a point whose ways are (-d, d) off each other's middle lies d beside the straight line."""
    paths, tally = _paths(_everywhere(-2, 0), _everywhere(2, 0)), Tally(scenes=1)
    for index, (columns, beside) in enumerate(((slice(0, 10), 0.1), (slice(10, 30), 0.5), (slice(30, 60), 2.0))):
        paths.flow_t0[3, 1, :, columns] = paths.flow_t1[3, 1, :, columns] = beside
        assert index < len(EDGES)
    paths.flow_t0[3, 1, :, 60:] = paths.flow_t1[3, 1, :, 60:] = 5.0
    add_motion(tally, (_everywhere(-2, 0), _everywhere(2, 0)), paths, 3)
    assert (tally.pixels_split / HEIGHT).tolist() == [10, 20, 30, 36]
    velocity, ways = tally.curved_epe
    assert velocity.tolist() == [0, 0, 0, 0] and ways.tolist() == pytest.approx([0.1, 0.5, 2.0, 5.0])


@pytest.fixture(scope="module", autouse=True)
def _small_textures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_banks(bench, "plain_scenes", patch)
        yield


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Small scenes move less.
    monkeypatch.setattr("kairos.bench.motion.CURVED", 0.2)


def _rows(text: str, title: str) -> List[List[str]]:
    lines = text.splitlines()
    start = lines.index(title) + 2
    return [line.split("  ") for line in lines[start : lines.index("", start)]]


def test_the_command_prints_tables_and_draws(tmp_path: Path, _small: None, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "motion", "--count", "2", "--size", "96x64", "--device", "cpu", "--out", str(tmp_path)]
    assert main(arguments) == 0
    first = capfd.readouterr().out
    assert NO_WEIGHTS in first and "2 made scenes of 96x64" in first
    rows = {row[0]: row for row in _rows(first, "EPE of the velocity, pixels")}
    assert list(rows) == [LINEAR, FORWARD, CARRIED, QUADRATIC]
    pictures = [row[0] for row in _rows(first, "PSNR of the picture rebuilt along the motion, dB")]
    assert pictures == [LINEAR, FORWARD, CARRIED, QUADRATIC, TRUTH]
    assert Image.open(tmp_path / "motion.png").size > (800, 600)
    assert Image.open(tmp_path / "paths.png").size[0] == 14 * 96
    assert main(arguments) == 0
    assert capfd.readouterr().out == first


def test_with_weights_there_are_two_rows_more(tmp_path: Path, _small: None) -> None:
    file = tmp_path / "own.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in _silent().network.state_dict().items()}, file)
    report = motion(1, str(file), 96, 64, device="cpu")
    assert list(report.tallies) == [LINEAR, FORWARD, CARRIED, QUADRATIC, GIMM_TWO, GIMM_FOUR, TRUTH]
    assert f"GIMM: weights {file.name}." in render(report)
    # It leaves what is carried forward as it is.
    epe = {name: float(np.mean(tally.velocity_epe)) for name, tally in report.tallies.items()}
    assert epe[GIMM_TWO] == pytest.approx(epe[CARRIED], abs=1e-6) and epe[TRUTH] == 0.0


@pytest.mark.slow
def test_shared_out_among_processes_the_figures_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # A scene at a time: each process measures one of the two.
    monkeypatch.setattr(bench, "_PORTION", 1)
    alone, shared = (motion(2, "", 128, 96, device="cpu", workers=workers) for workers in (1, 2))
    assert alone.chosen == shared.chosen and alone.walked == shared.walked
    for name, tally in alone.tallies.items():
        assert tally.flow_psnr == pytest.approx(shared.tallies[name].flow_psnr, abs=1e-9)


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="measure nothing"):
        motion(0)
    with pytest.raises(BadRequest, match="at least 64x64"):
        motion(1, width=63)
    with pytest.raises(BadRequest, match="--workers 0"):
        motion(1, workers=0)
    with pytest.raises(BadRequest, match="no 'guessed'"):
        motion(1, flows="guessed")
    with pytest.raises(BadRequest, match="no weights 'mine'"):
        gimm_weights("mine", CPU)
    (tmp_path / "text.safetensors").write_text("none")
    with pytest.raises(BadRequest):
        gimm_weights(str(tmp_path / "text.safetensors"), CPU)


def test_trajectories_begin_and_end_where_the_points_are() -> None:
    scenes = Scenes(5, 64, 96, switches=Switches(photographs=False, films=False))
    found = trajectories(scenes, 3, "true", _silent())
    truth = found.tracks[TRUTH]
    assert truth.shape == (len(STEPS), truth.shape[1], 2) and truth.shape[1] > 1
    assert list(found.tracks) == [TRUTH, STRAIGHT, QUADRATIC, GIMM_TWO, GIMM_FOUR]
    assert np.allclose(truth[0], truth[0].round(), atol=1e-3)
    for name in (STRAIGHT, QUADRATIC):
        assert np.allclose(found.tracks[name][[0, -1]], truth[[0, -1]], atol=1e-2), name
    assert found.off(TRUTH) == 0.0


def test_a_point_is_followed_by_the_ways_back() -> None:
    """What is at (x, y) at time 0 is at (x + 10 s, y + 8 s^2): between pixels too."""

    def at(time: float) -> Tuple[Tensor, Tensor]:
        to_0 = -_everywhere(10 * time, 8 * time * time)
        return to_0, _everywhere(10, 8) + to_0

    track = followed(at, torch.tensor([[20.0, 30.0], [50.0, 10.0]]))
    for step, time in enumerate(STEPS):
        assert np.allclose(
            track[step], [[20 + 10 * time, 30 + 8 * time**2], [50 + 10 * time, 10 + 8 * time**2]], atol=1e-4
        )


def test_of_a_clip_every_fourth_frame_is_kept() -> None:
    frames = [np.full((1, 1, 3), number, np.uint8) for number in range(11)]
    kept, dropped = split_apart(frames)
    assert [int(frame[0, 0, 0]) for frame in kept] == [0, 4, 8]
    assert [int(frame[0, 0, 0]) for frame in dropped] == [1, 2, 3, 5, 6, 7]


def test_in_a_clip_points_are_followed_through_the_dropped_frames(tmp_path: Path) -> None:
    """Thirteen frames, four of them kept; frame k lies at (2 k, 0.08 (k - 6)^2), and the middle gap is the one seen."""
    columns, rows = np.meshgrid(np.arange(160.0), np.arange(120.0))
    places = [(2.0 * number, 0.08 * (number - 6) ** 2) for number in range(13)]
    frames = []
    for x, y in places:
        plane = 128 + 40 * np.sin((columns - x) * 0.31) * np.cos((rows - y) * 0.27)
        plane += 30 * np.sin((columns - x + rows - y) * 0.13) + 20 * np.sin((columns - x) * 0.7 - (rows - y) * 0.9)
        frames.append(np.repeat(plane.round().astype(np.uint8)[..., None], 3, -1))
    found = clip_trajectories(frames)
    assert found is not None and list(found.tracks) == [SEEN, STRAIGHT, SWIFT, SWIFT_GIMM]
    truth = np.array(places[4:9]) - np.array(places[4])
    seen = found.tracks[SEEN] - found.tracks[SEEN][:1]
    assert seen.shape[1] > 1 and float(np.abs(seen - truth[:, None]).mean()) < 0.3
    # Half-way the straight line is 0.32 pixels off, and begins and ends where the points do.
    assert found.off(SEEN) == 0.0 and 0.1 < found.off(STRAIGHT) < 0.6
    assert float(np.abs(found.tracks[STRAIGHT][[0, -1]] - found.tracks[SEEN][[0, -1]]).max()) < 1.5
    draw(found, tmp_path / "paths.png")
    assert Image.open(tmp_path / "paths.png").size[0] == 8 * 160
    assert clip_trajectories(frames[:9]) is None


def _panned(root: Path) -> List[Picture]:
    columns, rows = np.meshgrid(np.arange(96.0), np.arange(72.0))
    frames = []
    for number in range(9):
        x = columns - 1.5 * number
        plane = 128 + 50 * np.sin(x * 0.31) * np.cos(rows * 0.27) + 40 * np.sin((x + rows) * 0.11)
        frames.append(np.repeat(plane.round().astype(np.uint8)[..., None], 3, -1))
    return frames


def test_clips_are_rebuilt_and_an_engine_without_gimm_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(motion_clips, "CLIPS", [Clip("judo", _panned, 0.0)])
    card = replace(engine("classic").card, parameters={})
    known = SimpleNamespace(card=card)
    monkeypatch.setattr(motion_clips, "engine", lambda id: known)
    assert main(["bench", "motion", str(tmp_path), "--count", "0", "--engine", "classic"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["clip", "frames", "classic"]
    assert lines[1].split()[:2] == ["judo", "6"] and float(lines[1].split()[2]) > 35
    assert lines[-1] == "classic gimm: left out. classic takes no paths from GIMM."


def test_clips_show_what_gimm_gains_or_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_clips, "CLIPS", [Clip("judo", _panned, 0.0)])
    card = replace(engine("classic").card, parameters={"motion": "gimm"})
    monkeypatch.setattr(motion_clips, "engine", lambda id: SimpleNamespace(card=card))
    dropped = split_apart(_panned(tmp_path))[1]

    def rebuilt(id: str, kept: Any, settings: Any, times: Any) -> List[Picture]:
        assert list(times) == [0.25, 0.5, 0.75]
        return [frame + (10 if settings.options.get("motion") == "gimm" else 20) for frame in dropped]

    monkeypatch.setattr(motion_clips, "rebuild", rebuilt)
    # Half the error is 6.02 dB.
    text = render_clips(measure_clips(tmp_path, ["classic"]))
    assert text.splitlines()[0].split() == ["clip", "frames", "classic", "classic", "gimm", "gain", "classic"]
    assert [line.split()[-1] for line in text.splitlines()[1:3]] == ["+6.02", "+6.02"]

    def cannot(id: str, kept: Any, settings: Any, times: Any) -> List[Picture]:
        if "motion" in settings.options:
            raise EngineError("--motion gimm cannot be: there are no weights.", "Run kairos weights add FILE.")
        return dropped

    monkeypatch.setattr(motion_clips, "rebuild", cannot)
    found = measure_clips(tmp_path, ["classic"])
    assert found.methods == ("classic",) and len(found.left_out) == 1 and "no weights" in found.left_out[0]


def test_the_cost_of_gimms_paths_is_that_of_a_further_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [Clip("judo", _panned, 0.0)]
    monkeypatch.setattr(motion_cost, "CLIPS", clips)
    found = measure_cost(tmp_path, ("judo",), 128, 96, 1)
    assert list(found.seconds) == ["judo"] and len(found.seconds["judo"]) == len(motion_cost.TIMES) - 1
    assert all(alone > 0 and led > 0 for alone, led in found.seconds["judo"])
    text = render_cost(Cost(128, 96, {"judo": [(1.0, 1.2), (2.0, 2.2), (1.0, 1.5), (1.0, 1.1)]}))
    assert text.splitlines()[1] == (
        "judo: 1.000 and 1.350 s; +15 % (median of 4 ratios, a quarter of them over +50 %), of the fastest +10 %"
    )
