"""``--flow raft``: RAFT finds the motion for classic, and swift begins from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair
from kairos.engines.classic.flow import FlowEstimator
from kairos.engines.classic.motion import Look
from kairos.engines.classic.session import ClassicSession
from kairos.engines.raft.architecture import ARCHITECTURE
from kairos.engines.raft.motion import ROUNDS, RaftMotion, flow_hash
from kairos.engines.raft.network import RAFT
from kairos.engines.registry import engine
from kairos.engines.swift.ensemble import TURNS
from kairos.engines.swift.estimator import SwiftEstimator
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.errors import BadRequest, EngineError
from kairos.motion.compose import compose
from kairos.vectors import run_vectors
from kairos.weights.store import Store
from kairos_nodes.jobs import RetimeJob, VectorsJob
from kairos_nodes.layers import Policy
from support import made
from support.exr import read_exr, rgb_of
from support.jobs import kairos_here, retime
from support.parity import fixture, loaded, raft_file, raft_weights, same
from support.scenes import MemoryShot, grid, pan, plate, texture
from support.untrained import keep_untrained

CPU = torch.device("cpu")
HEIGHT, WIDTH = 120, 176


class Told:
    """A network in RAFT's place that knows: from one frame to the next everything moves by (x, y) pixels."""

    padding = RAFT.padding

    def __init__(self, shot: Any, x: float, y: float) -> None:
        self._known = [self.padding.pad(shot.proxy(position)[None]) for position in range(shot.count)]
        self._shift, self.looked, self.flows = torch.tensor([x, y]), 0, 0
        self.sizes: List[Tuple[int, ...]] = []

    def look(self, frame: Tensor) -> Tuple[Tensor, int]:
        self.looked += 1
        self.sizes.append(tuple(frame.shape[-2:]))
        return frame, next((n for n, one in enumerate(self._known) if torch.equal(one, frame)), 0)

    def flow(self, first: Any, second: Any, rounds: int = 12, start: Optional[Tensor] = None) -> Tensor:
        self.flows += 1
        assert rounds == ROUNDS
        return (self._shift * (second[1] - first[1]))[None, :, None, None].expand(1, 2, *first[0].shape[-2:])


def stripes(shift: float) -> Tensor:
    """Upright stripes 12 pixels apart, else varying downwards alone: 6 pixels right are as good as left."""
    x, y = grid(HEIGHT, WIDTH)
    return plate(0.2 * (1.2 + np.sin(2 * np.pi * (x - shift) / 12)) * texture(3)(0 * x, y))


