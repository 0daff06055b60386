"""Group nodes and their knobs, made in Nuke from the table."""

from __future__ import annotations

from typing import Callable, Dict, Mapping

import nuke

from kairos_nodes.nodes import Node
from kairos_nodes.nodes import node as kairos_node
from kairos_nuke.gizmo import TILE_COLOR
from kairos_nuke.inner import INNER, SOURCE
from kairos_nuke.knobs import CLASSES, KIND, Knob, knobs_of

_MAKERS: Mapping[str, Callable[[Knob], nuke.Knob]] = {
    "tab": lambda one: nuke.Tab_Knob(one.name, one.label),
    "enum": lambda one: nuke.Enumeration_Knob(one.name, one.label, list(one.values)),
    "int": lambda one: nuke.Int_Knob(one.name, one.label),
    "double": lambda one: nuke.Double_Knob(one.name, one.label),
    "bool": lambda one: nuke.Boolean_Knob(one.name, one.label),
    "string": lambda one: nuke.String_Knob(one.name, one.label),
    "file": lambda one: nuke.File_Knob(one.name, one.label),
    "button": lambda one: nuke.PyScript_Knob(one.name, one.label, one.code),
}

_BELOW = 60
"""How far below the selected node a new one lies in the graph."""


def create(node_id: str) -> nuke.Group:
    """Makes a Kairos node after the selected one, as Nuke's own menu entries do.

    Args:
        node_id: ``Retime`` or ``MotionVectors``.
    """
    chosen = nuke.selectedNodes()
    group = build(kairos_node(node_id))
    if chosen:
        group.setInput(SOURCE, chosen[0])
        group.setXYpos(chosen[0].xpos(), chosen[0].ypos() + _BELOW)
        reset_range(group)
    if nuke.GUI:
        group.showControlPanel()
    return group


def build(node: Node) -> nuke.Group:
    """The group with its knobs and inner nodes, not yet connected."""
    group = nuke.nodes.Group()
    group.setName(CLASSES[node.id] + "1")
    group["tile_color"].setValue(TILE_COLOR)
    group["help"].setValue(node.description)
    for one in knobs_of(node):
        group.addKnob(make_knob(one))
    kind = nuke.String_Knob(KIND, "")
    kind.setFlag(nuke.INVISIBLE)
    group.addKnob(kind)
    group[KIND].setValue(node.id)
    with group:
        _fill()
    return group


def make_knob(one: Knob) -> nuke.Knob:
    """A Nuke knob with its label, tooltip, slider and value."""
    knob = _MAKERS[one.kind](one)
    if one.tooltip:
        knob.setTooltip(one.tooltip)
    if one.span is not None and isinstance(knob, nuke.Array_Knob):
        knob.setRange(*one.span)
    if one.default is not None and one.kind not in ("tab", "button"):
        knob.setValue(one.default)
    if one.kind in ("bool", "button"):
        knob.setFlag(nuke.STARTLINE)
    return knob


def reset_range(group: nuke.Node) -> None:
    """Sets the input range to that of the connected source."""
    source = group.input(SOURCE)
    if source is not None:
        group["input_first"].setValue(source.firstFrame())
        group["input_last"].setValue(source.lastFrame())


def node_of(group: nuke.Node) -> Node:
    """The Kairos node that a group is. Raises BadRequest where it is none."""
    knob = group.knob(KIND)
    return kairos_node(str(knob.value()) if knob is not None else group.name())


def is_kairos(group: nuke.Node) -> bool:
    """Whether a node of the script is one of Kairos'."""
    return group.knob(KIND) is not None


def _fill() -> None:
    """Makes the inner nodes in the group that is open."""
    made: Dict[str, nuke.Node] = {}
    for one in INNER:
        # The file type comes first: it decides which knobs a Write has.
        kept = {name: one.knobs[name] for name in ("file_type", "channels") if name in one.knobs}
        node = getattr(nuke.nodes, one.cls)(name=one.name, **kept)
        for name, value in one.knobs.items():
            if name not in kept and (name not in one.optional or node.knob(name) is not None):
                node[name].setValue(value)
        for name, expression in one.expressions.items():
            node[name].setExpression(expression)
        for index, origin in enumerate(one.inputs):
            node.setInput(index, made[origin])
        made[one.name] = node
