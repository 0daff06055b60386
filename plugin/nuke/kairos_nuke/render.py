"""Rendering a Kairos node: its source is written, the runtime works, its result is read back."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import nuke

from kairos_nodes.cache import complete, fingerprint, folder, pattern
from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.events import Event
from kairos_nodes.jobs import Job, RetimeJob
from kairos_nodes.nuke_import import import_retime
from kairos_nodes.rational import exact
from kairos_nodes.timing import TimeMap, map_text
from kairos_nuke.build import node_of
from kairos_nuke.knobs import (
    FRAME,
    RENDERED,
    RESULT,
    RESULT_FIRST,
    RESULT_LAST,
    TIMING,
    knobs_of,
    timing_of,
    values_of,
)
from kairos_nuke.process import run_job

DISPLAY = "Kairos"


@dataclass(frozen=True)
class Request:
    """What one render of a node comes to.

    Attributes:
        job: for the runtime.
        plate, matte: sequences to write first; the matte's is empty where none is connected.
        source: source frames, both included.
        output: output frames, both included.
    """

    job: Job
    plate: str
    matte: str
    source: Tuple[int, int]
    output: Tuple[int, int]


def request_of(group: nuke.Node) -> Request:
    """The request for a node as its knobs and inputs are now. Writes the frame map, where there is one.

    Raises:
        BadRequest: nothing is connected, or a knob's value cannot be.
    """
    node = node_of(group)
    source = group.input(0)
    if source is None:
        raise BadRequest(f"{group.name()} has no Source.", "Connect the plate.")
    read = {one.name: _value(group[one.name]) for one in knobs_of(node) if one.kind not in ("tab", "button")}
    first, last = int(read["input_first"]), int(read["input_last"])
    if last < first:
        raise BadRequest(f"{group.name()}: Input last {last} lies before Input first {first}.", "Set the input range.")
    plate = _place("plates", {"source": _identity(source), "range": (first, last)}, "plate")
    matte_node = group.input(1)
    matte = ""
    if matte_node is not None:
        matte = _place("mattes", {"source": _identity(matte_node), "range": (first, last)}, "matte")
    values = values_of(node, read)
    timing = timing_of(node, str(read.get(TIMING, "")))
    mapped = ""
    if timing == "frame_map":
        mapped = map_text(_sampled(group, first, last))
        values["frame_map"] = "map.txt"
    if timing == "to_fps":
        values["to_fps"] = values.get("to_fps") or None
    job = replace(node.make_job(plate, "result.%04d.exr", values, timing), matte=matte)  # type: ignore[call-arg]
    if timing == "to_fps":
        job = replace(job, fps=f"{exact(float(nuke.root()['fps'].value()), 'fps')}")  # type: ignore[call-arg]
    output = _output_range(job, mapped, first, last)
    if isinstance(job, RetimeJob):
        job = replace(job, start=output[0])
    place = _folder("results", {"job": job.to_json(), "map": mapped})
    job = replace(job, output=pattern(place, "result"))  # type: ignore[call-arg]
    if mapped:
        place.mkdir(parents=True, exist_ok=True)
        (place / "map.txt").write_text(mapped, encoding="utf-8")
        job = replace(job, frame_map=(place / "map.txt").as_posix())  # type: ignore[call-arg]
    job.validate()
    return Request(job, plate, matte, (first, last), output)


def render(group: nuke.Node, frames: str = "", listen: Callable[[Event], None] = lambda event: None) -> Request:
    """Renders a node from beginning to end, and waits; what is done already is not done again.

    Args:
        group: a Kairos node.
        frames: which output frames, such as ``1001-1010``; all where empty.
        listen: hears the runtime's events.
    """
    request = request_of(group)
    write_inputs(group, request)
    run_job(_chunk(request.job, frames), listen)
    show_result(group, request)
    return request


def render_in_background(group: nuke.Node, frames: str = "") -> threading.Thread:
    """Renders a node with Nuke's progress panel, whose Cancel button ends the job; Nuke stays usable.

    Raises:
        KairosError: before anything runs, where the request cannot be.
    """
    request = request_of(group)
    write_inputs(group, request)
    task: Any = nuke.ProgressTask(f"{DISPLAY}: {group.name()}")
    thread = threading.Thread(target=_background, args=(group, request, frames, task), daemon=True)
    thread.start()
    return thread


def write_inputs(group: nuke.Node, request: Request) -> None:
    """Writes the plate, and the matte where one is connected, unless they are there already."""
    for sequence, name in ((request.plate, "PlateWrite"), (request.matte, "MatteWrite")):
        if not sequence or complete(sequence, *request.source):
            continue
        Path(sequence).parent.mkdir(parents=True, exist_ok=True)
        write = _inner(group, name)
        write["file"].setValue(sequence)
        nuke.execute(write, *request.source)


def show_result(group: nuke.Node, request: Request) -> None:
    """Lets the node show what was rendered."""
    first, last = request.output
    values = ((RESULT, request.job.to_dict()["output"]), (RESULT_FIRST, first), (RESULT_LAST, last), (RENDERED, 1))
    for name, value in values:
        group[name].setValue(value)
    reload = _inner(group, "ResultRead")["reload"]
    if isinstance(reload, nuke.Script_Knob):
        reload.execute()


def pressed_render(group: nuke.Node) -> None:
    """The Render button."""
    guarded(lambda: _go(group, ""))


def pressed_preview(group: nuke.Node) -> None:
    """The Preview button: the frame that the Viewer is at."""
    guarded(lambda: _go(group, str(nuke.frame())))


def pressed_import(group: nuke.Node) -> None:
    """The Import button: a retiming node's text from the clipboard."""
    guarded(lambda: import_settings(group, _clipboard()))


