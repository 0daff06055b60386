"""Switches of the engine swift: weights of another file, averaging over flips, the size at which motion is found."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import List, Tuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair
from kairos.engines.classic.motion import Found, Look
from kairos.engines.plain_shot import PlainShot
from kairos.engines.registry import engine
from kairos.engines.swift.ensemble import TURNS, Turn
from kairos.engines.swift.estimator import SwiftEstimator
from kairos.engines.swift.loading import load_network
from kairos.engines.swift.network import Meeting, Swift
from kairos.engines.swift.scale import FULL, HALF, automatic_scale, sampled
from kairos.engines.swift.session import SwiftSession
from kairos.errors import BadRequest
from kairos.motion.compose import compose
from kairos_nodes.layers import Policy
from support import made
from support.exr import read_exr, rgb_of
from support.jobs import retime
from support.scenes import MemoryShot, pan, plate, texture

CPU = torch.device("cpu")


def wild_weights(path: Path, seed: int = 4) -> Path:
    """Weights far from any training: what holds with them holds with all."""
    torch.manual_seed(seed)
    tensors = {name: tensor + torch.randn_like(tensor) * 0.03 for name, tensor in Swift().state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wild_weights(tmp_path_factory.mktemp("weights") / "wild.safetensors")


def settings(weights: Path, scale: float | None = 1.0, tta: bool = False) -> EngineSettings:
    return EngineSettings(scale=scale, options={"weights": str(weights), "tta": tta})


def textured(height: int, width: int, shift: float = 0.0, seed: int = 1) -> Tensor:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    return plate(*(texture(seed + channel)(columns - shift, rows) for channel in range(3)))


# Turning pictures over.


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_turned_twice_is_as_it_was(turn: Turn) -> None:
    planes = torch.rand(2, 5, 6, 8)
    assert torch.equal(turn.planes(turn.planes(planes)), planes)
    assert torch.equal(turn.vectors(turn.vectors(planes, 2), 2), planes)


def test_a_vector_turns_with_its_picture() -> None:
    flow = torch.zeros(1, 2, 4, 6)
    flow[0, :, 1, 2] = torch.tensor([3.0, -2.0])
    turned = TURNS[1].vectors(flow, 1)
    assert turned[0, :, 1, 3].tolist() == [-3.0, -2.0]
    assert TURNS[3].vectors(flow, 1)[0, :, 2, 3].tolist() == [-3.0, 2.0]


def found(wild: Path, frames: Tuple[Tensor, Tensor], turns: Tuple[Turn, ...]) -> Found:
    estimate = SwiftEstimator(load_network(wild, CPU), torch.float32, True, 1.0, turns)
    return estimate(Look(frames[0], None), Look(frames[1], None))


@pytest.mark.parametrize("turn", TURNS[1:], ids=str)
def test_averaged_motion_turns_with_the_picture_and_motion_of_one_look_does_not(wild: Path, turn: Turn) -> None:
    frames = textured(96, 128), textured(96, 128, 5.0)
    apart = []
    for turns in (TURNS, TURNS[:1]):
        straight = found(wild, frames, turns)
        mirrored = found(wild, (turn.planes(frames[0]), turn.planes(frames[1])), turns)
        apart.append(float((turn.vectors(mirrored.there[None], 1)[0] - straight.there).abs().max()))
        hidden = straight.hidden0, mirrored.hidden0
        assert hidden[0] is not None and hidden[1] is not None
        apart.append(float((turn.planes(hidden[1]) - hidden[0]).abs().max()))
    # The mean over all turns is the same set of answers in another order: it differs by rounding alone.
    assert apart[0] < 1e-3 and apart[1] < 1e-4
    assert apart[2] > 0.05


@pytest.mark.parametrize("turn", TURNS[1:], ids=str)
def test_an_averaged_decision_turns_with_the_evidence(wild: Path, turn: Turn) -> None:
    torch.manual_seed(1)
    moved, known = torch.rand(1, 6, 64, 96), torch.randn(1, Meeting.INPUTS, 16, 24)
    network = load_network(wild, CPU)
    shot = MemoryShot([torch.rand(3, 64, 96)] * 2)
    for turns, alike in ((TURNS, True), (TURNS[:1], False)):
        session = SwiftSession(shot, network, torch.float32, True, 1.0, turns)
        straight = session._decision(moved, known)
        turned = turn.decision(session._decision(turn.planes(moved), turn.vectors(known, 1)))
        for name in ("flows", "weight", "hidden", "residual"):
            apart = float((getattr(turned, name) - getattr(straight, name)).abs().max())
            assert (apart < 1e-4) is alike, (name, apart)


def test_features_are_computed_once_per_frame_and_turn(wild: Path) -> None:
    network = load_network(wild, CPU)
    looks: List[int] = []
    network.motion.encoder.register_forward_hook(lambda *_: looks.append(1))
    frames = [textured(64, 96, 2.0 * index) for index in range(4)]
    session = SwiftSession(MemoryShot(frames), network, torch.float32, True, 1.0, TURNS)
    for first in range(3):
        list(session.at(Pair(first, first + 1), [0.25, 0.5]))
    assert len(looks) == 4 * len(frames)


@pytest.mark.parametrize(("scale", "tta"), [(1.0, True), (0.5, False), (0.5, True)])
def test_a_still_plate_comes_back_bit_by_bit(wild: Path, scale: float, tta: bool) -> None:
    still = torch.from_numpy(made.wild_plate(size=(70, 90)))
    shot = MemoryShot([still, still.clone(), still.clone()])
    session = engine("swift").open(shot, settings(wild, scale, tta), lambda event: None)
    (answer,) = session.at(Pair(0, 1, after=2), [0.5])
    assert torch.equal(compose(still, still.clone(), answer, Policy.BLEND), still)


# Size.


class Unlooked(PlainShot):
    """A shot nobody looks at."""

    count, device = 10, CPU

    def __init__(self, height: int, width: int) -> None:
        self.size = (height, width)

    def proxy(self, position: int) -> Tensor:
        raise AssertionError("the size alone decides")


def test_four_k_is_searched_at_half_size_by_its_size_alone() -> None:
    assert automatic_scale(Unlooked(2160, 3840)) == HALF


def rolling(share: float, count: int = 7) -> MemoryShot:
    """A smooth texture 256 wide that moves by a share of its width per frame."""
    picture = F.interpolate(
        torch.rand(1, 3, 24, 60, generator=torch.Generator().manual_seed(3)), (128, 320), mode="bicubic"
    )
    frames = [torch.roll(picture[0], round(index * share * 256), 2)[:, :, :256].contiguous() for index in range(count)]
    return MemoryShot(frames)


def test_motion_of_a_sixth_of_the_width_is_searched_at_half_size_and_less_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Made pictures are small; so small a frame is searched in full whatever moves.
    assert automatic_scale(rolling(0.18)) == FULL
    monkeypatch.setattr("kairos.engines.swift.scale.SMALLEST", 0)
    # Blocks are matched at 128 columns: to a column, which is less than one percent of the width.
    assert automatic_scale(rolling(0.18)) == HALF
    assert automatic_scale(rolling(0.05)) == FULL


def test_a_cut_is_no_motion() -> None:
    one, two = textured(128, 192), textured(128, 192, seed=40)
    shot = MemoryShot([one, one, one, two * 0.3 + 0.5, two * 0.3 + 0.5])
    assert sampled(shot.count) == [0, 1, 2]
    assert automatic_scale(shot) == FULL


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 100])
def test_pairs_that_are_measured_lie_within_the_shot(count: int) -> None:
    pairs = sampled(count)
    assert all(0 <= first <= count - 2 for first in pairs)
    assert bool(pairs) is (count > 1)


@pytest.mark.parametrize("size", [(37, 51), (9, 200), (64, 65), (130, 70)])
@pytest.mark.parametrize("scale", [0.5, 0.1])
def test_every_size_can_be_searched_at_a_part_of_it(wild: Path, size: Tuple[int, int], scale: float) -> None:
    shot = MemoryShot([textured(*size), textured(*size, 2.0)])
    (answer,) = engine("swift").open(shot, settings(wild, scale), lambda event: None).at(Pair(0, 1), [0.5])
    assert answer.flow_to_0.shape[-2:] == size
    assert bool(answer.flow_to_0.isfinite().all() and answer.blend.isfinite().all())


def test_motion_found_at_half_size_is_in_pixels_of_the_full_size(tmp_path: Path) -> None:
    # A fresh network passes on what the classical search finds.
    torch.manual_seed(0)
    save_file(
        {name: tensor.contiguous() for name, tensor in Swift().state_dict().items()}, tmp_path / "fresh.safetensors"
    )
    moving = pan(12.0, -6.0)
    shot = MemoryShot([moving(0.0), moving(1.0)])
    for scale in (1.0, 0.5):
        session = engine("swift").open(shot, settings(tmp_path / "fresh.safetensors", scale), lambda event: None)
        (answer,) = session.at(Pair(0, 1), [0.0])
        inner = answer.flow_to_1[:, 30:-30, 30:-30].flatten(1).median(1).values
        assert inner.tolist() == pytest.approx([12.0, -6.0], abs=0.5), scale


# Weights of another file.


def test_the_hash_is_of_the_files_content(tmp_path: Path, wild: Path) -> None:
    swift, path = engine("swift"), tmp_path / "a.safetensors"
    path.write_bytes(wild.read_bytes())
    expected = hashlib.sha256(wild.read_bytes()).hexdigest()
    assert swift.weights_hash(settings(path)) == swift.weights_hash(settings(wild)) == expected
    wild_weights(path, seed=5)
    assert swift.weights_hash(settings(path)) == hashlib.sha256(path.read_bytes()).hexdigest() != expected


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    shot = MemoryShot([textured(64, 64)] * 2)
    with pytest.raises(BadRequest, match=r"absent\.safetensors"):
        engine("swift").open(shot, settings(tmp_path / "absent.safetensors"), lambda event: None)
    with pytest.raises(BadRequest, match=r"absent\.safetensors"):
        engine("swift").weights_hash(settings(tmp_path / "absent.safetensors"))


# In a job.


@pytest.mark.parametrize("knob", [{"weights": "w.safetensors"}, {"tta": True}], ids=["weights", "tta"])
def test_an_engine_without_the_knob_refuses_it(knob: dict[str, object], tmp_path: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(48, 64))
    with pytest.raises(BadRequest, match=f"--{next(iter(knob))}.*classic.*--engine swift"):
        retime(clip, tmp_path / "out", between=1, engine="classic", **knob)


def test_frames_are_taken_for_finished_by_their_weights_content_flips_and_size(tmp_path: Path, wild: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=3, size=(64, 80))
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(wild.read_bytes())
    job = {"between": 1, "engine": "swift", "weights": str(weights)}
    first = retime(clip, tmp_path / "out", **job)
    assert len(first.outcome.rendered) == 5
    copied = tmp_path / "copy.safetensors"
    copied.write_bytes(wild.read_bytes())
    again = retime(clip, tmp_path / "out", **{**job, "weights": str(copied)}, frames="1001-1003")
    assert again.outcome.skipped == (1001, 1002, 1003) and not again.outcome.rendered
    for other in ({"tta": True}, {"scale": "0.5"}):
        ran = retime(clip, tmp_path / "out", **{**job, **other}, overwrite=True, frames="1002")
        assert ran.outcome.rendered == (1002,), other
    wild_weights(weights, seed=6)
    ran = retime(clip, tmp_path / "out", **job, overwrite=True)
    assert len(ran.outcome.rendered) == 5


def test_flips_and_other_weights_make_another_frame(tmp_path: Path, wild: Path) -> None:
    clip = made.pan(tmp_path / "plate", frames=2, size=(64, 80))
    other = wild_weights(tmp_path / "other.safetensors", seed=9)
    frames = []
    for index, knobs in enumerate(
        ({"weights": str(wild)}, {"weights": str(wild), "tta": True}, {"weights": str(other)})
    ):
        ran = retime(clip, tmp_path / f"out{index}", between=1, engine="swift", **knobs)
        frames.append(rgb_of(read_exr(ran.file(1002))))
    assert not np.array_equal(frames[0], frames[1]) and not np.array_equal(frames[0], frames[2])
