"""What holds for every published network: who it is, how frames are brought to its size, and half precision."""

from __future__ import annotations

import json
from typing import Any, Mapping

import pytest
import torch

from kairos.engines.amt.architecture import ARCHITECTURE as AMT
from kairos.engines.architecture import Architecture, shapes_of
from kairos.engines.ema.architecture import ARCHITECTURE as EMA
from kairos.engines.fetching import fetched, pixels, warp
from kairos.engines.film.architecture import ARCHITECTURE as FILM
from kairos.engines.gimm.architecture import ARCHITECTURE as GIMM
from kairos.engines.gimm_vfi.architecture import ARCHITECTURE as GIMM_VFI
from kairos.engines.ifrnet.architecture import ARCHITECTURE as IFRNET
from kairos.engines.published import Padding
from kairos.engines.raft.architecture import ARCHITECTURE as RAFT
from kairos.engines.rife.architecture import ARCHITECTURE as RIFE
from support.parity import loaded, recipe_weights
from support.shared import shared_parity

ALL: tuple[Architecture, ...] = (AMT, EMA, FILM, GIMM, GIMM_VFI, IFRNET, RAFT, RIFE)

OWNERS: Mapping[str, str] = {
    "amt-g/state_dict.json": "amt",
    "amt-s/state_dict.json": "amt",
    "ema-vfi-small/state_dict.json": "ema",
    "film/state_dict.json": "film",
    "ifrnet/state_dict.json": "ifrnet",
    "ifrnet-l/state_dict.json": "ifrnet",
    "ifrnet-s/state_dict.json": "ifrnet",
    "raft/state_dict.json": "raft",
    "raft/small_state_dict.json": "raft",
    "raft/torchvision_large_state_dict.json": "raft",
    "rife-4.25/state_dict.json": "rife",
    "rife-4.6/state_dict.json": "rife",
    "rife-paper/state_dict.json": "rife",
    "gimm/state_dict.json": "gimm",
    "gimm-vfi-r/state_dict.json": "gimm-vfi",
    "svd-inbetween/state_dict.json": "",
}
"""Which of them knows a list of tensors as its own."""


@pytest.mark.parametrize("file", OWNERS)
def test_each_list_of_tensors_is_known_by_its_own_network_alone(file: str) -> None:
    listed = json.loads(shared_parity(*file.split("/")).read_text(encoding="utf-8"))
    tensors = {key: torch.empty(shape, device="meta") for key, shape, _ in listed}
    known = []
    for architecture in ALL:
        spelled = architecture.spelled(tensors)
        if architecture.recognise({key: tuple(tensor.shape) for key, tensor in spelled.items()}) is not None:
            known.append(architecture.id)
    assert known == ([OWNERS[file]] if OWNERS[file] else [])


@pytest.mark.parametrize("architecture", ALL, ids=lambda each: each.id)
def test_what_is_recognised_can_be_written_down_and_read_again(architecture: Architecture) -> None:
    file = next(file for file, owner in OWNERS.items() if owner == architecture.id)
    listed = json.loads(shared_parity(*file.split("/")).read_text(encoding="utf-8"))
    spelled = architecture.spelled({key: torch.empty(shape, device="meta") for key, shape, _ in listed})
    values = architecture.recognise({key: tuple(tensor.shape) for key, tensor in spelled.items()})
    assert values is not None and json.loads(json.dumps(values)) == values
    with torch.device("meta"):
        built = architecture.build(values).state_dict()
    assert {key: tensor.shape for key, tensor in built.items()} == {
        key: tensor.shape for key, tensor in spelled.items()
    }


@pytest.mark.parametrize(
    ("architecture", "name"), [(architecture, name) for architecture in ALL for name in architecture.variants]
)
def test_what_is_known_of_a_variant_is_what_its_own_tensors_say(architecture: Architecture, name: str) -> None:
    values = dict(architecture.variants[name])
    with torch.device("meta"):
        tensors = architecture.build(values).state_dict()
    assert values["variant"] == name
    assert architecture.recognise(shapes_of(tensors)) == values


@pytest.mark.parametrize("architecture", ALL, ids=lambda each: each.id)
def test_another_network_s_tensors_are_left_alone(architecture: Architecture) -> None:
    tensors = {"": torch.zeros(1), "a": torch.zeros(0), "module.x.weight": torch.zeros(2, 2)}
    assert (
        architecture.recognise({key: tuple(each.shape) for key, each in architecture.spelled(tensors).items()}) is None
    )
    assert architecture.recognise({}) is None


