"""Strips without Blender: cuts, Speed effects and retiming keys to exact source times, and files to a job."""

from __future__ import annotations

import importlib
import struct
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, List

import pytest

from kairos_nodes.errors import BadRequest, ImageError
from kairos_nodes.timing import TimeMap
from support.shared import ROOT

FOLDER = ROOT / "plugin" / "blender" / "kairos_retimer"
PACKAGE = "kairos_retimer_without_blender"


def load(name: str) -> Any:
    """One of the extension's modules, without its package, which imports Blender."""
    if PACKAGE not in sys.modules:
        package = ModuleType(PACKAGE)
        package.__path__ = [str(FOLDER)]
        sys.modules[PACKAGE] = package
    return importlib.import_module(f"{PACKAGE}.{name}")


strips, media, keys = load("strips"), load("strips_media"), load("sequencer_keys")


def strip(**facts: Any) -> Any:
    """Twelve frames at timeline frames 10 to 21."""
    return strips.Strip(
        **{
            "name": "shot",
            "start": Fraction(10),
            "left": 10,
            "right": 22,
            "length": 12,
            "content": Fraction(12),
            **facts,
        }
    )


def effect(control: str, *values: Any, **facts: Any) -> Any:
    """A Speed effect over that strip; one value stands for all frames."""
    numbers = tuple(Fraction(value) for value in (values * 13 if len(values) == 1 else values))
    return strips.SpeedEffect(
        **{
            "name": "speed",
            "start": Fraction(10),
            "left": 10,
            "right": 22,
            "control": control,
            "values": numbers,
            **facts,
        }
    )


def shown(one: Any) -> List[float]:
    return [float(index) for index in one.indices]


def test_a_quarter_of_the_speed_makes_four_frames_of_each() -> None:
    slow = strips.at_speed(strip(), Fraction(1, 4))
    assert len(slow.indices) == 48 and (slow.start, slow.end) == (10, 58)
    assert slow.indices[::4] == tuple(range(12))
    assert slow.indices[1:4] == (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))
    assert set(slow.indices[-3:]) == {Fraction(11)}, "nothing lies behind the last frame: it is held"


def test_a_trimmed_strip_goes_on_into_its_handle() -> None:
    slow = strips.at_speed(strip(left=12, right=16), Fraction(1, 2))
    assert shown(slow) == [2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5]
    assert slow.start == 12


@pytest.mark.parametrize(("speed", "reverse"), [(Fraction(-1, 2), False), (Fraction(1, 2), True)])
def test_backwards_begins_at_the_last_frame(speed: Fraction, reverse: bool) -> None:
    slow = strips.at_speed(strip(reverse=reverse), speed)
    assert shown(slow)[:3] == [11, 10.5, 10] and shown(slow)[-2:] == [0, 0]


def test_backwards_twice_is_forwards() -> None:
    assert shown(strips.at_speed(strip(reverse=True), Fraction(-1)))[:3] == [0, 1, 2]


def test_a_movie_of_twice_the_rate_is_slowed_from_its_own_pace() -> None:
    """12 frames of 48 per second take 6 timeline frames of 24; at half speed every source frame is seen once."""
    movie = strip(right=16, content=Fraction(6), rate=Fraction(2))
    assert shown(strips.at_speed(movie, Fraction(1, 2))) == list(range(12))


def test_an_extended_strip_is_slowed_without_its_held_ends() -> None:
    assert len(strips.at_speed(strip(right=40), Fraction(1, 2)).indices) == 24


@pytest.mark.parametrize("speed", [Fraction(0), Fraction(1, 100_000)])
def test_a_speed_that_never_ends_is_refused(speed: Fraction) -> None:
    with pytest.raises(BadRequest):
        strips.at_speed(strip(), speed)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (effect("MULTIPLY", "1/2"), [0, 0.5, 1, 1.5]),
        (effect("MULTIPLY", 2), [0, 2, 4, 6]),
        (effect("STRETCH", 1, trimmed=Fraction(3)), [0, 0.75, 1.5, 2.25]),
        (effect("FRAME_NUMBER", "5.5"), [5.5, 5.5, 5.5, 5.5]),
        (effect("LENGTH", 50), [6, 6, 6, 6]),
        (effect("MULTIPLY", *["1/2", 1, "3/2", 2] * 3, 1, animated=True), [0, 1, 2.5, 4.5]),
    ],
    ids=["half", "double", "stretch", "frame number", "length", "ramp"],
)
def test_a_speed_effect_means_what_it_means_in_blender(one: Any, expected: List[float]) -> None:
    """Measured in Blender 4.5 and 5.0: an animated factor adds up, each frame's own, from the second on."""
    assert shown(strips.by_effect(strip(), one))[:4] == expected


def test_an_unknown_speed_control_is_refused_by_its_name() -> None:
    with pytest.raises(BadRequest, match="RUBBER"):
        strips.by_effect(strip(), effect("RUBBER", 1))


