"""FILM computes what the official code computes, from files of either release."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pytest
import torch

from kairos.engines.film.architecture import ARCHITECTURE
from support.parity import IMAGE, OTHER, fixture, loaded, recipe_weights, same
from support.shared import shared_parity


@lru_cache(maxsize=1)
def _network() -> Any:
    return loaded(ARCHITECTURE, recipe_weights("film"))


@pytest.mark.usefixtures("both_ways")
def test_image_flows_and_features_are_those_of_the_official_code() -> None:
    network, wanted = _network(), fixture("film")
    first, second = network.look(wanted["img0"]), network.look(wanted["img1"])
    same(first.features[4], wanted["feat0_l4"], OTHER)
    same(first.features[6], wanted["feat0_l6"], OTHER)
    state = network.prepare(first, second)
    for way, motion in (("forward", state.forward), ("backward", state.backward)):
        for level in range(5):
            same(motion.flows[level], wanted[f"{way}_flow_l{level}"], OTHER)
        for level in (4, 5, 6):
            same(motion.residuals[level], wanted[f"{way}_residual_l{level}"], OTHER)
    middle = network.at(state, 0.5)
    same(middle.image, wanted["out_t0500"], IMAGE)
    same(middle.flow_to_0, wanted["backward_flow_l0"] / 2, OTHER)
    same(middle.flow_to_1, wanted["forward_flow_l0"] / 2, OTHER)
    same(network.at(state, 0.25).image, wanted["out_t0250"], IMAGE)


def test_the_first_release_names_layers_otherwise_and_loads_the_same() -> None:
    tensors = recipe_weights("film")
    pairs = json.loads(shared_parity("film", "keys_v1.0.0.json").read_text(encoding="utf-8"))
    first = {old: tensors[new] for new, old in pairs}
    assert ARCHITECTURE.spelled(first).keys() == ARCHITECTURE.spelled(tensors).keys() == tensors.keys()


def test_strips_of_rows_give_the_picture_of_the_whole() -> None:
    network, wanted = _network(), fixture("film")
    answers = []
    for network.rows in (None, 24):
        found = network.at(network.prepare(network.look(wanted["img0"]), network.look(wanted["img1"])), 0.5)
        answers.append(torch.cat([found.flow_to_0, found.flow_to_1, found.image], 1))
    network.rows = 128
    # Convolutions of another size add up in another order.
    same(*answers, 3e-5)
