"""Starts the runtime when none runs, and says why when it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Union

from kairos_nodes.client.rendezvous import FOLDER_VARIABLE, log_file, make_private
from kairos_nodes.errors import ServiceError
from kairos_nodes.home import known_home

LAUNCHER_VARIABLE = "KAIROS_LAUNCHER"

Launcher = Union[None, str, "os.PathLike[str]", Sequence[str]]
"""Kairos' folder, its launcher, a whole command, or None for the one that :func:`launcher_command` finds."""

_PACKAGE_ROOT = Path(__file__).resolve().parents[3]

START_SECONDS = 120.0
"""How long a start may take; the first one may install the runtime, which takes longer and goes on regardless."""

IDLE_MINUTES = 30
"""A runtime that a host started ends itself after so long without clients and jobs, and gives the GPU back."""

_LARGEST_LOG = 4 << 20

_FOREIGN = (
    "PYTHON",
    "QT_",
    "DYLD_",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "__PYVENV",
    "OCIO",
)
"""Beginnings of variables that are the host's alone: they would lead the runtime's libraries astray, or give one host's
colour configuration to the jobs of all. Every job names its own configuration."""

_started: List[subprocess.Popen[bytes]] = []
"""Runtimes that this host started: held, so that one that ended does not stay a zombie for long."""


def launcher_command(launcher: Launcher, environment: Mapping[str, str] = os.environ) -> List[str]:
    """The command that runs Kairos: the launcher's, else that of ``$KAIROS_LAUNCHER``, of the folder that this package
    lies in, or of the one that was installed last.

    Raises:
        ServiceError: there is no Kairos at the place.
    """
    if launcher is not None and not isinstance(launcher, (str, os.PathLike)):
        return [str(word) for word in launcher]
    given = launcher or environment.get(LAUNCHER_VARIABLE)
    installed = known_home()
    places = [Path(given).expanduser()] if given else [_PACKAGE_ROOT, *([installed] if installed else [])]
    name = "kairos.cmd" if sys.platform == "win32" else "kairos"
    paths = [place / name if place.is_dir() else place for place in places]
    for path in paths:
        if path.is_file():
            return [str(path)]
    raise ServiceError(
        f"Kairos' runtime was not found; it is not at {', nor at '.join(map(str, paths))}.",
        f"Run kairos install again, or name Kairos' folder in the plugin's preferences or in {LAUNCHER_VARIABLE}.",
    )


def start_runtime(
    folder: Path,
    launcher: Launcher,
    reachable: Callable[[], bool],
    *,
    seconds: float = START_SECONDS,
    waiting: Optional[Callable[[str], None]] = None,
) -> None:
    """Starts a runtime and waits until it can be reached. Several hosts may do so at once: one of them wins.

    Args:
        folder: of the rendezvous file.
        launcher: see :func:`launcher_command`.
        reachable: asked about ten times a second.
        seconds: to wait at most.
        waiting: told the last line of the log at once (empty where there is none yet) and whenever there is another.

    Raises:
        ServiceError: it ended, or takes too long; with the last line of the log, and where it is.
    """
    command = [*launcher_command(launcher), "serve", "--idle", str(IDLE_MINUTES)]
    make_private(folder)
    _started[:] = [one for one in _started if one.poll() is None]
    log = log_file(folder)
    where = f"The log is {log}; kairos doctor checks the installation."
    try:
        fresh = log.exists() and log.stat().st_size > _LARGEST_LOG
        with log.open("wb" if fresh else "ab") as stream:
            begins = stream.seek(0, os.SEEK_END)
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env=_environment(folder, isinstance(launcher, (list, tuple))),
                **_detached(),
            )
    except OSError as error:
        raise ServiceError(f"The runtime could not be started: {command[0]}: {error.strerror}.", where) from None
    _started.append(process)
    end = time.monotonic() + seconds
    told: Optional[str] = None
    while not reachable():
        status, line = process.poll(), _last_line(log, begins)
        # Another host's start may have won; ours then ends well, and theirs is about to answer.
        if status:
            raise ServiceError(f"The runtime could not start (status {status}): {line or 'it said nothing'}", where)
        if time.monotonic() > end:
            raise ServiceError(
                f"The runtime does not answer after {seconds:.0f} s; it said: {line or 'nothing yet'}",
                f"A first start installs it and goes on by itself: try again later. {where}",
            )
        if waiting is not None and line != told:
            waiting(line)
            told = line
        time.sleep(0.1)


def _environment(folder: Path, as_given: bool) -> Dict[str, str]:
    """The host's environment without what belongs to the host alone; a whole command gets all of it."""
    kept = {name: value for name, value in os.environ.items() if as_given or not name.startswith(_FOREIGN)}
    kept[FOLDER_VARIABLE] = str(folder)
    return kept


def _detached() -> Dict[str, Any]:
    """Outlives the host, and hears nothing of its Ctrl-C."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _last_line(log: Path, begins: int) -> str:
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(begins, size - 4096))
            lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip()[:300] if lines else ""
