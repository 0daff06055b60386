"""Weights into the store: read, recognised, their licence accepted, kept."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Optional, Protocol, Sequence

from kairos.engines.architecture import Architecture
from kairos.engines.architectures import ARCHITECTURES
from kairos.errors import BadRequest
from kairos.weights.containers import open_container
from kairos.weights.folders import TENSORS, read_folder
from kairos.weights.recognise import recognised
from kairos.weights.store import Record, Store, checked_name


class Titled(Protocol):
    """A network in words: an architecture, or a kind of folder."""

    @property
    def title(self) -> str:
        """One line for people."""

    @property
    def paper(self) -> str:
        """Where the method is published."""


Accept = Callable[[Titled, str], bool]
"""Asked with the network and its licence in one line; whether the user accepts it."""


def add(
    path: Path,
    store: Store,
    accept: Accept,
    name: Optional[str] = None,
    source: str = "",
    architectures: Sequence[Architecture] = ARCHITECTURES,
) -> Record:
    """Reads a file or a folder of weights and keeps it.

    Args:
        path: the official file, as it is; or the folder that a model is published as.
        store: where it goes.
        accept: asked once the network is known.
        name: of the weights; else the network's variant, or the file's name where that is taken.
        source: where the file came from; else its own name.
        architectures: networks to try.

    Raises:
        BadRequest: the file or folder was refused, its licence was not accepted, or the name is taken. Nothing is
            changed.
        KairosError: the store cannot be written.
    """
    if name is not None:
        checked_name(name)
    if path.is_dir():
        return _add_folder(path, store, accept, name, source)
    with open_container(path) as container:
        found = recognised(container, architectures)
        match = found.match
        architecture = match.architecture.licensed(match.values)
        terms = licence(architecture)
        _check_accepted(architecture.id, architecture, terms, accept)
        variant = str(match.values.get("variant", architecture.id))
        record = Record(
            name=name or _free_name(store, variant, path, container.sha256),
            architecture=architecture.id,
            values=dict(match.values),
            licence=terms,
            non_commercial=architecture.non_commercial,
            accepted=_now(),
            source=source or path.name,
            source_sha256=container.sha256,
            taken=found.taken,
            sha256="",
        )
        return store.put(record, match.tensors)


def _add_folder(path: Path, store: Store, accept: Accept, name: Optional[str], source: str) -> Record:
    found = read_folder(path)
    _check_accepted(found.kind.id, found.kind, found.licence, accept)
    digest = found.files[TENSORS]
    record = Record(
        name=name or _free_name(store, found.kind.id, path, digest),
        architecture=found.kind.id,
        values={"variant": found.model_type, "files": dict(found.files)},
        licence=found.licence,
        non_commercial=found.non_commercial,
        accepted=_now(),
        source=source or path.resolve().name,
        source_sha256=digest,
        taken=f"a folder; {', '.join(found.files)} taken",
        sha256=digest,
    )
    return store.put_folder(record, path)


def _check_accepted(id: str, network: Titled, terms: str, accept: Accept) -> None:
    if not accept(network, terms):
        raise BadRequest(f"The licence of {id} was not accepted: {terms}.", "Add --accept-licence to accept it.")


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def licence(architecture: Architecture) -> str:
    """The terms of a network in one line."""
    use = "no commercial use" if architecture.non_commercial else "commercial use allowed"
    return f"code {architecture.code_licence}; weights {architecture.weights_licence or 'none'}; {use}"


def _free_name(store: Store, variant: str, path: Path, digest: str) -> str:
    """The variant's own name where it is free or holds the same file, else the file's, else both."""
    taken = {record.name: record.source_sha256 for record in store.records()}
    stem = re.sub(r"[^a-z0-9._-]+", "-", path.stem.lower()).strip("-._") or "weights"
    for name in (variant, stem[:64], f"{variant}-{stem}"[:64]):
        if taken.get(name, digest) == digest:
            return checked_name(name)
    raise BadRequest(f"There are weights {variant} and {stem} already.", "Choose another --name.")