RAMP = tuple(
    strips.RetimingKey(Fraction(index), Fraction(factor), transition)
    for index, factor, transition in ((0, 0, False), (6, "0.3", True), (14, "0.625", False), (26, 1, False))
)
"""Keys as Blender 5.0 keeps them: 60 %, then slower evenly to 37.5 %."""


def test_retiming_keys_play_every_segment_at_its_speed() -> None:
    ramp = strips.by_keys(strip(right=36, content=Fraction(26), keys=RAMP))
    assert shown(ramp)[:7] == pytest.approx([0, 0.6, 1.2, 1.8, 2.4, 3, 3.6])
    assert ramp.indices[14] == Fraction("7.5") and ramp.indices[22] == Fraction("7.5") + 8 * Fraction("0.375")


def test_a_transition_changes_speed_evenly() -> None:
    ramp = strips.by_keys(strip(right=36, content=Fraction(26), keys=RAMP))
    steps = [b - a for a, b in zip(ramp.indices[6:15], ramp.indices[7:15])]
    changes = {b - a for a, b in zip(steps, steps[1:])}
    assert changes == {(Fraction("0.375") - Fraction("0.6")) / 8}


def test_a_freeze_holds_its_frame() -> None:
    frozen = tuple(
        strips.RetimingKey(Fraction(index), Fraction(factor))
        for index, factor in ((0, 0), (6, "1/2"), (10, "1/2"), (16, 1))
    )
    assert shown(strips.by_keys(strip(right=26, content=Fraction(16), keys=frozen)))[6:11] == [6, 6, 6, 6, 6]


def test_keys_before_blender_5_count_to_the_last_frame() -> None:
    plain = (strips.RetimingKey(Fraction(0), Fraction(0)), strips.RetimingKey(Fraction(11), Fraction(1)))
    assert shown(strips.by_keys(strip(keys=plain, whole=False))) == list(range(12))


def test_keys_of_a_movie_at_its_own_rate_count_its_own_frames() -> None:
    """As Blender 4.5 shows a movie of 48 frames per second in a timeline of 24: 0, 2, 3, 5, 6, 8, 11."""
    given = ((0, 0), (10, Fraction(8, 11)), (11, 1))
    double = tuple(strips.RetimingKey(Fraction(index), Fraction(factor)) for index, factor in given)
    movie = strip(right=17, content=Fraction(7), rate=Fraction(2), keys=double, whole=False)
    assert [round(index) for index in strips.by_keys(movie).indices] == [0, 2, 3, 5, 6, 8, 11]


def test_a_strip_without_keys_says_so() -> None:
    with pytest.raises(BadRequest, match="neither a Speed effect nor retiming keys"):
        strips.by_keys(strip())


@pytest.mark.parametrize("layout", ["<di4xf4x", "<dif8x"], ids=["4.5", "5.0"])
def test_keys_are_read_from_either_layout_of_memory(layout: str) -> None:
    raw = [struct.pack(layout, *row) for row in ((0.0, 0, 0.0), (6.0, 1, 0.3), (14.0, 18, 0.625), (26.0, 0, 1.0))]
    assert keys.decoded(raw, [0, 6, 14, 26]) == RAMP


@pytest.mark.parametrize("positions", [[0, 6, 15.5, 26], [3, 6, 14, 26]])
def test_memory_that_disagrees_with_blender_is_not_believed(positions: List[float]) -> None:
    raw = [struct.pack("<dif8x", *row) for row in ((0.0, 0, 0.0), (6.0, 1, 0.3), (14.0, 18, 0.625), (26.0, 0, 1.0))]
    assert keys.decoded(raw, positions) is None
    assert keys.decoded([bytes(24)] * 4, [0, 6, 14, 26]) is None


def test_the_playback_rate_is_told_by_the_length() -> None:
    rate = strips.playback_rate
    assert rate(12, Fraction(6), Fraction(48), Fraction(24)) == 2
    assert rate(12, Fraction(12), Fraction(48), Fraction(24)) == 1
    assert rate(100, Fraction(100), Fraction(24000, 1001), Fraction(24)) == 1
    assert rate(12, Fraction(12), Fraction(0), Fraction(24)) == 1


