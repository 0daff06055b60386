"""IFRNet computes what the official code computes, at all three sizes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch

from kairos.engines.ifrnet.architecture import ARCHITECTURE
from support.parity import IMAGE, OTHER, fixture, loaded, recipe_weights, same

SIZES = ("ifrnet-s", "ifrnet", "ifrnet-l")


@lru_cache(maxsize=1)
def _network(name: str) -> Any:
    return loaded(ARCHITECTURE, recipe_weights(name))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", SIZES)
def test_image_flows_mask_and_residual_are_those_of_the_official_code(name: str) -> None:
    network, wanted = _network(name), fixture(name)
    state = network.prepare(wanted["img0"], wanted["img1"])
    found = network.at(state, 0.5)
    same(found.image.clamp(0, 1), wanted["out_t0500"], IMAGE)
    same(found.flow_to_0, wanted["flow_t0_t0500"], OTHER)
    same(found.flow_to_1, wanted["flow_t1_t0500"], OTHER)
    same(found.mask, wanted["mask_t0500"], OTHER)
    same(found.residual, wanted["residual_t0500"], OTHER)
    same(network.at(state, 0.25).image.clamp(0, 1), wanted["out_t0250"], IMAGE)


@pytest.mark.parametrize("name", SIZES)
def test_each_decoder_answers_what_the_official_one_answers(name: str) -> None:
    network, wanted = _network(name), fixture(name)
    four, three, two, _ = network.levels(network.prepare(wanted["img0"], wanted["img1"]), 0.5)
    same(torch.cat([four.flow_to_0, four.flow_to_1], 1), wanted["dec4_flows_t0500"], OTHER)
    same(four.others, wanted["dec4_feat_t0500"], OTHER)
    for level, number in ((three, 3), (two, 2)):
        same(level.flow_to_0, wanted[f"flow_t0_l{number}_t0500"], OTHER)
        same(level.flow_to_1, wanted[f"flow_t1_l{number}_t0500"], OTHER)


@pytest.mark.parametrize("name", SIZES)
def test_motion_sought_at_half_size_gives_the_official_picture(name: str) -> None:
    network, wanted = _network(name), fixture(name)
    found = network.at(network.prepare(wanted["img0"], wanted["img1"], 0.5), 0.5)
    same(found.image.clamp(0, 1), wanted["out_t0500_sf050"], IMAGE)


@pytest.mark.parametrize("name", SIZES)
def test_the_size_is_recognised(name: str) -> None:
    tensors = {f"module.{key}": tensor for key, tensor in recipe_weights(name).items()}
    spelled = ARCHITECTURE.spelled(tensors)
    values = ARCHITECTURE.recognise({key: tuple(tensor.shape) for key, tensor in spelled.items()})
    assert values is not None and values["variant"] == name
    assert ARCHITECTURE.recognise({"encoder.pyramid1.0.0.weight": (24, 3, 3, 3)}) is None
