"""Rendering a Kairos node: its source is written, the runtime works, its result is read back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Sequence

import nuke

from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.events import Listener
from kairos_nodes.jobs import Job
from kairos_nuke.build import is_kairos
from kairos_nuke.inner import MATTE, READER, SOURCE, WRITERS
from kairos_nuke.knobs import RENDERED, RESULT, RESULT_FIRST, RESULT_LAST
from kairos_nuke.plate import localised, missing_spans, write_frames
from kairos_nuke.request import Request, request_of
from kairos_nuke.session import run_job


def render(group: nuke.Node, listen: Listener = lambda event: None) -> Request:
    """Renders all of a node's output frames, and waits; what is done already is not done again.

    Args:
        group: a Kairos node.
        listen: hears the runtime's events.

    Raises:
        KairosError: it cannot be rendered, or failed.
    """
    request = request_of(group)
    prepare(group, request)
    run(request.title, request.jobs(), listen)
    show_result(group, request)
    return request


def prepare(group: nuke.Node, request: Request) -> None:
    """Writes what the runtime reads: plate, matte, frame map. In Nuke's main thread.

    Raises:
        KairosError: a Kairos node further up is not rendered, or something cannot be written.
    """
    for other in upstream(group):
        why = unfinished(other)
        if why:
            raise BadRequest(f"{group.name()}: {why}", "Render that node first.")
    written = 0
    for number, sequence in ((SOURCE, request.plate), (MATTE, request.matte)):
        source = group.input(number)
        if sequence and source is not None:
            written += write_frames(group, inside(group, WRITERS[number]), source, sequence, request.source)
    place = Path(localised(request.place.as_posix()))
    if written and place.is_dir():
        # The cache was emptied in part: what was made from the earlier files is not known to the runtime any more.
        shutil.rmtree(place)
    if request.map:
        place.mkdir(parents=True, exist_ok=True)
        (place / "map.txt").write_text(request.map, encoding="utf-8")


def run(title: str, jobs: Sequence[Job], listen: Listener, stop: Callable[[], bool] = lambda: False) -> None:
    """Has the runtime do a request's jobs. In any thread.

    Args:
        title, jobs: of the request.
        listen: hears the runtime's events.
        stop: asked about ten times a second; True cancels.

    Raises:
        KairosError: naming the node.
    """
    try:
        for job in jobs:
            run_job(job, listen, stop)
    except KairosError as error:
        raise type(error)(f"{title}: {error.message}", error.remedy) from None


def show_result(group: nuke.Node, request: Request) -> None:
    """Lets the node show what was rendered. In Nuke's main thread."""
    first, last = request.output
    for name, value in ((RESULT, request.result), (RESULT_FIRST, first), (RESULT_LAST, last), (RENDERED, True)):
        group[name].setValue(value)
    reload = inside(group, READER)["reload"]
    if isinstance(reload, nuke.Script_Knob):
        reload.execute()


def unfinished(group: nuke.Node) -> str:
    """Why a node does not show the result of its settings, in a sentence; empty where it does, or is disabled."""
    if group["disable"].value():
        return ""
    request = request_of(group)
    shown = str(group[RESULT].value() or "")
    if not shown:
        return f"{group.name()} is not rendered."
    if Path(shown).parent.parent.name == "previews":
        return f"{group.name()} is not rendered: it shows a preview of one frame."
    # Folders lie elsewhere on other machines; the name of the last one is the fingerprint.
    if Path(shown).parent.name != request.place.name:
        return f"{group.name()} is not rendered for its settings: they, or its source, have changed since."
    if not group[RENDERED].value():
        return f"{group.name()} shows its source. Switch Show result on, or disable the node."
    gone = missing_spans(shown, *request.output)
    if gone:
        return f"{group.name()} lacks frame {gone[0][0]} of its result, {localised(shown)}."
    return ""


def upstream(node: nuke.Node) -> Iterator[nuke.Node]:
    """Kairos nodes that a node depends on, nearest first, through any number of others and inside groups."""
    order = [node]
    seen = {node.fullName()}
    for one in order:  # Grows while it is walked.
        reached: List[Optional[nuke.Node]] = [one.input(index) for index in range(one.inputs())]
        if one is not node and is_kairos(one):
            yield one
        elif one is not node and isinstance(one, nuke.Group):
            reached += one.nodes()
        for other in reached:
            if other is not None and other.fullName() not in seen:
                seen.add(other.fullName())
                order.append(other)


def inside(group: nuke.Node, name: str) -> nuke.Node:
    """A node inside a Kairos node. Raises BadRequest where the artist has removed it."""
    found: Optional[nuke.Node] = group.node(name) if isinstance(group, nuke.Group) else None
    if found is None:
        raise BadRequest(f"{group.name()} has lost its inner node {name}.", "Make a new Kairos node.")
    return found
