"""The nodes as ``.gizmo`` text, from the same table as the Python groups. Needs no Nuke."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import List

from kairos_nodes.nodes import Node
from kairos_nuke.inner import INNER
from kairos_nuke.knobs import CLASSES, KIND, Knob, knobs_of, shown_nodes

_CODES = {"string": 1, "file": 2, "int": 3, "enum": 4, "bool": 6, "double": 7, "tab": 20, "button": 22}
"""Numbers that Nuke's scripts give to kinds of user knobs."""


def gizmo_text(node: Node) -> str:
    """The whole ``.gizmo`` file of a node."""
    knobs = knobs_of(node)
    lines = [
        "#! Made from Kairos' parameter table; do not edit.",
        "Gizmo {",
        f" tile_color {TILE_COLOR:#010x}",
        f" help {quoted(node.description)}",
        *(f" {_declared(knob)}" for knob in knobs),
        # Last: a knob before the first tab would make Nuke add a tab of its own.
        f' addUserKnob {{1 {KIND} l "" +INVISIBLE}}',
        f" {KIND} {node.id}",
        *(f" {knob.name} {_value(knob.default)}" for knob in knobs if knob.default not in (None, "")),
        "}",
    ]
    return "\n".join([*lines, *inner_text(), "end_group", ""])


def inner_text() -> List[str]:
    """The inner nodes as commands for Nuke's stack: what others need is kept under its name."""
    commands = []
    for one in INNER:
        commands += [f"push ${name}" for name in reversed(one.inputs)]
        rows = [f"inputs {len(one.inputs)}"]
        rows += [f"{name} {_value(value)}" for name, value in one.knobs.items()]
        rows += [f"{name} {{{{{expression}}}}}" for name, expression in one.expressions.items()]
        rows += [f"name {one.name}"]
        commands += [f" {one.cls} {{", *(f"  {row}" for row in rows), " }"]
        if any(one.name in other.inputs for other in INNER):
            commands.append(f"set {one.name} [stack 0]")
    return commands


def write_gizmos(folder: Path) -> List[Path]:
    """Writes the ``.gizmo`` file of every node into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for node in shown_nodes():
        path = folder / f"{CLASSES[node.id]}.gizmo"
        path.write_text(gizmo_text(node), encoding="utf-8")
        written.append(path)
    return written


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


def _value(value: object) -> str:
    """A value as scripts write it: switches as words, numbers bare, text quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, (int, float)) else quoted(str(value))


if __name__ == "__main__":
    for place in write_gizmos(Path(sys.argv[1])):
        print(place)
