"""Colour spaces: the configuration in force, a file's space, and exact ways between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio  # noqa: N813
import pytest

from kairos.color import ColorConfig
from kairos.errors import BadRequest

SRGB = "sRGB - Display"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OCIO", raising=False)


@pytest.fixture()
def studio() -> ColorConfig:
    return ColorConfig.load()


def raw_config(tmp_path: Path, name: str = "raw.ocio", default: str = "lin") -> Path:
    config = ocio.Config.CreateRaw()
    config.setName(name)
    for space, data in (("lin", False), ("raw2", True)):
        config.addColorSpace(ocio.ColorSpace(name=space, isData=data))
    gamma = ocio.ColorSpace(name="video")
    gamma.setTransform(ocio.ExponentTransform([2.2, 2.2, 2.2, 1]), ocio.COLORSPACE_DIR_TO_REFERENCE)
    config.addColorSpace(gamma)
    config.setRole("scene_linear", "lin")
    config.setRole("texture_paint", "video")
    rules = ocio.FileRules()
    rules.setDefaultRuleColorSpace(default)
    config.setFileRules(rules)
    path = tmp_path / name
    path.write_text(config.serialize())
    return path


def test_the_built_in_studio_configuration_is_the_default(studio: ColorConfig) -> None:
    assert "studio-config" in studio.describe()
    assert studio.scene_linear == "ACEScg"


def test_a_configuration_by_path_is_used(tmp_path: Path) -> None:
    config = ColorConfig.load(str(raw_config(tmp_path)))
    assert config.scene_linear == "lin"
    assert "raw.ocio" in config.describe()


def test_the_environment_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCIO", str(raw_config(tmp_path, "of_environment.ocio")))
    assert "of_environment" in ColorConfig.load(str(raw_config(tmp_path, "of_path.ocio"))).describe()


@pytest.mark.parametrize(("knob", "environment"), [("--ocio", False), (r"\$OCIO", True)])
def test_a_configuration_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knob: str, environment: bool
) -> None:
    path = tmp_path / "broken.ocio"
    path.write_text("no configuration")
    if environment:
        monkeypatch.setenv("OCIO", str(path))
    with pytest.raises(BadRequest, match=rf"{knob}.*broken\.ocio"):
        ColorConfig.load(str(path))


@pytest.mark.parametrize(
    ("path", "space"),
    # The file rules of the studio configuration.
    [("a.0001.exr", "ACES2065-1"), ("a.mov", "Rec.1886 Rec.709 - Display"), ("a.png", SRGB)],
)
def test_file_rules_say_a_files_space(studio: ColorConfig, path: str, space: str) -> None:
    assert studio.space_of_file(path) == space


def test_roles_and_aliases_stand_for_their_space(studio: ColorConfig) -> None:
    assert studio.check("scene_linear") == "ACEScg"
    assert studio.check("ACEScg") == "ACEScg"
    assert studio.check("lin_ap1") == "ACEScg"


@pytest.mark.parametrize(("name", "near"), [("ACESgc", "ACEScg"), ("srgb display", SRGB), ("logc4", "ARRI LogC4")])
def test_an_unknown_space_is_answered_with_near_ones(studio: ColorConfig, name: str, near: str) -> None:
    with pytest.raises(BadRequest) as caught:
        studio.check(name)
    assert name in caught.value.message
    assert near in caught.value.remedy


@pytest.mark.parametrize(
    ("space", "linear"),
    [("ACEScg", True), ("Linear Rec.709 (sRGB)", True), ("Raw", True), ("", True), (SRGB, False), ("ACEScct", False)],
)
def test_scene_linear_spaces_are_told_from_others(studio: ColorConfig, space: str, linear: bool) -> None:
    assert studio.is_scene_linear(space) is linear


def test_no_conversion_is_the_same_array_untouched(studio: ColorConfig) -> None:
    planes = np.random.default_rng(0).random((3, 4, 5), np.float32)
    assert studio.convert(planes, "ACEScg", "scene_linear") is planes
    assert studio.convert(planes, SRGB, SRGB) is planes


def test_a_conversion_leaves_its_input_alone(studio: ColorConfig) -> None:
    planes = np.full((3, 4, 5), 0.5, np.float32)
    converted = studio.convert(planes, SRGB, "ACEScg")
    assert (planes == 0.5).all()
    # IEC 61966-2-1: ((0.5 + 0.055) / 1.055) ^ 2.4 = 0.2140; neutral stays neutral.
    assert np.abs(converted - 0.2140).max() < 1e-4


def test_primaries_are_converted_as_the_standards_have_them(studio: ColorConfig) -> None:
    red = np.array([1, 0, 0], np.float32).reshape(3, 1, 1)
    # Rec.709 to AP1 with Bradford adaptation, first column of the matrix (ACES documentation, rounded).
    expected = [0.6131, 0.0702, 0.0206]
    assert studio.convert(red, "Linear Rec.709 (sRGB)", "ACEScg").ravel() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_display_referred_codes_survive_a_round_trip_exactly(studio: ColorConfig, bits: int) -> None:
    top = 2**bits - 1
    codes = np.random.default_rng(1).integers(0, top + 1, (3, 256, 256))
    codes[:, 0] = np.linspace(0, top, 256).astype(int)
    planes = codes.astype(np.float32) / np.float32(top)
    there = studio.convert(planes, SRGB, "ACEScg")
    back = studio.convert(there, "ACEScg", SRGB)
    assert np.array_equal(np.rint(back * np.float32(top)), codes)


def test_nothing_is_clipped_on_the_way(studio: ColorConfig) -> None:
    planes = np.array([-8.0, 0.0, 5000.0], np.float32).reshape(3, 1, 1)
    back = studio.convert(studio.convert(planes, "ACEScg", "ACES2065-1"), "ACES2065-1", "ACEScg")
    assert back.ravel() == pytest.approx([-8.0, 0.0, 5000.0], abs=5e-3)


def test_a_configuration_without_scene_linear_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bare.ocio"
    text = "\n".join(line for line in raw_config(tmp_path).read_text().splitlines() if "scene_linear" not in line)
    path.write_text(text)
    with pytest.raises(BadRequest, match="scene_linear"):
        _ = ColorConfig.load(str(path)).scene_linear
