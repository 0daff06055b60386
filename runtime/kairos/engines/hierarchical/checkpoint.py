"""Files of hierarchical motion: base and plug-in in one, or a plug-in that names its base by SHA-256.

A file is safetensors; its names are those of :mod:`kairos.engines.hierarchical.architecture`. Its metadata says for
people and for licences what the tensors alone cannot.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kairos.engines.architecture import shapes_of
from kairos.engines.hierarchical.architecture import (
    BASE,
    BASE_ARCHITECTURES,
    DIGEST,
    PLUGIN,
    REFERENCE,
    Alone,
    build,
    plugged_values,
    recognise,
)
from kairos.engines.hierarchical.plugged import Plugged, plugin_values
from kairos.errors import BadRequest
from kairos.weights.recognise import mismatch
from kairos.weights.store import Store, written_whole

FORMAT = "kairos-hierarchical"
VERSION = 1

_REMEDY = "Give weights made by kairos train."

FindBase = Callable[[str, str], Optional[nn.Module]]
"""From the id of an architecture and a SHA-256 to the base with its weights; None where there is none."""


@dataclass(frozen=True)
class Origin:
    """Where a plugged network comes from and on which terms.

    Attributes:
        base_licence: of the base's weights.
        plugin_licence: of the plug-in's.
        non_commercial: either forbids commercial use.
        provenance: how the plug-in was trained, for people: data, seed, steps.
        base_source: of which weights the base is, their name or file.
        base_sha256: of the base's file; in a file without its base it says which one is wanted.
    """

    base_licence: str
    plugin_licence: str
    non_commercial: bool
    provenance: str
    base_source: str = ""
    base_sha256: str = ""


def save(path: Path, network: Plugged, origin: Origin, embed: bool = True) -> None:
    """Writes a plugged network.

    Args:
        path: of the file, replaced whole.
        network: in any precision; kept as it is.
        origin: goes along as metadata.
        embed: with the base; else ``origin.base_sha256`` says where to find it.

    Raises:
        BadRequest: the base is left out and its SHA-256 is none.
        KairosError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if not embed:
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(PLUGIN)}
        tensors[REFERENCE] = _digest(origin.base_sha256)
    values = recognise(shapes_of(tensors))
    assert values is not None
    metadata = {"format": FORMAT, "version": str(VERSION), "values": json.dumps(values, sort_keys=True)}
    metadata["origin"] = json.dumps(asdict(origin), sort_keys=True)
    with written_whole(path) as temporary:
        save_file(tensors, str(temporary), metadata)


def load(path: Path, find_base: Optional[FindBase] = None) -> Tuple[Plugged, Origin]:
    """The network of a file, in evaluation mode, and where it comes from.

    Args:
        path: of the file.
        find_base: asked for a base that is not in the file.

    Raises:
        BadRequest: the file is missing, damaged, newer, holds anything else, does not fit name by name and shape by
            shape, or its base is not to be had.
    """
    tensors, metadata = _read(path)
    values, origin = _told(path, metadata)
    found = recognise(shapes_of(tensors))
    if found is None:
        raise BadRequest(f"{path} holds no network with hierarchical motion.", _REMEDY)
    if found != values:
        wrong = next((name for name in found if found[name] != values.get(name)), "values")
        raise BadRequest(f"{path} is damaged: what it says of its {wrong} is not what it holds.", _REMEDY)
    network = build(values)
    problem = mismatch(shapes_of(network.state_dict()), shapes_of(tensors))
    if problem:
        raise BadRequest(f"{path} does not hold {values['variant']}: {problem}.", _REMEDY)
    broken = next((name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())), "")
    if broken:
        raise BadRequest(f"{path} is damaged: {broken} holds values that are not numbers.", _REMEDY)
    network.load_state_dict(tensors, strict=True)
    if isinstance(network, Alone):
        origin = replace(origin, base_sha256=network.wanted)
        network = completed(str(path), network, find_base)
    assert isinstance(network, Plugged)
    return network.eval(), origin


