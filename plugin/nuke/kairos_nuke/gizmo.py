"""The nodes as ``.gizmo`` text, from the same table as the Python groups. Needs no Nuke."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

from kairos_nodes.nodes import Node
from kairos_nuke.knobs import CLASSES, KIND, RENDERED, RESULT, RESULT_FIRST, RESULT_LAST, Knob, knobs_of, shown_nodes

_CODES = {"string": 1, "file": 2, "int": 3, "enum": 4, "bool": 6, "double": 7, "tab": 20, "button": 22, "text": 26}
"""Numbers that Nuke's scripts give to kinds of user knobs."""


def gizmo_text(node: Node) -> str:
    """The whole ``.gizmo`` file of a node."""
    knobs = knobs_of(node)
    lines = [
        "#! Made from Kairos' parameter table; do not edit.",
        "Gizmo {",
        f" tile_color {TILE_COLOR:#010x}",
        f" help {quoted(node.description)}",
        f' addUserKnob {{1 {KIND} l "" +INVISIBLE}}',
        f" {KIND} {node.id}",
        *(f" {_declared(knob)}" for knob in knobs),
        *(
            f" {knob.name} {quoted(str(knob.default))}"
            for knob in knobs
            if knob.kind in ("string", "file") and knob.default
        ),
        *(f" {knob.name} {_number(knob)}" for knob in knobs if knob.kind in ("int", "double", "bool", "enum")),
        "}",
    ]
    return "\n".join([*lines, *inner_text(), "end_group", ""])


def inner_text() -> List[str]:
    """The nodes inside: the plate and the matte written, the result read back, and a switch between both."""
    ranges = "".join(f"  {knob} {{{{parent.{origin}}}}}\n" for knob, origin in RANGE.items())
    return [
        " Input {\n  inputs 0\n  name Matte\n  number 1\n }",
        " Write {\n  channels all\n  file_type exr\n  raw true\n  name MatteWrite\n }",
        " Input {\n  inputs 0\n  name Source\n }",
        "set source [stack 0]",
        " Write {\n  channels all\n  file_type exr\n  raw true\n  name PlateWrite\n }",
        f' Read {{\n  inputs 0\n  file "\\[value parent.{RESULT}]"\n{ranges}  on_error "nearest frame"\n  raw true\n'
        "  name ResultRead\n }",
        "push $source",
        f" Switch {{\n  inputs 2\n  which {{{{parent.{RENDERED}}}}}\n  name ShowResult\n }}",
        " Output {\n  name Output1\n }",
    ]


def write_gizmos(folder: Path) -> List[Path]:
    """Writes the ``.gizmo`` file of every node into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for node in shown_nodes():
        path = folder / f"{CLASSES[node.id]}.gizmo"
        path.write_text(gizmo_text(node), encoding="utf-8")
        written.append(path)
    return written


RANGE = {"first": RESULT_FIRST, "last": RESULT_LAST, "origfirst": RESULT_FIRST, "origlast": RESULT_LAST}
"""Knobs of the inner Read, and those of the node that they follow."""

TILE_COLOR = 0x3F7FBFFF
"""Of the nodes in the graph."""


def quoted(text: str) -> str:
    """A Tcl word that stands for exactly this text, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("[", "\\[").replace("]", "\\]")
    return '"' + escaped.replace("$", "\\$").replace("\n", "\\n") + '"'


def _declared(knob: Knob) -> str:
    """The line that adds a knob."""
    words = [str(_CODES[knob.kind]), knob.name]
    if knob.label:
        words += ["l", quoted(knob.label)]
    if knob.tooltip:
        words += ["t", quoted(knob.tooltip)]
    if knob.kind == "enum":
        words += ["M", "{" + " ".join(quoted(value) for value in knob.values) + "}"]
    if knob.span is not None:
        words += ["R", f"{knob.span[0]:g}", f"{knob.span[1]:g}"]
    if knob.kind == "button":
        words += ["T", quoted(knob.code)]
    if knob.kind in ("bool", "button"):
        words.append("+STARTLINE")
    return "addUserKnob {" + " ".join(words) + "}"


def _number(knob: Knob) -> str:
    if knob.kind == "bool":
        return "true" if knob.default else "false"
    return quoted(str(knob.default)) if knob.kind == "enum" else f"{knob.default:g}"


if __name__ == "__main__":
    for place in write_gizmos(Path(sys.argv[1])):
        print(place)
