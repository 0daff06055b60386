"""Rendering through the runtime, and where results lie."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Callable, Mapping, Optional

from kairos_nodes import cache
from kairos_nodes.client import Client
from kairos_nodes.conform import Media
from kairos_nodes.errors import BadRequest
from kairos_nodes.events import Event
from kairos_nodes.home import data_folder
from kairos_nodes.jobs import Job
from kairos_nodes.progress_window import ProgressWindow

Tell = Callable[[str], None]

TENTHS = 10

POLL_SECONDS = 0.1


def render(job: Job, host: str, title: str, tell: Tell) -> None:
    """Hands a job to the runtime and waits for its end; where there can be one, a window shows how it goes.

    Args:
        job: what to do.
        host: who asks.
        title: of the window.
        tell: hears of the job's beginning, its tenths and its warnings.

    Raises:
        Cancelled: the artist cancelled.
        KairosError: it failed, in the runtime's own words.
    """

    def waiting(line: str) -> None:
        if line:
            tell(line)

    with ProgressWindow(title) as window, Client(host, waiting=waiting) as client:
        remote = client.begin(job)
        tenth, over = 0, False
        while not over:
            over = remote.ended
            for event in remote.poll():
                tenth = _told(event, tenth, window, tell)
            if window.cancelled:
                remote.cancel()
                remote.wait()
            if not over:
                time.sleep(POLL_SECONDS)
        remote.result()


def _told(event: Event, tenth: int, window: ProgressWindow, tell: Tell) -> int:
    """Tells what an event says; answers with the tenths told so far."""
    data = event.data
    if event.kind == "planned":
        tell(f"{data.get('frames')} frames with {data.get('engine')} on {data.get('device')}")
    elif event.kind == "warning":
        tell(f"{data.get('message', '')} {data.get('remedy', '')}".strip())
    elif event.kind == "progress":
        done, total = int(data.get("done") or 0), int(data.get("total") or 0)
        if not total:
            # The runtime is being started, or is at work for others.
            window.show(0, 1, str(data.get("stage", "")))
            return tenth
        stage = str(data.get("stage", ""))
        # Engines that fit or generate count other things first.
        unit = " frames" if stage in ("", "render") else ""
        window.show(done, total, f"{stage}: {done} of {total}{unit}")
        if TENTHS * done // total > tenth:
            tenth = TENTHS * done // total
            tell(f"{100 * tenth // TENTHS} %")
    return tenth


def result_folder(media: Media, facts: Mapping[str, object], beside: bool, tell: Tell) -> Path:
    """A folder for this very result, made: beside the media, or in the cache where that cannot be written.

    Args:
        media: what it is made of.
        facts: all that the result depends on.
        beside: False for the cache at once.
        tell: hears where the media's folder cannot be written.

    Raises:
        BadRequest: neither can be written.
    """
    key = cache.fingerprint({**facts, "file": _identity(media)})
    places = [cache.folder("results", key)]
    if beside:
        stem = re.sub(r"[^\w.-]+", "_", stem_of(media))
        places.insert(0, Path(media.path).parent / "kairos" / f"{stem}_{key[:8]}")
    trouble: Optional[OSError] = None
    for place in places:
        try:
            place.mkdir(parents=True, exist_ok=True)
            if os.access(str(place), os.W_OK):
                return place
        except OSError as error:
            trouble = error
        if place is not places[-1]:
            tell(f"{place.parent} cannot be written; the result goes to {places[-1]}.")
    why = f": {trouble.strerror}" if trouble else ""
    raise BadRequest(f"{places[-1]} cannot be written{why}.", f"Set {cache.CACHE_VARIABLE} to a folder that can.")


def write_text(path: Path, text: str) -> Path:
    """Writes a small text. Raises BadRequest where it cannot."""
    try:
        path.write_bytes(text.encode("utf-8"))
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}.", "Check the disk and its rights.") from None
    return path


def keep_trace(text: str) -> str:
    """Adds a traceback to the user's own log; answers with where it is, or with its end where it cannot be kept."""
    try:
        path = data_folder() / "resolve.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except (OSError, RuntimeError):
        return " ".join(text.split())[-300:]
    return str(path)


def stem_of(media: Media) -> str:
    """The file's name without frame number and suffix."""
    return re.sub(r"[._-]?%0\d+d", "", Path(media.path).stem) or "clip"


def file_of(media: Media, frame: int) -> str:
    """A frame's file, or the movie."""
    return media.path % frame if "%0" in Path(media.path).name else media.path


def _identity(media: Media) -> object:
    """What changes when the file does."""
    try:
        found = Path(file_of(media, media.first)).stat()
    except OSError:
        raise BadRequest(f"{file_of(media, media.first)} is not there.", "Relink the clip.") from None
    return [media.path, found.st_size, found.st_mtime_ns]
