"""Published networks with random numbers: what they cost does not depend on what they have learned."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping

import torch
from torch import Tensor

from kairos.engines.architectures import ARCHITECTURES, variant
from kairos.weights.store import VARIABLE, Record, Store

SEED = 5


def keep(store: Store, id: str, values: Mapping[str, Any], name: str, seed: int = SEED) -> Record:
    """Puts seeded random weights of the architecture ``id`` with these hyper-parameters into a store."""
    architecture = next(each for each in ARCHITECTURES if each.id == id)
    torch.manual_seed(seed)
    return keep_tensors(store, id, values, architecture.build(values).state_dict(), name)


def keep_tensors(store: Store, id: str, values: Mapping[str, Any], tensors: Mapping[str, Tensor], name: str) -> Record:
    """Puts weights that are nobody's into a store."""
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
    return store.put(record, tensors)


@contextmanager
def only_untrained(name: str) -> Iterator[Record]:
    """While it lasts, this process and those it starts know no weights but random ones of that variant.

    Raises BadRequest for an unknown variant.
    """
    architecture, values = variant(name)
    with tempfile.TemporaryDirectory(prefix="kairos-untrained-") as folder, kept_in(Path(folder)):
        yield keep(Store(Path(folder)), architecture.id, values, name)


@contextmanager
def kept_in(folder: Path) -> Iterator[None]:
    """While it lasts, this process and those it starts know the weights in a folder alone."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
