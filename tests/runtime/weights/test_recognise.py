"""Every official checkpoint is recognised as what it is, in all its spellings, and as nothing else."""

from __future__ import annotations

import json
from typing import Dict

import pytest
import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.architectures import ARCHITECTURES
from kairos.weights.catalogue import CATALOGUE
from kairos.weights.recognise import fitted
from support.shared import shared_parity

OFFICIAL = {
    "film": ("film", "film"),
    "rife-4.6": ("rife", "rife-4.6"),
    "rife-4.25": ("rife", "rife-4.25"),
    "rife-paper": ("rife", "rife-paper"),
    "rife-paper-m": ("rife", "rife-paper-m"),
    "ifrnet": ("ifrnet", "ifrnet"),
    "ifrnet-s": ("ifrnet", "ifrnet-s"),
    "ifrnet-l": ("ifrnet", "ifrnet-l"),
    "amt-s": ("amt", "amt-s"),
    "amt-g": ("amt", "amt-g"),
    "ema-vfi-small": ("ema", "ema-vfi-small"),
    "gimm": ("gimm", "gimm"),
    "gimm-vfi-r": ("gimm-vfi", "gimm-vfi-r"),
    "raft": ("raft", "raft-large"),
}
"""Folder of the parity data to the architecture and variant."""


def listed(folder: str, file: str = "state_dict.json") -> Dict[str, Tensor]:
    """Tensors of the names and shapes that are listed there; of numbers there are none."""
    rows = json.loads(shared_parity(folder, file).read_text(encoding="utf-8"))
    return {name: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for name, shape, dtype in rows}


def recognised(tensors: Dict[str, Tensor]) -> list[tuple[str, str]]:
    """All networks that the state dict fits."""
    matches = (fitted(tensors, architecture)[0] for architecture in ARCHITECTURES)
    return [(match.architecture.id, str(match.values["variant"])) for match in matches if match is not None]


@pytest.mark.parametrize("folder", OFFICIAL)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_official_names_and_shapes_are_recognised_as_one_network_alone(folder: str, prefix: str) -> None:
    tensors = {prefix + name: tensor for name, tensor in listed(folder).items()}
    assert recognised(tensors) == [OFFICIAL[folder]]


def test_the_first_release_of_film_is_recognised_too() -> None:
    pairs = dict(json.loads(shared_parity("film", "keys_v1.0.0.json").read_text(encoding="utf-8")))
    tensors = {pairs[name]: tensor for name, tensor in listed("film").items()}
    assert len(set(tensors) - set(listed("film"))) == 16
    assert recognised(tensors) == [("film", "film")]


@pytest.mark.parametrize(
    ("file", "variant"),
    [
        ("small_state_dict.json", "raft-small"),
        ("torchvision_large_state_dict.json", "raft-large"),
        ("torchvision_small_state_dict.json", "raft-small"),
    ],
)
def test_raft_is_recognised_in_both_namings(file: str, variant: str) -> None:
    assert recognised(listed("raft", file)) == [("raft", variant)]


@pytest.mark.parametrize("extra", ["teacher.conv0.0.0.weight", "caltime.0.weight"])
def test_what_rifes_author_leaves_beside_his_weights_is_dropped(extra: str) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in listed("rife-4.25").items()}
    assert recognised({**tensors, f"module.{extra}": torch.zeros(3)}) == [("rife", "rife-4.25")]


def test_emas_caches_are_dropped() -> None:
    tensors = {f"module.{name}": tensor for name, tensor in listed("ema-vfi-small").items()}
    for cache in ("attn_mask", "HW"):
        tensors[f"module.feature_bone.block4.1.{cache}"] = torch.zeros(1)
    assert recognised(tensors) == [("ema", "ema-vfi-small")]


@pytest.mark.parametrize("folder", OFFICIAL)
def test_a_checkpoint_that_lacks_a_tensor_says_which(folder: str) -> None:
    tensors = listed(folder)
    id, variant = OFFICIAL[folder]
    name = list(tensors)[-1]
    del tensors[name]
    (architecture,) = (each for each in ARCHITECTURES if each.id == id)
    match, trouble = fitted(tensors, architecture)
    assert match is None
    if architecture.recognise(shapes_of(architecture.spelled(tensors))) is not None:
        assert variant in trouble and "missing" in trouble, trouble


def test_the_catalogue_has_weights_of_every_architecture_that_others_publish_weights_of() -> None:
    own = {"hierarchical"}
    assert {place.architecture for place in CATALOGUE} == {architecture.id for architecture in ARCHITECTURES} - own