def completed(name: str, network: Alone, find_base: Optional[FindBase]) -> Plugged:
    """A plug-in on its base.

    Args:
        name: of its file or weights, for messages.
        network: the plug-in.
        find_base: asked for the base.

    Raises:
        BadRequest: the base is not to be had, or the plug-in was not made for it.
    """
    base = find_base(network.id, network.wanted) if find_base is not None else None
    if base is None:
        raise BadRequest(
            f"{name} belongs on weights of {network.id} that are not here (SHA-256 {network.wanted}).",
            f"Add them first: kairos weights add FILE, or kairos weights fetch. See kairos engines {network.id}.",
        )
    plugged = network.onto(base)
    if not _fits(plugged):
        raise BadRequest(f"The plug-in of {name} does not fit the weights of {network.id} that were given.", _REMEDY)
    return plugged


def stored_base(store: Store) -> FindBase:
    """Finds bases among the weights that the user has, by the SHA-256 of the file they came from or of what is kept."""

    def find(id: str, sha256: str) -> Optional[nn.Module]:
        for record in store.of(id):
            if sha256 in (record.source_sha256, record.sha256):
                record, tensors = store.load(record.name)
                network = BASE_ARCHITECTURES[id].build(record.values)
                network.load_state_dict(tensors, strict=True)
                return network.eval()
        return None

    return find


def plug(id: str, tensors: Mapping[str, Tensor], **choices: Any) -> Plugged:
    """An official base with an untrained plug-in: what training begins from.

    Args:
        id: of the base's architecture.
        tensors: its state dict, in any official spelling.
        choices: ``parts`` and ``level``, see :func:`kairos.engines.hierarchical.plugged.plugin_values`.

    Raises:
        BadRequest: the state dict is not that architecture's, or the choices do not fit it.
    """
    architecture = BASE_ARCHITECTURES.get(id)
    if architecture is None:
        known = ", ".join(BASE_ARCHITECTURES)
        raise BadRequest(f"Hierarchical motion cannot be plugged into {id!r}.", f"Choose of {known}.")
    spelled = architecture.spelled(tensors)
    base = architecture.recognise(shapes_of(spelled))
    if base is None:
        raise BadRequest(f"These are no weights of {id}.", f"Give official weights of {id}.")
    network = build(plugged_values(id, base, **choices))
    problem = mismatch(_of_base(network), shapes_of(spelled))
    if problem:
        raise BadRequest(f"These look like weights of {id}, but {problem}.", f"Give official weights of {id}.")
    assert isinstance(network, Plugged)
    network.base.load_state_dict(spelled, strict=True)
    return network.eval()


def _of_base(network: nn.Module) -> Dict[str, Tuple[int, ...]]:
    shapes = shapes_of(network.state_dict())
    return {name.removeprefix(BASE): shape for name, shape in shapes.items() if name.startswith(BASE)}


def _read(path: Path) -> Tuple[Dict[str, Tensor], Mapping[str, str]]:
    if not path.is_file():
        raise BadRequest(f"There are no weights {path}.", _REMEDY)
    try:
        with safe_open(str(path), "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise BadRequest(f"{path} is damaged or holds no weights.", _REMEDY) from error


def _told(path: Path, metadata: Mapping[str, str]) -> Tuple[Dict[str, Any], Origin]:
    """Values and origin from a file's metadata."""
    if metadata.get("format") != FORMAT:
        raise BadRequest(f"{path} is no file of hierarchical motion.", _REMEDY)
    version = metadata.get("version", "")
    if version != str(VERSION):
        raise BadRequest(f"{path} is of version {version or 'none'}; this Kairos reads {VERSION}.", "Update Kairos.")
    try:
        return dict(json.loads(metadata["values"])), Origin(**json.loads(metadata["origin"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"{path} is damaged: it does not say what it holds.", _REMEDY) from error


def _fits(network: Plugged) -> bool:
    """Whether the plug-in is what would be made for this base."""
    values = recognise(shapes_of(network.state_dict()))
    if values is None or values["base_values"] is None:
        return False
    plugin = values["plugin"]
    wanted = plugin_values(values["base"], values["base_values"], tuple(plugin["parts"]), plugin["level"])
    return all(wanted[name] == plugin[name] for name in ("kind", "inputs", "feature", "grown"))


def _digest(sha256: str) -> Tensor:
    try:
        digest = bytes.fromhex(sha256)
    except ValueError:
        digest = b""
    if len(digest) != DIGEST:
        raise BadRequest("A plug-in without its base has to name the base's SHA-256.", "Give it, or keep the base.")
    return torch.tensor(list(digest), dtype=torch.uint8)
