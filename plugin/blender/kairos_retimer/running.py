# SPDX-License-Identifier: GPL-3.0-or-later
"""How every operator runs a job: in the background with progress and cancel, or to its end where there is no window."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set

import bpy

from kairos_nodes.cache import CACHE_VARIABLE, folder
from kairos_nodes.client import Client, RemoteJob
from kairos_nodes.errors import Cancelled, KairosError
from kairos_nodes.events import Event
from kairos_nodes.jobs import Job

from . import parts
from .preferences import draw_text, preferences

Finished = Callable[[Dict[str, Any]], None]
"""Told what a job did, by names such as ``rendered``, ``missing``, ``warnings``, ``engine``; see RemoteJob.wait."""

POLL_SECONDS = 0.1
NARROW = 34
"""Letters in a line on a node, or in a sidebar."""

SHOWN = ("NODE_EDITOR", "SEQUENCE_EDITOR", "PREFERENCES")
"""Editors whose panels show how jobs go."""

_client: List[Client] = []
_launcher = ""
_runs: List[Run] = []


def client(context: Any) -> Client:
    """The session's connection to the runtime, as the preferences say where it is. Does not connect by itself."""
    global _launcher
    wanted = bpy.path.abspath(preferences(context).runtime)
    if _client and wanted != _launcher:
        _client.pop().close()
    if not _client:
        _launcher = wanted
        _client.append(Client(f"Blender {bpy.app.version_string}", launcher=wanted or None))
    return _client[0]


def cache_folder(context: Any, kind: str, print: str) -> Path:
    """The folder of one fingerprint's plates or results, made.

    The first of: the preferences' cache, ``$KAIROS_CACHE``, the extension's own folder, the system's temporary one.

    Args:
        kind: ``plates``, ``results``, ``previews`` or ``maps``.
        print: see :func:`kairos_nodes.cache.fingerprint`.

    Raises:
        KairosError: a folder that the artist named cannot be written.
    """
    given = bpy.path.abspath(preferences(context).cache) or os.environ.get(CACHE_VARIABLE, "")
    if given:
        return _made(Path(given).expanduser() / kind / print)
    own = _own_folder()
    if own:
        try:
            return _made(Path(own) / kind / print)
        except KairosError as error:
            sys.stderr.write(f"Kairos: {error.message} Results go to the temporary folder.\n")
    return _made(folder(kind, print, tempfile.gettempdir()))


def _own_folder() -> str:
    """The extension's cache folder; nothing where it cannot be made, or this is not installed as an extension."""
    try:
        return str(bpy.utils.extension_path_user(__package__, path="cache", create=True))
    except (OSError, ValueError):
        return ""


class Run:
    """One job on its way.

    Args:
        remote: the job.
        title: what is being done, such as ``Retime``.
        about: whom it concerns, for panels that show one node's or strip's job alone.

    Attributes:
        fraction: how much is done, 0 to 1.
        text: what it is doing.
        notes: warnings so far, in an artist's words.
    """

    def __init__(self, remote: RemoteJob, title: str, about: str = "") -> None:
        self.remote, self.title, self.about = remote, title, about
        self.fraction, self.text = 0.0, "waiting"
        self.notes: List[str] = []

    def poll(self) -> bool:
        """Takes in what has happened, without waiting. True once it is over."""
        over = self.remote.ended
        for event in self.remote.poll():
            self._hear(event)
        return over

    def _hear(self, event: Event) -> None:
        if event.kind == "progress":
            total = int(event.data.get("total") or 0)
            self.fraction = min(1.0, int(event.data.get("done") or 0) / total) if total else 0.0
            self.text = _progress_text(event, total)
        elif event.kind == "warning":
            words = f"{event.data.get('message', '')} {event.data.get('remedy', '')}".strip()
            if words and words not in self.notes:
                self.notes.append(words)


def begin(context: Any, job: Job, title: str, about: str = "") -> Run:
    """Hands a job to the runtime without waiting. Poll the answer, and :func:`end` it."""
    run = Run(client(context).begin(job), title, about)
    _runs.append(run)
    _show(context)
    return run


