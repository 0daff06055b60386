"""What an ONNX file says about the network in it: inputs, outputs, and what Kairos noted when it wrote the file."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from kairos.errors import BadRequest, EngineError
from kairos.unchanged import while_unchanged

INPUTS: Mapping[str, int] = {"frames": 6, "time": 1}
"""Names and channels of what goes in."""

OUTPUTS: Mapping[str, int] = {"image": 3, "flow_to_0": 2, "flow_to_1": 2, "mask": 1}
"""Names and channels of what comes out. The mask may be absent."""

_OPTIONAL = ("mask",)

NOTE = "kairos."
"""What Kairos notes in a file's metadata begins with this."""

_REMEDY = "Give a file that kairos engines export --onnx wrote, or one made as docs/export.md says."


@dataclass(frozen=True)
class Described:
    """A network in an ONNX file.

    Attributes:
        outputs: the names of :data:`OUTPUTS` that it has, in the file's order.
        size: height and width, where it takes frames of one size alone.
        paints: its picture is the answer.
        any_time: it may be asked for any time; else for the middle, and what lies between is found by halving.
        formula: though it was trained for the middle, its flows may be taken at any part of the way.
        network: id of the engine whose network it is; empty where another program wrote the file.
        weights: their name.
        licence: of the weights; empty where the file does not say.
        non_commercial: the licence forbids commercial use.
    """

    outputs: Tuple[str, ...]
    size: Optional[Tuple[int, int]]
    paints: bool
    any_time: bool
    formula: bool
    network: str
    weights: str
    licence: str
    non_commercial: bool


def runtime() -> ModuleType:
    """The package onnxruntime. Raises EngineError where it is missing."""
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise EngineError(
            "ONNX files are run by the package onnxruntime, which is missing.",
            "Run: pip install onnxruntime, or onnxruntime-gpu on a machine with an NVIDIA card.",
        ) from error


def described(path: Path) -> Described:
    """What a file says. It is opened anew where it has changed.

    Raises:
        BadRequest: it is missing, damaged, or no network of the documented signature.
        EngineError: the package onnxruntime is missing.
    """
    try:
        return _described(path)
    except OSError:
        raise BadRequest(f"There is no file {path}.", "Check the path after onnx: in --engine.") from None


@while_unchanged(16)
def _described(path: Path) -> Described:
    options = runtime().SessionOptions()
    # To be looked at alone: as it is, quickly.
    options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
    session = opened(path, options, ["CPUExecutionProvider"])
    trouble = _mismatch(session)
    if trouble:
        raise BadRequest(f"{path} is no network that Kairos can use: {trouble}.", _REMEDY)
    notes: Dict[str, str] = session.get_modelmeta().custom_metadata_map
    told = {name[len(NOTE) :]: text for name, text in notes.items() if name.startswith(NOTE)}
    names = tuple(each.name for each in session.get_outputs() if each.name in OUTPUTS)
    # Without a mask nobody says what of the flows' frames counts, but the picture does.
    paints = told["paints"] == "yes" if "paints" in told else "mask" not in names
    sides = session.get_inputs()[_index(session.get_inputs(), "frames")].shape[2:]
    fixed = all(isinstance(side, int) for side in sides)
    return Described(
        outputs=names,
        size=(sides[0], sides[1]) if fixed else None,
        paints=paints,
        any_time=told.get("any_time", "yes") == "yes",
        formula=told.get("formula") == "yes",
        network=told.get("engine", ""),
        weights=told.get("weights", ""),
        licence=told.get("licence", ""),
        non_commercial=told.get("non_commercial") == "yes",
    )


def opened(path: Path, options: Any, providers: Sequence[Any]) -> Any:
    """An ``InferenceSession`` on a file. Raises BadRequest where it is damaged or cannot be run."""
    options.log_severity_level = 3
    # Its planning takes ten seconds for the graph of swift, and saves neither memory nor time.
    options.enable_mem_reuse = False
    try:
        return runtime().InferenceSession(path, options, providers=list(providers))
    # What onnxruntime raises has no common parent below Exception.
    except Exception as error:
        raise BadRequest(
            f"{path} is damaged, or no ONNX file that onnxruntime can run: {reason(error)}", _REMEDY
        ) from error


def reason(error: Exception) -> str:
    """What onnxruntime says, in a line without its own bookkeeping."""
    line = " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error)).split())
    return re.split(r" failed: ?| Status Message: | : [A-Z_]+ : ", line)[-1][:200].rstrip(".") + "."


def _index(values: Sequence[Any], name: str) -> int:
    return next(index for index, each in enumerate(values) if each.name == name)


def _mismatch(session: Any) -> str:
    """What of the signature is missing or otherwise, in a few words; empty where all fits."""
    taken, given = ({each.name: each for each in found} for found in (session.get_inputs(), session.get_outputs()))
    for kind, wanted, found in (("input", INPUTS, taken), ("output", OUTPUTS, given)):
        for name, channels in wanted.items():
            if name in found:
                trouble = _unlike(found[name], channels)
                if trouble:
                    return f"its {kind} {name} {trouble}"
            elif name not in _OPTIONAL:
                return f"it has no {kind} {name}"
    foreign = next((name for name in taken if name not in INPUTS), "")
    return f"it wants an input {foreign} that Kairos does not have" if foreign else ""


def _unlike(value: Any, channels: int) -> str:
    if value.type != "tensor(float)":
        return f"is {value.type} and not float32"
    shape = value.shape
    if len(shape) != 4:
        return f"has {len(shape)} dimensions and not four"
    if isinstance(shape[1], int) and shape[1] != channels:
        return f"has {shape[1]} channels and not {channels}"
    return ""
