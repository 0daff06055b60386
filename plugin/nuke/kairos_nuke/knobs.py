"""Kairos' parameters as Nuke knobs: names, kinds, values. Needs no Nuke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from kairos_nodes.nodes import NODES, TIMING_TITLES, Node
from kairos_nodes.parameter import Parameter
from kairos_nodes.sections import sections

CLASSES: Mapping[str, str] = {"Retime": "KairosRetime", "MotionVectors": "KairosVectors"}
"""Nuke's name of each node that the plugin offers; Slow Motion belongs to timelines."""

HIDDEN = frozenset(("frames", "start", "fps", "on_missing", "matte", "colorspace", "ocio"))
"""What Nuke itself settles: its frames, its scene-linear plates, the Matte input, the cache."""

KIND = "kairos_node"
"""Hidden knob by which a Kairos group is known, whatever the artist calls it."""

RESULT, RESULT_FIRST, RESULT_LAST, RENDERED = "kairos_result", "kairos_first", "kairos_last", "kairos_rendered"
"""Where the frames are that a node shows. The inner Read and Switch follow these knobs, which a script saves."""

TIMING, FRAME = "timing2", "timingFrame2"


@dataclass(frozen=True)
class Knob:
    """One knob of a Nuke node.

    Attributes:
        name: as expressions and scripts know it; Kronos' own where the meaning is the same.
        kind: ``enum``, ``int``, ``double``, ``bool``, ``string``, ``file``, ``tab`` or ``button``.
        label, tooltip: for people.
        default: the value it begins with.
        values: of an ``enum``.
        span: slider of a number.
        code: Python that a ``button`` runs.
    """

    name: str
    kind: str
    label: str = ""
    tooltip: str = ""
    default: Any = None
    values: Tuple[str, ...] = ()
    span: Optional[Tuple[float, float]] = None
    code: str = ""


def shown_nodes() -> Tuple[Node, ...]:
    """The nodes that the plugin offers."""
    return tuple(one for one in NODES if one.id in CLASSES)


def knobs_of(node: Node) -> Tuple[Knob, ...]:
    """Every knob of a node's panel, in order, tabs and buttons among them."""
    found: List[Knob] = []
    for title, parameters in sections(node.knobs).items():
        rows = [knob for parameter in parameters if parameter.name not in HIDDEN for knob in _knobs(parameter)]
        if title == "Timing":
            rows = [*_timing(node), *rows]
        if rows:
            found += [Knob(f"kairos_{title.lower()}", "tab", title), *rows]
        if title == "Timing":
            found += _buttons(node)
    return tuple(found)


def values_of(node: Node, read: Mapping[str, Any]) -> Dict[str, object]:
    """Parameters by name from knob values by knob name: what :meth:`Node.make_job` takes."""
    values: Dict[str, object] = {}
    for parameter in node.knobs:
        if parameter.name in HIDDEN or parameter.name == "frame_map":
            continue
        if parameter.name == "range":
            values["range"] = f"{int(read['input_first'])}-{int(read['input_last'])}"
            continue
        value = read[knob_name(parameter)]
        values[parameter.name] = float(value) * parameter.kronos_factor if parameter.kronos_factor != 1 else value
    return values


def timing_of(node: Node, title: str) -> Optional[str]:
    """The timing parameter that the Timing knob's value stands for; None for nodes that do not retime."""
    return next((name for name in node.timings if TIMING_TITLES[name] == title), None)


def knob_name(parameter: Parameter) -> str:
    """A parameter's knob in Nuke."""
    return parameter.kronos if parameter.kronos else parameter.name


def _timing(node: Node) -> Iterator[Knob]:
    if node.timings:
        titles = tuple(TIMING_TITLES[name] for name in node.timings)
        yield Knob(TIMING, "enum", "Timing", "What says which source frame an output frame shows.", titles[0], titles)


def _knobs(one: Parameter) -> Iterator[Knob]:
    """The knobs of one parameter: one, or two for a range."""
    name, label, tooltip = knob_name(one), one.label, one.help
    if one.name == "range":
        yield Knob("input_first", "int", "Input first", "First source frame to use.", 1)
        yield Knob("input_last", "int", "Input last", "Last source frame to use.", 100)
    elif one.name == "frame_map":
        yield Knob(FRAME, "double", "Frame", "The source frame that each output frame shows: animate it.", 1.0)
    elif one.choices and not one.accepts:
        yield Knob(name, "enum", label, tooltip, one.default, one.choices)
    elif one.kind == "bool":
        yield Knob(name, "bool", label, tooltip, one.default)
    elif one.kind == "int" and one.default is not None:
        yield Knob(name, "int", label, tooltip, one.default)
    elif one.kind in ("float", "fraction") and one.default is not None:
        factor = one.kronos_factor
        span = None if one.minimum is None or one.maximum is None else (one.minimum / factor, one.maximum / factor)
        if one.name == "speed":
            span = (0.0, 2.0)
        yield Knob(name, "double", label, tooltip, float(str(one.default)) / factor, span=span)
    else:
        if one.choices:
            tooltip = f"{tooltip} One of {', '.join([*one.choices, one.form])}."
        kind = "file" if one.kind == "path" else "string"
        yield Knob(name, kind, label, tooltip, "" if one.default is None else str(one.default))


def _buttons(node: Node) -> List[Knob]:
    run = "import kairos_nuke.panel; kairos_nuke.panel.{}(nuke.thisNode())"
    rows = [
        ("kairos_render", "Render", "Renders all output frames.", "pressed_render"),
        ("kairos_preview", "Preview frame", "Renders the output frame that the Viewer is at.", "pressed_preview"),
        ("kairos_range", "Reset range", "Takes the input range from the source.", "pressed_range"),
    ]
    if node.timings:
        tooltip = "Takes over speed or frame curve of a Kronos, OFlow, TimeWarp or Retime node copied to the clipboard."
        rows.append(("kairos_import", "Import retime", tooltip, "pressed_import"))
    return [
        *(Knob(name, "button", label, tooltip, code=run.format(call)) for name, label, tooltip, call in rows),
        Knob(RESULT, "file", "Result", "Where the rendered frames are; set by Render.", ""),
        Knob(RESULT_FIRST, "int", "Result first", "First rendered frame; set by Render.", 1),
        Knob(RESULT_LAST, "int", "Result last", "Last rendered frame; set by Render.", 1),
        Knob(RENDERED, "bool", "Show result", "On shows the result, off the source; set by Render.", False),
    ]
