"""Which space a file is in, and frames on their way between encodings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest

from kairos.color import ColorConfig
from kairos.errors import BadRequest
from kairos.frame import Attribute
from kairos.images import (
    from_scene_linear,
    open_shot,
    output_colorspace,
    premultiplied,
    straight_alpha,
    straightened,
    to_scene_linear,
    write_image,
)
from support.frames import bits_of, codes, frame_of, part_of, ramp
from support.shared import shared_data

SRGB = "sRGB - Display"
VIDEO = "Rec.1886 Rec.709 - Display"
STRAIGHT = {"oiio:UnassociatedAlpha": Attribute("int", 1)}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


@pytest.fixture(scope="module")
def studio() -> ColorConfig:
    return ColorConfig.load()


@pytest.mark.parametrize(
    ("suffix", "depth", "space", "linear"),
    [
        (".exr", "half", "ACES2065-1", True),
        (".png", "uint8", SRGB, False),
        (".dpx", "uint10", SRGB, False),
        (".tif", "uint16", SRGB, False),
        (".tif", "float", "ACEScg", True),
    ],
)
def test_a_files_space_comes_from_the_rules_and_its_samples(
    tmp_path: Path, studio: ColorConfig, suffix: str, depth: str, space: str, linear: bool
) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, frame_of(part_of("R G B", ramp(3), (depth,)), scene_linear=depth in ("half", "float")))
    with open_shot(str(path), config=studio) as shot:
        assert (shot.colorspace, shot.scene_linear) == (space, linear)
        frame = shot.read(0)
        assert (frame.colorspace, frame.scene_linear) == (space, linear)


def test_a_space_on_demand_goes_before_the_rules(tmp_path: Path, studio: ColorConfig) -> None:
    write_image(tmp_path / "a.png", frame_of(part_of("R G B", ramp(3), ("uint16",)), scene_linear=False))
    with open_shot(str(tmp_path / "a.png"), colorspace="ARRI LogC4", config=studio) as shot:
        assert (shot.colorspace, shot.scene_linear) == ("ARRI LogC4", False)
    with open_shot(str(tmp_path / "a.png"), colorspace="scene_linear", config=studio) as shot:
        assert (shot.colorspace, shot.scene_linear) == ("ACEScg", True)
    with pytest.raises(BadRequest, match="LogC9"):
        open_shot(str(tmp_path / "a.png"), colorspace="LogC9", config=studio)


def test_codes_are_never_taken_for_linear_light_by_a_default_rule(tmp_path: Path) -> None:
    """Many studio configurations have a linear default rule, which is meant for EXR."""
    raw = ocio.Config.CreateRaw()
    raw.addColorSpace(ocio.ColorSpace(name="lin"))
    video = ocio.ColorSpace(name="video")
    video.setTransform(ocio.ExponentTransform([2.2, 2.2, 2.2, 1]), ocio.COLORSPACE_DIR_TO_REFERENCE)
    raw.addColorSpace(video)
    raw.setRole("scene_linear", "lin")
    raw.setRole("texture_paint", "video")
    rules = ocio.FileRules()
    rules.setDefaultRuleColorSpace("lin")
    raw.setFileRules(rules)
    (tmp_path / "c.ocio").write_text(raw.serialize())
    config = ColorConfig.load(str(tmp_path / "c.ocio"))
    write_image(tmp_path / "a.png", frame_of(part_of("R G B", ramp(3), ("uint8",)), scene_linear=False))
    with open_shot(str(tmp_path / "a.png"), config=config) as shot:
        assert (shot.colorspace, shot.scene_linear) == ("video", False)


class Source:
    """A shot's colour, as :func:`output_colorspace` asks for it."""

    def __init__(self, scene_linear: bool, colorspace: str) -> None:
        self.scene_linear, self.colorspace = scene_linear, colorspace


PLATE, PHOTOS = Source(True, "ACES2065-1"), Source(False, "ARRI LogC4")


