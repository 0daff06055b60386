"""Rates, ranges and frame lists are read as people write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos_nodes.errors import BadRequest
from kairos_nodes.ranges import frames_text, parse_frames, parse_range
from kairos_nodes.rational import exact, number_text, parse_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        (23.976023976023978, Fraction(24000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        (Fraction(2997, 100), Fraction(30000, 1001)),
        ("47.952", Fraction(48000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        (24.0, Fraction(24)),
        (25, Fraction(25)),
        ("12.5", Fraction(25, 2)),
        ("24", Fraction(24)),
    ],
)
def test_rates_of_the_ntsc_family_are_exact(text: str | float | Fraction, rate: Fraction) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0", "-24", "1001", "film", "inf"])
def test_an_impossible_rate_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="frame rate"):
        parse_rate(text)


@given(st.fractions(max_denominator=10**6))
def test_a_number_written_as_text_reads_back_exactly(value: Fraction) -> None:
    assert exact(number_text(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [(Fraction(1, 4), "0.25"), (Fraction(-3, 2), "-1.5"), (Fraction(1, 3), "1/3"), (Fraction(7), "7")],
)
def test_numbers_are_written_as_short_as_they_are_exact(value: Fraction, text: str) -> None:
    assert number_text(value) == text


def test_a_float_means_what_was_typed() -> None:
    assert exact(0.1) == Fraction(1, 10)


@pytest.mark.parametrize(
    ("text", "span"), [("1001-1048", (1001, 1048)), ("7", (7, 7)), ("-5-10", (-5, 10)), ("-10--5", (-10, -5))]
)
def test_ranges(text: str, span: tuple[int, int]) -> None:
    assert parse_range(text) == span


@pytest.mark.parametrize("text", ["", "a-b", "10-1", "1-2-3", "1,2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--range"):
        parse_range(text)


def test_frame_lists() -> None:
    assert parse_frames("1-4,55,60-65x2") == (1, 2, 3, 4, 55, 60, 62, 64)
    assert parse_frames("5,1-3,2") == (1, 2, 3, 5)


@given(st.sets(st.integers(-99, 9999), min_size=1))
def test_a_frame_list_written_as_text_reads_back(frames: set[int]) -> None:
    assert parse_frames(frames_text(frames)) == tuple(sorted(frames))


@pytest.mark.parametrize("text", ["", "1-", "4-1", "1-9x0", "1-999999999", "x", "1..4"])
def test_what_is_no_frame_list_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--frames"):
        parse_frames(text)
