"""Frame maths of a retimed clip in a timeline."""

from __future__ import annotations

from fractions import Fraction
from typing import List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos_nodes.conform import Media, Placed, Retimed, as_in_timeline, at_speed, between, by_map
from kairos_nodes.errors import BadRequest
from kairos_nodes.timing import TimeMap

NTSC = Fraction(24000, 1001)
RATES = (NTSC, Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60000, 1001))


def clip(
    media_rate: Fraction = Fraction(25),
    rate: Fraction = Fraction(25),
    source_in: int = 20,
    duration: int = 48,
    count: int = 200,
    first: int = 0,
) -> Placed:
    covered = max(1, round(duration * media_rate / rate))
    return Placed("A001", Media("a.mov", first, count, media_rate), source_in, covered, 86400, duration, rate)


def times(found: Retimed, first: int = 0, last: int = 199) -> List[Fraction]:
    return list(TimeMap.from_text(found.text, first, last))


def test_a_quarter_of_the_speed_makes_four_times_as_many_frames() -> None:
    found = at_speed(clip(), Fraction(1, 4))
    assert (found.length, found.head, found.tail, found.cut) == (192, 0, 0, 0)
    assert times(found) == [20 + Fraction(index, 4) for index in range(192)]


def test_handles_come_before_and_after_and_the_request_begins_behind_them() -> None:
    found = at_speed(clip(), Fraction(1, 4), handles=8)
    assert (found.count, found.head, found.tail) == (208, 8, 8)
    assert times(found)[8] == 20
    assert found.shown(None) == (8, 200)
    assert found.shown(48) == (8, 56)


def test_handles_end_where_the_file_does() -> None:
    found = at_speed(clip(source_in=1, count=50), Fraction(1, 4), handles=8)
    assert found.head == 4 and times(found, last=49)[0] == 0
    # 48 source frames from the second on: the last of 50 is number 49, three quarters past the last one shown.
    assert found.tail == 1 and times(found, last=49)[-1] == 49


def test_a_clip_to_the_files_very_end_is_shorter_and_never_holds() -> None:
    found = at_speed(clip(source_in=0, count=48), Fraction(1, 4), handles=8)
    assert (found.length, found.cut) == (189, 3)
    assert len(set(times(found, last=47))) == found.count


def test_backwards_shows_the_same_times_from_last_to_first() -> None:
    forward, back = at_speed(clip(), Fraction(1, 4), 8), at_speed(clip(), Fraction(-1, 4), 8)
    assert times(back) == times(forward)[::-1]
    assert (back.head, back.tail) == (forward.tail, forward.head)


def test_23_976_in_a_25_fps_timeline_steps_by_the_exact_ratio() -> None:
    found = at_speed(clip(NTSC, Fraction(25)), Fraction(1, 2))
    assert found.length == 96
    assert times(found)[1] - times(found)[0] == Fraction(1, 2) * NTSC / 25 == Fraction(480, 1001)


def test_25_in_a_23_976_timeline_steps_by_the_exact_ratio() -> None:
    found = at_speed(clip(Fraction(25), NTSC), Fraction(1))
    assert found.length == 48
    assert times(found)[47] == 20 + 47 * Fraction(25 * 1001, 24000)


def test_new_frames_between_each_two_count_source_frames() -> None:
    found = between(clip(NTSC, Fraction(25), duration=50), 3)
    assert times(found)[4] - times(found)[0] == 1
    assert found.length == 192


def test_a_clip_retimed_already_covers_its_source_frames() -> None:
    slowed = Placed("A001", Media("a.mov", 0, 200, Fraction(25)), 20, 12, 86400, 48, Fraction(25))
    assert slowed.retimed and not clip().retimed and not clip(NTSC, Fraction(25)).retimed
    assert at_speed(slowed, Fraction(1, 2)).length == 24
    same = as_in_timeline(slowed, Fraction(1, 4))
    assert same.length == 48 and times(same)[-1] == 20 + Fraction(47, 4)


def test_sequences_are_told_in_file_numbers() -> None:
    found = at_speed(clip(first=1001), Fraction(1, 2))
    assert times(found, 1001, 1200)[0] == 1021
    # One motion neighbour more than the shown frames on each side would do; two are given.
    assert found.source == (1019, 1071)


def test_an_artists_map_is_taken_as_it_is() -> None:
    found = by_map(clip(), "1001 30\n1005 32\n")
    assert (found.count, found.head, found.tail) == (5, 0, 0)
    assert times(found) == [30, Fraction(61, 2), 31, Fraction(63, 2), 32]


def test_what_cannot_be_is_refused_in_plain_words() -> None:
    with pytest.raises(BadRequest, match="speed 0"):
        at_speed(clip(), Fraction(0))
    with pytest.raises(BadRequest, match="freeze frame"):
        as_in_timeline(clip(), Fraction(0))
    with pytest.raises(BadRequest, match="cannot be put"):
        between(clip(), 0)
    with pytest.raises(BadRequest, match="its file has 10 frames"):
        clip(count=10)
    with pytest.raises(BadRequest, match="has no frames"):
        clip(duration=0)


@given(
    st.sampled_from(RATES),
    st.sampled_from(RATES),
    st.integers(0, 150),
    st.integers(1, 50),
    st.fractions(Fraction(1, 8), Fraction(4), max_denominator=100),
    st.booleans(),
    st.integers(0, 30),
)
def test_no_time_leaves_the_file_and_the_request_lies_within_the_result(
    media_rate: Fraction, rate: Fraction, source_in: int, duration: int, speed: Fraction, back: bool, handles: int
) -> None:
    placed = clip(media_rate, rate, source_in, duration)
    found = at_speed(placed, -speed if back else speed, handles)
    shown = times(found)
    assert len(shown) == found.count == found.head + found.length + found.tail
    assert min(shown) >= 0 and max(shown) <= 199
    step = speed * placed.pace
    assert all(abs(b - a) == step for a, b in zip(shown, shown[1:]))
    start, end = found.shown(duration)
    assert 0 <= start < end <= found.count and end - start <= duration
    assert placed.source_in in (shown[found.head], shown[found.count - 1 - found.tail])
    assert found.source[0] <= min(shown) and max(shown) <= found.source[1]
