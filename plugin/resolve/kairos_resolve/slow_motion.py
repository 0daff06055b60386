"""Kairos Slow Motion: the clip at the playhead, slowed by the runtime, on the track above or as a take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Dict, Mapping, Tuple

from kairos_nodes.asking import Question, settings
from kairos_nodes.conform import LENGTHS, Placed, Retimed, at_speed, between, by_map
from kairos_nodes.errors import BadRequest
from kairos_nodes.nodes import node
from kairos_nodes.parameter import Parameter, Value
from kairos_nodes.rational import exact
from kairos_resolve.exports import as_timeline_plays
from kairos_resolve.placing import as_take, import_result, on_track_above
from kairos_resolve.reading import Here, here, is_movie, placed, room_after
from kairos_resolve.work import Tell, render, result_folder, stem_of, write_text

if TYPE_CHECKING:
    from fusionscript import Resolve

NODE = "SlowMotion"
TIMELINE = "timeline"

FIELDS: Tuple[Parameter, ...] = (
    Parameter(
        "timing",
        "choice",
        "Timing",
        "What says how slow: a speed, frames between each two, a map file, or the timeline's own speed.",
        None,
        "speed",
        choices=("speed", "between", "frame_map", TIMELINE),
    ),
    Parameter(
        "length",
        "choice",
        "Length",
        "How much to show: up to the next clip on the track, all of it, or the place that the clip has now.",
        None,
        LENGTHS[0],
        choices=LENGTHS,
    ),
    Parameter(
        "handles",
        "int",
        "Handles",
        "Frames to render before and after, for trimming and transitions.",
        None,
        8,
        minimum=0,
        maximum=10000,
        unit="frames",
    ),
    Parameter(
        "place",
        "choice",
        "Put it",
        "On a free video track above the clip, or into the clip as a take, as long as the clip is.",
        None,
        "track",
        choices=("track", "take"),
    ),
    Parameter(
        "format",
        "choice",
        "Format",
        "Same as the clip's, an EXR sequence (scene-linear), or a ProRes movie.",
        None,
        "same",
        choices=("same", "exr", "mov"),
    ),
    Parameter(
        "folder",
        "choice",
        "Folder",
        "Where the result lies: in a folder kairos beside the media, or in Kairos' cache.",
        None,
        "beside",
        choices=("beside", "cache"),
    ),
    Parameter(
        "export",
        "path",
        "Timeline export",
        "For the timeline's own speed: an exported .otio or .fcpxml; Resolve is asked for both where this is empty.",
        None,
        "",
    ),
)
"""What Resolve asks for beyond the node's knobs."""

LABELS: Mapping[str, Mapping[str, str]] = {
    "timing": {
        "speed": "Speed",
        "between": "Frames between each two",
        "frame_map": "Frame map",
        TIMELINE: "As in the timeline",
    },
    "length": {"room": "Up to the next clip", "whole": "All of it", "clip": "The clip's place"},
    "place": {"track": "On the track above", "take": "As a take"},
    "format": {"same": "Same as the clip", "exr": "EXR sequence", "mov": "ProRes movie"},
    "folder": {"beside": "Beside the media", "cache": "Cache"},
}

HIDDEN = ("fps", "range", "frames", "start")
"""Knobs that the clip decides."""


def question(clip: Placed) -> Question:
    """What to ask for about a clip."""
    note = f"{clip.name}: {clip.duration} frames at {float(clip.rate):.6g} fps"
    if clip.pace != 1:
        note += f", source at {float(clip.media.rate):.6g} fps"
    return Question(NODE, note, FIELDS, HIDDEN, LABELS, "timing", {"export": TIMELINE})


def run(resolve: Resolve, tell: Tell) -> None:
    """The whole script. Raises KairosError for the artist."""
    where = here(resolve)
    clip = placed(where.item, where.rate)
    if clip.media.count < 2:
        raise BadRequest(f"{clip.name} is a single frame: nothing moves in it.", "Choose a clip with motion.")
    values = settings(question(clip), tell)
    retimed = plan(where, clip, values, tell)
    if retimed.cut:
        tell(f"The file ends there: the result is {retimed.cut} frames shorter than the clip would be.")
    result = render_result(where, clip, retimed, values, tell)
    first, end = retimed.shown(limit(where, clip, values))
    media = import_result(where, result, retimed.count, tell)
    if values["place"] == "take":
        as_take(where, media, first, end)
        tell(f"{clip.name} has a new take: {end - first} of {retimed.length} frames.")
        return
    track = on_track_above(where, media, first, end, clip.record, tell)
    rest = retimed.length - (end - first)
    tell(
        f"V{track}, frame {clip.record}: {end - first} frames"
        + (f"; {rest} more wait behind its end: drag it to the right." if rest else ".")
    )


def plan(where: Here, clip: Placed, values: Mapping[str, Value], tell: Tell) -> Retimed:
    """Which source times to render, handles included. Raises BadRequest."""
    handles, timing = int(str(values["handles"])), values["timing"]
    if timing == "between":
        return between(clip, int(str(values["between"])), handles)
    if timing == "frame_map":
        return by_map(clip, _map_text(str(values["frame_map"] or "")))
    if timing == TIMELINE:
        return as_timeline_plays(where, clip, str(values["export"] or ""), handles, tell)
    return at_speed(clip, exact(str(values["speed"]), "Speed"), handles)


def limit(where: Here, clip: Placed, values: Mapping[str, Value]) -> int | None:
    """Timeline frames that there is room for; None where there is no end to it."""
    if values["place"] == "take" or values["length"] == "clip" or values["timing"] == TIMELINE:
        return clip.duration
    return room_after(where, clip) if values["length"] == "room" else None


def render_result(where: Here, clip: Placed, retimed: Retimed, values: Mapping[str, Value], tell: Tell) -> Path:
    """Renders, and answers with the movie or the sequence's spelling. Raises KairosError."""
    knobs = {one.name for one in node(NODE).knobs}
    chosen: Dict[str, object] = {name: value for name, value in values.items() if name in knobs}
    chosen.update(range=f"{retimed.source[0]}-{retimed.source[1]}", frame_map="map.txt")
    suffix = _suffix(clip, str(values["format"]))
    facts = {"knobs": chosen, "map": retimed.text, "suffix": suffix}
    folder = result_folder(clip.media, facts, values["folder"] == "beside", tell)
    chosen["frame_map"] = str(write_text(folder / "map.txt", retimed.text))
    name = stem_of(clip.media) + ("_kairos.mov" if suffix == ".mov" else f"_kairos.%04d{suffix}")
    job = node(NODE).make_job(clip.media.path, str(folder / name), chosen, "frame_map")
    tell(f"{clip.name}: {retimed.length} frames and {retimed.head} + {retimed.tail} of handle, to {folder}")
    render(job, f"DaVinci Resolve {where.resolve.GetVersionString()}", f"Slow Motion: {clip.name}", tell)
    return folder / name


def _suffix(clip: Placed, chosen: str) -> str:
    """What kind of file: JPEG alone is not written again as it is, since that would lose twice."""
    if chosen != "same":
        return f".{chosen}"
    suffix = Path(clip.media.path).suffix.lower()
    if is_movie(clip.media):
        return ".mov"
    return ".png" if suffix in (".jpg", ".jpeg") else suffix


def _map_text(path: str) -> str:
    if not path:
        raise BadRequest("Frame map is empty.", "Give a text file with lines 'output-frame source-time'.")
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"The frame map {path} cannot be read: {error}.", "Choose another file.") from None
