"""``kairos serve``: the runtime that hosts talk to."""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Annotated, Optional

import typer

from kairos_nodes.client import log_file, service_folder, stop_runtime
from kairos_nodes.client.rendezvous import make_private

from ..service import Service, Taken

_LOG_BYTES = 4 << 20


def add_commands(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("serve")(serve)


def serve(
    idle: Annotated[float, typer.Option("--idle", help="End after so many minutes unused; 0 is never.", min=0)] = 0,
    stop: Annotated[bool, typer.Option("--stop", help="End the runtime that serves, after its jobs.")] = False,
    now: Annotated[bool, typer.Option("--now", help="With --stop: cancel its jobs.")] = False,
) -> None:
    """Serve hosts: one runtime per user and machine. Hosts start it by themselves."""
    folder = service_folder()
    if stop:
        print("The runtime has ended." if stop_runtime(folder, now) else "No runtime runs.")
        return
    make_private(folder)
    _log_to(log_file(folder))
    try:
        service = Service(folder, idle)
    except Taken as taken:
        # Two hosts started it at once, or it runs already: what was wanted is there.
        print(f"kairos: {taken}", file=sys.stderr)
        return

    def ask(number: int, frame: Optional[FrameType]) -> None:
        # Not here: the signal may have come while this very thread holds one of the locks that this takes.
        threading.Thread(target=service.shutdown, args=(True,), daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    print(f"kairos: serving (log {log_file(folder)}); Ctrl-C ends it.", flush=True)
    service.run()


def _log_to(path: Path) -> None:
    # What a client sends may be no text that can be encoded, and is logged all the same.
    handler = RotatingFileHandler(
        path, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("kairos")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    # A crash inside a library writes where every thread was; stderr is the same log when a host started the runtime.
    faulthandler.enable(sys.stderr)
