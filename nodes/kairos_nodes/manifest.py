"""``manifest.json``: what Kairos is, for installers, hosts and farms that do not want to import it."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, Sequence

from kairos_nodes import __version__
from kairos_nodes.channels import CONVENTIONS, PRESETS, mask_channels, vector_channels
from kairos_nodes.jobs import VERSION
from kairos_nodes.nodes import HOSTS, NODES, Node
from kairos_nodes.parameters import JOBS, PARAMETERS, Parameter, parameters_of
from kairos_nodes.sections import SECTIONS

FORMAT = 1


def build_manifest(engines: Sequence[Mapping[str, Any]]) -> Dict[str, Any]:
    """The manifest as JSON values.

    Args:
        engines: one mapping of JSON values per engine, with at least its ``id``; what is the same on every machine.
    """
    return {
        "format": FORMAT,
        "version": __version__,
        "job_version": VERSION,
        "hosts": list(HOSTS),
        "nodes": [_node(node) for node in NODES],
        "jobs": {job: [parameter.name for parameter in parameters_of(job)] for job in JOBS},
        "sections": {title: list(names) for title, names in SECTIONS.items()},
        "parameters": [_parameter(parameter) for parameter in PARAMETERS.values()],
        "vectors": {preset: _preset(preset) for preset in PRESETS},
        "conventions": {convention.id: convention.title for convention in CONVENTIONS.values()},
        "engines": sorted((dict(engine) for engine in engines), key=lambda engine: str(engine["id"])),
    }


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The manifest as a file: stable, sorted, with a newline at its end."""
    return json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _node(node: Node) -> Dict[str, Any]:
    return {
        "id": node.id,
        "title": node.title,
        "description": node.description,
        "job": node.job.kind,
        "inputs": list(node.inputs),
        "parameters": list(node.parameters),
        "timings": list(node.timings),
        "defaults": dict(node.defaults),
        "outputs": {preset: list(node.outputs(preset, masks=True)) for preset in PRESETS},
    }


def _parameter(parameter: Parameter) -> Dict[str, Any]:
    """What is set; absent keys mean none."""
    row: Dict[str, Any] = {
        "name": parameter.name,
        "kind": parameter.kind,
        "label": parameter.label,
        "help": parameter.help,
        "default": parameter.default,
        "jobs": list(parameter.jobs),
    }
    rest = {
        "flag": parameter.flag,
        "choices": list(parameter.choices),
        "accepts": parameter.accepts,
        "form": parameter.form,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "above": parameter.above,
        "unit": parameter.unit,
        "kronos": parameter.kronos,
        "kronos_factor": parameter.kronos_factor if parameter.kronos_factor != 1 else None,
        "required": parameter.required,
        "job_defaults": dict(parameter.job_defaults),
    }
    row.update({key: value for key, value in rest.items() if value not in (None, "", [], {}) and value is not False})
    return row


def _preset(preset: str) -> Dict[str, Any]:
    return {
        "channels": [
            {
                "name": channel.name,
                "source": channel.source,
                "axis": channel.axis,
                "sign": channel.sign,
                "unit": channel.unit,
            }
            for channel in vector_channels(preset)
        ],
        "masks": mask_channels(preset),
    }
