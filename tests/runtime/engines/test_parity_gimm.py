"""GIMM computes what the official code computes: normalisation, weights, latents, splatting and motion."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any, Dict, List

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.fetching import warp
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.network import places
from kairos.engines.gimm.splatting import deposited, splat
from support.parity import OTHER, drawn, fixture, loaded, same
from support.shared import shared_parity

TIMES = {"t000": 0.0, "t025": 0.25, "t050": 0.5, "t080": 0.8, "t100": 1.0}


def gimm_weight(key: str, shape: List[int]) -> Tensor:
    """By the recipe in the README, in words there."""
    if key == "g_filter":
        return torch.tensor([1.0, 2, 1, 2, 4, 2, 1, 2, 1]).reshape(shape) / 16
    numbers = drawn(key, shape)
    if key.startswith("alpha_"):
        return 1 + np.float32(0.1) * numbers
    if key.startswith("hyponet."):
        return numbers * np.float32(1 / math.sqrt(shape[0]))
    return numbers * np.float32(1 / math.sqrt(math.prod(shape[1:]))) if len(shape) > 1 else np.float32(0.01) * numbers


def _weights() -> Dict[str, Tensor]:
    listed = json.loads(shared_parity("gimm", "state_dict.json").read_text(encoding="utf-8"))
    return {key: gimm_weight(key, shape) for key, shape, _ in listed}


@lru_cache(maxsize=1)
def _network() -> Any:
    return loaded(ARCHITECTURE, _weights())


@lru_cache(maxsize=1)
def _wanted() -> Dict[str, Tensor]:
    return fixture("gimm")


@lru_cache(maxsize=1)
def _state() -> Any:
    return _network().encode(_wanted()["flow01"], _wanted()["flow10"])


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("velocities", "normalized"),
        ("scale", "scaler"),
        ("weight_0", "metric0"),
        ("weight_1", "metric1"),
        ("latent_0", "latent0"),
        ("latent_1", "latent1"),
    ],
)
def test_what_is_known_of_the_pair_is_that_of_the_official_code(name: str, array: str) -> None:
    same(getattr(_state(), name), _wanted()[array], OTHER)


def test_latents_travel_and_are_refined_as_in_the_official_code() -> None:
    zero, one = _network().arrived(_state(), 0.25)
    same(zero, _wanted()["splat0_t025"], OTHER)
    same(one, _wanted()["splat1_t025"], OTHER)
    refined = _network().latent(_state(), 0.25)
    same(refined, _wanted()["refined_t025"], OTHER)
    same(places(refined, 0.25)[:, None], _wanted()["coord_t025"], OTHER)


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("name", TIMES)
def test_motion_at_every_time_is_that_of_the_official_code(name: str) -> None:
    network, state, time = _network(), _state(), TIMES[name]
    same(network.told(state, time), _wanted()[f"vel_norm_{name}"], OTHER)
    same(network.velocity(state, time), _wanted()[f"vel_{name}"], OTHER)
    to_0, to_1 = network.flows(state, time)
    same(to_0, _wanted()[f"flow_t0_{name}"], OTHER)
    same(to_1, _wanted()[f"flow_t1_{name}"], OTHER)


def test_a_finer_grid_of_places_gives_the_official_motion() -> None:
    wanted = _wanted()["vel_norm_x2_t025"]
    same(_network().told(_state(), 0.25, tuple(wanted.shape[-2:])), wanted, OTHER)


def test_splatting_and_warping_are_the_official_operators() -> None:
    wanted = _wanted()
    planes, flow = wanted["micro_in"], wanted["micro_flow"]
    assert not flow.isfinite().all()
    same(deposited(planes, flow), wanted["micro_sum"], OTHER)
    same(splat(planes, flow, wanted["micro_metric"]), wanted["micro_linear_zeroeps"], OTHER)
    same(warp(planes, wanted["micro_warp_flow"]), wanted["micro_warp"], OTHER)
    same(warp(wanted["flow10"], wanted["flow01"]), wanted["warp_f10_by_f01"], OTHER)


def test_time_as_a_tensor_and_pairs_side_by_side_change_nothing() -> None:
    network, wanted = _network(), _wanted()
    there, back = wanted["flow01"], wanted["flow10"]
    both = network.encode(torch.cat([there, 0.5 * there]), torch.cat([back, 0.5 * back]))
    times = torch.tensor([0.25, 0.75]).reshape(2, 1, 1, 1)
    found = network.velocity(both, times)
    same(found[:1], wanted["vel_t025"], OTHER)
    same(found[1:], network.velocity(network.encode(0.5 * there, 0.5 * back), 0.75), OTHER)


def test_where_nothing_moves_nothing_moves_at_any_time() -> None:
    still = torch.zeros(1, 2, 12, 20)
    for flow in _network().flows(_network().encode(still, still), 0.3):
        assert not flow.any()


def test_what_else_a_checkpoint_carries_is_dropped() -> None:
    extra = {f"module.{key}": tensor for key, tensor in {**_weights(), "hyponet.ff.0": torch.zeros(3)}.items()}
    spelled = ARCHITECTURE.spelled(extra)
    assert spelled.keys() == _network().state_dict().keys()
    values = ARCHITECTURE.recognise(shapes_of(spelled))
    assert values is not None and values["variant"] == "gimm"
