"""``kairos info``, ``engines`` and ``manifest``: what is here, and what can run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Dict, List, Optional

import typer

from kairos.errors import BadRequest, KairosError
from kairos_nodes.manifest import build_manifest, manifest_text
from kairos_nodes.node_reference import nodes_text
from kairos_nodes.reference import reference_text

from .export import EngineOrCommand, export

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = ROOT / "manifest.json"
REFERENCE = ROOT / "docs" / "parameters.md"
NODES_PAGE = ROOT / "docs" / "nodes.md"

_HERE = ("why_not", "weights", "notes")
"""What holds on this machine alone and has no place in the manifest."""


def add_commands(app: typer.Typer) -> None:
    """Adds the commands that only look."""
    app.command("info")(info)
    group = typer.Typer(cls=EngineOrCommand, rich_markup_mode=None)
    group.callback(invoke_without_command=True)(engines)
    group.command("export")(export)
    app.add_typer(group, name="engines")
    app.command("manifest")(manifest)


def info(
    files: Annotated[List[str], typer.Argument(metavar="FILE...", help="Files, sequences or movies.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file.")] = False,
) -> None:
    """Show layers, windows, colour space, rate, frame range and gaps."""
    from kairos.images.inspect import describe, inspect

    status = 0
    for index, spec in enumerate(files):
        try:
            found = inspect(spec)
        except KairosError as error:
            status = max(status, error.exit_status)
            print(f"kairos: {' '.join(str(error).split())}", file=sys.stderr)
            continue
        print(json.dumps(found, default=str) if as_json else ("\n" if index else "") + describe(found))
    raise typer.Exit(status)


def engine_rows(name: Optional[str] = None) -> List[Dict[str, Any]]:
    """Every engine's card, or that of one, and why it cannot run here (``why_not``, empty where it can)."""
    from kairos.engines.base import Notes
    from kairos.engines.registry import engine as named
    from kairos.engines.registry import engines as known
    from kairos.weights.store import Store

    records = Store().records()
    rows = []
    for engine in known() if name is None else [named(name)]:
        card = engine.card
        rows.append(
            {
                "id": card.id,
                "title": card.title,
                "paper": card.paper,
                "code_licence": card.code_licence,
                "weights_licence": card.weights_licence,
                "commercial": card.commercial,
                "any_time": card.any_time,
                "gives_motion": card.gives_motion,
                "paints": card.paints,
                "clip": card.clip,
                "generates": card.generates,
                "precisions": list(card.precisions),
                "parameters": dict(card.parameters),
                "why_not": engine.unavailable(),
                "weights": [record.name for record in records if record.architecture == card.id],
                "notes": engine.notes() if isinstance(engine, Notes) else [],
            }
        )
    return rows


def engines(
    context: typer.Context,
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="One engine, in full.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure memory and time at 1920x1080 here, and keep the figures.")
    ] = False,
) -> None:
    """Show what can run here, at what licence, from which weights, how fast, and why not."""
    if context.invoked_subcommand is not None:
        return
    from kairos.cli.engine_table import show

    show(engine_rows(name), whole=name is not None, as_json=as_json, measuring=measure)


def manifest(
    write: Annotated[
        bool, typer.Option("--write", help="Write manifest.json, docs/parameters.md and docs/nodes.md.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Fail where either of them is out of date.")] = False,
) -> None:
    """Show what Kairos is: version, hosts, nodes with their parameters and channels, engines."""
    rows = [{key: value for key, value in row.items() if key not in _HERE} for row in engine_rows()]
    texts = {
        MANIFEST: manifest_text(build_manifest(rows)),
        REFERENCE: reference_text(),
        NODES_PAGE: nodes_text(),
    }
    if write:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    elif check:
        stale = [path.name for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
        if stale:
            raise BadRequest(f"Out of date: {', '.join(stale)}.", "Run kairos manifest --write.")
    else:
        print(texts[MANIFEST], end="")
