"""The parameter reference (``docs/parameters.md``), rendered from the one table."""

from __future__ import annotations

from typing import Iterable, List

from kairos_nodes.channels import CONVENTIONS, PRESETS, mask_channels, vector_channels
from kairos_nodes.layers import Policy
from kairos_nodes.parameters import JOBS, PARAMETERS, Parameter, Value

_HEAD = """# Parameters

Every knob of Kairos, on the command line and in hosts; [nodes.md](nodes.md) says which node has which. This page is
made from `nodes/kairos_nodes/parameters.py` by `kairos manifest --write`; do not edit it by hand.
"""


def reference_text() -> str:
    """The whole page as Markdown, with a newline at its end."""
    return "\n".join([_HEAD, *_parameters(), *_policies(), *_vectors(), *_conventions(), ""])


def _parameters() -> List[str]:
    rows = []
    for one in PARAMETERS.values():
        name = f"`{one.title}`" if one.flag is None else f"`{one.flag.replace('/', '`, `')}`"
        used = "all" if one.jobs == JOBS else ", ".join(one.jobs)
        rows.append(
            (name, one.help, values_text(one), default_text(one), used, f"`{one.kronos}`" if one.kronos else "")
        )
    return ["## Knobs", "", *table(("Flag", "Meaning", "Values", "Default", "Jobs", "Kronos"), rows)]


def values_text(one: Parameter) -> str:
    """What a parameter takes: its choices, span or kind."""
    if one.choices:
        names = [f"`{choice}`" for choice in one.choices] + ([f"*{one.form}*"] if one.form else [])
        return ", ".join(names)
    if one.kind in ("int", "float", "fraction"):
        span = [] if one.minimum is None or one.maximum is None else [f"{one.minimum:.10g} to {one.maximum:.10g}"]
        if one.above:
            span = [f"above {one.minimum:g}, up to {one.maximum:g}"]
        return " ".join([*span, one.unit]).strip()
    return one.unit or one.kind


def default_text(one: Parameter) -> str:
    """A parameter's default, and those of single jobs that differ."""
    own = [f"({job}: {_shown(value)})" for job, value in one.job_defaults.items()]
    return "required" if one.required else " ".join([_shown(one.default), *own])


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value in (None, "") else f"`{value}`"


def _policies() -> List[str]:
    return [
        "",
        "## Layer policies",
        "",
        "For `--layer-policy LAYER=POLICY`: "
        + ", ".join(f"`{policy.value}`" for policy in Policy)
        + ". Without it the layer's name, type and metadata decide, and the choice is reported.",
    ]


def _vectors() -> List[str]:
    lines = [
        "",
        "## Vectors and masks",
        "",
        "Inside, flow is in pixels, x right, y down, to the next or previous output ",
    ]
    lines[-1] += "frame. A channel holds the flow component named beside it, times the sign."
    for preset in PRESETS:
        rows = [
            (f"`{one.name}`", f"{one.source} {one.axis}", f"{one.sign:+d}", _unit(one.unit))
            for one in vector_channels(preset)
        ]
        masks = ", ".join(f"`{name}`" for name in mask_channels(preset).values())
        lines += ["", f"### `{preset}`", "", *table(("Channel", "Flow", "Sign", "Unit"), rows), "", f"Masks: {masks}."]
    return lines


def _unit(unit: str) -> str:
    return unit if unit == "pixels" else f"fraction of the display window's {unit}"


def _conventions() -> List[str]:
    rows = [(f"`{one.id}`", one.title) for one in CONVENTIONS.values()]
    return [
        "",
        "## Reading a plate's vectors",
        "",
        "For `--vectors-in LAYER:CONVENTION`.",
        "",
        *table(("Name", "Vectors"), rows),
    ]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> List[str]:
    """A Markdown table; pipes inside cells are escaped."""
    titles = list(head)
    cells = [titles, ["---"] * len(titles)]
    cells += [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in cells]
