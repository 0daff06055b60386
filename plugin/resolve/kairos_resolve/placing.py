"""Putting a result into the media pool and the timeline."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, List, Literal

from kairos_nodes.errors import BadRequest, KairosError
from kairos_nodes.rational import parse_rate
from kairos_resolve.reading import Here, free_track, media_of
from kairos_resolve.work import Tell

if TYPE_CHECKING:
    from fusionscript import Folder, MediaPoolClipInfo, MediaPoolItem, TimelineItem

BIN = "Kairos"
"""Folder of the media pool that results go to."""

VIDEO_ONLY: Literal[1] = 1


def import_result(where: Here, result: Path, count: int, tell: Tell) -> MediaPoolItem:
    """The result as a clip of the media pool, played at the timeline's rate; imported once.

    Args:
        where: the project.
        result: a movie, or a sequence such as ``.../shot_kairos.%04d.exr`` numbered from 0.
        count: how many frames it has.
        tell: hears where Resolve keeps another rate.

    Raises:
        BadRequest: Resolve does not import it.
    """
    pool = where.pool
    before = pool.GetCurrentFolder()
    bin = _bin(where)
    found = _already_there(bin, result)
    if found is None:
        pool.SetCurrentFolder(bin)
        try:
            if "%0" in result.name:
                made = pool.ImportMedia([{"FilePath": str(result), "StartIndex": 0, "EndIndex": count - 1}])
            else:
                made = pool.ImportMedia([str(result)])
        finally:
            pool.SetCurrentFolder(before)
        if not made or not made[0]:
            raise BadRequest(f"Resolve did not import {result}.", "Import it into the media pool by hand.")
        found = made[0]
    if _rate_of(found) != where.rate and not found.SetClipProperty("FPS", rate_text(where.rate)):
        tell(f"Set the frame rate of {result.name} to {rate_text(where.rate)} in its Clip Attributes.")
    return found


def on_track_above(where: Here, media: MediaPoolItem, first: int, end: int, record: int, tell: Tell) -> int:
    """Puts frames ``first`` to ``end`` (excluded) of a result at timeline frame ``record``; picture only.

    Answers with the track: the lowest free one above the clip's, or a new one.

    Raises:
        BadRequest: Resolve does not put it there.
    """
    track = free_track(where, record, end - first)
    if track is None:
        # The second argument is of audio tracks alone; Resolve's own pages call it optional.
        if not where.timeline.AddTrack("video"):  # type: ignore[call-overload]
            raise BadRequest("Resolve did not add a video track.", "Add one above the clip, and run the script again.")
        track = where.timeline.GetTrackCount("video")
    item = _append(where, media, first, end, record, track)
    off = int(item.GetDuration(False)) - (end - first)
    if abs(off) == 1:
        # Whether the end frame counts is not the same in every version: what Resolve made of it decides.
        where.timeline.DeleteClips([item], False)
        item = _append(where, media, first, end - off, record, track)
    length, start = int(item.GetDuration(False)), int(item.GetStart(False))
    if (start, length) != (record, end - first):
        tell(f"Resolve put {length} frames at {start} in place of {end - first} frames at {record}: check the edit.")
    return track


def as_take(where: Here, media: MediaPoolItem, first: int, end: int) -> None:
    """Adds frames ``first`` to ``end`` (excluded) of a result to the clip as a take. Raises BadRequest."""
    item = where.item
    if not item.AddTake(media, first, end):
        raise BadRequest(
            f"Resolve did not add a take to {item.GetName()}.", "Put the result on the track above instead."
        )
    item.SelectTakeByIndex(item.GetTakesCount())


def rate_text(rate: Fraction) -> str:
    """A rate as Resolve writes it: ``23.976``, ``25``."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".")


def _append(where: Here, media: MediaPoolItem, first: int, end: int, record: int, track: int) -> TimelineItem:
    base = _first_number(media)
    clip: MediaPoolClipInfo = {
        "mediaPoolItem": media,
        "startFrame": base + first,
        "endFrame": base + end,
        "mediaType": VIDEO_ONLY,
        "trackIndex": track,
        "recordFrame": record,
    }
    # Of the three forms that this call has, the published stubs leave only the first.
    made: List[TimelineItem] = where.pool.AppendToTimeline([clip])  # type: ignore[arg-type]
    if not made or not made[0]:
        raise BadRequest(
            f"Resolve did not put the result on V{track}.",
            f"It is in the media pool, in the folder {BIN}: drag it there.",
        )
    return made[0]


def _bin(where: Here) -> Folder:
    root = where.pool.GetRootFolder()
    for folder in root.GetSubFolderList() or []:
        if folder.GetName() == BIN:
            return folder
    return where.pool.AddSubFolder(root, BIN) or root


def _already_there(folder: Folder, result: Path) -> MediaPoolItem | None:
    for clip in folder.GetClipList() or []:
        try:
            media = media_of(clip)
        except KairosError:
            continue
        if Path(media.path) == result:
            return clip
    return None


def _rate_of(media: MediaPoolItem) -> Fraction:
    return parse_rate(str(media.GetClipProperty("FPS") or "24"), "frame rate")


def _first_number(media: MediaPoolItem) -> int:
    """How Resolve numbers the result's first frame; results are numbered from 0, so that it is 0 in either counting."""
    try:
        return int(float(str(media.GetClipProperty("Start"))))
    except ValueError:
        return 0
