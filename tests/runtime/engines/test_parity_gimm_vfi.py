"""GIMM-VFI-R computes what the official code computes: flows, motion, every step of the painter, and pictures."""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any, Dict, List

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.amt.network import painted
from kairos.engines.architecture import shapes_of
from kairos.engines.blocks import blend, scaled, scaled_flow
from kairos.engines.fetching import warp
from kairos.engines.gimm_vfi.architecture import ARCHITECTURE
from kairos.engines.gimm_vfi.network import around, corrected
from kairos.engines.tiles import WHOLE
from support.parity import drawn, fixture, loaded, same
from support.shared import shared_parity

IMAGE, FLOW = 1e-3, 5e-3
"""Largest errors of images and masks, and of flows, that the README suggests. Here no outlier needs its allowance."""

_GAINS = (
    (r"flow_head\.conv2\.weight$", 0.03),
    (r"update_block\.mask\.2\.weight$", 8.0),
    (r"^flow_estimator.*gru", 1.0),
    (r"^flow_estimator", 1.2),
    (r"^amt_update4_(low|high)\.flow_head\.2\.weight$", 0.3),
    (r"^amt_init_decoder\.convblock\.4\.weight$", 0.3),
    (r"^amt_final_decoder\.convblock\.4\.weight$", 0.06),
    (r"^amt_comb_block\.2\.weight$", 0.2),
    (r"", 1.0),
)
"""Rule 3 of the README's recipe."""


def _weights() -> Dict[str, Tensor]:
    """By the recipe in the README, in words there."""
    listed = json.loads(shared_parity("gimm-vfi-r", "state_dict.json").read_text(encoding="utf-8"))
    names = {key for key, _, _ in listed}
    return {key: _weight(key, shape, dtype, names) for key, shape, dtype in listed}


def _weight(key: str, shape: List[int], dtype: str, names: set[str]) -> Tensor:
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    if key == "g_filter":
        return torch.tensor([1.0, 2, 1, 2, 4, 2, 1, 2, 1]).reshape(shape) / 16
    if key.endswith(("running_mean", "running_var")):
        return torch.full(shape, float(key.endswith("var")))
    numbers = drawn(re.sub(r"^(flow_estimator\.cnet\.layer\d\.0)\.norm3\.", r"\1.downsample.1.", key), shape)
    if key.startswith("alpha_"):
        return 1 + np.float32(0.1) * numbers
    if key.startswith("hyponet."):
        return numbers * np.float32(1 / math.sqrt(shape[0]))
    if len(shape) > 1:
        gain = next(gain for pattern, gain in _GAINS if re.search(pattern, key))
        return numbers * np.float32(gain / math.sqrt(math.prod(shape[1:])))
    if key.endswith(".bias"):
        return np.float32(0.01) * numbers
    is_norm = key.removesuffix("weight") + "bias" in names
    return 1 + np.float32(0.01) * numbers if is_norm else torch.full(shape, 0.25)


@lru_cache(maxsize=1)
def _network() -> Any:
    return loaded(ARCHITECTURE, _weights())


@lru_cache(maxsize=1)
def _wanted() -> Dict[str, Tensor]:
    return fixture("gimm-vfi-r")


@lru_cache(maxsize=1)
def _state() -> Any:
    network, wanted = _network(), _wanted()
    return network.prepare(network.look(wanted["img0"]), network.look(wanted["img1"]))


def test_what_is_known_of_the_pair_is_that_of_the_official_code() -> None:
    state, wanted = _state(), _wanted()
    same(state.motion.flow_01, wanted["raft_flow01"], FLOW)
    same(state.motion.flow_10, wanted["raft_flow10"], FLOW)
    same(state.zero.compared.compared[:, :16], wanted["raft_fmap1_c16"], IMAGE)
    same(state.zero.matched[:, :16], wanted["fproj0_c16"], IMAGE)
    same(state.zero.quarter[:, :16], wanted["ctx0_quarter_c16"], IMAGE)
    planes = 2 * wanted["img0"] - 1
    _, quarter, eighth = _network().flow_estimator.cnet.stages(planes)
    same(quarter[:, :16], wanted["cnet_quarter_c16"], IMAGE)
    same(eighth[:, :16], wanted["cnet_eighth_c16"], IMAGE)
    same(_network().amt_last_cproj(eighth)[:, :16], wanted["ctx0_eighth_c16"], IMAGE)
    same(state.motion.weight_0, wanted["metric0"], IMAGE)
    same(state.motion.weight_1, wanted["metric1"], IMAGE)
    same(state.motion.velocities, wanted["nflow"], IMAGE)
    same(state.motion.latent_0[:, :4], wanted["motion_latent0_c4"], IMAGE)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize(("name", "time"), [("t025", 0.25), ("t075", 0.75)])
