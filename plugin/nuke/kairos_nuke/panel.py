"""What the buttons of a Kairos node do: in the background, with Nuke's progress bar, errors as messages."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, Dict, Sequence, Tuple

import nuke

from kairos_nodes.errors import BadRequest, Cancelled, KairosError
from kairos_nodes.events import Event
from kairos_nodes.jobs import Job
from kairos_nodes.nuke_import import import_retime
from kairos_nodes.rational import exact
from kairos_nuke.build import reset_range
from kairos_nuke.knobs import FRAME, TIMING
from kairos_nuke.render import prepare, render, run, show_result
from kairos_nuke.request import Request, preview_of, request_of

_log = logging.getLogger("kairos")

_TAKEN_OVER = {"channels": "retimedChannels", "shutter_samples": "shutterSamples", "filter": "resampleType"}
"""Knobs for imported settings that go over as they are."""


def pressed_render(group: nuke.Node) -> None:
    """The Render button."""
    if nuke.GUI:
        guarded(lambda: render_in_background(group, request_of(group)))
    else:
        guarded(lambda: render(group))


def pressed_preview(group: nuke.Node) -> None:
    """The Preview button: the frame that the Viewer is at. A render that is there already is shown instead."""

    def preview() -> None:
        whole = request_of(group)
        if whole.complete():
            show_result(group, whole)
        else:
            render_in_background(group, preview_of(group, int(nuke.frame())))

    guarded(preview)


def pressed_range(group: nuke.Node) -> None:
    """The Reset range button."""
    guarded(lambda: reset_range(group))


def pressed_import(group: nuke.Node) -> None:
    """The Import button: a retiming node's text from the clipboard."""

    def take_over() -> None:
        notes = import_settings(group, _clipboard())
        if notes:
            tell("\n".join(notes))

    guarded(take_over)


def render_in_background(group: nuke.Node, request: Request) -> threading.Thread:
    """Renders with Nuke's progress bar, whose Cancel button ends the job; Nuke stays usable once the plate is written.

    Raises:
        KairosError: before the runtime is asked, where the request cannot be.
    """
    prepare(group, request)
    task: Any = nuke.ProgressTask(f"Kairos: {group.name()}")
    task.setMessage("waiting for the runtime")
    arguments = (group, request, request.jobs(), task)
    thread = threading.Thread(target=_background, args=arguments, name=f"kairos-{group.name()}", daemon=True)
    thread.start()
    return thread


def import_settings(group: nuke.Node, text: str) -> Tuple[str, ...]:
    """Takes over a retiming node's settings into a KairosRetime node; answers with notes for the artist.

    Raises:
        BadRequest: as :func:`kairos_nodes.nuke_import.import_retime` has it.
    """
    source = f"{int(group['input_first'].value())}-{int(group['input_last'].value())}"
    found = import_retime(text, source_range=source)
    knobs: Dict[str, Any] = {"input_first": found.time_map.first, "input_last": found.time_map.last}
    knobs.update({knob: found.settings[name] for name, knob in _TAKEN_OVER.items() if name in found.settings})
    if "shutter" in found.settings:
        knobs["shutterTime"] = float(str(found.settings["shutter"])) / 360
    start = found.settings.get("start")
    by_speed = found.timing == "speed" and start is None
    if by_speed:
        knobs["timingOutputSpeed"] = float(exact(str(found.settings["speed"])))
    knobs[TIMING] = "Output Speed" if by_speed else "Frame"
    for name, value in knobs.items():
        group[name].setValue(value)
    if not by_speed:
        begin = None if start is None else int(str(start))
        group[FRAME].fromScript(found.time_map.to_nuke_curve(begin))
    return found.notes


def guarded(action: Callable[[], object]) -> None:
    """Runs what a button asks for; an error becomes a message in the artist's words, the traceback goes to the log."""
    try:
        action()
    except Cancelled:
        return
    except KairosError as error:
        tell(str(error))
    except Exception as error:
        _log.exception("Kairos could not go on")
        tell(f"Kairos could not go on: {error}")


def tell(text: str) -> None:
    """A message, or a line on the terminal where there is no window. In any thread."""
    if nuke.GUI:
        nuke.executeInMainThread(nuke.message, args=(text,))
    else:
        print(text)


def _background(group: nuke.Node, request: Request, jobs: Sequence[Job], task: Any) -> None:
    """The thread: everything of Nuke's, but the task, is touched in the main thread alone."""

    def hear(event: Event) -> None:
        if event.kind == "progress":
            total = max(1, int(event.data.get("total") or 1))
            task.setProgress(int(100 * int(event.data.get("done") or 0) / total))
            task.setMessage(str(event.data.get("stage", "")))

    def work() -> None:
        run(request.title, jobs, hear, lambda: bool(task.isCancelled()))
        nuke.executeInMainThread(guarded, args=(lambda: show_result(group, request),))

    guarded(work)


def _clipboard() -> str:
    """The text of the clipboard, by the Qt that Nuke comes with: PySide2 up to 15, PySide6 from 16 on."""
    for module in ("PySide6.QtWidgets", "PySide2.QtWidgets"):
        try:
            widgets: Any = __import__(module, fromlist=["QApplication"])
        except ImportError:
            continue
        return str(widgets.QApplication.clipboard().text())
    raise BadRequest("The clipboard cannot be read here.", "Use import_settings(node, text) in a script.")
