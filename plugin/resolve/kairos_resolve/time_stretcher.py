"""Kairos Time Stretcher: renders a TimeStretcher's SourceTime curve, and puts a Loader in its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

from kairos_nodes.asking import Question, settings
from kairos_nodes.conform import NEIGHBOURS, Media
from kairos_nodes.errors import BadRequest
from kairos_nodes.nodes import node
from kairos_nodes.timing import map_text
from kairos_resolve.flow import Composition, Tool
from kairos_resolve.reading import here, media_of, placed
from kairos_resolve.slow_motion import FIELDS as SLOW_MOTION_FIELDS
from kairos_resolve.slow_motion import LABELS
from kairos_resolve.work import Tell, render, result_folder, stem_of, write_text

if TYPE_CHECKING:
    from fusionscript import Resolve

NODE = "Retime"
KIND = "TimeStretcher"

FIELDS = tuple(one for one in SLOW_MOTION_FIELDS if one.name == "folder")
HIDDEN = ("speed", "frame_map", "to_fps", "fps", "range", "frames", "start", "phase", "matte")

MILLIONTH = 10**6
"""A spline's values are floats: rounded so far, a key on a whole frame is that frame and is copied, not rebuilt."""

STILLS = (".exr", ".dpx", ".tif", ".tiff", ".png", ".jpg", ".jpeg")
"""Suffixes of files that are numbered by frame; a number before any other belongs to a movie's name."""

_NUMBER = re.compile(r"(\d+)(\.[^.]+)$")


@dataclass(frozen=True)
class Source:
    """What a TimeStretcher is fed with.

    Attributes:
        media: the file.
        offset: file frame = composition time + offset.
    """

    media: Media
    offset: int


def run(composition: Composition, tell: Tell, tool: Optional[Tool] = None, resolve: Optional[Resolve] = None) -> Tool:
    """The whole script; answers with the Loader. Raises KairosError for the artist.

    Args:
        composition: the current one.
        tell: hears how it goes.
        tool: that the script was called on; the selected TimeStretcher where None.
        resolve: where this runs inside Resolve; a MediaIn's frames are counted from its timeline clip.
    """
    stretcher = _stretcher(composition, tool)
    name = str(stretcher.GetAttrs().get("TOOLS_Name", KIND))
    source = source_of(composition, stretcher, resolve)
    first, times = source_times(composition, stretcher)
    tell(f"{name}: {len(times)} frames from {first} on, {_shape(stretcher)}.")
    values = settings(
        Question(NODE, f"{name}: {len(times)} frames", FIELDS, HIDDEN, {"folder": LABELS["folder"]}), tell
    )
    text = map_text((index, time + source.offset) for index, time in enumerate(times))
    chosen: Dict[str, object] = {
        one.name: values[one.name] for one in node(NODE).knobs if one.name not in HIDDEN and one.name in values
    }
    chosen["range"] = _looked_at(source, times)
    media = source.media
    folder = result_folder(media, {"knobs": chosen, "map": text}, values["folder"] == "beside", tell)
    chosen["frame_map"] = str(write_text(folder / "map.txt", text))
    output = folder / f"{stem_of(media)}_kairos.%04d.exr"
    job = node(NODE).make_job(media.path, str(output), chosen, "frame_map")
    render(job, "Fusion", f"Time Stretcher: {name}", tell)
    made = in_its_place(composition, stretcher, str(output) % 0, first, len(times))
    tell(f"{made.GetAttrs().get('TOOLS_Name', 'A Loader')} shows the result where {name} was; {name} is left above it.")
    return made


def source_times(composition: Composition, stretcher: Tool) -> Tuple[int, List[Fraction]]:
    """The render range's first frame, and the SourceTime of each of its frames, in composition time.

    Fusion evaluates its own curve here: keys, handles, expressions and modifiers alike.
    """
    attrs = composition.GetAttrs()
    first, last = int(attrs["COMPN_RenderStart"]), int(attrs["COMPN_RenderEnd"])
    if last < first:
        raise BadRequest("The composition's render range is empty.", "Set its in and out points.")
    values = [stretcher.GetInput("SourceTime", frame) for frame in range(first, last + 1)]
    try:
        return first, [Fraction(round(float(value) * MILLIONTH), MILLIONTH) for value in values]
    except (TypeError, ValueError, OverflowError):
        raise BadRequest("Source Time has no number at every frame.", "Check its curve or expression.") from None


def source_of(composition: Composition, stretcher: Tool, resolve: Optional[Resolve]) -> Source:
    """The file behind the tool's input.

    Raises:
        BadRequest: nothing is connected, or what is connected is neither a Loader nor a MediaIn.
    """
    output = stretcher.Input.GetConnectedOutput()
    tool = output.GetTool() if output else None
    kind = str(tool.GetAttrs().get("TOOLS_RegID", "")) if tool else ""
    if tool is not None and kind == "Loader" and _first_of(tool.GetAttrs(), "TOOLST_Clip_Name", ""):
        return _loaded(composition, tool)
    if tool is not None and kind in ("MediaIn", "Loader") and resolve is not None:
        return _media_in(composition, tool, resolve)
    raise BadRequest(
        "The TimeStretcher is not fed by a Loader or MediaIn.",
        "Put it right behind one, or save what comes before it and load that.",
    )


