"""Pictures for people say what the data say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kairos.pictures import contact_sheet, difference_picture, flow_wheel, mask_picture, tonemap, write_png


def _uniform(x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32)[:, None, None], (2, 8, 8)).copy()


@pytest.mark.parametrize(
    ("x", "y", "colour"),
    # Baker et al.'s wheel: right is red, down yellow-green side, left is cyan-blue side, up violet; rest is white.
    [(1.0, 0.0, (255, 0, 0)), (0.0, 0.0, (255, 255, 255))],
)
def test_flow_colours_follow_the_published_wheel(x: float, y: float, colour: tuple[int, int, int]) -> None:
    found = flow_wheel(_uniform(x, y), maximum=1.0, legend=False)[0, 0]
    assert np.abs(found.astype(int) - colour).max() <= 18


def test_opposite_motion_has_an_opposite_hue() -> None:
    down, up = (flow_wheel(_uniform(0, y), maximum=1.0, legend=False)[0, 0].astype(int) for y in (1.0, -1.0))
    left = flow_wheel(_uniform(-1.0, 0), maximum=1.0, legend=False)[0, 0].astype(int)
    assert down[1] > 150 and down[2] < 60  # down: yellow to green
    assert up[2] > 150 and up[1] < 60  # up: blue to magenta
    assert left[0] < 60 and left[1] > 100 and left[2] > 100  # left: cyan to blue


def test_half_the_motion_is_half_as_saturated() -> None:
    half, whole = (flow_wheel(_uniform(x, 0), maximum=4.0, legend=False)[0, 0].astype(int) for x in (2.0, 4.0))
    assert np.abs((255 - half) * 2 - (255 - whole)).max() <= 2


def test_unknown_flow_is_black_and_does_not_set_the_scale() -> None:
    flow = _uniform(2.0, 0.0)
    flow[:, 0, 0] = 1e10
    picture = flow_wheel(flow, legend=False)
    assert not picture[0, 0].any()
    assert (picture[4, 4] == flow_wheel(_uniform(2.0, 0.0), legend=False)[4, 4]).all()


def test_the_legend_stays_in_its_corner() -> None:
    flow = np.zeros((2, 300, 400), np.float32)
    picture = flow_wheel(flow, maximum=5.0)
    assert (picture[:150] == 255).all() and (picture[:, :200] == 255).all()
    assert (picture[200:, 300:] != 255).any()


def test_tone_mapping_is_monotone_and_ends_in_white() -> None:
    ramp = np.geomspace(1e-3, 1e4, 200, dtype=np.float32).reshape(1, 1, -1).repeat(3, 0)
    shown = tonemap(ramp)[0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all() and shown[0] < 8 and shown[-1] == 255
    # 1.0 is bright but keeps room above it; 0.18 lies about the middle.
    assert 200 < tonemap(np.full((3, 1, 1), 1.0, np.float32))[0, 0, 0] < 245
    assert 90 < tonemap(np.full((3, 1, 1), 0.18, np.float32))[0, 0, 0] < 135


def test_tone_mapping_survives_nan_inf_and_negatives() -> None:
    plate = np.array([np.nan, np.inf, -np.inf, -8.0], np.float32).reshape(1, 1, 4).repeat(3, 0)
    assert tonemap(plate)[0, :, 0].tolist() == [0, 255, 0, 0]


def test_masks_are_grey_or_tinted() -> None:
    mask = np.array([[[0.0, 0.5, 1.0]]], np.float32)
    assert mask_picture(mask)[0, :, 1].tolist() == [0, 128, 255]
    over = mask_picture(mask, np.full((1, 3, 3), 200, np.uint8))
    assert over[0, 0].tolist() == [110, 110, 110] and over[0, 2].tolist() == [255, 64, 32]


def test_a_difference_is_scaled_and_clipped() -> None:
    one, two = np.zeros((1, 2, 3), np.uint8), np.array([[[10] * 3, [100] * 3]], np.uint8)
    assert difference_picture(one, two)[0, :, 0].tolist() == [40, 255]


def test_a_contact_sheet_holds_every_tile_untouched() -> None:
    rng = np.random.default_rng(0)
    tiles = [(f"frame {i}\nsmall print", rng.integers(0, 256, (60, 100, 3), dtype=np.uint8)) for i in range(5)]
    sheet = contact_sheet(tiles, columns=2, title="A title")
    for _, picture in tiles:
        found = cv2.matchTemplate(sheet, picture, cv2.TM_SQDIFF)
        top, left = np.unravel_index(int(found.argmin()), found.shape)
        assert np.array_equal(sheet[top : top + 60, left : left + 100], picture)
    assert sheet.shape[1] < 3 * 100


def test_a_png_comes_back_as_written(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "folder" / "a.png", picture)
    found = cv2.cvtColor(cv2.imread(str(tmp_path / "folder" / "a.png")), cv2.COLOR_BGR2RGB)
    assert np.array_equal(found, picture)
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["a.png"]
