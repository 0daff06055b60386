"""What the scripts read off a timeline, where Resolve's versions differ in how they count."""

from __future__ import annotations

from fractions import Fraction
from typing import Iterator

import pytest

from kairos_nodes.errors import BadRequest
from support.resolve import PoolItem, Studio
from support.shared import ROOT

NTSC = Fraction(24000, 1001)
RECORD = 86400


@pytest.fixture(autouse=True)
def _plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "plugin" / "resolve"))
    yield


def studio(
    path: str = "/plates/a.mov", rate: str = "24", frames: int = 200, source_start: int = 20, timeline: str = "24"
) -> Studio:
    return Studio(PoolItem(path, rate, frames), timeline, RECORD, 48, source_start)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("23.976", NTSC),
        ("23.98", NTSC),
        ("24", 24),
        ("24.0", 24),
        ("25", 25),
        ("29.97 DF", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
    ],
)
def test_rates_are_the_trades_own(text: str, rate: Fraction) -> None:
    from kairos_resolve.reading import here

    found = studio(timeline=text.replace(" DF", ""))
    found.line.rate = text
    assert here(found.resolve).rate == rate


@pytest.mark.parametrize("last_counts", [False, True], ids=["end excluded", "end included"])
@pytest.mark.parametrize(("media", "timeline"), [("23.976", "23.976"), ("25", "23.976"), ("23.976", "25")])
def test_source_frames_are_the_same_however_the_out_point_is_counted(
    media: str, timeline: str, last_counts: bool
) -> None:
    from kairos_resolve.reading import here, placed

    found = studio(rate=media, timeline=timeline)
    found.item.source_end -= int(last_counts)
    where = here(found.resolve)
    clip = placed(where.item, where.rate)
    assert (clip.source_in, clip.record, clip.duration) == (20, RECORD, 48)
    assert abs(clip.source_count - 48 * clip.pace) <= Fraction(1, 2)
    assert clip.span == 48 * clip.pace and not clip.retimed


@pytest.mark.parametrize("counted_from", [0, 1001], ids=["from 0", "by file number"])
def test_a_sequences_in_point_is_the_same_however_it_is_counted(counted_from: int) -> None:
    from kairos_resolve.reading import here, placed

    # Both readings lie within a sequence as long as this.
    found = studio("/plates/shot.[1001-3000].exr", frames=2000, source_start=1100)
    found.item.left = 1100
    found.item.source_start = 1100 + counted_from
    found.item.source_end = 1148 + counted_from
    where = here(found.resolve)
    clip = placed(where.item, where.rate)
    assert clip.source_in == 1100
    assert (clip.media.path, clip.media.first, clip.media.last) == ("/plates/shot.%04d.exr", 1001, 3000)


def test_a_clip_that_plays_backwards_begins_at_its_earlier_frame() -> None:
    from kairos_resolve.reading import here, placed

    found = studio()
    found.item.source_start, found.item.source_end = found.item.source_end, found.item.source_start
    where = here(found.resolve)
    assert placed(where.item, where.rate).source_in == 20


def test_the_lowest_free_and_unlocked_track_above_is_taken() -> None:
    from kairos_resolve.reading import free_track, here

    found = studio()
    found.put(2, RECORD + 40, 20)
    found.put(3, RECORD - 10, 10)
    where = here(found.resolve)
    # V2 is taken from frame 40 on; what ends where the result begins is not in its way.
    assert free_track(where, RECORD, 40) == 2
    assert free_track(where, RECORD, 41) == 3
    found.line.locked = [3]
    assert free_track(where, RECORD, 41) is None


def test_room_ends_at_the_next_clip_of_the_same_track() -> None:
    from kairos_resolve.reading import here, placed, room_after

    found = studio()
    where = here(found.resolve)
    clip = placed(where.item, where.rate)
    assert room_after(where, clip) is None
    found.put(1, RECORD + 60, 5)
    found.put(2, RECORD + 50, 5)
    found.put(1, RECORD - 60, 5)
    assert room_after(where, clip) == 60


def test_the_clips_own_track_counts_where_the_playhead_is_over_several() -> None:
    from kairos_resolve.reading import here

    found = studio()
    found.line.tracks.insert(0, [])
    assert here(found.resolve).track == 2
    found.line.tracks[1].clear()
    with pytest.raises(BadRequest, match="on no video track"):
        here(found.resolve)


def test_what_resolve_does_not_know_is_told() -> None:
    from kairos_resolve.reading import here, media_of, placed

    found = studio()
    found.source.properties["Frames"] = ""
    with pytest.raises(BadRequest, match="how many frames"):
        media_of(found.item.source)
    found.source.properties["FPS"] = "unknown"
    with pytest.raises(BadRequest, match="frame rate of"):
        media_of(found.item.source)
    found = studio(frames=30, source_start=40)
    where = here(found.resolve)
    with pytest.raises(BadRequest, match="its file has 30 frames"):
        placed(where.item, where.rate)
