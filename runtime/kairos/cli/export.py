"""``kairos engines export``: a network as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Dict, List, Optional, Tuple

import typer
from typer.core import TyperGroup

from kairos.errors import BadRequest, EngineError

if TYPE_CHECKING:
    from torch import nn


class EngineOrCommand(TyperGroup):
    """``kairos engines NAME`` beside ``kairos engines export``: a word that is no command is an engine's name."""

    def parse_args(self, ctx: Any, args: List[str]) -> List[str]:
        """Takes a command's words as they are, and options on both sides of an engine's name."""
        commanded = bool(args) and args[0] in self.commands
        ctx.allow_interspersed_args = not commanded
        return list(super().parse_args(ctx, ["", *args] if commanded else args))


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The engine, as kairos engines shows it, or raft.")],
    onnx: Annotated[
        Optional[Path], typer.Option("--onnx", metavar="FILE", help="Write ONNX: for --engine onnx:FILE and others.")
    ] = None,
    torchscript: Annotated[
        Optional[Path],
        typer.Option("--torchscript", metavar="FILE", help="Write TorchScript: for Nuke's CatFileCreator."),
    ] = None,
    weights: Annotated[
        Optional[str], typer.Option("--weights", metavar="NAME", help="Which weights; as for kairos retime.")
    ] = None,
) -> None:
    """Write a network as one file for other programs. docs/export.md tells what it takes and gives."""
    from kairos.engines.export import to_onnx, to_torchscript

    if onnx is None and torchscript is None:
        raise BadRequest("There is nothing to write.", "Give --onnx FILE or --torchscript FILE.")
    network, notes = found(name, weights)
    told = f"{notes['engine']}, weights {notes['weights']}, licence {notes['licence']}"
    if onnx is not None:
        to_onnx(network, onnx, notes)
        use = "" if notes["engine"] == "raft" else f" Use it with --engine onnx:{onnx}."
        print(f"{onnx}: {told}.{use}")
    if torchscript is not None:
        to_torchscript(network, torchscript)
        print(f"{torchscript}: {told}. CatFileCreator makes a .cat of it for Nuke's Inference node.")


def found(name: str, weights: Optional[str]) -> Tuple[nn.Module, Dict[str, str]]:
    """The network of an engine with its weights, float32 on the CPU, and what its file shall say.

    Raises:
        BadRequest: an engine without a network, or weights that are not there.
        EngineError: there are no weights yet.
        KairosError: the weights are damaged.
    """
    from kairos.engines.adapters.engine import PublishedEngine
    from kairos.engines.architectures import ARCHITECTURES
    from kairos.engines.registry import engine
    from kairos.weights.catalogue import first_place
    from kairos.weights.store import Store

    if name == "swift":
        return _swift(weights)
    architecture = next((each for each in ARCHITECTURES if each.id == name), None)
    if architecture is None or name not in exportable():
        engine(name)
        raise BadRequest(f"{name} has no network to export.", f"Choose one of: {', '.join(exportable())}.")
    known = engine(name) if name != "raft" else None
    records = known.records() if isinstance(known, PublishedEngine) else Store().of(name)
    if not records:
        place = first_place(name)
        way = f"Run kairos weights fetch {place.name}" if place is not None and place.url else "Get its official file"
        raise EngineError(f"There are no weights of {name} yet.", f"{way}, or kairos weights add FILE.")
    record = next((each for each in records if weights in (None, each.name)), None)
    if record is None:
        names = ", ".join(each.name for each in records)
        raise BadRequest(f"{name} has no weights {weights!r}.", f"It has {names}.")
    record, tensors = Store().load(record.name)
    network = architecture.build(record.values)
    network.load_state_dict(tensors, strict=True)
    notes = {
        "engine": name,
        "weights": record.name,
        "licence": record.licence,
        "non_commercial": _answer(record.non_commercial),
    }
    if isinstance(known, PublishedEngine):
        notes["paints"] = _answer(known.traits.paints)
        notes["formula"] = _answer(known.traits.formula)
        notes["any_time"] = _answer(bool(getattr(network, "any_time", True)))
    return network, notes


def exportable() -> Tuple[str, ...]:
    """What has a network that can be written to a file."""
    from kairos.engines.adapters.engine import PublishedEngine
    from kairos.engines.registry import engines

    return ("swift", *(each.card.id for each in engines() if isinstance(each, PublishedEngine)), "raft")


def _swift(weights: Optional[str]) -> Tuple[nn.Module, Dict[str, str]]:
    import torch

    from kairos.engines.registry import engine
    from kairos.engines.swift.graph import SwiftGraph
    from kairos.engines.swift.loading import SHIPPED, load_network

    path = Path(weights) if weights else SHIPPED
    network = SwiftGraph(load_network(path, torch.device("cpu")))
    licence = engine("swift").card.weights_licence if path == SHIPPED else "that of the shot they were fitted to"
    notes = {"engine": "swift", "weights": path.name, "licence": licence, "non_commercial": "no"}
    return network, {**notes, "paints": "no", "formula": "no", "any_time": "yes"}


def _answer(value: bool) -> str:
    return "yes" if value else "no"
