"""The runtime as a process: one job, its events, its end. Needs no Nuke."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Callable, Dict, List, Optional

from kairos_nodes.arguments import job_arguments
from kairos_nodes.errors import BadRequest, Cancelled, EngineError
from kairos_nodes.events import Event
from kairos_nodes.jobs import Job

ROOT = Path(__file__).resolve().parents[3]
FINISHED, MISSING_FRAMES, CANCELLED = 0, 3, 130


def launcher() -> List[str]:
    """What starts Kairos: ``$KAIROS_LAUNCHER``, or the launcher that came with the plugin.

    Raises:
        BadRequest: there is none.
    """
    given = os.environ.get("KAIROS_LAUNCHER")
    path = Path(given) if given else ROOT / ("kairos.cmd" if os.name == "nt" else "kairos")
    if not path.is_file():
        raise BadRequest(f"Kairos is not at {path}.", "Set KAIROS_LAUNCHER to the kairos launcher, or install again.")
    return [str(path)]


def run_job(
    job: Job,
    listen: Callable[[Event], None],
    stop: Callable[[], bool] = lambda: False,
    command: Optional[List[str]] = None,
) -> Dict[str, object]:
    """Runs a job in a process of its own, and waits for its end.

    Args:
        job: checked by its own process again.
        listen: hears every event, from this thread.
        stop: asked after every event and four times a second; True ends the job politely.
        command: what to run in place of :func:`launcher`.

    Returns:
        The data of the job's ``done`` event.

    Raises:
        KairosError: the job failed, in the runtime's own words, or was cancelled.
    """
    try:
        process = subprocess.Popen(
            [*(command or launcher()), *_as_json(job_arguments(job))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise EngineError(f"Kairos cannot be started: {error}.", "Run kairos doctor in a terminal.") from error
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(process, stop, over), daemon=True)
    words: List[str] = []
    assert process.stdout is not None and process.stderr is not None
    errors = threading.Thread(target=lambda stream: words.extend(stream), args=(process.stderr,), daemon=True)
    watch.start()
    errors.start()
    done: Dict[str, object] = {}
    failed: Optional[Event] = None
    try:
        for line in process.stdout:
            event = _event(line)
            if event is None:
                continue
            failed = event if event.kind == "failed" else failed
            done = event.data if event.kind == "done" else done
            listen(event)
    except BaseException:
        process.terminate()
        raise
    finally:
        status = process.wait()
        over.set()
        errors.join(timeout=5)
        process.stdout.close()
        process.stderr.close()
    if status == CANCELLED or (status != FINISHED and stop()):
        raise Cancelled("The render was cancelled.", "Finished frames are kept; render again to go on.")
    if status not in (FINISHED, MISSING_FRAMES):
        raise _failure(failed, words, status)
    return done


def _as_json(arguments: List[str]) -> List[str]:
    return [arguments[0], "--json", *arguments[1:]]


def _event(line: str) -> Optional[Event]:
    """The event on a line; None for what a library may have printed."""
    try:
        return Event.from_json(line)
    except (ValueError, KeyError):
        return None


def _failure(failed: Optional[Event], words: List[str], status: int) -> EngineError:
    if failed is not None:
        return EngineError(str(failed.data.get("message", "")), str(failed.data.get("remedy", "")))
    last = next((line.strip() for line in reversed(words) if line.strip()), "")
    return EngineError(f"Kairos ended with status {status}. {last}".strip(), "Run kairos doctor in a terminal.")


def _watch(process: subprocess.Popen[str], stop: Callable[[], bool], over: threading.Event) -> None:
    while not over.wait(0.25):
        if stop():
            process.terminate()
            return


def _environment() -> Dict[str, str]:
    """Without what the host set for its own Python."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
