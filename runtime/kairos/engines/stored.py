"""Published networks with the weights that the user has: which are meant, and how to come by some."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, List, Mapping, Sequence

import torch

from kairos.engines.architecture import Architecture
from kairos.errors import BadRequest, EngineError
from kairos.weights.catalogue import CATALOGUE, first_place
from kairos.weights.store import Record, Store

DTYPES: Mapping[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""By what ``--precision`` calls them."""


def records_of(id: str) -> List[Record]:
    """The weights of an architecture that the user has, what is taken unasked first."""
    order = {place.name: number for number, place in enumerate(CATALOGUE)}
    return sorted(Store().of(id), key=lambda record: (order.get(record.name, len(order)), record.name))


def none_yet(id: str) -> str:
    """That an architecture has no weights, with the remedy, in one line."""
    place = first_place(id)
    if place is None:
        return "it has no weights. Run kairos weights add FILE."
    if not place.url:
        return f"it has no weights. {place.by_hand()}."
    return f"it has no weights. Run kairos weights fetch {place.name}, or kairos weights add FILE."


def record_of(id: str, name: str = "") -> Record:
    """The weights of that name, or those that are taken unasked.

    Raises:
        BadRequest: the architecture has none of that name.
        EngineError: it has none at all, and no name is given.
    """
    records = records_of(id)
    if not name:
        if not records:
            raise EngineError(f"{id} cannot run: {none_yet(id)}")
        return records[0]
    return named(id, name, records)


def named(id: str, name: str, records: Sequence[Record], folders: bool = False) -> Record:
    """Of an engine's weights those of that name.

    Args:
        id: of the engine, for the message.
        name: that is wanted.
        records: of all its weights.
        folders: its weights come as folders too, so that a folder's path is recognised as one given for a name.

    Raises:
        BadRequest: there are none of that name; it tells which there are, or to add what lies at that path.
    """
    for record in records:
        if record.name == name:
            return record
    if Path(name).is_file() or (folders and Path(name).exists()):
        raise BadRequest(f"{name} is no name of weights.", f"Run kairos weights add {name} first.")
    known = ", ".join(record.name for record in records)
    raise BadRequest(f"{id} has no weights {name!r}.", f"It has {known}." if known else "Run kairos weights add FILE.")


def network_of(record: Record, architecture: Architecture, device: torch.device, precision: str) -> Any:
    """The network with these weights, for use.

    Loaded once for all views of a shot, and again when the weights have become others.

    Raises:
        KairosError: the weights are damaged.
    """
    return _network(Store().root, record.name, record.sha256, architecture, str(device), precision)


@lru_cache(maxsize=2)
def _network(root: Path, name: str, sha256: str, architecture: Architecture, device: str, precision: str) -> Any:
    record, tensors = Store(root).load(name)
    network = architecture.build(record.values)
    network.load_state_dict(tensors, strict=True)
    return network.eval().requires_grad_(False).to(torch.device(device), DTYPES[precision])