def session_of(shot: MemoryShot, network: Any, scale: float = 1.0) -> ClassicSession:
    return ClassicSession(shot, FlowEstimator(RaftMotion(network), scale))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with untrained weights of RAFT."""
    root = tmp_path / "weights"
    monkeypatch.setenv("KAIROS_WEIGHTS", str(root))
    keep_untrained(root, "raft", name="raft")
    return root


# What it finds.


def test_the_flow_both_ways_is_what_the_official_code_finds_in_as_many_rounds() -> None:
    wanted = fixture("raft", raft_file("small", "fixture.npz"))
    find = RaftMotion(loaded(ARCHITECTURE, raft_weights("small")))
    there, back = (wanted[name][0] / 255 for name in ("image1", "image2"))
    found = find(there, back)
    # The README's tolerance for flows; the file was recorded with 20 rounds.
    same(found[:1], wanted[f"flow_up_it{ROUNDS}"], 1e-3)
    torch.testing.assert_close(find(back, there)[1], found[0])


@pytest.mark.parametrize("size", [(61, 97), (130, 203)])
def test_any_size_is_padded_to_what_the_network_takes_and_cut_back(size: Tuple[int, int]) -> None:
    x, y = grid(*size)
    torch.manual_seed(5)
    find = RaftMotion(RAFT(large=False).eval())
    found = find(*(plate(texture(2)(x - shift, y)) for shift in (0, 4)))
    assert found.shape == (2, 2, *size) and found.dtype == torch.float32 and bool(found.isfinite().all())


def test_half_precision_keeps_the_places_in_full() -> None:
    torch.manual_seed(5)
    x, y = grid(130, 203)
    frames = [plate(texture(2)(x - shift, y)) for shift in (0, 4)]
    network = RAFT(large=False).eval()
    full = RaftMotion(network)(*frames)
    half = RaftMotion(network.to(torch.bfloat16))(*frames)
    assert half.dtype == torch.float32
    assert float((half - full).abs().mean()) < 0.1 * float(full.abs().mean())  # measured: 0.005


# classic.


@pytest.mark.parametrize("shift", [6.0, -6.0])
def test_classic_moves_pixels_by_exactly_what_raft_found(shift: float) -> None:
    shot = MemoryShot([stripes(0), stripes(6)])
    (answer,) = session_of(shot, Told(shot, shift, 0)).at(Pair(0, 1), [0.5])
    inner = (..., slice(16, -16), slice(16, -16))
    assert torch.equal(answer.flow_to_1[0][inner[1:]], torch.full_like(answer.flow_to_1[0][inner[1:]], shift / 2))
    moved = compose(shot.frames[0], shot.frames[1], answer, Policy.BLEND)
    # Whole pixels: nothing is resampled.
    assert torch.allclose(moved[inner], stripes(shift / 2)[inner], atol=1e-5)


def test_at_the_sources_times_the_vectors_are_rafts_own() -> None:
    x, y = grid(HEIGHT, WIDTH)
    shot = MemoryShot([plate(texture(seed)(x, y)) for seed in (1, 2)])
    start, end = session_of(shot, Told(shot, 3.25, -1.5)).at(Pair(0, 1), [0.0, 1.0])
    wanted = torch.tensor([3.25, -1.5])[:, None, None].expand(2, HEIGHT, WIDTH)
    torch.testing.assert_close(start.flow_to_1, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(end.flow_to_0, -wanted, atol=1e-5, rtol=0)


def test_a_frame_is_looked_at_once_for_both_ways_and_all_pairs_it_is_part_of() -> None:
    move = pan(2.0, 1.0)
    shot = MemoryShot([move(time) for time in range(4)])
    network = Told(shot, 2.0, 1.0)
    session = session_of(shot, network)
    for first in range(3):
        before, after = first - 1 if first else None, first + 2 if first < 2 else None
        list(session.at(Pair(first, first + 1, before, after), [0.25, 0.5]))
    assert (network.looked, network.flows) == (4, 6)


def test_at_a_smaller_scale_raft_sees_a_smaller_picture_and_its_motion_is_enlarged() -> None:
    x, y = grid(2 * HEIGHT, 2 * WIDTH)
    shot = MemoryShot([plate(texture(seed)(x, y)) for seed in (1, 2)])
    small = MemoryShot([shot.frames[0][:, ::2, ::2], shot.frames[1][:, ::2, ::2]])
    network = Told(small, 0, 0)
    network.flow = lambda first, second, rounds: torch.full((1, 2, *first[0].shape[-2:]), 3.0)  # type: ignore[method-assign]
    find = RaftMotion(network)
    found = FlowEstimator(find, 0.5)(Look(shot.proxy(0), 0), Look(shot.proxy(1), 1))
    assert set(network.sizes) == {(128, WIDTH)}
    assert found.there.shape == (2, 2 * HEIGHT, 2 * WIDTH) and found.scale == 0.5
    assert torch.allclose(found.there, torch.tensor(6.0)) and torch.allclose(found.back, torch.tensor(6.0))


def test_what_a_matte_hides_is_never_kept_for_the_whole_frame() -> None:
    move = pan(2.0, 1.0)
    half = torch.zeros(1, HEIGHT, WIDTH)
    half[..., : WIDTH // 2] = 1
    shot = MemoryShot([move(0), move(1)], [half, half])
    network = Told(shot, 2.0, 1.0)
    session = session_of(shot, network)
    list(session.at(Pair(0, 1), [0.5]))
    # Two layers, each of two pictures in which the other is hidden.
    assert network.looked == 4
    assert not session._estimate._find._seen  # type: ignore[attr-defined]


@pytest.mark.parametrize(("size", "wanted"), [((1440, 2560), 0.5), ((1080, 1920), 1.0)])
def test_the_scale_of_large_frames_is_half_unless_it_is_given(
    store: Path, size: Tuple[int, int], wanted: float
) -> None:
    shot = MemoryShot([torch.zeros(3, 8, 8)])
    shot.size = size
    classic = engine("classic")
    asked = EngineSettings(options={"flow": "raft"})
    assert classic.settle(shot, asked).scale == wanted
    assert classic.settle(shot, EngineSettings(scale=0.25, options={"flow": "raft"})).scale == 0.25
    assert classic.settle(shot, EngineSettings()).scale is None


# swift.


def test_swift_begins_from_raft_in_place_of_its_own_search() -> None:
    x, y = grid(HEIGHT, WIDTH)
    shot = MemoryShot([plate(texture(2)(x - shift, y)) for shift in (0, 4)])
    network, looks = load_network(SHIPPED, CPU), [Look(shot.proxy(position), position) for position in range(2)]

    def found(prior: Optional[Any]) -> Tensor:
        given = () if prior is None else (prior,)
        return SwiftEstimator(network, torch.float32, True, 1.0, TURNS[:1], None, *given)(*looks).there

    own, right, wrong = found(None), found(RaftMotion(Told(shot, 4, 0))), found(RaftMotion(Told(shot, -9, 7)))
    inner = (slice(None), slice(16, -16), slice(16, -16))
    truth = torch.tensor([4.0, 0.0])[:, None, None]
    errors = [float((flow - truth)[inner].abs().mean()) for flow in (own, right, wrong)]
    assert not torch.equal(own, right)
    assert errors[1] < 0.1 < errors[2], errors


def test_raft_looks_once_at_each_way_of_turning_a_frame_over() -> None:
    move = pan(2.0, 1.0)
    shot = MemoryShot([move(time) for time in range(3)])
    network, raft = load_network(SHIPPED, CPU), Told(shot, 2.0, 1.0)
    estimate = SwiftEstimator(network, torch.float32, True, 1.0, TURNS, None, RaftMotion(raft, len(TURNS)))
    looks = [Look(shot.proxy(position), position) for position in range(3)]
    estimate(looks[0], looks[1])
    estimate(looks[1], looks[2])
    assert raft.looked == 3 * len(TURNS)


def test_beginning_from_raft_and_from_nothing_is_refused(store: Path) -> None:
    shot = MemoryShot([torch.rand(3, 64, 64)] * 2)
    with pytest.raises(BadRequest, match="from nothing"):
        engine("swift").open(shot, EngineSettings(options={"prior": "none", "flow": "raft"}), lambda event: None)


# In a job.


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_a_job_with_raft_makes_other_frames_than_with_the_engines_own_motion(
    store: Path, tmp_path: Path, id: str
) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(64, 80))
    frames = []
    for flow in ("own", "raft"):
        ran = retime(clip, tmp_path / flow, between=1, engine=id, flow=flow)
        frames.append(rgb_of(read_exr(ran.file(1002))))
        assert np.array_equal(rgb_of(read_exr(ran.file(1001))), rgb_of(read_exr(clip.files[0])))
    assert frames[0].shape == frames[1].shape and not np.array_equal(*frames)


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_frames_are_taken_for_finished_by_rafts_weights_whatever_their_name(
    store: Path, tmp_path: Path, id: str
) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    job: Dict[str, Any] = {"between": 1, "engine": id, "frames": "1001-1002"}
    assert retime(clip, tmp_path / "out", **job, flow="raft").outcome.rendered == (1001, 1002)
    for flow in ("raft", "raft:raft"):
        again = retime(clip, tmp_path / "out", **job, flow=flow)
        assert again.outcome.skipped == (1001, 1002) and not again.outcome.rendered
    own = retime(clip, tmp_path / "out", **job, overwrite=True)
    assert own.outcome.rendered == (1001, 1002), "the engine's own motion is another"
    keep_untrained(store, "raft", name="other", seed=6)
    for flow in ("raft", "raft:other"):
        ran = retime(clip, tmp_path / "out", **job, flow=flow, overwrite=True)
        assert ran.outcome.rendered == (1001, 1002), flow


def test_what_is_taken_unasked_comes_first_in_the_catalogue(store: Path) -> None:
    first = flow_hash({"flow": "raft"})
    assert first == Store(store).get("raft").sha256
    keep_untrained(store, "raft", name="another", seed=7)
    keep_untrained(store, "raft", name="raft-things", seed=8)
    assert flow_hash({"flow": "raft"}) == first
    Store(store).remove("raft")
    assert flow_hash({"flow": "raft"}) == Store(store).get("raft-things").sha256
    assert flow_hash({"flow": "raft:another"}) == Store(store).get("another").sha256
    assert flow_hash({"flow": "own"}) == flow_hash({}) == ""


@pytest.mark.parametrize("id", ["classic", "swift"])
def test_without_weights_of_raft_one_line_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str
) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "none"))
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    with pytest.raises(EngineError, match=r"--flow raft.*kairos weights fetch raft") as refused:
        retime(clip, tmp_path / "out", between=1, engine=id, flow="raft")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_weights_of_raft_that_are_not_there_are_named(store: Path, tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    with pytest.raises(BadRequest, match=r"no weights 'sintel'.*It has raft"):
        retime(clip, tmp_path / "out", between=1, engine="classic", flow="raft:sintel")


@pytest.mark.parametrize("id", ["rife", "film", "amt"])
def test_engines_that_bring_their_motion_refuse_another(store: Path, tmp_path: Path, id: str) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    with pytest.raises(
        BadRequest, match=f"{id} finds its motion itself: --flow is for classic, swift, hierarchical and siren"
    ):
        retime(clip, tmp_path / "out", between=1, engine=id, flow="raft")


@pytest.mark.parametrize("flow", ["farneback", "raft:", "raft:../x", "raft-small"])
def test_what_is_no_estimator_is_refused_by_the_table(flow: str) -> None:
    with pytest.raises(BadRequest, match=r"--flow.*raft:NAME"):
        RetimeJob("in.%04d.exr", "out.%04d.exr", speed="1/2", flow=flow).validate()


def test_vectors_of_raft_are_written_from_the_command_line(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clip = made.pan(tmp_path / "plate", frames=3, size=(64, 80))
    out = str(tmp_path / "raft.%04d.exr")
    ran = kairos_here(capfd, "vectors", clip.pattern, out, "--engine", "classic", "--flow", "raft")
    assert ran.returncode == 0, ran.stderr
    run_vectors(VectorsJob(clip.pattern, str(tmp_path / "own.%04d.exr"), engine="classic"), lambda event: None)
    channels = ("forward.u", "forward.v", "backward.u", "backward.v")
    for number in (1001, 1002, 1003):
        own, raft = (read_exr(tmp_path / f"{flow}.{number}.exr") for flow in ("own", "raft"))
        assert set(own) == set(raft) >= set(channels)
        assert all(np.isfinite(raft[name]).all() for name in channels)
        # The search finds the pan, untrained weights do not.
        assert any(not np.array_equal(own[name], raft[name]) for name in channels)
