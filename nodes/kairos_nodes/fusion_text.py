"""Fusion compositions and settings as text: Lua tables, as Fusion writes them to files and to the clipboard."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

from kairos_nodes.channels import vector_channels

Item = Union[bool, int, float, str, "Tagged", Mapping[str, "Item"], Sequence["Item"]]

_NAME = re.compile(r"[A-Za-z_]\w*")
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(
    ("do", "elseif", "end", "function", "local", "nil", "repeat", "then", "until")
)

_VELOCITY = ("XVelName", "YVelName", "XRevVelName", "YRevVelName")
"""Inputs of Fusion's EXR reader for the Vector and BackVector channels, in the order of the ``fusion`` preset."""


@dataclass(frozen=True)
class Tagged:
    """A table with a word before it, such as ``Input { ... }``."""

    word: str
    items: Union[Mapping[str, Item], Sequence[Item]]


@dataclass(frozen=True)
class Clip:
    """What a Loader loads.

    Attributes:
        file: its first file, or a movie.
        first: number of that file; 0 for a movie.
        count: frames.
        start: composition time of the first.
        trim: frames of the file to pass over.
    """

    file: str
    first: int
    count: int
    start: int = 0
    trim: int = 0


def lua(item: Item, indent: int = 0) -> str:
    """A value as Lua text. Raises ValueError for what Lua has no text for."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, (int, float)):
        return repr(item)
    if isinstance(item, str):
        return _quoted(item)
    if isinstance(item, Tagged):
        return f"{item.word} {lua(item.items, indent)}"
    inner = "\t" * (indent + 1)
    if isinstance(item, Mapping):
        lines = [f"{inner}{_key(name)} = {lua(value, indent + 1)},\n" for name, value in item.items()]
    else:
        lines = [f"{inner}{lua(value, indent + 1)},\n" for value in item]
    return "{\n" + "".join(lines) + "\t" * indent + "}" if lines else "{ }"


def setting_text(tools: Mapping[str, Item]) -> str:
    """Tools as a ``.setting``: what the clipboard holds after Ctrl+C, and what Ctrl+V and a drop take."""
    return lua({"Tools": Tagged("ordered()", tools)}) + "\n"


def composition_text(tools: Mapping[str, Item], length: int) -> str:
    """Tools as a whole composition of ``length`` frames from 0, as a timeline clip's."""
    last = length - 1
    return (
        lua(
            Tagged(
                "Composition",
                {
                    "CurrentTime": 0,
                    "RenderRange": [0, last],
                    "GlobalRange": [0, last],
                    "Tools": Tagged("ordered()", tools),
                },
            )
        )
        + "\n"
    )


def loader(clip: Clip, place: Tuple[float, float], channels: Optional[Mapping[str, str]] = None) -> Tagged:
    """A Loader.

    Args:
        clip: what it loads.
        place: in the flow.
        channels: EXR channels by input of Fusion's EXR reader, such as ``XVelName``; Fusion's own choice where None.
    """
    end = clip.start + clip.count - 1
    entry: Dict[str, Item] = {
        "ID": "Clip1",
        "Filename": clip.file,
        "StartFrame": clip.first,
        "Length": clip.trim + clip.count,
        "LengthSetManually": True,
        "TrimIn": clip.trim,
        "TrimOut": clip.trim + clip.count - 1,
        "ExtendFirst": 0,
        "ExtendLast": 0,
        "Loop": 0,
        "GlobalStart": clip.start,
        "GlobalEnd": end,
    }
    if clip.file.lower().endswith(".exr"):
        entry["FormatID"] = "OpenEXRFormat"
    inputs: Dict[str, Item] = {"GlobalIn": _input(clip.start), "GlobalOut": _input(end)}
    for name, channel in (channels or {}).items():
        inputs[f"Clip1.OpenEXRFormat.{name}"] = Tagged("Input", {"Value": Tagged("FuID", [channel])})
    return Tagged("Loader", {"Clips": [Tagged("Clip", entry)], "Inputs": inputs, "ViewInfo": _at(place)})


def vector_channel_names() -> Dict[str, str]:
    """EXR channels by input for vectors of the ``fusion`` preset.

    They load as Vector and BackVector, and the forward ones as red and green too: tools with an input for vectors take
    them from either.
    """
    names = [channel.name for channel in vector_channels("fusion")]
    return {"RedName": names[0], "GreenName": names[1], **dict(zip(_VELOCITY, names))}


def blur_tools(vectors: Clip, plate: Optional[Clip]) -> Dict[str, Item]:
    """A Loader of vectors and a VectorMotionBlur that uses them on the plate.

    Args:
        vectors: EXR sequence with the channels of the ``fusion`` preset.
        plate: the plate's file; None takes the timeline clip's own MediaIn1, and gives the result to MediaOut1.
    """
    tools: Dict[str, Item] = {}
    source = "KairosPlate"
    if plate is None:
        source = "MediaIn1"
        tools[source] = Tagged(
            "Loader", {"Inputs": {"GlobalOut": _input(vectors.count - 1)}, "ViewInfo": _at((0.0, 0.0))}
        )
    else:
        tools[source] = loader(plate, (0.0, 0.0))
    tools["KairosVectors"] = loader(vectors, (0.0, 66.0), vector_channel_names())
    tools["KairosBlur"] = Tagged(
        "VectorMotionBlur",
        {
            "Inputs": {"Input": _wire(source), "Vectors": _wire("KairosVectors")},
            "ViewInfo": _at((220.0, 0.0)),
        },
    )
    if plate is None:
        inputs: Dict[str, Item] = {"Index": _input("0"), "Input": _wire("KairosBlur")}
        tools["MediaOut1"] = Tagged("Saver", {"Inputs": inputs, "ViewInfo": _at((440.0, 0.0))})
    return tools


def _input(value: Item) -> Tagged:
    return Tagged("Input", {"Value": value})


def _wire(tool: str) -> Tagged:
    return Tagged("Input", {"SourceOp": tool, "Source": "Output"})


def _at(place: Tuple[float, float]) -> Tagged:
    return Tagged("OperatorInfo", {"Pos": list(place)})


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) and name not in _KEYWORDS else f"[{_quoted(name)}]"


def _quoted(text: str) -> str:
    escaped: List[str] = []
    for letter in text:
        if letter in '\\"':
            escaped.append("\\" + letter)
        elif ord(letter) < 32:
            escaped.append(f"\\{ord(letter):03d}")
        else:
            escaped.append(letter)
    return '"' + "".join(escaped) + '"'
