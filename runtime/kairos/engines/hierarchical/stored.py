"""Published networks with hierarchical motion that the user has: which are meant, and how to come by some."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import List

import torch

from kairos.engines.hierarchical.architecture import ARCHITECTURE, Alone
from kairos.engines.hierarchical.checkpoint import completed, stored_base
from kairos.engines.hierarchical.plugged import BASES, Plugged
from kairos.engines.stored import DTYPES, records_of
from kairos.errors import BadRequest, EngineError
from kairos.weights.store import Record, Store


def records() -> List[Record]:
    """All that the user has, by name."""
    return records_of(ARCHITECTURE.id)


def base_of(record: Record) -> str:
    """Id of the network that the weights are plugged into."""
    return str(record.values.get("base", ""))


def record_of(base: str, name: str = "") -> Record:
    """The weights that ``--base`` and ``--weights`` mean.

    Args:
        base: id of a base, or the name of weights.
        name: of weights on that base; empty takes the first.

    Raises:
        BadRequest: there is no such base, or no such weights on it.
        EngineError: there are no weights on it at all.
    """
    known = records()
    if base not in BASES:
        return _named(base, name, known)
    able = [record for record in known if base_of(record) == base]
    if not able and not name:
        raise EngineError(
            f"hierarchical has no weights on {base} yet.",
            f"Run kairos weights add FILE with a file of {base} and its plug-in, or use --base swift.",
        )
    record = next((record for record in able if name in ("", record.name)), None)
    if record is None:
        raise BadRequest(f"hierarchical has no weights {name!r} on {base}.", _remedy(able, name))
    return record


def _named(name: str, other: str, known: List[Record]) -> Record:
    if other not in ("", name):
        raise BadRequest(f"--base {name} and --weights {other} both name weights.", "Leave out one of them.")
    record = next((record for record in known if record.name == name), None)
    if record is None:
        bases = f"Use {', '.join(('swift', *BASES))}."
        raise BadRequest(
            f"--base: there is no base and there are no weights {name!r}.", f"{bases} {_remedy(known, name)}"
        )
    return record


def _remedy(records: List[Record], name: str) -> str:
    if Path(name).is_file():
        return f"Run kairos weights add {name} first, and give its name."
    names = ", ".join(record.name for record in records)
    return f"There are {names}." if names else "Run kairos weights add FILE."


def plugged_of(record: Record, device: torch.device, precision: str) -> Plugged:
    """The network with its plug-in, for use.

    Loaded once for all views of a shot, and again when the weights have become others.

    Raises:
        BadRequest: its base is not in the file and not among the user's weights.
        KairosError: the weights are damaged.
    """
    return _plugged(Store().root, record.name, record.sha256, str(device), precision)


@lru_cache(maxsize=2)
def _plugged(root: Path, name: str, sha256: str, device: str, precision: str) -> Plugged:
    record, tensors = Store(root).load(name)
    network = ARCHITECTURE.build(record.values)
    network.load_state_dict(tensors, strict=True)
    if isinstance(network, Alone):
        network = completed(name, network, stored_base(Store(root)))
    assert isinstance(network, Plugged)
    network.eval().requires_grad_(False).to(torch.device(device), DTYPES[precision])
    return network
