"""Timecode counts as SMPTE ST 12-1 says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kairos_nodes.errors import BadRequest
from kairos_nodes.timecode import Timecode, pack_exr, retimed, unpack_exr

RATES = {"23.976": False, "24": False, "25": False, "29.97": True, "30": False, "50": False, "59.94": True, "60": False}


@pytest.mark.parametrize(
    ("text", "rate", "frames"),
    [
        # ST 12-1: numbers 0 and 1 are dropped each minute except every tenth, 108 an hour, so that an hour of
        # drop-frame has 107892 frames and a day 2589408. At 59.94 four numbers are dropped and everything doubles.
        ("00:01:00;02", "29.97", 1800),
        ("00:10:00;00", "29.97", 17982),
        ("01:00:00;00", "29.97", 107892),
        ("23:59:59;29", "29.97", 2589407),
        ("00:01:00;04", "59.94", 3600),
        ("01:00:00;00", "59.94", 215784),
        ("01:00:00:00", "29.97", 108000),
        ("01:00:00:00", "23.976", 86400),
        ("00:00:01:12", "24", 36),
    ],
)
def test_known_counts(text: str, rate: str, frames: int) -> None:
    assert Timecode.parse(text, rate).frames == frames
    assert str(Timecode(frames, Timecode.parse(text, rate).rate, ";" in text)) == text


@pytest.mark.parametrize(
    ("before", "rate", "after"),
    [
        ("00:00:59;29", "29.97", "00:01:00;02"),
        ("00:09:59;29", "29.97", "00:10:00;00"),
        ("00:00:59;59", "59.94", "00:01:00;04"),
        ("23:59:59:23", "24", "00:00:00:00"),
        ("23:59:59;29", "29.97", "00:00:00;00"),
        ("01:00:00:23", "23.976", "01:00:01:00"),
    ],
)
def test_the_frame_after(before: str, rate: str, after: str) -> None:
    assert str(Timecode.parse(before, rate) + 1) == after
    assert str(Timecode.parse(after, rate) - 1) == before


@given(st.sampled_from(sorted(RATES)), st.integers(0, 6_000_000), st.booleans())
def test_every_frame_of_the_day_reads_back(rate: str, frames: int, drop: bool) -> None:
    code = Timecode(frames, Timecode.parse("00:00:00:00", rate).rate, drop and RATES[rate])
    assert Timecode.parse(str(code), rate) == code
    assert unpack_exr(pack_exr(code), rate) == code


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("00:01:00;00", "29.97"),
        ("00:01:00;03", "59.94"),
        ("01:00:00;00", "24"),
        ("01:00:00;00", "30"),
        ("01:00:00:24", "23.976"),
        ("24:00:00:00", "25"),
        ("1:2:3:4", "25"),
        ("", "25"),
    ],
)
def test_what_does_not_exist_is_refused(text: str, rate: str) -> None:
    with pytest.raises(BadRequest, match="Timecode"):
        Timecode.parse(text, rate)


def test_slow_motion_ticks_once_per_output_frame_from_the_in_frame() -> None:
    source = Timecode.parse("01:00:00:22", "23.976")
    assert [str(retimed(source, "23.976", k)) for k in range(4)] == [
        "01:00:00:22",
        "01:00:00:23",
        "01:00:01:00",
        "01:00:01:01",
    ]


@pytest.mark.parametrize(
    ("start", "source", "target", "text"),
    [
        ("01:00:00:12", "24", "60", "01:00:00:30"),
        ("01:00:00:00", "23.976", "24", "01:00:00:00"),
        ("00:59:59;14", "29.97", "59.94", "00:59:59;28"),
        ("00:01:00;02", "29.97", "59.94", "00:01:00;04"),
        ("01:00:00;00", "29.97", "23.976", "01:00:00:00"),
    ],
)
def test_another_rate_starts_at_the_same_reading(start: str, source: str, target: str, text: str) -> None:
    assert str(retimed(Timecode.parse(start, source), target, 0)) == text
    assert retimed(Timecode.parse(start, source), target, 7) == retimed(Timecode.parse(start, source), target, 0) + 7


def test_exr_words_are_bcd_fields() -> None:
    # 60-field packing: frames in bits 0-5, drop 6, seconds 8-14, field 15, minutes 16-22, hours 24-29.
    assert pack_exr(Timecode.parse("12:34:56:17", "24")) == (0x12345617, 0)
    assert pack_exr(Timecode.parse("12:34:56;17", "29.97")) == (0x12345657, 0)


def test_above_thirty_frames_are_counted_in_pairs_with_a_field_mark() -> None:
    # 59 is the second frame (field mark, bit 15 of the word: 0x56 becomes 0xD6) of pair 29.
    assert pack_exr(Timecode.parse("12:34:56:59", "60")) == (0x1234D629, 0)
    assert pack_exr(Timecode.parse("12:34:56:58", "60")) == (0x12345629, 0)


def test_a_writer_that_ignores_pairs_is_understood_where_only_frames_fit() -> None:
    assert str(unpack_exr((0x12345639, 0), 60)) == "12:34:56:39"


def test_timecode_above_sixty_is_refused_for_exr() -> None:
    with pytest.raises(BadRequest, match="120"):
        pack_exr(Timecode(0, Fraction(120)))