@pytest.mark.parametrize(
    ("padding", "size", "scale", "margins"),
    [
        (Padding(32), (64, 96), 1.0, (0, 0, 0, 0)),
        (Padding(32), (65, 96), 1.0, (0, 0, 0, 31)),
        (Padding(32), (64, 96), 0.5, (0, 32, 0, 0)),
        (Padding(16, centred=True), (64, 91), 1.0, (2, 3, 0, 0)),
        # The official benchmark's 20 at a scale of 0.8 (README of ifrnet).
        (Padding(16, centred=True), (64, 90), 0.8, (5, 5, 8, 8)),
        (Padding(16, centred=True, least=128), (100, 200), 1.0, (4, 4, 14, 14)),
    ],
)
def test_margins_bring_a_frame_to_a_size_that_the_network_takes(
    padding: Padding, size: tuple[int, int], scale: float, margins: tuple[int, int, int, int]
) -> None:
    frame = torch.rand(1, 3, *size)
    assert padding.margins(*size, scale) == margins
    assert torch.equal(padding.crop(padding.pad(frame, scale), *size, scale), frame)


def test_a_whole_move_fetches_whole_pixels_far_from_the_corner_in_half_precision_too() -> None:
    # bfloat16 has 8 bits: it cannot tell column 1000 from 1003.
    planes = torch.arange(1200.0).expand(1, 1, 2, -1)
    flow = torch.zeros(1, 2, 2, 1200)
    flow[:, 0] = 3
    fetched = warp(planes.remainder(7).bfloat16(), flow)
    assert fetched.dtype == torch.bfloat16
    assert torch.allclose(fetched[..., :-3].float(), planes.remainder(7)[..., 3:], atol=0.02)


def test_values_beyond_white_and_below_black_come_through() -> None:
    network: Any = loaded(IFRNET, recipe_weights("ifrnet-s"))
    frame = torch.rand(1, 3, 64, 64)
    bright = network.at(network.prepare(frame + 7, frame + 7), 0.5)
    plain = network.at(network.prepare(frame, frame), 0.5)
    # The mean is taken out before the network looks, and put back behind it.
    assert torch.allclose(bright.image, plain.image + 7, atol=1e-4)
    assert bright.image.max() > 7


@pytest.mark.parametrize(("architecture", "name"), [(IFRNET, "ifrnet-s"), (RIFE, "rife-4.6"), (EMA, "ema-vfi-small")])
def test_half_precision_stays_near_and_its_flows_are_float32(architecture: Architecture, name: str) -> None:
    network: Any = loaded(architecture, recipe_weights(name))
    frames = torch.rand(2, 1, 3, 64, 96)
    frames = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), 5, 1, 2)[:, None]
    answers = []
    for dtype in (torch.float32, torch.bfloat16):
        network.to(dtype)
        answers.append(network.at(network.prepare(*map(network.look, frames)), 0.5))
    exact, half = answers
    assert half.image.dtype == half.flow_to_0.dtype == torch.float32
    # Of bfloat16's 8 bits some are lost in twenty layers; the flows here are some pixels long.
    assert (half.image - exact.image).abs().mean() < 0.02
    assert (half.flow_to_0 - exact.flow_to_0).abs().mean() < 0.2


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_fetching_is_the_same_to_the_bit_however_many_threads_share_it(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(3)
    planes = torch.rand(1, 3, 48, 64, generator=generator)
    flow = 5 * torch.randn(1, 2, 48, 64, generator=generator)
    whole = warp(planes, flow)
    monkeypatch.setattr("kairos.engines.fetching._WORTH_SHARING", 1)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    assert torch.equal(warp(planes, flow), whole)


def test_fetching_agrees_with_places_told_in_pixels_and_learns() -> None:
    generator = torch.Generator().manual_seed(4)
    planes = torch.rand(2, 3, 20, 30, generator=generator)
    flow = 3 * torch.randn(2, 2, 20, 30, generator=generator)
    x, y = pixels(flow)
    told = fetched(planes, x + flow[:, 0], y + flow[:, 1])
    assert (warp(planes, flow) - told).abs().max() < 1e-5
    flow.requires_grad_()
    warp(planes, flow).sum().backward()
    assert flow.grad is not None and bool(flow.grad.any())
