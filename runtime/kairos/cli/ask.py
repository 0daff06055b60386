"""``kairos ask``: a host's question to the artist, in a window; hosts run it by themselves."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from kairos.errors import BadRequest, EngineError
from kairos_nodes.asking import Question

CANCELLED = 130


def add_commands(app: typer.Typer) -> None:
    """Adds the command, which help does not list."""
    app.command("ask", hidden=True)(ask)


def ask(
    question: Annotated[Optional[Path], typer.Argument(metavar="FILE", help="The question, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON; the default.")] = True,
    message: Annotated[str, typer.Option("--message", help="Show this in place of a question.")] = "",
    progress: Annotated[str, typer.Option("--progress", help="Show how a job of this name goes, from stdin.")] = "",
) -> None:
    """Ask the artist for a node's settings in a window, and print them."""
    try:
        from kairos.studio import dialog
    except ImportError as error:
        raise EngineError(
            f"PySide6 is not here ({error}).", "Install the runtime again: kairos doctor says how."
        ) from None
    if message:
        dialog.show_message(message)
        return
    if progress:
        going = dialog.show_progress(progress, sys.stdin)
        # At once: the thread that reads may still wait for a line, and Python would wait for it.
        os._exit(0 if going else CANCELLED)
    if question is None:
        raise BadRequest("kairos ask needs a question.", "A host asks it by itself.")
    try:
        text = question.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{question} cannot be read: {error}.", "A host writes it by itself.") from None
    answer = dialog.ask(*Question.from_json(text))
    if answer is None:
        raise typer.Exit(CANCELLED)
    print(json.dumps({"values": answer}), flush=True)