@pytest.mark.parametrize(
    ("path", "source", "space"),
    [
        ("out.%04d.exr", PLATE, "ACES2065-1"),
        ("out.%04d.exr", PHOTOS, "ACEScg"),
        ("out.%04d.png", PHOTOS, "ARRI LogC4"),
        ("out.mov", PHOTOS, "ARRI LogC4"),
        ("out.%04d.png", PLATE, SRGB),
        ("out.mov", PLATE, VIDEO),
        ("out.%04d.tif", PLATE, "ACES2065-1"),
        ("out_folder", PHOTOS, "ARRI LogC4"),
    ],
)
def test_the_output_holds_what_its_kind_and_source_call_for(
    studio: ColorConfig, path: str, source: Source, space: str
) -> None:
    assert output_colorspace(path, source, studio) == space


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_a_display_referred_frame_survives_the_way_through_scene_linear(studio: ColorConfig, bits: int) -> None:
    planes = codes(bits).astype(np.float32) / np.float32(2**bits - 1)
    frame = frame_of(part_of("R G B", planes, (f"uint{bits}",)), scene_linear=False, colorspace=SRGB)
    linear = to_scene_linear(frame, studio)
    assert linear.scene_linear
    assert linear.colorspace == "ACEScg"
    back = from_scene_linear(linear, SRGB, studio)
    assert not back.scene_linear
    assert np.array_equal(np.rint(back.parts[0].planes * np.float32(2**bits - 1)), codes(bits))


def test_alpha_and_data_are_untouched_and_colour_is_premultiplied(studio: ColorConfig) -> None:
    planes = codes(16, 5).astype(np.float32) / np.float32(65535)
    planes[3] = np.clip(planes[3], 0.25, 1)
    frame = frame_of(
        part_of("R G B A mask", planes, ("uint16",), metadata=STRAIGHT), scene_linear=False, colorspace=SRGB
    )
    linear = to_scene_linear(frame, studio)
    part = linear.parts[0]
    assert not straight_alpha(part.metadata)
    assert np.array_equal(bits_of(part.planes[3:]), bits_of(planes[3:]))
    plain = studio.convert(planes[:3], SRGB, "ACEScg")
    assert np.allclose(part.planes[:3], plain * planes[3], atol=1e-6)
    back = from_scene_linear(linear, SRGB, studio)
    assert straight_alpha(back.parts[0].metadata)
    assert np.array_equal(np.rint(back.parts[0].planes * 65535), np.rint(planes * 65535))


def test_depth_and_vectors_are_not_converted(studio: ColorConfig) -> None:
    planes = ramp(6)
    frame = frame_of(part_of("R G B depth.Z forward.u forward.v", planes), colorspace="ACEScg")
    shown = from_scene_linear(frame, SRGB, studio).parts[0].planes
    assert np.array_equal(bits_of(shown[3:]), bits_of(planes[3:]))
    assert not np.array_equal(shown[:3], planes[:3])


def test_grey_stays_grey(studio: ColorConfig) -> None:
    frame = frame_of(part_of("Y", ramp(1), ("uint8",)), scene_linear=False, colorspace=SRGB)
    linear = to_scene_linear(frame, studio)
    assert linear.parts[0].planes.shape == (1, 24, 40)
    assert np.allclose(
        linear.parts[0].planes[0], studio.convert(np.repeat(ramp(1), 3, 0), SRGB, "ACEScg")[0], atol=1e-6
    )


def test_scene_linear_frames_come_back_as_they_are(studio: ColorConfig) -> None:
    frame = frame_of(part_of("R G B", ramp(3)), colorspace="ACES2065-1")
    assert to_scene_linear(frame, studio) is frame


def test_premultiplying_and_dividing_undo_each_other() -> None:
    planes = ramp(4)
    planes[3, 0] = 1
    planes[3, 1:] = np.clip(planes[3, 1:], 1 / 64, 1)
    part = part_of("hero.R hero.G hero.B hero.A", planes, metadata=STRAIGHT)
    there = premultiplied(part)
    assert np.array_equal(there.planes[:3, 0], planes[:3, 0]), "solid pixels are untouched"
    assert premultiplied(there) is there
    assert np.allclose(straightened(there).planes, planes, rtol=3e-7, atol=0)


def test_a_straight_png_becomes_a_premultiplied_exr(tmp_path: Path, studio: ColorConfig) -> None:
    path = shared_data("mobfgsr", "depth", "0010.png")
    with open_shot(str(path), config=studio) as shot:
        frame = shot.read(0)
    assert straight_alpha(frame.parts[0].metadata)
    write_image(tmp_path / "a.exr", to_scene_linear(frame, studio))
    with open_shot(str(tmp_path / "a.exr"), config=studio) as shot:
        part = shot.read(0).parts[0]
    assert not straight_alpha(part.metadata)
    invisible = part.planes[3] == 0
    assert not part.planes[:3, invisible].any()