def test_a_new_strip_takes_the_lowest_channel_with_room() -> None:
    taken = [(2, 0, 20), (3, 57, 80), (4, 58, 80)]
    assert strips.free_channel(taken, 10, 58, 2) == 4
    with pytest.raises(BadRequest, match="No channel"):
        strips.free_channel([(2, 0, 20)], 10, 58, 2, highest=2)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Twelve numbered files."""
    for number in range(1001, 1013):
        (tmp_path / f"sh_v2.{number}.exr").write_bytes(b"x")
    yield tmp_path


def names(*numbers: int) -> List[str]:
    return [f"sh_v2.{number}.exr" for number in numbers]


def test_files_become_a_pattern_and_their_own_numbers(folder: Path) -> None:
    found = media.image_media("shot", folder, names(*range(1001, 1013)), (2, 5))
    assert found.spec == str(folder / "sh_v2.%04d.exr") and found.first == 1001
    work = media.Work.of(found, strips.at_speed(strip(left=12, right=16), Fraction(1, 2)))
    assert work.range == (1002, 1008), "one neighbour on either side helps the motion"


def test_the_job_reads_back_to_the_same_times(folder: Path, tmp_path: Path) -> None:
    found = media.image_media("shot", folder, names(*range(1001, 1013)), (0, 11))
    slow = strips.at_speed(strip(), Fraction(1, 3))
    work = media.Work.of(found, slow)
    job, files = work.job(tmp_path / "out", tmp_path / "map.txt", {"engine": "classic"})
    assert (job.range, job.engine, job.vectors, job.channels) == ("1001-1012", "classic", "none", "rgba")
    assert job.output.endswith("kairos.%05d.exr") and files[0] == "kairos.00001.exr" and len(files) == 36
    times = TimeMap.from_text(work.map_text, 1001, 1012)
    assert [time - 1001 for time in times] == list(slow.indices)


def test_a_preview_renders_one_frame_of_the_same_work(folder: Path, tmp_path: Path) -> None:
    work = media.Work.of(
        media.image_media("shot", folder, names(*range(1001, 1013)), (0, 11)), strips.at_speed(strip(), Fraction(1, 4))
    )
    job, files = work.job(tmp_path, tmp_path / "map.txt", {}, only=work.retime.number_at(15))
    assert (job.frames, files) == ("6", ["kairos.00006.exr"])
    with pytest.raises(BadRequest, match="frame 58; the slowed strip lies at 10 to 57"):
        work.retime.number_at(58)


def test_the_fingerprint_changes_with_files_times_and_settings(folder: Path) -> None:
    found = media.image_media("shot", folder, names(*range(1001, 1013)), (0, 11))
    work = media.Work.of(found, strips.at_speed(strip(), Fraction(1, 4)))
    before = work.print({"engine": "classic"})
    assert before == work.print({"engine": "classic"}) != work.print({"engine": "swift"})
    (folder / "sh_v2.1004.exr").write_bytes(b"longer")
    assert work.print({"engine": "classic"}) != before


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (names(1001, 1002, 1004), "frame 1003 is not in the strip"),
        ([*names(1001), "other.1002.exr"], "changes from sh_v2.1001.exr to other.1002.exr"),
        (["take.exr", "take_b.exr"], "has no frame number"),
        (names(1001), "single picture"),
        (["a#1.exr", "a#2.exr"], "stands for numbers"),
    ],
    ids=["gap", "mixed", "unnumbered", "still", "signs"],
)
def test_files_that_are_no_sequence_are_named(folder: Path, listed: List[str], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        media.image_media("shot", folder, listed, (0, len(listed) - 1))


def test_a_missing_frame_is_named_where_it_is_needed(folder: Path) -> None:
    (folder / "sh_v2.1006.exr").unlink()
    listed = names(*range(1001, 1013))
    with pytest.raises(ImageError, match=r"frame 1006 is missing: .*sh_v2\.1006\.exr"):
        media.image_media("shot", folder, listed, (4, 8))
    before = media.image_media("shot", folder, listed, (0, 4))
    work = media.Work.of(before, strips.at_speed(strip(right=14), Fraction(1)))
    assert work.range == (1001, 1005), "a neighbour that is not there is not asked for"


def test_digits_of_the_ending_are_no_frame_number(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / f"take{number}.jp2").write_bytes(b"x")
    found = media.image_media("shot", tmp_path, ["take9.jp2", "take10.jp2"], (0, 1))
    assert found.spec == str(tmp_path / "take%d.jp2") and found.ending == ".png"


@pytest.mark.parametrize(
    ("name", "ending"),
    [("a.1.exr", ".exr"), ("a.1.hdr", ".exr"), ("a.1.TIF", ".tif"), ("a.1.dpx", ".dpx"), ("a.1.jpg", ".png")],
)
def test_frames_are_written_as_the_source_is_encoded(name: str, ending: str) -> None:
    assert media.Media("spec", 1, 2, {1: Path(name)}).ending == ending


def test_a_movie_is_held_where_blender_counts_more_frames_than_there_are(tmp_path: Path) -> None:
    found = media.movie_media(tmp_path / "take.mov", 3, 12)
    work = media.Work.of(found, strips.at_speed(strip(), Fraction(1, 2)))
    job, files = work.job(tmp_path, tmp_path / "map.txt", {})
    assert (job.input, job.range, job.on_missing) == (str(tmp_path / "take.mov"), "3-14", "hold")
    assert files[0].endswith(".png") and work.map_text.splitlines()[1] == "1 3"
