"""What published networks compute: the recipe of their test weights, and the arrays that the official code recorded.

Each folder of the shared parity data says how its weights are made (README.md), which there are (state_dict.json), and
what came out (fixture.npz).
"""

from __future__ import annotations

import json
import math
import re
import zlib
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.engines.architecture import Architecture, shapes_of
from support.shared import shared_parity

IMAGE, OTHER = 2e-5, 1e-4
"""Largest errors of images, and of flows, masks and features, that the READMEs allow."""


def drawn(key: str, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers that hang on the key alone (every README's recipe, steps 1 and 2)."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    return torch.from_numpy(np.asarray(generator.standard_normal(shape)).astype(np.float32))


def recipe_weights(name: str) -> Dict[str, Tensor]:
    """The weights with which the fixture was recorded, by the rules in the README of that folder."""
    rules = rules_of(name)
    return {key: weight(key, shape, rules) for key, shape, _ in _listed(name, "state_dict.json")}


def weight(key: str, shape: Sequence[int], rules: Sequence[Any]) -> Tensor:
    """One weight by a recipe (see :func:`rules_of`)."""
    for pattern, dimensions, kind, *numbers in rules:
        if not re.search(pattern, key) or (dimensions is not None and dimensions != len(shape)):
            continue
        if kind == "conv":
            return drawn(key, shape) * np.float32(numbers[0] / math.sqrt(math.prod(shape[1:])))
        if kind == "deconv":
            return drawn(key, shape) * np.float32(numbers[0] / math.sqrt(shape[0] * math.prod(shape[2:]) / 4))
        return float(np.float32(numbers[0])) + float(np.float32(numbers[1])) * drawn(key, shape)
    raise AssertionError(f"no rule of the recipe fits {key}")


def rules_of(name: str) -> List[Any]:
    """The recipe's rules: regular expression, number of dimensions or None, kind, numbers."""
    text = shared_parity(name, "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    rules: List[Any] = json.loads(block)
    return rules


def raft_file(size: str, name: str) -> str:
    """The name of RAFT's file for ``large`` or ``small``."""
    return name if size == "large" else f"small_{name}"


def raft_weights(size: str) -> Dict[str, Tensor]:
    """RAFT's weights by the recipe in its README, in words there."""
    return {
        key: _raft_weight(key, shape, dtype)
        for key, shape, dtype in _listed("raft", raft_file(size, "state_dict.json"))
    }


def _raft_weight(key: str, shape: List[int], dtype: str) -> Tensor:
    if dtype == "int64":
        return torch.zeros(shape, dtype=torch.int64)
    if key.endswith("running_mean"):
        return torch.zeros(shape)
    if key.endswith("running_var"):
        return torch.ones(shape)
    numbers = drawn(key.replace(".norm3.", ".downsample.1.") if key.startswith("cnet.layer") else key, shape)
    if len(shape) >= 2:
        gain = 1.0 if "gru" in key else 1.2
        gain = {"update_block.flow_head.conv2.weight": 0.1, "update_block.mask.2.weight": 8.0}.get(key, gain)
        return numbers * np.float32(gain / math.sqrt(math.prod(shape[1:])))
    return 1 + 0.01 * numbers if key.endswith("weight") else 0.01 * numbers


def fixture(name: str, file: str = "fixture.npz") -> Dict[str, Tensor]:
    """The recorded arrays."""
    with np.load(shared_parity(name, file)) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def loaded(architecture: Architecture, tensors: Dict[str, Tensor]) -> Any:
    """The network that the architecture recognises in a state dict, with these weights, loaded strictly."""
    spelled = architecture.spelled(tensors)
    values = architecture.recognise(shapes_of(spelled))
    assert values is not None, f"{architecture.id} does not recognise its own weights"
    network = architecture.build(json.loads(json.dumps(values)))
    network.load_state_dict(spelled, strict=True)
    return network.eval().requires_grad_(False)


def same(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Fails where two tensors differ anywhere by more than the tolerance, or in shape."""
    assert found.shape == wanted.shape
    error = (found - wanted).abs().max().item()
    assert error <= tolerance, f"differs by {error:.3g}, allowed {tolerance:.3g}"


def _listed(name: str, file: str) -> List[Tuple[str, List[int], str]]:
    listed: List[Tuple[str, List[int], str]] = json.loads(shared_parity(name, file).read_text(encoding="utf-8"))
    return listed
