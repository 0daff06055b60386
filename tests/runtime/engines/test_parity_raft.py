"""RAFT computes what the official code computes, large and small, under either naming."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import islice
from typing import Any

import pytest
import torch

from kairos.engines.architecture import shapes_of
from kairos.engines.raft.architecture import ARCHITECTURE
from support.parity import fixture, loaded, raft_file, raft_weights, same
from support.shared import shared_parity

SIZES = ("large", "small")
FLOW = 1e-3
"""Largest error that the README suggests."""


@lru_cache(maxsize=2)
def _network(size: str) -> Any:
    return loaded(ARCHITECTURE, raft_weights(size))


@pytest.mark.usefixtures("both_ways")
@pytest.mark.parametrize("size", SIZES)
def test_features_and_every_round_are_those_of_the_official_code(size: str) -> None:
    network, wanted = _network(size), fixture("raft", raft_file(size, "fixture.npz"))
    first, second = network.look(wanted["image1"] / 255), network.look(wanted["image2"] / 255)
    same(first.compared[:, :32], wanted["fmap1_c32"], FLOW)
    same(second.compared[:, :32], wanted["fmap2_c32"], FLOW)
    same(first.context[:, :: 4 if size == "large" else 2][:, :64], wanted["cnet_c64"], FLOW)
    rounds = list(islice(network.rounds(first, second), 20))
    same(rounds[0].correlation, wanted["corr_it1"], FLOW)
    same(rounds[0].change, wanted["delta_it1"], FLOW)
    same(rounds[0].hidden[:, :32], wanted["hidden_it1_c32"], FLOW)
    if size == "large":
        same(network.upsampling(rounds[0].hidden)[:, ::8], wanted["mask_it1_c72"], FLOW)
    same(rounds[11].correlation[:, ::4], wanted["corr_it12_s4"], FLOW)
    for number in (1, 12, 20):
        same(rounds[number - 1].flow, wanted[f"flow_low_it{number}"], FLOW)
        same(network.enlarged(rounds[number - 1]), wanted[f"flow_up_it{number}"], FLOW)


@pytest.mark.parametrize("size", SIZES)
def test_a_flow_to_begin_from_gives_the_official_flow(size: str) -> None:
    network, wanted = _network(size), fixture("raft", raft_file(size, "fixture.npz"))
    first, second = network.look(wanted["image1"] / 255), network.look(wanted["image2"] / 255)
    same(network.flow(first, second, 4, wanted["flow_init"]), wanted["flow_up_it4_init"], FLOW)


@pytest.mark.parametrize("size", SIZES)
def test_both_namings_are_the_same_network(size: str) -> None:
    tensors = raft_weights(size)
    names = json.loads(shared_parity("raft", f"name_map_{size}.json").read_text(encoding="utf-8"))
    torchvision = {new: tensors[old] for old, new in names.items() if new is not None}
    listed = json.loads(shared_parity("raft", f"torchvision_{size}_state_dict.json").read_text(encoding="utf-8"))
    assert set(torchvision) == {key for key, _, _ in listed}
    spelled = ARCHITECTURE.spelled({f"module.{key}": tensor for key, tensor in tensors.items()})
    other = ARCHITECTURE.spelled(torchvision)
    assert spelled.keys() == other.keys() == _network(size).state_dict().keys()
    assert all(torch.equal(spelled[key], other[key]) for key in spelled)
    values = ARCHITECTURE.recognise(shapes_of(other))
    assert values is not None and values["variant"] == f"raft-{size}"