def end(context: Any, run: Run, finished: Finished) -> str:
    """Tells ``finished`` what a job that is over did; answers with what went wrong, for the artist, or nothing."""
    trouble = ""
    notes = list(run.notes)
    try:
        finished(run.remote.result())
    except Cancelled as error:
        trouble = str(error)
        notes.append(trouble)
    except KairosError as error:
        trouble = str(error)
    except Exception as error:
        traceback.print_exc()
        trouble = f"Kairos: {run.title} did its work, but its result could not be shown: {error}."
    if run in _runs:
        _runs.remove(run)
    state = bpy.context.window_manager.kairos
    # What the artist did is no error.
    state.trouble = "" if run.remote.state == "cancelled" else trouble
    state.notes, state.about = "\n".join(notes), run.about
    _show(context)
    return trouble


def drop(context: Any, run: Run) -> None:
    """Cancels a job that nobody waits for any more."""
    cancel(run)
    if run in _runs:
        _runs.remove(run)
    _show(context)


def running(about: str = "") -> Optional[Run]:
    """The newest job on its way that concerns this; any where empty."""
    return next((run for run in reversed(_runs) if about in ("", run.about)), None)


class JobOperator:
    """Mix-in for a ``bpy.types.Operator`` that runs a job: ``return self.start(context, job, finished)``."""

    about = ""
    """Whom the job concerns; an operator may set it before :meth:`start`."""

    _run: Optional[Run] = None
    _timer: Any = None
    _finished: Optional[Finished] = None

    def start(self, context: Any, job: Job, finished: Finished) -> Set[str]:
        """Runs a job: with a window in the background, with progress, until it is done or Esc or Cancel is pressed.

        Without a window it waits, calls ``finished`` and returns FINISHED, or reports what was wrong and returns
        CANCELLED. ``finished`` may run much later: it must find nodes and strips by name, since undo moves them in
        memory.
        """
        self._run = begin(context, job, str(getattr(self, "bl_label", "Kairos")), self.about)
        self._finished = finished
        window = _window(context)
        if bpy.app.background or window is None:
            while not self._run.poll():
                _wait(self._run)
            return self._over(context)
        manager = context.window_manager
        self._timer = manager.event_timer_add(POLL_SECONDS, window=window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> Set[str]:
        """Looks after the job at every tick of the timer."""
        run = self._run
        if run is None:
            return {"CANCELLED"}
        if event.type == "ESC" and event.value == "PRESS":
            cancel(run)
            return {"RUNNING_MODAL"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        over = run.poll()
        _show(context)
        if not over:
            return {"PASS_THROUGH"}
        self._stop_timer(context)
        return self._over(context)

    def cancel(self, context: Any) -> None:
        """Blender ends the operator: the window was closed, or another file opened."""
        if self._run is not None:
            drop(context, self._run)
        self._stop_timer(context)

    def _over(self, context: Any) -> Set[str]:
        run, finished = self._run, self._finished
        self._run = self._finished = None
        if run is None or finished is None:
            return {"CANCELLED"}
        trouble = end(context, run, finished)
        if trouble and run.remote.state == "cancelled":
            self.report({"INFO"}, trouble)  # type: ignore[attr-defined]
            return {"CANCELLED"}
        if trouble:
            self.report({"ERROR"}, trouble)  # type: ignore[attr-defined]
            return {"CANCELLED"}
        for note in run.notes:
            self.report({"WARNING"}, note)  # type: ignore[attr-defined]
        return {"FINISHED"}

    def _stop_timer(self, context: Any) -> None:
        if self._timer is not None:
            context.window_manager.event_timer_remove(self._timer)
            self._timer = None


@parts.with_properties(about=bpy.props.StringProperty(options={"SKIP_SAVE", "HIDDEN"}))
class CancelJob(bpy.types.Operator):
    """Stop after the frame under way; finished frames are kept"""

    bl_idname = "kairos.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only while something runs."""
        return running() is not None

    def execute(self, context: Any) -> Set[str]:
        """Cancels the newest job, or the one that concerns ``about``."""
        run = running(self.about)
        if run is None:
            return {"CANCELLED"}
        cancel(run)
        return {"FINISHED"}


def cancel(run: Run) -> None:
    """Asks for a job's end, without waiting for it."""
    run.text = "stopping after this frame"
    run.remote.cancel()


@parts.with_properties(
    running=bpy.props.BoolProperty(name="Running", description="Kairos is at work"),
    progress=bpy.props.FloatProperty(name="Progress", min=0.0, max=100.0, subtype="PERCENTAGE"),
    text=bpy.props.StringProperty(name="Status", description="What Kairos is doing"),
    trouble=bpy.props.StringProperty(name="Error", description="What went wrong the last time"),
    notes=bpy.props.StringProperty(name="Warnings", description="What the last job wants to have said"),
    about=bpy.props.StringProperty(name="About", description="Whom the last job concerned"),
)
class Progress(bpy.types.PropertyGroup):
    """How jobs go, as ``WindowManager.kairos``: for panels, and for scripts that wait."""


def draw_progress(layout: Any, about: str = "") -> None:
    """Draws the job that concerns ``about`` (any where empty): a bar and Cancel, or its last error and warnings."""
    run = running(about)
    if run is not None:
        row = layout.row(align=True)
        text = f"{run.title}: {run.text}"
        if hasattr(row, "progress"):
            row.progress(factor=run.fraction, text=text)
        else:
            row.label(text=f"{text} ({100 * run.fraction:.0f} %)")
        row.operator(CancelJob.bl_idname, text="", icon="X").about = about
        return
    state = bpy.context.window_manager.kairos
    if about not in ("", state.about):
        return
    if state.trouble:
        draw_text(layout, state.trouble, "ERROR", NARROW)
    for note in filter(None, state.notes.split("\n")):
        draw_text(layout, note, "INFO", NARROW)


def _draw_status(self: Any, context: Any) -> None:
    """In Blender's status bar."""
    if running() is not None:
        draw_progress(self.layout)


def _show(context: Any) -> None:
    """Lets panels and status bar show how jobs go."""
    manager = bpy.context.window_manager
    run = running()
    found: Dict[str, Any] = {"running": False, "progress": 0.0, "text": ""}
    if run is not None:
        # In whole per cents, so that nothing is drawn again for less.
        found = {"running": True, "progress": round(100 * run.fraction), "text": f"{run.title}: {run.text}"}
    changed = {name: value for name, value in found.items() if getattr(manager.kairos, name) != value}
    for name, value in changed.items():
        setattr(manager.kairos, name, value)
    if not changed or bpy.app.background:
        return
    for window in manager.windows:
        # Blender has no other way to draw its status bar again.
        window.workspace.status_text_set_internal(None)
        for area in window.screen.areas:
            if area.type in SHOWN:
                area.tag_redraw()


def _progress_text(event: Event, total: int) -> str:
    stage = str(event.data.get("detail") or event.data.get("stage") or "rendering")
    if not total:
        return stage
    eta = event.data.get("eta")
    left = f", {_clock(float(eta))} left" if eta else ""
    return f"{stage} {event.data.get('done') or 0} of {total}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _wait(run: Run) -> None:
    """Waits a little where there is nothing else to do."""
    try:
        run.remote.wait(POLL_SECONDS)
    except KairosError:
        # Not yet over, or over with an error that its end tells.
        return


def _window(context: Any) -> Any:
    return context.window or next(iter(context.window_manager.windows), None)


def _made(place: Path) -> Path:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError as error:
        raise KairosError(
            f"The cache {place} cannot be written: {error.strerror}.",
            "Choose another cache folder in the preferences of Kairos Retimer.",
        ) from None


CLASSES = (CancelJob, Progress)


def register() -> None:
    """Makes the operator and ``WindowManager.kairos`` known to Blender."""
    parts.register_classes(CLASSES)
    bpy.types.WindowManager.kairos = bpy.props.PointerProperty(type=Progress)
    bpy.types.STATUSBAR_HT_header.append(_draw_status)


def unregister() -> None:
    """Takes them away, and hangs up: this session's jobs end."""
    bpy.types.STATUSBAR_HT_header.remove(_draw_status)
    while _client:
        _client.pop().close()
    _runs.clear()
    del bpy.types.WindowManager.kairos
    parts.unregister_classes(CLASSES)
