"""The menu entry that writes a network for Nuke's own Inference node, by the runtime."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path
from typing import Any, Optional

import nuke

from kairos_nodes.asking import no_console, own_environment
from kairos_nodes.client.starting import launcher_command
from kairos_nodes.errors import BadRequest, ServiceError
from kairos_nuke.panel import guarded, tell

TITLE = "Export Network for Inference Node..."

NETWORKS = ("swift", "film", "rife", "ifrnet", "amt", "ema", "gimm-vfi", "raft")
"""What kairos engines export can write."""

_SUFFIX = ".pt"


def asked() -> Optional[threading.Thread]:
    """The menu entry. Answers with the thread at work; None where the artist cancelled."""
    panel: Any = nuke.Panel(TITLE.rstrip("."))
    panel.addEnumerationPulldown("Network", " ".join(NETWORKS))
    panel.addSingleLineInput("Weights", "")
    panel.addFilenameSearch("TorchScript file", "")
    if not panel.show():
        return None
    name, weights, file = (str(panel.value(one) or "") for one in ("Network", "Weights", "TorchScript file"))
    task: Any = nuke.ProgressTask(f"Kairos: {name}")
    task.setMessage("writing the network")
    thread = threading.Thread(
        target=_background, args=(name, weights.strip(), file.strip(), task), name="kairos-export", daemon=True
    )
    thread.start()
    return thread


def export(name: str, weights: str, file: str) -> Path:
    """Writes a network as TorchScript; answers with the file.

    Args:
        name: one of :data:`NETWORKS`.
        weights: their name as kairos weights list shows it; empty for those that are taken unasked.
        file: where to; ``.pt`` is added where it has no such ending.

    Raises:
        BadRequest: no file was given.
        ServiceError: the runtime cannot do it, in its own words, or cannot be started.
    """
    if not file:
        raise BadRequest("There is no file to write to.", "Give one that ends in .pt.")
    path = Path(file).expanduser()
    path = path if path.suffix == _SUFFIX else path.with_name(path.name + _SUFFIX)
    command = [*launcher_command(None), "engines", "export", name, "--torchscript", str(path)]
    try:
        done = subprocess.run(
            [*command, *(["--weights", weights] if weights else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=own_environment(),
            check=False,
            **no_console(),
        )
    except OSError as error:
        raise ServiceError(f"Kairos cannot be started: {error.strerror}.", "Run kairos doctor.") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
        raise ServiceError(f"{name} was not exported: {said[-1].replace('kairos: ', '', 1)}")
    return path


def _background(name: str, weights: str, file: str, task: Any) -> None:
    """The thread. The task goes away with it."""

    def work() -> None:
        path = export(name, weights, file)
        tell(
            f"{name} was written to {path}.\nMake a .cat file of it with a CatFileCreator node; "
            "which channels go in and come out is told in Kairos' docs/export.md."
        )

    guarded(work)
    task.setProgress(100)
