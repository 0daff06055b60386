"""What a timeline holds, as plain facts: files, rates, source frames, room."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from kairos_nodes.conform import Media, Placed
from kairos_nodes.errors import BadRequest
from kairos_nodes.rational import parse_rate

if TYPE_CHECKING:
    from fusionscript import MediaPool, MediaPoolItem, Project, Resolve, Timeline, TimelineItem

_SEQUENCE = re.compile(r"\[(\d+)-(\d+)\]")
"""How Resolve writes the numbers of a sequence's files: ``shot.[1001-1048].exr``."""


@dataclass(frozen=True)
class Here:
    """Where the artist is: the current project, timeline and clip, and the rate of the timeline."""

    resolve: Resolve
    project: Project
    pool: MediaPool
    timeline: Timeline
    item: TimelineItem
    rate: Fraction
    track: int


def here(resolve: Resolve) -> Here:
    """The current clip: the one under the playhead, on the topmost track that is not switched off.

    Raises:
        BadRequest: nothing is open, or there is no video clip.
    """
    project = resolve.GetProjectManager().GetCurrentProject()
    timeline = project.GetCurrentTimeline() if project else None
    if not timeline:
        raise BadRequest("No timeline is open.", "Open a timeline on the Edit page, and put the playhead on a clip.")
    item = timeline.GetCurrentVideoItem()
    if not item:
        raise BadRequest("There is no video clip at the playhead.", "Put the playhead on the clip.")
    rate = timeline_rate(timeline)
    return Here(resolve, project, project.GetMediaPool(), timeline, item, rate, track_of(timeline, item))


def timeline_rate(timeline: Timeline) -> Fraction:
    """Frames per second; drop frame is a way of counting, not another rate."""
    return _rate(timeline.GetSetting("timelineFrameRate"), "The timeline's frame rate")


def track_of(timeline: Timeline, item: TimelineItem) -> int:
    """Number of the video track that the clip lies on, counted from 1. Raises BadRequest."""
    id = item.GetUniqueId()
    for track in range(1, timeline.GetTrackCount("video") + 1):
        if any(one.GetUniqueId() == id for one in timeline.GetItemListInTrack("video", track) or []):
            return track
    raise BadRequest(f"{item.GetName()} is on no video track.", "Choose a clip on a video track.")


def placed(item: TimelineItem, rate: Fraction) -> Placed:
    """The clip with its file, source frames and place.

    Raises:
        BadRequest: it has no file of its own (a title, a compound clip), or its facts make no sense.
    """
    name = item.GetName()
    source = item.GetMediaPoolItem()
    if not source:
        raise BadRequest(
            f"{name} has no file of its own.", "Render it in place first; titles and generators have no source frames."
        )
    media = media_of(source)
    duration, record = int(item.GetDuration(False)), int(item.GetStart(False))
    # Played backwards, a clip may begin at its later frame.
    start, end = sorted((int(item.GetSourceStartFrame()), int(item.GetSourceEndFrame())))
    head = int(item.GetLeftOffset(False))
    source_in = _counted_from_first(start, end, media, head)
    return Placed(name, media, source_in, _covered(end - start, duration * media.rate / rate), record, duration, rate)


def media_of(source: MediaPoolItem) -> Media:
    """The file of a media pool clip. Raises BadRequest for one without a file."""
    path = str(source.GetClipProperty("File Path") or "")
    if not path:
        raise BadRequest(
            f"{source.GetName()} has no file of its own.", "Render it in place first, or choose the clip inside it."
        )
    rate = _rate(source.GetClipProperty("FPS"), f"The frame rate of {source.GetName()}")
    numbers = _SEQUENCE.search(path)
    if numbers:
        first, last = numbers.groups()
        spelled = f"{path[: numbers.start()]}%0{len(first)}d{path[numbers.end() :]}"
        return Media(spelled, int(first), int(last) - int(first) + 1, rate)
    count = _whole(source.GetClipProperty("Frames"), source.GetName())
    return Media(path, 0, count, rate)


def room_after(here: Here, clip: Placed) -> Optional[int]:
    """Timeline frames from the clip's first to the next clip on its track; None where none follows."""
    items = here.timeline.GetItemListInTrack("video", here.track) or []
    later = [int(one.GetStart(False)) for one in items if int(one.GetStart(False)) > clip.record]
    return min(later) - clip.record if later else None


def free_track(here: Here, record: int, length: int) -> Optional[int]:
    """The lowest unlocked video track above the clip's with nothing in ``length`` frames from ``record`` on."""
    timeline = here.timeline
    for track in range(here.track + 1, timeline.GetTrackCount("video") + 1):
        items = timeline.GetItemListInTrack("video", track) or []
        taken = any(
            int(one.GetStart(False)) < record + length and record < int(one.GetStart(False) + one.GetDuration(False))
            for one in items
        )
        if not taken and not timeline.GetIsTrackLocked("video", track):
            return track
    return None


def is_movie(media: Media) -> bool:
    """True for a movie, False for files numbered by frame and single stills."""
    return "%0" not in Path(media.path).name


def _counted_from_first(start: int, end: int, media: Media, head: int) -> int:
    """The in point counted from the file's first frame.

    Resolve counts a sequence's frames from 0 or by file number, depending on version and clip; both readings may lie
    within the file, and then the one that agrees with the clip's handle is right.
    """
    readings = [one for one in {start, start - media.first} if 0 <= one < media.count]
    # A reading is none where the out point would lie behind the file's end.
    readings = [one for one in readings if one + end - start <= media.count] or readings
    return min(readings, key=lambda one: abs(one - head)) if readings else start


def _covered(difference: int, straight: Fraction) -> int:
    """Source frames covered, from out point less in point, which includes the last frame or not, by version."""
    return max(1, min((difference, difference + 1), key=lambda one: abs(one - straight)))


def _rate(value: Any, what: str) -> Fraction:
    """``23.976``, ``29.97 DF``, 24.0; the trade's rates are exact."""
    text = str(value or "").upper().replace("DF", "").replace("FPS", "").strip()
    return parse_rate(text, what)


def _whole(value: Any, name: str) -> int:
    try:
        return int(float(str(value)))
    except ValueError:
        raise BadRequest(f"Resolve does not say how many frames {name} has.", "Relink or refresh the clip.") from None
