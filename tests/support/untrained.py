"""Untrained weights of every published network, in a store of the test's own: what holds with them holds with all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping

from kairos.bench.untrained import keep
from kairos.engines import engines
from kairos.engines.architectures import ARCHITECTURES
from kairos.weights.store import Record, Store

EXAMPLES: Mapping[str, Dict[str, Any]] = {
    architecture.id: dict(next(iter(architecture.variants.values())))
    for architecture in ARCHITECTURES
    if architecture.id in {engine.card.id for engine in engines()}
}
"""Hyper-parameters of one network of each architecture that an engine runs, the smallest where there are several."""

FLOWS: Mapping[str, Dict[str, Any]] = {"raft": {"variant": "raft-small", "large": False}}
"""Of those that serve these."""


def keep_untrained(root: Path, id: str, name: str = "untrained", seed: int = 5, **values: Any) -> Record:
    """Puts seeded random weights of an architecture into the store."""
    return keep(Store(root), id, {**{**EXAMPLES, **FLOWS}[id], **values}, name, seed)
