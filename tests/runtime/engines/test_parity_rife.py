"""RIFE computes what the official code computes: versions 4.6 and 4.25, and the paper's two models."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict

import pytest
import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.blocks import scaled
from kairos.engines.fetching import warp
from kairos.engines.rife.architecture import ARCHITECTURE
from kairos.engines.rife.network import fetched_small
from support.parity import IMAGE, OTHER, fixture, loaded, recipe_weights, same

LATER, PAPER = ("rife-4.6", "rife-4.25"), ("rife-paper", "rife-paper-m")


@lru_cache(maxsize=1)
def _network(name: str) -> Any:
    return loaded(ARCHITECTURE, recipe_weights(name))


def _state(name: str, wanted: Dict[str, Tensor], scale: float = 1.0) -> Any:
    network = _network(name)
    return network.prepare(network.look(wanted["img0"]), network.look(wanted["img1"]), scale)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", LATER)
def test_the_later_versions_give_the_official_image_flows_and_mask(name: str) -> None:
    wanted = fixture(name)
    state = _state(name, wanted)
    found = _network(name).at(state, 0.5)
    same(found.image, wanted["out_t0500"], IMAGE)
    same(found.flow_to_0, wanted["flow_t0_t0500"], OTHER)
    same(found.flow_to_1, wanted["flow_t1_t0500"], OTHER)
    same(found.mask, torch.sigmoid(wanted["mask_logit_t0500"]), OTHER)
    same(_network(name).at(state, 0.25).image, wanted["out_t0250"], IMAGE)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", LATER)
def test_each_stage_answers_what_the_official_one_answers(name: str) -> None:
    wanted = fixture(name)
    steps = list(_network(name).steps(_state(name, wanted), 0.5))
    same(steps[-1].logit, wanted["mask_logit_t0500"], OTHER)
    for number, step in enumerate(steps[:-1]):
        same(step.flow[..., ::2, ::2], wanted[f"flow_stage{number}_s2_t0500"], OTHER)
        if name == "rife-4.6":
            same(step.logit[..., ::2, ::2], wanted[f"mask_logit_stage{number}_s2_t0500"], OTHER)


def test_the_code_of_a_frame_is_the_official_one() -> None:
    wanted = fixture("rife-4.25")
    same(_network("rife-4.25").look(wanted["img0"])[:, 3:], wanted["enc0"], OTHER)


def test_motion_sought_at_half_size_gives_the_official_picture() -> None:
    wanted = fixture("rife-4.6")
    same(_network("rife-4.6").at(_state("rife-4.6", wanted, 0.5), 0.5).image, wanted["out_t0500_scale050"], IMAGE)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", PAPER)
def test_the_paper_models_give_the_official_image_flows_mask_and_residual(name: str) -> None:
    wanted = fixture(name)
    state = _state(name, wanted)
    found = _network(name).at(state, 0.5)
    same(found.image.clamp(0, 1), wanted["out_t0500"], IMAGE)
    same(found.flow_to_0, wanted["flow_t0_t0500"], OTHER)
    same(found.flow_to_1, wanted["flow_t1_t0500"], OTHER)
    same(found.mask, wanted["mask_t0500"], OTHER)
    same(found.residual, wanted["residual_t0500"], OTHER)
    for number, step in enumerate(list(_network(name).steps(state, 0.5))[:-1]):
        same(step.flow[..., ::2, ::2], wanted[f"flow_stage{number}_s2_t0500"], OTHER)
    if "out_t0250" in wanted:
        same(_network(name).at(state, 0.25).image.clamp(0, 1), wanted["out_t0250"], IMAGE)


@pytest.mark.parametrize("name", [*LATER, *PAPER])
def test_the_version_is_recognised_in_files_with_a_prefix_and_with_what_served_training(name: str) -> None:
    tensors = {f"module.{key}": tensor for key, tensor in recipe_weights(name).items()}
    tensors.update({"module.teacher.conv0.0.0.weight": torch.zeros(1), "module.caltime.0.weight": torch.zeros(1)})
    spelled = ARCHITECTURE.spelled(tensors)
    values = ARCHITECTURE.recognise(shapes_of(spelled))
    assert values is not None and values["variant"] == name
    assert set(spelled) == set(ARCHITECTURE.build(values).state_dict())


def test_a_reduction_of_what_is_fetched_looks_at_four_pixels_of_each_cell_alone() -> None:
    network, generator = _network("rife-4.6"), torch.Generator().manual_seed(1)
    frames = torch.rand(2, 1, 3, 64, 96, generator=generator)
    flow = 9 * torch.randn(1, 4, 64, 96, generator=generator)
    state = network.prepare(*frames)
    for factor in (4.0, 8.0, 16.0):
        small = fetched_small(state, flow, factor)
        for found, frame, to in zip(small, frames, (flow[:, :2], flow[:, 2:])):
            # Of white noise, at places that are rounded in another order.
            same(found, scaled(warp(frame, to), 1 / factor), 1e-5)
