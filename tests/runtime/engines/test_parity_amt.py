"""AMT computes what the official code computes, S and G; L is of the same make."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch

from kairos.engines.amt.architecture import ARCHITECTURE
from kairos.engines.architecture import shapes_of
from support.parity import IMAGE, OTHER, fixture, loaded, recipe_weights, same


@lru_cache(maxsize=1)
def _network(name: str) -> Any:
    return loaded(ARCHITECTURE, recipe_weights(name))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", ["amt-s", "amt-g"])
def test_image_fields_and_every_level_are_those_of_the_official_code(name: str) -> None:
    network, wanted = _network(name), fixture(name)
    same(network.feat_encoder(wanted["img0"] - _mean(wanted)), wanted["corr_feat0"], OTHER)
    state = network.prepare(wanted["img0"], wanted["img1"])
    levels = list(network.levels(state, 0.5))
    same(levels[0].feature, wanted["ft_l3_t0500"], OTHER)
    for level, number in zip(levels, (4, 3, 2)):
        same(level.flows[:, :2], wanted[f"flow_t0_l{number}_t0500"], OTHER)
        same(level.flows[:, 2:], wanted[f"flow_t1_l{number}_t0500"], OTHER)
    fields = network.found_fields(state, levels[-1])
    for found, array in (
        (fields.flows_to_0, "flows_t0_l1"),
        (fields.flows_to_1, "flows_t1_l1"),
        (fields.masks, "masks"),
        (fields.residuals, "residuals"),
    ):
        same(found[..., ::4, ::4], wanted[f"{array}_s4_t0500"], OTHER)
    found = network.at(state, 0.5)
    same(found.image.clamp(0, 1), wanted["out_t0500"], IMAGE)
    count = network.fields
    same(found.flow_to_0[:, :1], fields.flows_to_0[:, ::2].sum(1, keepdim=True) / count, OTHER)
    if "out_t0250" in wanted:
        same(network.at(state, 0.25).image.clamp(0, 1), wanted["out_t0250"], IMAGE)


def test_motion_sought_at_a_smaller_size_gives_the_official_picture() -> None:
    network, wanted = _network("amt-s"), fixture("amt-s")
    state = network.prepare(wanted["sf080_img0"], wanted["sf080_img1"], 0.8)
    same(network.at(state, 0.5).image.clamp(0, 1), wanted["sf080_out_t0500"], IMAGE)


@pytest.mark.parametrize("name", ["amt-s", "amt-g"])
def test_the_size_is_recognised(name: str) -> None:
    tensors = {f"module.{key}": tensor for key, tensor in recipe_weights(name).items()}
    values = ARCHITECTURE.recognise(shapes_of(ARCHITECTURE.spelled(tensors)))
    assert values is not None and values["variant"] == name


def test_the_middle_size_has_as_many_tensors_and_numbers_as_its_file() -> None:
    # The README of amt-s: widths of L, 207 tensors, 12 935 367 parameters.
    network = ARCHITECTURE.build(ARCHITECTURE.variants["amt-l"])
    state = network.state_dict()
    assert len(state) == 207 and sum(tensor.numel() for tensor in state.values()) == 12_935_367
    values = ARCHITECTURE.recognise(shapes_of(state))
    assert values is not None and values["variant"] == "amt-l"
    again = ARCHITECTURE.build(values).state_dict()
    assert {key: tensor.shape for key, tensor in again.items()} == {key: tensor.shape for key, tensor in state.items()}


def _mean(wanted: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([wanted["img0"], wanted["img1"]]).mean()
