"""Clips and speeds read out of OTIO, compared with OpenTimelineIO itself."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from kairos_nodes.errors import BadRequest
from kairos_nodes.otio_read import find_clip, read_clips

NTSC = Fraction(24000, 1001)


def timeline(rate: float = 24000 / 1001) -> Any:
    otio = pytest.importorskip("opentimelineio", reason="OpenTimelineIO is not installed: nothing to compare with")
    schema, core = otio.schema, otio.opentime

    def span(start: float, length: float) -> Any:
        return core.TimeRange(core.RationalTime(start, rate), core.RationalTime(length, rate))

    def clip(name: str, start: float, length: float, *effects: Any) -> Any:
        media = schema.ExternalReference(f"/plates/{name}", span(86400, 240))
        return schema.Clip(name, media, span(86400 + start, length), effects=list(effects))

    found = schema.Timeline("edit")
    sound = schema.Track("A1", kind=schema.TrackKind.Audio)
    sound.append(clip("A.mov", 0, 10))
    first, second = schema.Track("V1"), schema.Track("V2")
    first.append(clip("A.mov", 5, 48))
    first.append(schema.Transition("dissolve", in_offset=core.RationalTime(4, rate)))
    first.append(schema.Gap(source_range=span(0, 24)))
    first.append(clip("B.mov", 12, 96, schema.LinearTimeWarp(time_scalar=0.25)))
    first.append(clip("C.mov", 0, 30, schema.LinearTimeWarp(time_scalar=-0.5), schema.LinearTimeWarp(time_scalar=0.5)))
    stack = schema.Stack()
    stack.append(clip("inner", 0, 10))
    first.append(stack)
    first.append(clip("D.mov", 1, 20, schema.FreezeFrame()))
    second.append(clip("A.mov", 100, 10, schema.TimeEffect(effect_name="curve")))
    found.tracks.extend([sound, first, second])
    return found


def test_every_clip_of_the_video_tracks_is_where_opentimelineio_has_it() -> None:
    made = timeline()
    clips = read_clips(made.to_json_string())
    assert [(one.name, one.track) for one in clips] == [
        ("A.mov", 1),
        ("B.mov", 1),
        ("C.mov", 1),
        ("D.mov", 1),
        ("A.mov", 2),
    ]
    own = [one for track in made.video_tracks() for one in track if type(one).__name__ == "Clip"]
    for mine, theirs in zip(clips, own):
        place = theirs.trimmed_range_in_parent()
        assert mine.record * NTSC == round(place.start_time.value)
        assert mine.duration * NTSC == round(place.duration.value)
        start = theirs.source_range.start_time - theirs.media_reference.available_range.start_time
        assert mine.source_in is not None and mine.source_in * NTSC == round(start.value)


def test_speeds_multiply_a_freeze_frame_is_0_and_an_open_effect_is_told() -> None:
    clips = read_clips(timeline().to_json_string())
    assert [one.speed for one in clips] == [1, Fraction(1, 4), Fraction(-1, 4), 0, 1]
    assert [one.unread for one in clips] == [(), (), (), (), ("curve",)]


def test_a_clip_is_found_by_name_track_and_place() -> None:
    clips = read_clips(timeline(25.0).to_json_string())
    assert find_clip(clips, "B.mov", 1, Fraction(72, 25), Fraction(1, 25)).speed == Fraction(1, 4)
    # The only one of its name may have moved in the export.
    assert find_clip(clips, "A.mov", 2, Fraction(99), Fraction(1, 25)).unread
    with pytest.raises(BadRequest, match=r"no clip B\.mov on track 2"):
        find_clip(clips, "B.mov", 2, Fraction(72, 25), Fraction(1, 25))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"OTIO_SCHEMA": "Timeline.1"}', '{"OTIO_SCHEMA": "Timeline.1", "tracks": {"children": [1, 2]}}'],
)
def test_what_is_no_timeline_is_refused_or_empty(text: str) -> None:
    if "children" in text:
        assert read_clips(text) == []
        return
    with pytest.raises(BadRequest, match="OTIO"):
        read_clips(text)


def test_damage_inside_a_track_is_told() -> None:
    track = {"OTIO_SCHEMA": "Track.1", "children": [{"OTIO_SCHEMA": "Clip.2", "source_range": {"duration": {}}}]}
    with pytest.raises(BadRequest, match="damaged"):
        read_clips(json.dumps({"OTIO_SCHEMA": "Timeline.1", "tracks": {"children": [track]}}))
