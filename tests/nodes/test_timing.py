"""Output frames show the source times that the artist asked for, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos_nodes.errors import BadRequest
from kairos_nodes.timing import Segment, TimeMap

SPEEDS = st.fractions(Fraction(-8), Fraction(8), max_denominator=60).filter(lambda speed: abs(speed) >= Fraction(1, 60))
RANGES = st.tuples(st.integers(-50, 1100), st.integers(0, 120)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def test_half_speed_shows_every_source_frame_and_one_between() -> None:
    half = TimeMap.constant("0.5", 1001, 1003)
    assert list(half) == [1001, Fraction(2003, 2), 1002, Fraction(2005, 2), 1003]
    assert [half.integer(k) for k in range(5)] == [1001, None, 1002, None, 1003]


@given(SPEEDS, RANGES)
def test_a_constant_speed_gives_the_agreed_number_of_frames(speed: Fraction, span: tuple[int, int]) -> None:
    first, last = span
    speeds = TimeMap.constant(speed, first, last)
    # DESIGN 6: floor((N - 1) / |s|) + 1 frames; a negative speed starts at the out point.
    assert len(speeds) == int((last - first) / abs(speed)) + 1
    assert speeds[0] == (first if speed > 0 else last)
    assert all(later - earlier == speed for earlier, later in zip(speeds, list(speeds)[1:]))
    assert all(speeds.speed_at(k) == speed for k in range(len(speeds)))
    assert all(first <= time <= last for time in speeds)


@pytest.mark.parametrize(("speed", "count"), [("0.5", 19), ("2", 5), ("-1", 10), ("-1/3", 28), ("1", 10), ("20", 1)])
def test_frame_counts_for_ten_frames(speed: str, count: int) -> None:
    assert len(TimeMap.constant(speed, 1, 10)) == count


@given(st.integers(1, 9), RANGES)
def test_between_keeps_every_source_frame(n: int, span: tuple[int, int]) -> None:
    first, last = span
    times = list(TimeMap.between(n, first, last))
    assert len(times) == (last - first) * (n + 1) + 1
    assert times[:: n + 1] == list(range(first, last + 1))


def test_a_rate_conversion_keeps_the_duration() -> None:
    # 24 frames at 24 last a second: 60 frames at 60. 1000 frames at 23.976 last 41.7083 s: 1001 frames at 24.
    assert len(TimeMap.to_rate(24, 60, 1, 24)) == 60
    assert len(TimeMap.to_rate("23.976", 24, 1, 1000)) == 1001
    assert len(TimeMap.to_rate(24, "23.976", 1, 1001)) == 1000
    assert len(TimeMap.to_rate(50, 25, 1, 2)) == 1
    assert TimeMap.to_rate(24, 60, 0, 23).speed_at(7) == Fraction(2, 5)
    assert TimeMap.to_rate("23.976", 24, 1, 1000)[1] == 1 + Fraction(1000, 1001)


def test_the_last_frame_is_held_to_the_end_of_its_own_display_time() -> None:
    sixty = TimeMap.to_rate(24, 60, 1, 24)
    assert sixty[57] == 1 + 57 * Fraction(2, 5)
    assert sixty[58] == sixty[59] == 24
    assert sixty.speed_at(59) == 0


def test_phase_samples_half_speed_at_quarters_and_keeps_the_count() -> None:
    plain, shifted = TimeMap.constant("1/2", 0, 4), TimeMap.constant("1/2", 0, 4, phase="0.5")
    assert len(shifted) == len(plain) == 9
    assert list(shifted)[:4] == [Fraction(1, 4), Fraction(3, 4), Fraction(5, 4), Fraction(7, 4)]
    assert shifted[8] == 4
    assert plain.with_phase("0.5") == shifted


def test_a_map_file_is_linear_between_its_lines() -> None:
    text = "# eased\n1001 10\n1003\t11.5 # comment\n\n1004 11.5 hold\n1006 20\n"
    curve = TimeMap.from_text(text, 1, 100)
    assert (curve.start, len(curve)) == (1001, 6)
    assert list(curve) == [10, Fraction(43, 4), Fraction(23, 2), Fraction(23, 2), Fraction(23, 2), 20]
    assert [curve.speed_at(k) for k in (0, 3, 4)] == [Fraction(3, 4), 0, 0]
    assert curve.segments()[2] == Segment(Fraction(3), Fraction(5), Fraction(23, 2), Fraction(20), "hold")


def test_a_smooth_segment_alone_eases_in_and_out() -> None:
    eased = TimeMap.from_text("0 0 smooth\n10 20", 0, 20)
    # Hermite with slopes 0: 20 * u^2 * (3 - 2 u).
    assert [eased[k] for k in range(11)] == [20 * Fraction(k, 10) ** 2 * (3 - 2 * Fraction(k, 10)) for k in range(11)]
    assert eased.speed_at(0) == eased.speed_at(10) == 0
    assert eased.speed_at(5) == 3  # 1.5 times the mean speed of 2.


def test_a_smooth_segment_joins_its_linear_neighbours_without_a_jump_in_speed() -> None:
    ramp = TimeMap.from_text("0 0\n10 10 smooth\n20 15\n30 17", 0, 17)
    assert ramp.at(Fraction(10)) == 10
    for position, speed in ((10, 1), (20, Fraction(1, 5))):
        just_after = (ramp.at(position + Fraction(1, 1000)) - ramp.at(Fraction(position))) * 1000
        just_before = (ramp.at(Fraction(position)) - ramp.at(position - Fraction(1, 1000))) * 1000
        assert just_after == pytest.approx(speed, abs=2e-3)
        assert just_before == pytest.approx(speed, abs=2e-3)


@given(st.lists(st.tuples(st.integers(1, 9), st.fractions(0, 50, max_denominator=8)), min_size=2, max_size=8))
def test_smooth_time_never_overshoots_a_key(steps: list[tuple[int, Fraction]]) -> None:
    lines, frame = [], 0
    for gap, time in steps:
        lines.append(f"{frame} {time} smooth")
        frame += gap
    curve = TimeMap.from_text("\n".join(lines), 0, 50)
    for segment in curve.segments():
        low, high = sorted((segment.time_start, segment.time_end))
        inside = [curve.at(segment.start + (segment.end - segment.start) * Fraction(i, 16)) for i in range(17)]
        assert all(low <= time <= high for time in inside)


@given(SPEEDS, RANGES, st.fractions(-1, 1, max_denominator=8))
def test_a_map_written_as_text_reads_back_exactly(speed: Fraction, span: tuple[int, int], phase: Fraction) -> None:
    first, last = span
    original = TimeMap.constant(speed, first, last, phase=phase)
    again = TimeMap.from_text(original.to_text(start=1001), first, last)
    assert list(again) == list(original)
    assert again.start == 1001


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(-90, 90)), min_size=1, max_size=6))
def test_a_map_written_as_a_nuke_curve_reads_back(steps: list[tuple[int, int]]) -> None:
    frame, lines = 0, []
    for gap, time in steps:
        frame += gap
        lines.append(f"{frame} {time}/7")
    original = TimeMap.from_text("\n".join(lines), -20, 20)
    again = TimeMap.from_nuke_curve(original.to_nuke_curve(), -20, 20)
    # Nuke's text has twelve significant digits.
    assert [float(time) for time in again] == pytest.approx([float(time) for time in original], abs=1e-9)
    assert again.start == original.start


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("1 1\n2", "line 2", "'2'"),
        ("1 1\n2 x", "line 2", "'x'"),
        ("\n# c\n1.5 1", "line 3", "1.5"),
        ("3 1\n3 2", "line 2", "does not come after 3"),
        ("1 1 wobbly", "line 1", "'wobbly'"),
        ("1 1 smooth extra", "line 1", "extra"),
        ("1 1/0", "line 1", "'1/0'"),
        ("1 1e999999999", "line 1", "1e999999999"),
        ("# nothing", "", "no lines"),
    ],
)
def test_a_broken_map_file_is_refused_with_its_line(text: str, line: str, what: str) -> None:
    with pytest.raises(BadRequest) as caught:
        TimeMap.from_text(text, 1, 10)
    assert line in caught.value.message
    assert what in caught.value.message
    assert caught.value.remedy


def test_times_outside_the_source_range_hold_its_ends() -> None:
    curve = TimeMap.from_text("1 -5\n11 15", 0, 10)
    assert curve[0] == 0
    assert curve[10] == 10
    assert curve.speed_at(0) == 0
    assert curve.speed_at(5) == 2


@pytest.mark.parametrize("speed", ["0", "fast", "nan", "1/0", "1e99", ""])
def test_an_impossible_speed_is_refused(speed: str) -> None:
    with pytest.raises(BadRequest, match="--speed"):
        TimeMap.constant(speed, 1, 10)


def test_a_retime_of_millions_of_frames_is_a_slip_of_the_keyboard() -> None:
    with pytest.raises(BadRequest, match="output frames"):
        TimeMap.constant("1/100000000", 1, 1000)


def test_an_index_outside_the_map_is_an_error_and_a_negative_one_counts_from_the_end() -> None:
    two = TimeMap.constant(1, 5, 6)
    assert two[-1] == 6
    for k in (2, -3):
        with pytest.raises(IndexError):
            two[k]
