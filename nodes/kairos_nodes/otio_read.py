"""Reads clips and their speeds out of an exported ``.otio`` timeline, which is JSON; needs no OpenTimelineIO."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Dict, List, Mapping, Optional, Tuple

from kairos_nodes.errors import BadRequest
from kairos_nodes.rational import parse_rate

_REMEDY = "Export the timeline as OTIO again."


@dataclass(frozen=True)
class TimelineClip:
    """A clip of a video track.

    Attributes:
        name: as the timeline has it.
        track: of the video tracks, counted from 1.
        record: seconds from the timeline's first frame.
        duration: seconds in the timeline.
        source_in: seconds from the first frame of its media, where both are known; else None.
        speed: of 1 the media's own; 0 a freeze frame, negative backwards.
        unread: names of time effects whose meaning the format leaves open.
    """

    name: str
    track: int
    record: Fraction
    duration: Fraction
    source_in: Optional[Fraction]
    speed: Fraction
    unread: Tuple[str, ...] = ()


def read_clips(text: str) -> List[TimelineClip]:
    """The clips of every video track.

    Raises:
        BadRequest: this is no OTIO timeline, or is damaged.
    """
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or not _is(data, "Timeline"):
            raise BadRequest("This is no OTIO timeline.", _REMEDY)
        tracks = [
            one for one in data["tracks"]["children"] if _is(one, "Track") and one.get("kind", "Video") == "Video"
        ]
        return [clip for number, track in enumerate(tracks, 1) for clip in _track(track, number)]
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise BadRequest(f"The OTIO timeline is damaged: {error}.", _REMEDY) from None


def find_clip(clips: List[TimelineClip], name: str, track: int, record: Fraction, slack: Fraction) -> TimelineClip:
    """The clip of that name on that track which begins nearest to ``record``.

    Args:
        clips: of :func:`read_clips`.
        name, track: as the timeline's application says.
        record: seconds from the timeline's first frame.
        slack: seconds that it may be off; a lone clip of that name may be anywhere.

    Raises:
        BadRequest: there is none.
    """
    named = [one for one in clips if one.name == name and one.track == track]
    near = sorted(named, key=lambda one: abs(one.record - record))
    if near and (len(near) == 1 or abs(near[0].record - record) <= slack):
        return near[0]
    raise BadRequest(f"The exported timeline has no clip {name} on track {track} at that place.", _REMEDY)


def _is(item: Any, schema: str) -> bool:
    return isinstance(item, dict) and str(item.get("OTIO_SCHEMA", "")).partition(".")[0] == schema


def _track(track: Mapping[str, Any], number: int) -> List[TimelineClip]:
    found: List[TimelineClip] = []
    record = Fraction(0)
    for child in track["children"]:
        if _is(child, "Transition"):
            continue
        duration = _duration(child)
        if _is(child, "Clip"):
            found.append(_clip(child, number, record, duration))
        record += duration
    return found


def _clip(clip: Mapping[str, Any], track: int, record: Fraction, duration: Fraction) -> TimelineClip:
    speed, unread = Fraction(1), []
    for effect in clip.get("effects") or []:
        if _is(effect, "FreezeFrame"):
            speed = Fraction(0)
        elif _is(effect, "LinearTimeWarp"):
            speed *= Fraction(repr(effect.get("time_scalar", 1))).limit_denominator(1_000_000)
        elif _is(effect, "TimeEffect"):
            unread.append(str(effect.get("effect_name") or effect.get("name") or "time effect"))
    available = _reference(clip).get("available_range")
    trimmed = clip.get("source_range") or available
    start = None
    if trimmed and available:
        start = _seconds(trimmed["start_time"]) - _seconds(available["start_time"])
    return TimelineClip(str(clip.get("name", "")), track, record, duration, start, speed, tuple(unread))


def _reference(clip: Mapping[str, Any]) -> Dict[str, Any]:
    """The active media reference: newer files keep several under names."""
    several = clip.get("media_references")
    if isinstance(several, dict):
        return several.get(clip.get("active_media_reference_key") or "DEFAULT_MEDIA") or {}
    return clip.get("media_reference") or {}


def _duration(item: Mapping[str, Any]) -> Fraction:
    """Seconds that an item of a track takes: its trim, or all of it."""
    trimmed = item.get("source_range")
    if trimmed:
        return _seconds(trimmed["duration"])
    if _is(item, "Clip"):
        return _seconds(_reference(item)["available_range"]["duration"])
    inner = [_duration(child) for child in item.get("children") or [] if not _is(child, "Transition")]
    return (max(inner, default=Fraction(0)) if _is(item, "Stack") else sum(inner, Fraction(0))) or Fraction(0)


def _seconds(time: Mapping[str, Any]) -> Fraction:
    """A RationalTime; its rate is a float and snaps to the trade's own rates."""
    value = Fraction(repr(time["value"])).limit_denominator(1_000_000)
    return value / parse_rate(float(time["rate"]), "OTIO rate")