def in_its_place(composition: Composition, stretcher: Tool, file: str, start: int, count: int) -> Tool:
    """A Loader at the tool's place in the flow, connected to all that took the tool's output; the tool moves up."""
    flow = composition.CurrentFrame.FlowView
    where = flow.GetPosTable(stretcher)
    x, y = float(where[1]), float(where[2])
    # Locked, a new Loader opens no file dialog.
    composition.Lock()
    composition.StartUndo("Kairos")
    try:
        flow.SetPos(stretcher, x, y - 1)
        made = composition.AddTool("Loader", x, y)
        made.SetInput("Clip", file, start)
        made.SetInput("GlobalIn", start, start)
        made.SetInput("GlobalOut", start + count - 1, start)
        made.SetAttrs({"TOOLB_NameSet": True, "TOOLS_Name": "KairosTime"})
        for taker in stretcher.Output.GetConnectedInputs().values():
            taker.ConnectTo(made.Output)
    finally:
        composition.EndUndo(True)
        composition.Unlock()
    return made


def _stretcher(composition: Composition, tool: Optional[Tool]) -> Tool:
    for one in (tool, composition.ActiveTool, *composition.GetToolList(True, KIND).values()):
        if one and one.GetAttrs().get("TOOLS_RegID") == KIND:
            return one
    raise BadRequest("No TimeStretcher is selected.", "Select the one to render, and run the script again.")


def _shape(stretcher: Tool) -> str:
    """How the curve is made, for people."""
    output = stretcher.SourceTime.GetConnectedOutput()
    if not output:
        return "one value or an expression"
    modifier = output.GetTool()
    if modifier.GetAttrs().get("TOOLS_RegID") != "BezierSpline":
        return "a modifier"
    return f"{len(modifier.GetKeyFrames())} keys"


def _loaded(composition: Composition, tool: Tool) -> Source:
    """A Loader's first clip; a sequence's first file is the one that it names."""
    attrs = tool.GetAttrs()
    path = composition.MapPath(str(_first_of(attrs, "TOOLST_Clip_Name", "")))
    start = int(_first_of(attrs, "TOOLNT_Clip_Start", 0))
    trim, end = int(_first_of(attrs, "TOOLIT_Clip_TrimIn", 0)), int(_first_of(attrs, "TOOLIT_Clip_TrimOut", 0))
    length = max(int(_first_of(attrs, "TOOLIT_Clip_Length", 1)), end + 1)
    number = _NUMBER.search(path)
    first = 0
    if number and number.group(2).lower() in STILLS:
        first = int(number.group(1))
        path = f"{path[: number.start()]}%0{len(number.group(1))}d{number.group(2)}"
    return Source(Media(path, first, length, Fraction(24)), first + trim - start)


def _media_in(composition: Composition, tool: Tool, resolve: Resolve) -> Source:
    """The timeline clip's own file: its in point is the composition's first frame to render."""
    where = here(resolve)
    clip = placed(where.item, where.rate)
    given = str(tool.GetData("MediaProps.MEDIA_PATH") or "")
    own = str(where.item.GetMediaPoolItem().GetClipProperty("File Path") or "")
    if given and Path(given).parent != Path(own).parent:
        raise BadRequest(
            f"The MediaIn shows {Path(given).name}, which is not the clip at the playhead.",
            "Put the playhead on its clip, or use a Loader.",
        )
    if clip.pace != 1 or clip.retimed:
        raise BadRequest(
            f"{clip.name} does not play frame by frame in the timeline (its speed or rate).",
            "Retime it with Kairos Slow Motion, or use a Loader.",
        )
    start = int(composition.GetAttrs()["COMPN_RenderStart"])
    return Source(media_of(where.item.GetMediaPoolItem()), clip.media.first + clip.source_in - start)


def _first_of(attrs: Dict[str, Any], name: str, default: Any) -> Any:
    """A Loader's tables are numbered from 1."""
    table = attrs.get(name)
    if isinstance(table, dict) and table:
        return table.get(1, table.get(1.0, default))
    return default


def _looked_at(source: Source, times: List[Fraction]) -> str:
    """The source range, as ``--range`` has it; times outside hold the file's ends."""
    media = source.media
    low, high = int(min(times)) + source.offset - NEIGHBOURS, int(max(times)) + 1 + source.offset + NEIGHBOURS
    return f"{min(max(media.first, low), media.last)}-{max(min(media.last, high), media.first)}"