def import_settings(group: nuke.Node, text: str) -> Tuple[str, ...]:
    """Takes over a retiming node's settings into a KairosRetime node; answers with notes for the artist.

    Raises:
        BadRequest: as :func:`kairos_nodes.nuke_import.import_retime` has it.
    """
    source = f"{int(group['input_first'].value())}-{int(group['input_last'].value())}"
    found = import_retime(text, source_range=source)
    knobs: Dict[str, Any] = {"input_first": found.time_map.first, "input_last": found.time_map.last}
    for name, knob in (
        ("channels", "retimedChannels"),
        ("shutter_samples", "shutterSamples"),
        ("filter", "resampleType"),
    ):
        if name in found.settings:
            knobs[knob] = found.settings[name]
    if "shutter" in found.settings:
        knobs["shutterTime"] = float(str(found.settings["shutter"])) / 360
    if found.timing == "speed":
        knobs[TIMING] = "Output Speed"
        knobs["timingOutputSpeed"] = float(exact(str(found.settings["speed"])))
    else:
        knobs[TIMING] = "Frame"
    for name, value in knobs.items():
        group[name].setValue(value)
    if found.timing == "frame_map":
        group[FRAME].fromScript("{" + found.time_map.to_nuke_curve() + "}")
    return found.notes


def guarded(action: Callable[[], object]) -> None:
    """Runs what a button asks for; an error becomes a message in the artist's words, never a traceback."""
    try:
        notes = action()
        if isinstance(notes, tuple) and notes and nuke.GUI:
            nuke.message("\n".join(str(note) for note in notes))
    except KairosError as error:
        tell(str(error))
    except (OSError, RuntimeError, ValueError) as error:
        tell(f"{DISPLAY} could not go on: {error}")


def tell(text: str) -> None:
    """A message, or a line on the terminal where there is no window."""
    if nuke.GUI:
        nuke.message(text)
    else:
        print(text)


def _go(group: nuke.Node, frames: str) -> object:
    return render_in_background(group, frames) if nuke.GUI else render(group, frames)


def _background(group: nuke.Node, request: Request, frames: str, task: Any) -> None:
    """The thread: everything of Nuke's, but the task, is touched in the main thread alone."""

    def hear(event: Event) -> None:
        if event.kind == "progress":
            total = max(1, int(event.data.get("total") or 1))
            task.setProgress(int(100 * int(event.data.get("done") or 0) / total))
            task.setMessage(str(event.data.get("stage", "")))

    try:
        run_job(_chunk(request.job, frames), hear, lambda: bool(task.isCancelled()))
    except KairosError as error:
        nuke.executeInMainThread(tell, args=(str(error),))
    except (OSError, RuntimeError, ValueError) as error:
        nuke.executeInMainThread(tell, args=(f"{DISPLAY} could not go on: {error}",))
    else:
        nuke.executeInMainThread(show_result, args=(group, request))


def _chunk(job: Job, frames: str) -> Job:
    return replace(job, frames=frames) if frames else job  # type: ignore[call-arg]


def _value(knob: Any) -> Any:
    return knob.value()


def _sampled(group: nuke.Node, first: int, last: int) -> List[Tuple[int, Fraction]]:
    """The Frame knob at each output frame: over its keys, or the source range where it has none."""
    knob = group[FRAME]
    keys = [int(frame) for frame in knob.getKeyList()] or [first, last]
    start, end = min(keys), max(keys)
    return [(frame, exact(round(float(knob.getValueAt(frame)), 9))) for frame in range(start, end + 1)]


def _output_range(job: Job, mapped: str, first: int, last: int) -> Tuple[int, int]:
    """Output frame numbers: the map's own, else counted from the first source frame, as the runtime does."""
    if not isinstance(job, RetimeJob):
        return first, last
    if mapped:
        times = TimeMap.from_text(mapped, first, last)
    elif job.to_fps is not None:
        times = TimeMap.to_rate(str(job.fps), job.to_fps, first, last)
    else:
        times = TimeMap.constant(str(job.speed), first, last)
    begin = first if times.start is None else times.start
    return begin, begin + len(times) - 1


def _identity(source: nuke.Node) -> Mapping[str, object]:
    """What changes when an input's pictures do."""
    return {"hashes": [str(one) for one in source.opHashes()], "name": source.fullName()}


def _place(kind: str, facts: Mapping[str, object], name: str) -> str:
    return pattern(_folder(kind, facts), name)


def _folder(kind: str, facts: Mapping[str, object]) -> Path:
    return folder(kind, fingerprint(facts), os.environ.get("NUKE_TEMP_DIR"))


def _inner(group: nuke.Node, name: str) -> nuke.Node:
    found: Optional[nuke.Node] = group.node(name) if isinstance(group, nuke.Group) else None
    if found is None:
        raise BadRequest(f"{group.name()} has lost its inner node {name}.", "Make a new Kairos node.")
    return found


def _clipboard() -> str:
    """The text of the clipboard, by the Qt that Nuke comes with: PySide2 up to 15, PySide6 from 16 on."""
    for module in ("PySide6.QtWidgets", "PySide2.QtWidgets"):
        try:
            widgets: Any = __import__(module, fromlist=["QApplication"])
        except ImportError:
            continue
        return str(widgets.QApplication.clipboard().text())
    raise BadRequest("The clipboard cannot be read here.", "Use import_settings(node, text) in a script.")
