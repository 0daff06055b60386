"""What goes into a Kairos node: its tree is recognised, its frames are written as EXR."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import nuke

from kairos_nodes.errors import Cancelled, FrameError, ImageError
from kairos_nuke.build import is_kairos
from kairos_nuke.knobs import RESULT

_LOOKS = frozenset(
    (
        *("name", "label", "selected", "xpos", "ypos", "hide_input", "tile_color", "gl_color", "autolabel"),
        *("note_font", "note_font_size", "note_font_color", "icon", "indicators", "bookmark", "dope_sheet", "help"),
        *("panel", "postage_stamp", "postage_stamp_frame", "updateUI", "onCreate", "onDestroy", "knobChanged"),
    )
)
"""Knobs that say how a node looks or behaves in the graph, and nothing of its pictures."""

_OF_SCRIPT = ("format", "fps", "colorManagement", "OCIO_config", "customOCIOConfigPath", "workingSpaceLUT")
"""Of the script's own knobs, those that change pictures."""


def tree_facts(source: nuke.Node, group: nuke.Node, first: int, last: int) -> Dict[str, object]:
    """What changes when the pictures of a source do: every node above it, their knobs, and the files they read.

    Nuke's own hashes of operators will not do: they belong to the frame that Nuke stands at, so that a render would
    look stale one frame later.

    Args:
        source: what is connected.
        group: the Kairos node, whose own knobs are left out.
        first, last: source frames, both included.
    """
    order: List[nuke.Node] = [source]
    places = {group.fullName(): -1, source.fullName(): 0}
    rows: List[object] = []
    for node in order:  # Grows while it is walked.
        for other in _reached(node):
            if other.fullName() not in places:
                places[other.fullName()] = len(order)
                order.append(other)
        inputs = [node.input(index) for index in range(node.inputs())]
        connected = [None if one is None else places.get(one.fullName()) for one in inputs]
        rows.append([node.Class(), connected, _knobs(node)])
    return {"nodes": rows, "files": _files(source, first, last)}


def write_frames(group: nuke.Node, writer: nuke.Node, source: nuke.Node, sequence: str, frames: Tuple[int, int]) -> int:
    """Writes those frames of an input that are not there yet; always at full size, whatever the script's proxy mode.

    Args:
        group: the Kairos node, for messages.
        writer: its inner Write.
        source: what is connected, for messages.
        sequence: where to, ``%V`` standing for each view.
        frames: first and last, both included.

    Returns:
        How many frames it wrote.

    Raises:
        KairosError: Nuke could not write them, naming the node and the frames, or the artist cancelled.
    """
    place = Path(localised(Path(sequence).parent.as_posix()))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"{group.name()}: the cache folder {place} cannot be made: {error.strerror}.",
            "Name a folder that can be written to in KAIROS_CACHE.",
        ) from None
    spans = missing_spans(sequence, *frames)
    writer["file"].setValue(sequence)
    for first, last in spans:
        try:
            with _full_size():
                nuke.execute(writer, first, last, 1, nuke.views())
        except RuntimeError as error:
            if "cancel" in str(error).lower():
                raise Cancelled("The render was cancelled.", "Frames that are written are kept.") from None
            raise ImageError(
                f"{group.name()}: Nuke could not write frames {first}-{last} of {source.name()}: {error}",
                "Look at that node at those frames.",
            ) from error
    left = missing_spans(sequence, *frames)
    if left:
        raise FrameError(
            f"{group.name()}: Nuke wrote no frame {left[0][0]} of {source.name()} into {place}.",
            "Look at that node at that frame, and whether the disk is full.",
        )
    return sum(last - first + 1 for first, last in spans)


def by_view(sequence: str) -> List[str]:
    """The sequence itself, or one for each view of the script where it has a place for the view."""
    return [sequence.replace("%V", view) for view in nuke.views()] if "%V" in sequence else [sequence]


def missing_spans(sequence: str, first: int, last: int) -> List[Tuple[int, int]]:
    """Stretches of frames, both ends included, of which at least one view is not on disk."""
    found: List[Tuple[int, int]] = []
    files = by_view(localised(sequence))
    for frame in range(first, last + 1):
        if all(Path(one % frame).is_file() for one in files):
            continue
        if found and found[-1][1] == frame - 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def localised(path: str) -> str:
    """A path as this machine has it: through the studio's file name filters, as Nuke's own Reads and Writes go."""
    filtered: Callable[[str], object] = nuke.filenameFilter
    return str(filtered(path) or path) if path else path


def _reached(node: nuke.Node) -> Sequence[nuke.Node]:
    """What a node's pictures depend on: inputs, nodes that its expressions name, the nodes inside it."""
    found = list(node.dependencies(nuke.INPUTS | nuke.HIDDEN_INPUTS | nuke.EXPRESSIONS))
    # The nodes inside a Kairos node follow its knobs; the script itself is a group too.
    if isinstance(node, nuke.Group) and node.Class() != "Root" and not is_kairos(node):
        found += node.nodes()
    return found


def _knobs(node: nuke.Node) -> Dict[str, str]:
    """Knobs as a script holds them."""
    knobs = node.knobs()
    names = [name for name in _OF_SCRIPT if name in knobs] if node.Class() == "Root" else set(knobs) - _LOOKS
    found = {name: str(knobs[name].toScript()) for name in names}
    if is_kairos(node):
        # The result of another Kairos node lies elsewhere on other machines; its folder's name is its fingerprint.
        found[RESULT] = Path(str(knobs[RESULT].value() or "")).parent.name
    return found


def _files(source: nuke.Node, first: int, last: int) -> List[Tuple[str, int, int]]:
    """Name, size and time of every file that the tree reads for these frames. Folders differ between machines."""
    found = set()
    rows: Any = source.fileDependencies(first, last)
    for _, files in rows:
        for file in files:
            with contextlib.suppress(OSError):
                path = Path(localised(str(file)))
                status = path.stat()
                found.add((path.name, status.st_size, int(status.st_mtime)))
    return sorted(found)


@contextlib.contextmanager
def _full_size() -> Iterator[None]:
    """Switches the script's proxy mode off for as long as something is written."""
    proxy = nuke.root()["proxy"]
    before = proxy.value()
    proxy.setValue(False)
    try:
        yield
    finally:
        proxy.setValue(before)
