"""Which published network a state dict belongs to, and whether all of it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.architecture import Architecture, Value, shapes_of
from kairos.engines.architectures import ARCHITECTURES
from kairos.errors import BadRequest
from kairos.weights.containers import Candidate, Container

_NAMED = 4
"""How many names a message lists."""


@dataclass(frozen=True)
class Match:
    """Weights that fit a network, name by name and shape by shape.

    Attributes:
        architecture: of the network.
        values: its hyper-parameters.
        tensors: in Kairos' spelling.
    """

    architecture: Architecture
    values: Mapping[str, Value]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class Recognised:
    """What a file holds.

    Attributes:
        match: the weights.
        taken: which of the file's state dicts they are, for people.
    """

    match: Match
    taken: str


def recognised(container: Container, architectures: Sequence[Architecture] = ARCHITECTURES) -> Recognised:
    """The first state dict of a file, in its order of preference, that fits a network.

    Raises:
        BadRequest: none fits. Where one almost does, the message says what is missing or superfluous.
    """
    nearly = ""
    for candidate in container.candidates:
        tensors = container.tensors(candidate)
        for architecture in architectures:
            match, trouble = fitted(tensors, architecture)
            if match is not None:
                _check_finite(container, match)
                return Recognised(match, _taken(container, candidate))
            nearly = nearly or trouble
    if nearly:
        raise BadRequest(f"{container.path} was refused: {nearly}.", "Get the file from its authors again.")
    known = ", ".join(architecture.id for architecture in architectures)
    raise BadRequest(
        f"{container.path} holds no network that Kairos knows.", f"It knows {known or 'none'}; see docs/weights.md."
    )


def fitted(tensors: Mapping[str, Tensor], architecture: Architecture) -> Tuple[Optional[Match], str]:
    """The weights in an architecture's spelling; or None and, where they are the architecture's but not right, why."""
    spelled = architecture.spelled(tensors)
    values = architecture.recognise(shapes_of(spelled))
    if values is None:
        return None, ""
    trouble = mismatch(_wanted(architecture, values), shapes_of(spelled))
    if trouble:
        return None, f"it looks like {values.get('variant', architecture.id)}, but {trouble}"
    return Match(architecture, values, spelled), ""


def _wanted(architecture: Architecture, values: Mapping[str, Value]) -> Dict[str, Tuple[int, ...]]:
    # Shapes alone are wanted: on this device a network is built without numbers.
    with torch.device("meta"):
        return shapes_of(architecture.build(values).state_dict())


def mismatch(wanted: Mapping[str, Tuple[int, ...]], found: Mapping[str, Tuple[int, ...]]) -> str:
    """What is missing, superfluous or of another shape, in a few words; empty where all fits."""
    parts = []
    missing = [name for name in wanted if name not in found]
    foreign = [name for name in found if name not in wanted]
    other = [name for name in wanted if name in found and wanted[name] != found[name]]
    if missing:
        parts.append(f"{len(missing)} of its {len(wanted)} tensors are missing ({_some(missing)})")
    if foreign:
        parts.append(f"{len(foreign)} are superfluous ({_some(foreign)})")
    if other:
        name = other[0]
        parts.append(f"{len(other)} are of another shape ({name} {found[name]} and not {wanted[name]})")
    return ", ".join(parts)


def _some(names: List[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")


def _check_finite(container: Container, match: Match) -> None:
    broken = [name for name, tensor in match.tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise BadRequest(
            f"{container.path} was refused: {_some(broken)} hold values that are not numbers.",
            "Get the file from its authors again.",
        )


def _taken(container: Container, candidate: Candidate) -> str:
    """Of a file with several state dicts, which one was taken."""
    if len(container.candidates) == 1:
        return container.kind
    place = candidate.label or "the top level"
    mean = " (moving average)" if candidate.mean else ""
    others = ", ".join(each.label or "the top level" for each in container.candidates if each is not candidate)
    return f"{container.kind}; {place}{mean} taken, {others} left"
