"""Weights into the store: read, recognised, their licence accepted, kept."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Callable, Iterable, Mapping, Optional, Protocol, Sequence

from torch import Tensor

from kairos.engines.architecture import Architecture
from kairos.engines.architectures import ARCHITECTURES
from kairos.errors import BadRequest
from kairos.weights.containers import Container, file_sha256, open_container
from kairos.weights.folders import TENSORS, read_folder
from kairos.weights.pipelines import (
    BY_HAND,
    CHANGES,
    DIFFERENCES,
    LICENCE,
    MODEL,
    SVD,
    differences,
    is_changes,
    is_pipeline,
    is_unet,
    own_format,
    read_pipeline,
    unet_of,
    unet_weights,
)
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
    base: Optional[str] = None,
) -> Record:
    """Reads a file or a folder of weights and keeps it.

    Args:
        path: the official file, as it is; or the folder that a model is published as.
        store: where it goes.
        accept: asked once the network is known.
        name: of the weights; else the network's variant, or the file's name where that is taken.
        source: where the file came from; else its own name.
        architectures: networks to try.
        base: name of the kept model that a tuned U-Net was tuned from.

    Raises:
        BadRequest: the file or folder was refused, its licence was not accepted, or the name is taken. Nothing is
            changed.
        KairosError: the store cannot be written.
    """
    if name is not None:
        checked_name(name)
    unet = unet_of(path) if path.is_dir() and not is_pipeline(path) else None
    if unet is not None:
        return _add_tuned(unet, store, accept, name, source, base)
    if base is not None:
        raise BadRequest(f"--base {base}: {path} is no folder of a tuned U-Net.", "Leave --base out for anything else.")
    if path.is_dir():
        if is_pipeline(path):
            return _add_pipeline(path, store, accept, name, source)
        return _add_folder(path, store, accept, name, source)
    with open_container(path) as container:
        names = container.candidates[0].leaves
        if own_format(names):
            raise BadRequest(f"{path} is Stable Video Diffusion in one file; it is taken as a folder.", f"{BY_HAND}.")
        if is_changes(names):
            return _add_changes(container, store, accept, name, source)
        if is_unet(names):
            raise BadRequest(f"{path} is a whole U-Net; it is taken as a folder.", f"Add {path.parent} instead.")
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


def _add_pipeline(path: Path, store: Store, accept: Accept, name: Optional[str], source: str) -> Record:
    found = read_pipeline(path)
    _check_accepted(found.variant, MODEL, found.licence, accept)
    digest = _joined(found.files.values())
    record = Record(
        name=name or _free_name(store, found.variant, path, digest),
        architecture=SVD,
        values={"variant": found.variant, "frames": found.frames, "files": dict(found.files)},
        licence=found.licence,
        non_commercial=found.non_commercial,
        accepted=_now(),
        source=source or path.resolve().name,
        source_sha256=digest,
        taken=f"a folder; {len(found.files)} files taken",
        sha256=digest,
    )
    return store.put_folder(record, path)


def _add_tuned(
    unet: Path, store: Store, accept: Accept, name: Optional[str], source: str, base: Optional[str]
) -> Record:
    changes, record = differences(unet, store, base)
    digest = _joined(file_sha256(file) for file in unet_weights(unet))
    about = f"a tuned U-Net; its {len(changes.tensors)} differences to {record.name} taken"
    tensors = {each: tensor.half() for each, tensor in changes.tensors.items()}
    return _put_changes(tensors, unet, digest, about, store, accept, name, source)


def _add_changes(container: Container, store: Store, accept: Accept, name: Optional[str], source: str) -> Record:
    tensors = container.tensors(container.candidates[0])
    about = f"{container.kind}; {len(tensors)} tensors taken"
    return _put_changes(tensors, container.path, container.sha256, about, store, accept, name, source)


def _put_changes(
    tensors: Mapping[str, Tensor],
    path: Path,
    digest: str,
    taken: str,
    store: Store,
    accept: Accept,
    name: Optional[str],
    source: str,
) -> Record:
    broken = [each for each, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise BadRequest(f"{path} was refused: {broken[0]} holds values that are not numbers.", "Train them again.")
    terms = f"code Apache-2.0; differences as the weights that they were tuned from: {LICENCE}"
    _check_accepted(CHANGES, DIFFERENCES, terms, accept)
    record = Record(
        name=name or _free_name(store, CHANGES, path, digest),
        architecture=CHANGES,
        values={"variant": CHANGES, "tensors": len(tensors)},
        licence=terms,
        non_commercial=False,
        accepted=_now(),
        source=source or path.resolve().name,
        source_sha256=digest,
        taken=taken,
        sha256="",
    )
    return store.put(record, tensors)


def _joined(digests: Iterable[str]) -> str:
    """One digest of many."""
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()


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
