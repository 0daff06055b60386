"""Commands put together, and what happens when one of them fails."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import List, Optional

import typer

from kairos import __version__
from kairos.errors import KairosError

from . import adapt, ask, bench, demo, doctor, hosts, house, jobs, regions, serve, train, weights

log = logging.getLogger("kairos")

UNEXPECTED = 1
CANCELLED = 130


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="kairos",
        help="Retimed frames, motion vectors and masks for compositors.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback(invoke_without_command=True)
    def top(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            typer.echo(f"kairos {__version__}")
            raise typer.Exit()

    for module in (demo, jobs, regions, adapt, house, weights, bench, train, serve, ask, hosts, doctor):
        module.add_commands(app)
    return app


def run(arguments: List[str]) -> int:
    """Runs one command. Answers with the exit status; no traceback reaches the artist."""
    try:
        status = build()(arguments or ["--help"], standalone_mode=False, prog_name="kairos")
        return int(status or 0)
    except KairosError as error:
        return _failed(error, as_json="--json" in arguments)
    except KeyboardInterrupt:
        print("kairos: cancelled; finished frames are kept.", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:
        return UNEXPECTED
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is not None:
            print(f"kairos: {usage()} See kairos --help.", file=sys.stderr)
            return int(getattr(error, "exit_code", 2))
        print(
            f"kairos: something unexpected went wrong: {type(error).__name__}: {error} Details: {keep_log()}",
            file=sys.stderr,
        )
        return UNEXPECTED


def _failed(error: KairosError, as_json: bool) -> int:
    text = " ".join(str(error).split())
    if error.__cause__ is not None:
        keep_log()
    if as_json:
        print(json.dumps({"event": "failed", "message": error.message, "remedy": error.remedy}), flush=True)
    print(f"kairos: {text}", file=sys.stderr)
    return error.exit_status


def log_path() -> Path:
    """Where full tracebacks go."""
    # A GPU machine on which one only trains and measures has no such library.
    import platformdirs

    return Path(platformdirs.user_log_dir("kairos", appauthor=False)) / "kairos.log"


def keep_log() -> Optional[Path]:
    """Adds the current traceback to the log; None where the log cannot be written."""
    try:
        path = log_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(f"{' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    except (OSError, ImportError):
        return None
    return path
