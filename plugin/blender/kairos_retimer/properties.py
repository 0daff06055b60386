# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of Blender's made from the one table of parameters, and their values as a job wants them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any, Callable, Dict, Tuple

import bpy

from kairos_nodes.nodes import Node
from kairos_nodes.parameter import Parameter
from kairos_nodes.rational import number_text

HIDDEN = ("frames", "overwrite")
"""Knobs that Render and Preview set by themselves; results have a folder of their own for every setting."""

SUGGESTIONS = {"cuts": ("auto", "off"), "tile": ("auto", "off", "512", "1024"), "channels": ("all", "rgb", "rgba")}

FINEST = 4096
"""A number's fraction has no larger denominator: a property holds 24 bits, and 1/3 or 24/25 should be exactly that."""


def knobs_of(node: Node) -> Tuple[Parameter, ...]:
    """A node's parameters as Blender shows them; vectors and masks are there from the start, as Blender reads them."""
    return tuple(_for_blender(one) for one in node.knobs if one.name not in HIDDEN)


def properties_of(node: Node) -> Dict[str, Any]:
    """``bpy.props`` of a node's parameters, by name."""
    return {one.name: _property(one) for one in knobs_of(node)}


def values_of(node: Node, holder: Any) -> Dict[str, object]:
    """Values of a node's parameters: text, numbers and truth as :meth:`Parameter.check` takes them."""
    return {one.name: _value(one, getattr(holder, one.name)) for one in knobs_of(node)}


def _for_blender(one: Parameter) -> Parameter:
    if one.name == "vectors":
        return replace(one, default="blender", choices=("blender", "none"))
    if one.name == "masks":
        return replace(one, default=True)
    return one


def _value(one: Parameter, value: Any) -> object:
    if isinstance(value, float) and one.kind == "fraction":
        return number_text(Fraction(value).limit_denominator(FINEST))
    if isinstance(value, float):
        return round(value, 6)
    if one.kind == "path" and isinstance(value, str):
        return bpy.path.abspath(value)
    return value


def _property(one: Parameter) -> Any:
    if one.kind == "bool":
        return bpy.props.BoolProperty(name=_title(one), description=_tip(one), default=bool(one.default))
    if one.kind == "choice" and not one.accepts:
        items = [(choice, choice.capitalize(), "") for choice in one.choices]
        return bpy.props.EnumProperty(name=_title(one), description=_tip(one), items=items, default=str(one.default))
    if one.default is None or one.kind not in ("int", "float", "fraction"):
        return _text_property(one)
    bounds = {name: value for name, value in (("min", one.minimum), ("max", one.maximum)) if value is not None}
    common = {"name": _title(one), "description": _tip(one)}
    if one.kind == "int":
        whole = {name: int(value) for name, value in bounds.items()}
        return bpy.props.IntProperty(default=int(str(one.default)), **common, **whole)
    if one.name == "speed":
        bounds.update(soft_min=-2.0, soft_max=2.0)
    default = float(Fraction(str(one.default)))
    return bpy.props.FloatProperty(default=default, precision=3, step=5, **common, **bounds)


def _text_property(one: Parameter) -> Any:
    options: Dict[str, Any] = {"name": _title(one), "description": _tip(one), "default": str(one.default or "")}
    if one.kind == "path":
        options["subtype"] = "FILE_PATH"
    elif one.choices:
        options["search"] = _search(SUGGESTIONS.get(one.name, one.choices))
        options["search_options"] = {"SUGGESTION"}
    return bpy.props.StringProperty(**options)


def _search(words: Tuple[str, ...]) -> Callable[[Any, Any, str], Any]:
    def search(self: Any, context: Any, edit_text: str) -> Any:
        return [word for word in words if edit_text in word]

    return search


def _title(one: Parameter) -> str:
    """The label as Blender writes labels: Every Word Begins Like This."""
    return " ".join(f"{word[:1].upper()}{word[1:]}" for word in one.label.split())


def _tip(one: Parameter) -> str:
    """Blender ends a tooltip with a full stop of its own."""
    unit = f" ({one.unit})" if one.unit else ""
    return f"{one.help.rstrip('.')}{unit}"
