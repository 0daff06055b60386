"""Untrained weights of every published network, in a store of the test's own: what holds with them holds with all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.architectures import ARCHITECTURES
from kairos.weights.store import Record, Store
from support.parity import recipe_weights

EXAMPLES: Mapping[str, Dict[str, Any]] = {
    "film": {"variant": "film"},
    "rife": {
        "variant": "rife-4.6", "widths": [192, 128, 96, 64], "factors": [8, 4, 2, 1], "outputs": 6, "code": 0,
        "hidden": 16,
    },
    "ifrnet": {"variant": "ifrnet-s", "widths": [24, 36, 54, 72], "kernel": 3, "side": 24},
    "ema": {"variant": "ema-vfi-small", "width": 16, "depths": [2, 2]},
    "amt": {
        "variant": "amt-s", "bottleneck": True, "compared": [32, 64, 96], "outputs": 84, "widths": [20, 32, 44, 56],
        "kernel": 3, "side": 20, "updates": [64, None, 40, 20, 68, 76], "high": False, "fields": 3, "mixing": 3,
    },
}  # fmt: skip
"""Hyper-parameters of one network of each architecture, the smallest where there are several."""


RECIPES: Mapping[str, str] = {
    "film": "film", "rife": "rife-4.25", "ifrnet": "ifrnet-s", "ema": "ema-vfi-small", "amt": "amt-s",
}  # fmt: skip
"""Whose recipe of test weights (see :mod:`support.parity`) an architecture is put to the rules with."""


def keep_recipe(root: Path, id: str, recipe: str, name: str) -> Record:
    """Puts the weights of a recipe into the store."""
    architecture = next(each for each in ARCHITECTURES if each.id == id)
    tensors = architecture.spelled(recipe_weights(recipe))
    values = architecture.recognise(shapes_of(tensors))
    assert values is not None
    return _keep(root, id, values, tensors, name)


def keep_untrained(root: Path, id: str, name: str = "untrained", seed: int = 5, **values: Any) -> Record:
    """Puts seeded random weights of an architecture into the store."""
    architecture = next(each for each in ARCHITECTURES if each.id == id)
    hyper = {**EXAMPLES[id], **values}
    torch.manual_seed(seed)
    tensors = architecture.build(hyper).state_dict()
    return _keep(root, id, hyper, tensors, name)


def _keep(root: Path, id: str, values: Dict[str, Any], tensors: Dict[str, Tensor], name: str) -> Record:
    record = Record(
        name=name,
        architecture=id,
        values=values,
        licence="none",
        non_commercial=False,
        accepted="2026-01-01T00:00:00+00:00",
        source="untrained",
        source_sha256="",
        taken="untrained",
        sha256="",
    )
    return Store(root).put(record, tensors)
