"""Untrained weights of every published network, in a store of the test's own: what holds with them holds with all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

import torch

from kairos.bench.untrained import keep, keep_tensors
from kairos.engines.adapters.engine import PublishedEngine
from kairos.engines.architecture import shapes_of
from kairos.engines.architectures import ARCHITECTURES
from kairos.engines.hierarchical.loading import save_hierarchy
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.engines.registry import engines
from kairos.weights.store import Record, Store
from support.parity import recipe_weights

_NARROW: Mapping[str, Dict[str, Any]] = {
    "gimm-vfi": {
        "variant": "gimm-vfi-r", "context": 16, "matched": 32, "inner": 8, "feature": 32, "fine": 8, "painter": 24,
        "side": 8, "rounds": 2, "updates": [32, 24, 16, 8, 20, 24],
        "motion": {
            "latent": 8, "widths": [8, 16], "blocks": 1, "refined": [16, 32], "refiners": 1, "hidden": 32, "layers": 5,
        },
    },
}  # fmt: skip
"""Where the published size takes minutes: as it is made, with fewer channels."""

EXAMPLES: Mapping[str, Dict[str, Any]] = {
    architecture.id: _NARROW.get(architecture.id) or dict(next(iter(architecture.variants.values())))
    for architecture in ARCHITECTURES
    if architecture.id in {engine.card.id for engine in engines() if isinstance(engine, PublishedEngine)}
}
"""Hyper-parameters of one network of each architecture that has an engine of its own, of several the smallest."""

FLOWS: Mapping[str, Dict[str, Any]] = {
    "raft": {"variant": "raft-small", "large": False},
    "gimm": {"variant": "gimm-own", **_NARROW["gimm-vfi"]["motion"]},
}
"""Of those that serve these."""


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
    return keep_tensors(Store(root), id, values, tensors, name)


def keep_untrained(root: Path, id: str, name: str = "untrained", seed: int = 5, **values: Any) -> Record:
    """Puts seeded random weights of an architecture into the store."""
    return keep(Store(root), id, {**{**EXAMPLES, **FLOWS}[id], **values}, name, seed)


def keep_hierarchy(path: Path, spread: float = 0.0, seed: int = 5) -> Path:
    """Writes a plug-in for ``swift``: untrained, or with a last layer of random numbers, which no training made."""
    torch.manual_seed(seed)
    plugin = SwiftHierarchy()
    if spread:
        torch.nn.init.normal_(plugin.last.weight, std=spread)
    save_hierarchy(path, plugin, {"made": "untrained"})
    return path
