"""Which knobs belong together: tabs of a panel, sections of a page."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Tuple

from kairos_nodes.parameter import Parameter

SECTIONS: Mapping[str, Tuple[str, ...]] = {
    "Timing": (
        "input",
        "frame_a",
        "frame_b",
        "speed",
        "frame_map",
        "to_fps",
        "between",
        "count",
        "fps",
        "range",
        "frames",
        "start",
        "phase",
        "repeats",
        "cuts",
        "on_missing",
    ),
    "Motion": (
        "engine",
        "device",
        "precision",
        "scale",
        "weights",
        "base",
        "flow",
        "motion",
        "field",
        "fit",
        "generate",
        "tta",
        "tile",
        "proxy",
        "matte",
        "vectors_in",
        "regions",
        "region_rules",
        "shutter",
        "shutter_samples",
        "filter",
    ),
    "Layers": ("channels", "layer_policy", "vectors", "masks"),
    "Files": ("output", "colorspace", "ocio", "compression", "bit_depth", "overwrite", "json"),
}
"""Parameter names by section; every parameter is in one."""


def sections(parameters: Iterable[Parameter]) -> Dict[str, List[Parameter]]:
    """Parameters by section, in the order of both; sections without any are left out."""
    known = {name: title for title, names in SECTIONS.items() for name in names}
    found: Dict[str, List[Parameter]] = {title: [] for title in SECTIONS}
    for parameter in parameters:
        found[known[parameter.name]].append(parameter)
    return {title: rows for title, rows in found.items() if rows}
