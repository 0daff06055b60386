"""Finding frames by the trade's spellings, and saying clearly what is not there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kairos.errors import BadRequest, FrameError, ImageError
from kairos.frame import Part
from kairos.images import open_shot, write_image
from support.frames import FILM, frame_of, part_of, ramp
from support.shared import shared_data


def write_frames(folder: Path, name: str, numbers: list[int], **options: object) -> None:
    """Frames whose every pixel is their own number over 1024 (exact in half)."""
    for number in numbers:
        plane = np.full((3, 4, 6), number / 1024, np.float32)
        write_image(folder / name.format(number), frame_of(part_of("R G B", plane), **options))  # type: ignore[arg-type]


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    write_frames(tmp_path, "shot.{:04d}.exr", [1001, 1002, 1003, 1004])
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    [
        "shot.%04d.exr",
        "shot.####.exr",
        "shot.#.exr",
        "shot.@@@@.exr",
        "shot.$F4.exr",
        "shot.1001-1004#.exr",
        "shot.1001-1004####.exr",
        "shot.1001-1004%04d.exr",
        "",
    ],
)
def test_every_spelling_finds_the_same_frames(folder: Path, pattern: str) -> None:
    with open_shot(str(folder / pattern)) as shot:
        assert shot.numbers == (1001, 1002, 1003, 1004)
        assert len(shot) == 4
        assert [shot.read(position).number for position in range(4)] == [1001, 1002, 1003, 1004]
        assert shot.path(2).name == "shot.1003.exr"
        assert not shot.movie


def test_frames_in_the_pattern_choose_frames(folder: Path) -> None:
    with open_shot(str(folder / "shot.1002-1003#.exr")) as shot:
        assert shot.numbers == (1002, 1003)
    with open_shot(str(folder / "shot.1001-1003x2#.exr")) as shot:
        assert shot.numbers == (1001, 1003)
        assert not shot.missing


def test_a_range_chooses_frames(folder: Path) -> None:
    with open_shot(str(folder / "shot.%04d.exr"), frame_range=(1002, 1003)) as shot:
        assert shot.numbers == (1002, 1003)
        assert shot.read(0).parts[0].planes[0, 0, 0] == np.float32(np.float16(1002 / 1024))


def test_one_still_is_a_shot_of_one_frame(folder: Path) -> None:
    with open_shot(str(folder / "shot.1003.exr")) as shot:
        assert shot.numbers == (1003,)


@pytest.mark.parametrize(
    ("name", "number"), [("a_v002.0010.exr", 10), ("plate.exr", 1), ("x-0003.exr", 3), ("12.exr", 12)]
)
def test_a_stills_number_is_read_off_its_name(tmp_path: Path, name: str, number: int) -> None:
    write_image(tmp_path / name, frame_of(part_of("R", ramp(1))))
    with open_shot(str(tmp_path / name)) as shot:
        assert abs(shot.numbers[0]) == number


def test_unpadded_and_negative_numbers_are_found(tmp_path: Path) -> None:
    write_frames(tmp_path, "un.{}.exr", [8, 9, 10, 11])
    write_frames(tmp_path, "neg.{:05d}.exr", [-2, -1, 0, 1])
    with open_shot(str(tmp_path / "un.%d.exr")) as shot:
        assert shot.numbers == (8, 9, 10, 11)
    with open_shot(str(tmp_path / "neg.%05d.exr")) as shot:
        assert shot.numbers == (-2, -1, 0, 1)


def test_names_with_braces_percents_and_spaces_are_found(tmp_path: Path) -> None:
    write_frames(tmp_path, "my {{shot}} 100% v2.{:04d}.exr", [1, 2])
    with open_shot(str(tmp_path / "my {shot} 100% v2.####.exr")) as shot:
        assert shot.numbers == (1, 2)


def test_a_real_folder_with_one_sequence_is_enough() -> None:
    with open_shot(str(shared_data("judo"))) as shot:
        assert shot.numbers == tuple(range(7, 16))
        assert shot.header(0).display[2:] == (854, 480)


def test_a_folder_with_several_sequences_lists_them(folder: Path) -> None:
    write_frames(folder, "matte.{:04d}.exr", [1, 2])
    with pytest.raises(BadRequest) as caught:
        open_shot(str(folder))
    assert "matte.1-2####.exr" in str(caught.value)
    assert "shot.1001-1004####.exr" in str(caught.value)


def test_temporaries_and_notes_are_no_frames(folder: Path) -> None:
    (folder / ".kairos~host~1~2~0badf00d~frame.exr").write_bytes(b"half a frame")
    (folder / "notes.0001.txt").write_text("notes")
    with open_shot(str(folder)) as shot:
        assert len(shot) == 4


@pytest.mark.parametrize("spec", ["shto.%04d.exr", "shot.%04d.dpx", "nothing.exr"])
def test_a_name_that_is_not_there_is_answered_with_what_is(folder: Path, spec: str) -> None:
    with pytest.raises(ImageError) as caught:
        open_shot(str(folder / spec))
    assert spec in caught.value.message
    assert "shot.1001-1004####.exr" in caught.value.remedy


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        open_shot(str(tmp_path / "gone" / "shot.%04d.exr"))


def test_gaps_are_named(tmp_path: Path) -> None:
    write_frames(tmp_path, "shot.{:04d}.exr", [1, 2, 5, 6, 8])
    with pytest.raises(FrameError) as caught:
        open_shot(str(tmp_path / "shot.%04d.exr"))
    assert "3-4, 7" in caught.value.message
    assert "--on-missing" in caught.value.remedy


def test_hold_repeats_the_frame_before_the_gap(tmp_path: Path) -> None:
    write_frames(tmp_path, "shot.{:04d}.exr", [1, 2, 5, 6])
    with open_shot(str(tmp_path / "shot.%04d.exr"), on_missing="hold") as shot:
        assert shot.numbers == (1, 2, 3, 4, 5, 6)
        assert shot.missing == {2, 3}
        held = shot.read(3)
        assert held.number == 4
        assert np.array_equal(held.parts[0].planes, shot.read(1).parts[0].planes)
        assert shot.header(3).number == 4
        assert shot.path(3).name == "shot.0004.exr"
        assert shot.identity(2) != shot.identity(3)


def test_blend_mixes_both_sides_by_distance(tmp_path: Path) -> None:
    write_frames(tmp_path, "shot.{:04d}.exr", [0, 4])
    with open_shot(str(tmp_path / "shot.%04d.exr"), on_missing="blend") as shot:
        values = [float(shot.read(position).parts[0].planes[0, 0, 0]) for position in range(5)]
    # Frame n holds n / 1024, so a straight line between 0 and 4.
    assert values == pytest.approx([position / 1024 for position in range(5)], abs=1e-7)


def test_blend_takes_identifiers_from_the_nearer_frame_and_joins_windows(tmp_path: Path) -> None:
    def part(value: float, x: int) -> Part:
        planes = np.full((4, 4, 4), value, np.float32)
        planes[3].view(np.uint32)[...] = int(value) + 7
        return part_of("R G B id", planes, ("half", "half", "half", "uint"), origin=(x, 0))

    for number, value, x in ((1, 1.0, 0), (4, 4.0, 2)):
        write_image(tmp_path / f"a.{number}.exr", frame_of(part(value, x)))
    with open_shot(str(tmp_path / "a.%d.exr"), on_missing="blend") as shot:
        frame, header = shot.read(1), shot.header(1)
    mixed = frame.parts[0]
    assert mixed.window == header.parts[0].window == (0, 0, 6, 4)
    # Two thirds of 1 and one third of 4 where both have pixels; outside its window a frame is black.
    assert mixed.planes[0, 0].tolist() == pytest.approx([2 / 3, 2 / 3, 2, 2, 4 / 3, 4 / 3], abs=1e-6)
    assert mixed.planes[3, :, :4].view(np.uint32).tolist() == [[8] * 4] * 4


def test_a_range_beyond_the_sequence_is_missing_frames(folder: Path) -> None:
    with pytest.raises(FrameError, match="1005-1006"):
        open_shot(str(folder / "shot.%04d.exr"), frame_range=(1003, 1006))
    with open_shot(str(folder / "shot.%04d.exr"), frame_range=(999, 1002), on_missing="blend") as shot:
        assert shot.missing == {0, 1}
        assert np.array_equal(shot.read(0).parts[0].planes, shot.read(2).parts[0].planes)


@pytest.mark.parametrize("frame_range", [(2000, 2010), (1, 5)])
def test_a_range_outside_the_sequence_is_refused(folder: Path, frame_range: tuple[int, int]) -> None:
    with pytest.raises(FrameError, match="1001-1004"):
        open_shot(str(folder / "shot.%04d.exr"), frame_range=frame_range, on_missing="hold")


def test_a_range_that_ends_before_it_begins_is_refused(folder: Path) -> None:
    with pytest.raises(BadRequest, match="1004-1001"):
        open_shot(str(folder / "shot.%04d.exr"), frame_range=(1004, 1001))


@pytest.mark.parametrize("position", [-1, 4, 99])
def test_a_position_outside_the_shot_is_named(folder: Path, position: int) -> None:
    with open_shot(str(folder / "shot.%04d.exr")) as shot, pytest.raises(FrameError, match=str(position)):
        shot.read(position)


def test_a_frame_that_vanishes_while_working_is_named(folder: Path) -> None:
    with open_shot(str(folder / "shot.%04d.exr")) as shot:
        (folder / "shot.1003.exr").unlink()
        with pytest.raises(ImageError, match=r"shot\.1003\.exr"):
            shot.read(2)
        with pytest.raises(FrameError, match="1003"):
            shot.identity(2)


def test_identity_changes_with_the_file(folder: Path) -> None:
    with open_shot(str(folder / "shot.%04d.exr")) as shot:
        before = [shot.identity(position) for position in range(4)]
        write_frames(folder, "shot.{:04d}.exr", [1002], timecode="01:00:00:00")
        after = [shot.identity(position) for position in range(4)]
    assert [one == two for one, two in zip(before, after)] == [True, False, True, True]


def test_the_files_rate_is_taken_before_the_one_given(tmp_path: Path) -> None:
    write_frames(tmp_path, "with.{}.exr", [1], rate=FILM)
    write_frames(tmp_path, "without.{}.exr", [1])
    for name, rate in (("with", FILM), ("without", Fraction(25))):
        with open_shot(str(tmp_path / f"{name}.%d.exr"), fps=Fraction(25)) as shot:
            assert shot.rate == rate
            assert shot.header(0).rate == shot.read(0).rate == rate


def test_a_rounded_rate_stands_for_the_exact_one(tmp_path: Path) -> None:
    write_frames(tmp_path, "a.{}.exr", [1], rate=Fraction(23976, 1000))
    with open_shot(str(tmp_path / "a.1.exr")) as shot:
        assert shot.rate == FILM
