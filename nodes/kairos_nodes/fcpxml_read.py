"""Reads the speed curves of clips out of an exported FCPXML timeline, which names them where OTIO does not."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from fractions import Fraction
from typing import Iterator, List, Mapping, Optional, Tuple

from kairos_nodes.curves import Key, Keyed
from kairos_nodes.errors import BadRequest

_REMEDY = "Export the timeline as FCPXML 1.10 again."
_CLIPS = ("asset-clip", "clip", "video")
_ITEMS = (*_CLIPS, "gap", "ref-clip", "sync-clip", "title", "mc-clip", "audition")
_LARGEST = 64 << 20


@dataclass(frozen=True)
class CurvedClip:
    """A clip of a timeline with the curve that it plays by.

    Attributes:
        name: as the timeline has it.
        lane: 0 for the main storyline, 1 and up for what lies above it.
        record: seconds from the timeline's first frame.
        duration: seconds in the timeline.
        curve: source seconds from the media's first frame, over seconds from the clip's beginning in the timeline;
            straight between its keys.
        eased: True where the format smooths a change of speed, which the curve takes as a corner.
    """

    name: str
    lane: int
    record: Fraction
    duration: Fraction
    curve: Keyed
    eased: bool


def read_curves(text: str) -> List[CurvedClip]:
    """The clips that have a time map, of every lane.

    Raises:
        BadRequest: this is no FCPXML timeline, or is damaged.
    """
    # Entities could grow without end, and no timeline has any.
    if len(text) > _LARGEST or "<!ENTITY" in text:
        raise BadRequest("The FCPXML timeline is too large or has entities.", _REMEDY)
    try:
        root = ElementTree.fromstring(text)
        starts = {one.get("id", ""): _seconds(one.get("start")) for one in root.iter("asset")}
        found: List[CurvedClip] = []
        for sequence in root.iter("sequence"):
            begin = _seconds(sequence.get("tcStart"))
            for spine in sequence.findall("spine"):
                for item in spine:
                    found += _item(item, begin, Fraction(0), starts)
        if root.tag != "fcpxml":
            raise BadRequest("This is no FCPXML timeline.", _REMEDY)
        return found
    except (ElementTree.ParseError, ValueError, ZeroDivisionError) as error:
        raise BadRequest(f"The FCPXML timeline is damaged: {error}.", _REMEDY) from None


def find_curve(
    clips: List[CurvedClip], name: str, record: Fraction, duration: Fraction, slack: Fraction
) -> Optional[CurvedClip]:
    """The clip of that name, place and length, within ``slack`` seconds; None where there is none."""
    for one in clips:
        if one.name == name and abs(one.record - record) <= slack and abs(one.duration - duration) <= slack:
            return one
    return None


def _item(
    item: ElementTree.Element, begin: Fraction, shift: Fraction, starts: Mapping[str, Fraction]
) -> Iterator[CurvedClip]:
    """The clip, and what is connected to it.

    Args:
        item: of a storyline.
        begin: that storyline's own time at which the timeline begins.
        shift: timeline seconds to add to that.
        starts: first time of each asset.
    """
    if item.tag not in _ITEMS:
        return
    record = _seconds(item.get("offset")) - begin + shift
    start = _seconds(item.get("start"))
    if item.tag in _CLIPS:
        mapped = item.find("timeMap")
        if mapped is not None:
            curve, eased = _curve(mapped, start, starts.get(item.get("ref", ""), Fraction(0)))
            lane, duration = int(item.get("lane", "0")), _seconds(item.get("duration"))
            yield CurvedClip(item.get("name", ""), lane, record, duration, curve, eased)
    # What is connected is placed in the time of what it hangs from.
    for child in item:
        yield from _item(child, start, record, starts)


def _curve(mapped: ElementTree.Element, start: Fraction, origin: Fraction) -> Tuple[Keyed, bool]:
    """Time points: ``time`` as the clip plays, ``value`` in the media."""
    points = sorted((_seconds(one.get("time")), _seconds(one.get("value"))) for one in mapped.findall("timept"))
    keys: List[Key] = []
    for time, value in points:
        if not keys or time - start > keys[-1].frame:
            keys.append(Key(time - start, value - origin))
    if len(keys) < 2:
        raise ValueError("a time map needs two points")
    ease = any(one.get("inTime") or one.get("outTime") for one in mapped.findall("timept"))
    slopes = [(b.time - a.time) / (b.frame - a.frame) for a, b in zip(keys, keys[1:])]
    return Keyed(tuple(keys), slopes[0], slopes[-1]), ease and len(keys) > 2


def _seconds(text: Optional[str]) -> Fraction:
    """``1001/24000s``, ``5s``; 0 where it is absent."""
    return Fraction((text or "0s").strip().rstrip("s"))
