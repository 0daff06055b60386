"""The node reference (``docs/nodes.md``), rendered from the nodes and the one table of parameters."""

from __future__ import annotations

from typing import List

from kairos_nodes.channels import PRESETS, mask_channels
from kairos_nodes.nodes import NODES, TIMING_TITLES, Node
from kairos_nodes.reference import default_text, table, values_text
from kairos_nodes.sections import sections

_HEAD = """# Nodes

What every host offers, with the same knobs and the same meaning as the command line's options
([parameters.md](parameters.md)). This page is made from `nodes/kairos_nodes/nodes.py` by `kairos manifest --write`; do
not edit it by hand.
"""


def nodes_text() -> str:
    """The whole page as Markdown, with a newline at its end."""
    lines = [_HEAD]
    for node in NODES:
        lines += _node(node)
    return "\n".join(lines)


def _node(node: Node) -> List[str]:
    lines = [f"## {node.title}", "", node.description, "", f"Inputs: {_inputs(node)}. Job: `{node.job.kind}`.", ""]
    if node.timings:
        ways = ", ".join(f"**{TIMING_TITLES[name]}** (`{name}`)" for name in node.timings)
        lines += [f"Timing, one of: {ways}.", ""]
    for title, knobs in sections(node.knobs).items():
        rows = []
        for one in knobs:
            names = f"`{one.kronos}`" if one.kronos else ""
            rows.append((one.label, one.help, values_text(one), default_text(one), f"`{one.name}`", names))
        lines += [f"### {node.title}: {title}", ""]
        lines += [*table(("Knob", "Meaning", "Values", "Default", "Parameter", "Kronos"), rows), ""]
    return [*lines, *_channels(node)]


def _inputs(node: Node) -> str:
    first, *rest = node.inputs
    return ", ".join([first, *(f"{name} (optional)" for name in rest)])


def _channels(node: Node) -> List[str]:
    rows = []
    for preset in PRESETS:
        masks = set(mask_channels(preset).values())
        names = node.outputs(preset, masks=True)
        vectors = ", ".join(f"`{name}`" for name in names if name not in masks)
        rows.append((f"`{preset}`", vectors, ", ".join(f"`{name}`" for name in names if name in masks)))
    return [f"### {node.title}: channels", "", *table(("Vectors", "Channels", "Masks"), rows), ""]
