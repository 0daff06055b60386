"""EMA-VFI computes what the official code computes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch

from kairos.engines.architecture import shapes_of
from kairos.engines.blocks import blend
from kairos.engines.ema.architecture import ARCHITECTURE
from kairos.engines.fetching import warp
from support.parity import IMAGE, OTHER, fixture, loaded, recipe_weights, same

NAME = "ema-vfi-small"


@lru_cache(maxsize=1)
def _network() -> Any:
    return loaded(ARCHITECTURE, recipe_weights(NAME))


@pytest.mark.usefixtures("both_ways")
def test_image_flows_mask_and_what_the_attention_tells_are_those_of_the_official_code() -> None:
    network, wanted = _network(), fixture(NAME)
    state = network.prepare(wanted["img0"], wanted["img1"])
    same(state.appearance[3], wanted["appearance_s3"], OTHER)
    same(state.appearance[4], wanted["appearance_s4"], OTHER)
    (motion_4, _), (motion_3, _) = state.told
    same(motion_3, wanted["motion_s3"], OTHER)
    same(motion_4, wanted["motion_s4"], OTHER)
    first, _ = network.steps(state, 0.5)
    same(first.flow[..., ::2, ::2], wanted["flow_stage0_s2_t0500"], OTHER)
    found = network.at(state, 0.5)
    same(found.flow_to_0, wanted["flow_t0_t0500"], OTHER)
    same(found.flow_to_1, wanted["flow_t1_t0500"], OTHER)
    same(found.mask, wanted["mask_t0500"], OTHER)
    frames = warp(wanted["img0"], found.flow_to_0), warp(wanted["img1"], found.flow_to_1)
    same(blend(found.mask, *frames), wanted["merged_t0500"], OTHER)
    same(found.image.clamp(0, 1), wanted["out_t0500"], IMAGE)
    same(network.at(state, 0.25).image.clamp(0, 1), wanted["out_t0250"], IMAGE)


def test_files_with_a_prefix_and_with_masks_of_some_size_are_recognised() -> None:
    tensors = {f"module.{key}": tensor for key, tensor in recipe_weights(NAME).items()}
    tensors["module.feature_bone.block4.1.attn_mask"] = torch.zeros(1)
    tensors["module.feature_bone.block4.1.HW"] = torch.zeros(1)
    values = ARCHITECTURE.recognise(shapes_of(ARCHITECTURE.spelled(tensors)))
    assert values is not None and values["variant"] == NAME and values["depths"] == [2, 2]
    assert len(ARCHITECTURE.spelled(tensors)) == 186


def test_the_full_size_has_as_many_numbers_as_its_authors_say() -> None:
    # The README of ema-vfi-small: width 32, depths 4 and 4, 65 662 359 parameters.
    with torch.device("meta"):
        network = ARCHITECTURE.build({"width": 32, "depths": [4, 4]})
    assert sum(tensor.numel() for tensor in network.state_dict().values()) == 65_662_359


def test_motion_sought_at_half_size_is_that_of_the_small_frames() -> None:
    # No fixture was recorded with this switch: by the README, flow and logit of the small frames are enlarged.
    network, wanted = _network(), fixture(NAME)
    frames = [wanted[name].repeat(1, 1, 2, 1) for name in ("img0", "img1")]
    halved = [torch.nn.functional.interpolate(frame, scale_factor=0.5, mode="bilinear") for frame in frames]
    found = network.at(network.prepare(*frames, 0.5), 0.5)
    small = network.at(network.prepare(*halved), 0.5)
    wanted_flow = 2 * torch.nn.functional.interpolate(small.flow_to_0, scale_factor=2.0, mode="bilinear")
    same(found.flow_to_0, wanted_flow, 1e-5)