def test_motion_every_step_and_picture_are_those_of_the_official_code(name: str, time: float) -> None:
    network, state, wanted = _network(), _state(), _wanted()
    same(network.velocity(state.motion, time), wanted[f"velocity_{name}"], FLOW)
    level = network.opening(state, torch.cat(network.flows(state.motion, time), 1))
    same(level.flows[:, :2], wanted[f"init_flow0_{name}"], FLOW)
    same(level.flows[:, 2:], wanted[f"init_flow1_{name}"], FLOW)
    same(_coarse(state, level), wanted[f"low_warp_{name}"], IMAGE)
    low, high = network.corrections(state, time, level)
    last = corrected(corrected(level, low), high)
    same(last.flows[:, :2], wanted[f"flow0_quarter_{name}"], FLOW)
    same(last.flows[:, 2:], wanted[f"flow1_quarter_{name}"], FLOW)
    fields = network.fields(state, last, network.contexts(state))
    picture = painted(fields, state.first, state.second, 0.0, network.amt_comb_block, WHOLE)[:, 5:]
    same(((picture + 1) / 2).clamp(0, 1), wanted[f"pred_{name}"], IMAGE)
    if name == "t025":
        same(torch.cat([level.logit, level.feature[:, :15]], 1), wanted["init_mask_ft_c16_t025"], IMAGE)
        small = scaled_flow(level.flows, 0.5)
        same(small, wanted["lookup_flow_t025"], FLOW)
        same(around(state, time, small)[:, ::4], wanted["lookup_corr_s4_t025"], IMAGE)
        for correction, array in ((low, "low"), (high, "high")):
            same(correction.feature[:, :8], wanted[f"{array}_dfeat_c8_t025"], IMAGE)
            same(correction.flows, wanted[f"{array}_dflow_t025"], FLOW)
        same(fields.flows_to_0, wanted["multi_flow0_t025"], FLOW)
        same(fields.flows_to_1, wanted["multi_flow1_t025"], FLOW)
        same(fields.masks, wanted["multi_mask_t025"], IMAGE)
        same(fields.residuals[:, :3], wanted["multi_res_c3_t025"], IMAGE)


def _coarse(state: Any, level: Any) -> Tensor:
    """The picture that the official training looks at, too."""
    flows, mask = scaled_flow(level.flows, 4), torch.sigmoid(scaled(level.logit, 4))
    picture = blend(mask, warp(state.first, flows[:, :2]), warp(state.second, flows[:, 2:]))
    return ((picture + 1) / 2).clamp(0, 1)


def test_motion_sought_at_a_smaller_size_gives_the_official_picture() -> None:
    network, wanted = _network(), _wanted()
    state = network.prepare(network.look(wanted["ds_img0"]), network.look(wanted["ds_img1"]), 0.5)
    same(network.velocity(state.motion, 0.5), wanted["ds_velocity_t050"], FLOW)
    same(network.at(state, 0.5).image.clamp(0, 1), wanted["ds_pred_t050"], IMAGE)


def test_the_variant_is_recognised_and_each_tensor_is_kept_once() -> None:
    tensors = {f"module.{key}": tensor for key, tensor in _weights().items()}
    spelled = ARCHITECTURE.spelled(tensors)
    assert spelled.keys() == _network().state_dict().keys() and len(tensors) > len(spelled)
    values = ARCHITECTURE.recognise(shapes_of(spelled))
    assert values is not None and values["variant"] == "gimm-vfi-r"
