"""PNG, JPEG, TIFF and DPX: codes come in and go out exactly."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Tuple

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from kairos.errors import BadRequest
from kairos.frame import Attribute, Frame, Window
from kairos.images import header_of, open_shot, read_fingerprint, straight_alpha, write_image
from support.frames import codes, frame_of, part_of, ramp, read_back

STRAIGHT = {"oiio:UnassociatedAlpha": Attribute("int", 1)}

EXACT = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 10), (".tif", 12), (".tif", 16)]
EXACT += [(".dpx", 8), (".dpx", 10), (".dpx", 12), (".dpx", 16)]


def coded_frame(bits: int, channels: str, size: Tuple[int, int] = (24, 40)) -> Frame:
    names = channels.split()
    planes = codes(bits, len(names), size).astype(np.float32) / np.float32(2**bits - 1)
    metadata = STRAIGHT if "A" in names else {}
    part = part_of(channels, planes, (f"uint{bits}",), metadata=metadata)
    return frame_of(part, scene_linear=False, colorspace="sRGB - Display")


@pytest.mark.parametrize("channels", ["R G B", "R G B A", "Y"])
@pytest.mark.parametrize(("suffix", "bits"), EXACT)
def test_every_code_goes_out_and_comes_back(tmp_path: Path, suffix: str, bits: int, channels: str) -> None:
    frame = coded_frame(bits, channels)
    path = tmp_path / f"a{suffix}"
    assert write_image(path, frame) == []
    back = read_back(path)
    part = back.parts[0]
    assert set(part.depths) == {f"uint{bits}"}
    assert len(part.channels) == len(channels.split())
    assert np.array_equal(part.planes, frame.parts[0].planes)
    assert not back.scene_linear


@pytest.mark.parametrize("width", [38, 39, 40, 41])
def test_ten_bit_dpx_with_alpha_is_exact_at_every_width(tmp_path: Path, width: int) -> None:
    frame = coded_frame(10, "R G B A", (9, width))
    write_image(tmp_path / "a.dpx", frame)
    assert np.array_equal(read_back(tmp_path / "a.dpx").parts[0].planes, frame.parts[0].planes)


def test_another_reader_sees_the_codes(tmp_path: Path) -> None:
    frame = coded_frame(16, "R G B")
    write_image(tmp_path / "a.png", frame)
    seen = oiio.ImageInput.open(str(tmp_path / "a.png")).read_image(oiio.UINT16)
    assert np.array_equal(np.moveaxis(seen, 2, 0), codes(16))


def test_values_are_rounded_to_the_nearest_code_and_clipped(tmp_path: Path) -> None:
    values = np.array([-0.5, 0.0, 0.49 / 255, 0.51 / 255, 127.5001 / 255, 1.0, 7.0], np.float32)
    planes = np.broadcast_to(values, (3, 2, len(values))).copy()
    frame = frame_of(part_of("R G B", planes, ("uint8",)), scene_linear=False)
    write_image(tmp_path / "a.png", frame)
    back = np.rint(read_back(tmp_path / "a.png").parts[0].planes[0, 0] * 255)
    assert back.tolist() == [0, 0, 0, 1, 128, 255, 255]


def test_values_that_are_no_numbers_are_counted_in_a_warning(tmp_path: Path) -> None:
    planes = ramp(3)
    planes[0, 0, :3] = np.nan, np.inf, -np.inf
    warnings = write_image(tmp_path / "a.png", frame_of(part_of("R G B", planes, ("uint8",)), scene_linear=False))
    assert any(warning.startswith("3 values") for warning in warnings)
    assert read_back(tmp_path / "a.png").parts[0].planes[0, 0, :3].tolist() == [0.0, 1.0, 0.0]


def test_straight_alpha_keeps_the_colour_under_it(tmp_path: Path) -> None:
    planes = ramp(4)
    planes[3] = 0
    planes = np.rint(planes * 255).astype(np.float32) / np.float32(255)
    frame = frame_of(part_of("R G B A", planes, ("uint8",), metadata=STRAIGHT), scene_linear=False)
    write_image(tmp_path / "a.png", frame)
    back = read_back(tmp_path / "a.png").parts[0]
    assert straight_alpha(back.metadata)
    assert np.array_equal(back.planes, planes)


def test_premultiplied_colour_is_divided_for_png(tmp_path: Path) -> None:
    planes = np.full((4, 4, 4), 0.5, np.float32)
    planes[:3] = 0.25
    write_image(tmp_path / "a.png", frame_of(part_of("R G B A", planes, ("uint16",)), scene_linear=False))
    back = read_back(tmp_path / "a.png").parts[0]
    # 0.25 over alpha 0.5 is 0.5, to within half a code of 16 bits.
    assert np.abs(back.planes - 0.5).max() <= 0.5 / 65535 + 1e-7


@pytest.mark.parametrize(("associated", "stored"), [(0, 0), (1, 1)])
def test_tiff_keeps_the_association_of_its_alpha(tmp_path: Path, associated: int, stored: int) -> None:
    planes = ramp(4)
    metadata = STRAIGHT if associated else {}
    write_image(
        tmp_path / "a.tif", frame_of(part_of("R G B A", planes, ("uint16",), metadata=metadata), scene_linear=False)
    )
    back = read_back(tmp_path / "a.tif").parts[0]
    assert int(straight_alpha(back.metadata)) == stored
    assert np.array_equal(np.rint(back.planes * 65535), np.rint(planes * 65535))


def test_float_tiff_is_scene_linear_and_exact(tmp_path: Path) -> None:
    planes = ramp(3) * 100 - 8
    write_image(tmp_path / "a.tif", frame_of(part_of("R G B", planes, ("float",))))
    back = read_back(tmp_path / "a.tif")
    assert back.scene_linear
    assert back.parts[0].depths == ("float",) * 3
    assert np.array_equal(back.parts[0].planes, planes)


def test_jpeg_is_close_and_keeps_its_subsampling(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 64, dtype=np.float32)
    planes = np.stack(
        [np.broadcast_to(x, (64, 64)), np.broadcast_to(x[:, None], (64, 64)), np.full((64, 64), 0.5, np.float32)]
    )
    frame = frame_of(part_of("R G B", np.ascontiguousarray(planes), ("uint8",)), scene_linear=False)
    write_image(tmp_path / "a.jpg", frame)
    back = read_back(tmp_path / "a.jpg").parts[0].planes
    assert np.abs(back - planes).max() < 0.03
    assert np.abs(back - planes).mean() < 0.004


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".dpx", ".exr"])
def test_the_fingerprint_comes_back_and_does_not_travel_on(tmp_path: Path, suffix: str) -> None:
    fingerprint = "0123456789abcdef" * 4
    depths = ("half",) if suffix == ".exr" else ("uint8",)
    path = tmp_path / f"a{suffix}"
    write_image(path, frame_of(part_of("R G B", ramp(3), depths)), fingerprint=fingerprint)
    assert read_fingerprint(path) == fingerprint
    again = tmp_path / f"b{suffix}"
    write_image(again, read_back(path))
    assert read_fingerprint(again) == "", "a copy of the picture is not the finished frame"
    write_image(again, read_back(path), fingerprint="another")
    assert read_fingerprint(again) == "another"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".dpx", ".exr"])
def test_a_file_cut_short_has_no_fingerprint(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, frame_of(part_of("R G B", ramp(3, (200, 200)), ("uint8",))), fingerprint="f" * 64)
    path.write_bytes(path.read_bytes()[:-60])
    assert read_fingerprint(path) == ""


def test_files_of_other_origin_have_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.exr").write_text("notes")
    (tmp_path / "b.txt").write_text("notes")
    for name in ("a.exr", "b.txt", "missing.exr"):
        assert read_fingerprint(tmp_path / name) == ""


def test_layers_that_do_not_fit_are_named_in_a_warning(tmp_path: Path) -> None:
    parts = (part_of("R G B A Z", ramp(5), name="rgba"), part_of("forward.u forward.v", ramp(2), name="motion"))
    warnings = write_image(tmp_path / "a.jpg", frame_of(*parts))
    assert len(warnings) == 1
    assert all(name in warnings[0] for name in ("depth", "forward", "alpha"))


def test_a_cropped_data_window_is_fitted_to_the_display_window(tmp_path: Path) -> None:
    part = part_of("R G B", np.ones((3, 10, 10), np.float32), ("uint8",), origin=(-5, 2))
    warnings = write_image(tmp_path / "a.png", frame_of(part, display=Window(0, 0, 16, 16), scene_linear=False))
    back = read_back(tmp_path / "a.png").parts[0].planes
    expected = np.zeros((3, 16, 16), np.float32)
    expected[:, 2:12, 0:5] = 1
    assert np.array_equal(back, expected)
    assert "data window" in warnings[0]


@pytest.mark.parametrize(
    ("suffix", "depth", "stored"),
    [(".png", "uint10", "uint16"), (".jpg", "uint16", "uint8"), (".dpx", "half", "uint10"), (".tif", "half", "half")],
)
def test_depths_that_a_format_lacks_become_the_next_that_it_has(
    tmp_path: Path, suffix: str, depth: str, stored: str
) -> None:
    write_image(tmp_path / f"a{suffix}", frame_of(part_of("R G B", ramp(3), (depth,)), scene_linear=False))
    read = read_back(tmp_path / f"a{suffix}").parts[0].depths[0]
    # OpenImageIO reads half TIFF as float.
    assert read == ("float" if stored == "half" else stored)


def test_a_depth_on_demand_that_a_format_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="PNG"):
        write_image(tmp_path / "a.png", frame_of(part_of("R G B", ramp(3))), bit_depth="half")


def test_dpx_keeps_rate_and_timecode(tmp_path: Path) -> None:
    frame = frame_of(
        part_of("R G B", ramp(3), ("uint10",)), scene_linear=False, rate=Fraction(24), timecode="10:20:30:12"
    )
    write_image(tmp_path / "a.dpx", frame)
    back = read_back(tmp_path / "a.dpx")
    assert (back.rate, back.timecode) == (Fraction(24), "10:20:30:12")


def test_a_header_costs_no_pixels_and_says_the_same(tmp_path: Path) -> None:
    write_image(tmp_path / "a.0007.dpx", coded_frame(10, "R G B"))
    with open_shot(str(tmp_path / "a.0007.dpx")) as shot:
        assert shot.header(0) == header_of(shot.read(0), "dpx")
