"""``kairos demo``: see the whole thing work in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .report import Bar


def add_commands(app: typer.Typer) -> None:
    """Adds the demo."""
    app.command("demo")(demo)


def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put clip, result and pictures.")] = Path(
        "kairos-demo"
    ),
) -> None:
    """Make a small HDR clip, retime it 4x, write vectors, masks and a contact sheet, and print the error."""
    from kairos.demo import run_demo
    from kairos.retime import run_retime

    bar = Bar("demo")
    try:
        report = run_demo(directory, bar, run_retime)
    finally:
        bar.close()
    print(report.text())
