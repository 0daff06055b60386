"""EXR in and out: nothing of a file is lost, and what is written is what other software reads."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from kairos.errors import BadRequest
from kairos.frame import Attribute, Window
from kairos.images import header_of, open_shot, write_image
from support.exr import read_exr, read_spec
from support.frames import (
    FILM,
    FLOAT_OUTLIERS,
    HALF_OUTLIERS,
    SIZE,
    UINT_PATTERNS,
    bits_of,
    differences,
    frame_of,
    part_of,
    ramp,
    read_back,
)
from support.shared import shared_data


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_ten_part_stereo_frame_comes_back_bit_identical(tmp_path: Path, number: int) -> None:
    with open_shot(str(shared_data("beachball") / "multipart.%04d.exr")) as shot:
        frame = shot.read(number - 1)
    target = tmp_path / "copy.0001.exr"
    assert write_image(target, frame) == []
    assert len(frame.parts) == 10
    assert len({part.window for part in frame.parts}) == 5
    assert differences(frame, read_back(target)) == []


def test_another_reader_sees_the_same_parts_and_pixels(tmp_path: Path) -> None:
    source = shared_data("beachball", "multipart.0002.exr")
    with open_shot(str(source)) as shot:
        write_image(tmp_path / "copy.exr", shot.read(0))
    for index in range(10):
        before, after = read_exr(source, index), read_exr(tmp_path / "copy.exr", index)
        assert list(before) == list(after)
        assert all(np.array_equal(before[name], after[name]) for name in before)
        assert read_spec(tmp_path / "copy.exr", index).getattribute("view") == read_spec(source, index).getattribute(
            "view"
        )


def test_half_outliers_survive(tmp_path: Path) -> None:
    planes = ramp(4)
    planes[:, 3, :8] = HALF_OUTLIERS
    frame = frame_of(part_of("R G B A", planes, compression="zip"))
    write_image(tmp_path / "a.exr", frame)
    back = read_back(tmp_path / "a.exr").parts[0].planes
    stored = planes.astype(np.float16)
    assert np.array_equal(back.astype(np.float16).view(np.uint16), stored.view(np.uint16))


def test_float_bit_patterns_survive(tmp_path: Path) -> None:
    planes = ramp(1)
    planes[0, 5, : len(FLOAT_OUTLIERS)] = FLOAT_OUTLIERS.view(np.float32)
    frame = frame_of(part_of("Z", planes, ("float",), compression="zips"))
    write_image(tmp_path / "a.exr", frame)
    assert np.array_equal(bits_of(read_back(tmp_path / "a.exr").parts[0].planes), bits_of(planes))


@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip", "piz", "dwaa:45"])
def test_integer_channels_keep_every_bit_beside_half_and_float(tmp_path: Path, compression: str) -> None:
    planes = ramp(4)
    planes[3].view(np.uint32)[...] = np.resize(UINT_PATTERNS, SIZE)
    frame = frame_of(part_of("R G Z id", planes, ("half", "half", "float", "uint"), compression=compression))
    warnings = write_image(tmp_path / "a.exr", frame)
    assert bool(warnings) == compression.startswith("dwaa"), "a lossy codec is replaced, and says so"
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    spec = source.spec()
    channel = spec.channelnames.index("id")
    assert str(spec.channelformats[channel]) == "uint"
    read = source.read_image(0, 0, channel, channel + 1, oiio.UINT32)[..., 0]
    assert np.array_equal(read, np.resize(UINT_PATTERNS, SIZE))
    back = read_back(tmp_path / "a.exr").parts[0]
    index = back.channels.index("id")
    assert back.depths[index] == "uint"
    assert np.array_equal(back.planes[index].view(np.uint32), read)
    assert np.array_equal(back.planes[back.channels.index("R")], planes[0])


def test_a_part_of_integers_alone_keeps_every_bit(tmp_path: Path) -> None:
    planes = np.resize(UINT_PATTERNS, (2, *SIZE)).view(np.float32)
    frame = frame_of(part_of("id.X id.Y", planes, ("uint",), compression="zip"))
    write_image(tmp_path / "a.exr", frame)
    assert np.array_equal(read_back(tmp_path / "a.exr").parts[0].planes.view(np.uint32), planes.view(np.uint32))


def test_windows_aspect_rate_and_views_survive(tmp_path: Path) -> None:
    parts = (
        part_of("R G B", ramp(3), origin=(-7, 11), name="rgba.left", view="left", compression="zip"),
        part_of("R G B", ramp(3, (9, 13)), origin=(30, -4), name="rgba.right", view="right", compression="piz"),
        part_of(
            "Z", ramp(1, (5, 5)), ("float",), origin=(100, 100), name="depth.left", view="left", compression="zips"
        ),
    )
    frame = frame_of(*parts, display=Window(2, 3, 64, 48), pixel_aspect=2.0, rate=FILM, timecode="01:02:03:04")
    write_image(tmp_path / "a.exr", frame)
    back = read_back(tmp_path / "a.exr")
    assert differences(frame, back, ("DateTime", *_OWN_ATTRIBUTES)) == ["colorspace"]


_OWN_ATTRIBUTES = ("screenWindowCenter", "screenWindowWidth", "smpte:TimeCode", "oiio:subimagename")
"""What every EXR file has, so that it is there after writing."""


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "shot 12, take 3"),
        ("int", -7),
        ("float", 0.25),
        ("float[8]", (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)),
        ("matrix", tuple(float(value) for value in range(16))),
        ("vector", (1.0, 2.0, 3.0)),
        ("float2", (0.5, -0.5)),
        ("vector2i", (3, 4)),
        ("vector2i[2]", (0, 0, 2047, 1555)),
        ("vectori", (3, 4, 5)),
        ("string[2]", ("left", "right")),
        ("keycode", (1, 2, 3, 4, 5, 6, 7)),
        ("rational", (30000, 1001)),
    ],
)
def test_attributes_of_every_kind_survive(tmp_path: Path, kind: str, value: object) -> None:
    attribute = Attribute(kind, value)  # type: ignore[arg-type]
    frame = frame_of(part_of("R G B", ramp(3), metadata={"kept/this": attribute}, compression="zip"))
    write_image(tmp_path / "a.exr", frame)
    back = read_back(tmp_path / "a.exr").parts[0].metadata["kept/this"]
    assert back.type == kind
    assert back.value == (value if kind.startswith("string") else pytest.approx(value, rel=1e-6))


def test_a_double_attribute_stays_as_a_float(tmp_path: Path) -> None:
    metadata = {"focal": Attribute("double", 35.5)}
    write_image(tmp_path / "a.exr", frame_of(part_of("R", ramp(1), metadata=metadata)))
    assert read_back(tmp_path / "a.exr").parts[0].metadata["focal"] == Attribute("float", 35.5)


def test_timecode_flags_and_user_bits_stay_when_the_time_changes(tmp_path: Path) -> None:
    words = (0x01020304 | 0x80 | 0x40, 0xDEADBEEF)  # 01:02:03;04, drop-frame, colour frame, and user bits
    part = part_of("R G B", ramp(3), metadata={"smpte:TimeCode": Attribute("timecode", words)}, compression="zip")
    frame = frame_of(part, timecode="01:02:03;08", rate=None)
    write_image(tmp_path / "a.exr", frame)
    back = read_back(tmp_path / "a.exr")
    assert back.timecode == "01:02:03;08"
    assert read_spec(tmp_path / "a.exr").getattribute("smpte:TimeCode") == (0x01020308 | 0xC0, 0xDEADBEEF)


def test_a_timecode_that_no_file_can_hold_is_left_out_with_a_warning(tmp_path: Path) -> None:
    frame = frame_of(part_of("R G B", ramp(3)), timecode="01:00:00:95")
    assert any("01:00:00:95" in warning for warning in write_image(tmp_path / "a.exr", frame))
    assert read_back(tmp_path / "a.exr").timecode == ""


@pytest.mark.parametrize(
    ("compression", "read_as"), [("dwaa:45", "zip"), ("pxr24", "zip"), ("piz", "piz"), ("zips", "zips")]
)
def test_lossy_sources_are_written_lossless_and_others_as_they_were(
    tmp_path: Path, compression: str, read_as: str
) -> None:
    write_image(tmp_path / "a.exr", frame_of(part_of("R G B", ramp(3))), compression=compression)
    with open_shot(str(tmp_path / "a.exr")) as shot:
        assert shot.header(0).parts[0].compression == compression
        frame = shot.read(0)
    assert frame.parts[0].compression == read_as
    write_image(tmp_path / "b.exr", frame)
    assert read_spec(tmp_path / "b.exr").getattribute("compression") == read_as
    assert differences(frame, read_back(tmp_path / "b.exr")) == []


def test_each_part_keeps_the_compression_it_asks_for(tmp_path: Path) -> None:
    parts = (
        part_of("R G B", ramp(3), compression="dwaa:60", name="rgba"),
        part_of("Z", ramp(1), compression="zip", name="z"),
    )
    write_image(tmp_path / "a.exr", frame_of(*parts))
    with open_shot(str(tmp_path / "a.exr")) as shot:
        assert [part.compression for part in shot.header(0).parts] == ["dwaa:60", "zip"]


def test_the_top_level_of_a_mip_mapped_file_is_read_and_written_as_plain_tiles(tmp_path: Path) -> None:
    source = shared_data("exr-variety", "openexr-images_MultiResolution_ColorCodedLevels.exr")
    frame = read_back(source)
    assert frame.parts[0].planes.shape == (4, 512, 512)
    write_image(tmp_path / "a.exr", frame)
    spec = read_spec(tmp_path / "a.exr")
    assert (spec.tile_width, spec.tile_height) == (64, 64)
    reader = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    assert not reader.seek_subimage(0, 1), "there are no reduced levels"
    assert differences(frame, read_back(tmp_path / "a.exr")) == []


@pytest.mark.parametrize(
    ("bit_depth", "kinds"), [("half", ("half", "half", "uint")), ("float", ("float", "float", "uint"))]
)
def test_bit_depth_changes_all_but_integers(tmp_path: Path, bit_depth: str, kinds: Tuple[str, ...]) -> None:
    frame = frame_of(part_of("R Z id", ramp(3), ("half", "float", "uint")))
    write_image(tmp_path / "a.exr", frame, bit_depth=bit_depth)
    back = read_back(tmp_path / "a.exr").parts[0]
    assert dict(zip(back.channels, back.depths)) == dict(zip(("R", "Z", "id"), kinds))


def test_values_over_half_are_clipped_with_a_warning_not_made_infinite(tmp_path: Path) -> None:
    planes = ramp(1)
    planes[0, 0, :3] = 1e6, -1e6, np.inf
    warnings = write_image(tmp_path / "a.exr", frame_of(part_of("R", planes)))
    assert len(warnings) == 1
    assert "65504" in warnings[0]
    assert read_back(tmp_path / "a.exr").parts[0].planes[0, 0, :3].tolist() == [65504.0, -65504.0, np.inf]
    assert planes[0, 0, 0] == 1e6, "the frame itself is left alone"


def test_an_empty_data_window_becomes_one_black_pixel(tmp_path: Path) -> None:
    frame = frame_of(part_of("R G B", np.zeros((3, 0, 0), np.float32)), display=Window(5, 6, 64, 48))
    write_image(tmp_path / "a.exr", frame)
    back = read_back(tmp_path / "a.exr")
    assert back.parts[0].window == Window(5, 6, 1, 1)
    assert not back.parts[0].planes.any()


def test_parts_without_names_get_distinct_ones(tmp_path: Path) -> None:
    parts = [part_of("R", ramp(1), compression="zip"), part_of("R", ramp(1), compression="zip", name="a")]
    parts += [part_of("G", ramp(1), compression="zip", name="a")]
    write_image(tmp_path / "a.exr", frame_of(*parts))
    names = [part.name for part in read_back(tmp_path / "a.exr").parts]
    assert len(set(names)) == 3
    assert names[1] == "a"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"compression": "jpeg2000"}, "jpeg2000"),
        ({"bit_depth": "12"}, "12"),
        ({"compression": "dwaa:high"}, "dwaa:high"),
    ],
)
def test_impossible_requests_are_refused_by_name(tmp_path: Path, options: dict[str, str], word: str) -> None:
    with pytest.raises(BadRequest, match=word):
        write_image(tmp_path / "a.exr", frame_of(part_of("R", ramp(1))), **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"\.xyz"):
        write_image(tmp_path / "a.xyz", frame_of(part_of("R", ramp(1))))


def test_a_header_says_what_the_frame_holds(tmp_path: Path) -> None:
    frame = frame_of(part_of("R G B", ramp(3), origin=(3, 4), compression="zip"), rate=FILM, number=12)
    write_image(tmp_path / "a.0012.exr", frame)
    with open_shot(str(tmp_path / "a.0012.exr")) as shot:
        assert shot.header(0) == header_of(shot.read(0), "openexr")
        assert shot.numbers == (12,)
