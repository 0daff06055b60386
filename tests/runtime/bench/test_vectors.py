"""The vector bench measures what it says: known errors come out as such, and its true motion is true."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kairos.bench.arrays import ArrayShot
from kairos.bench.vectors import (
    Case,
    Report,
    end_point_error,
    made_cases,
    measure,
    render,
    rubber_whale,
    vectors,
)
from kairos.engines.base import Pair
from kairos.errors import BadRequest
from support.shared import shared_data

CASES = {case.name: case for case in made_cases()}


@pytest.mark.parametrize("name", CASES)
def test_pulling_the_second_frame_along_the_truth_gives_the_first(name: str) -> None:
    case = CASES[name]
    height, width = case.truth.shape[1:]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    pulled = cv2.remap(case.frames[2].transpose(1, 2, 0), x + case.truth[0], y + case.truth[1], cv2.INTER_LANCZOS4)
    apart = np.abs(pulled.transpose(2, 0, 1) - case.frames[1])
    inner = case.counted & (cv2.erode(case.counted.astype(np.uint8), np.ones((9, 9))) > 0)
    inner[:5], inner[-5:], inner[:, :5], inner[:, -5:] = False, False, False, False
    assert apart[:, inner].max() < 0.01


def test_an_error_of_three_by_four_pixels_is_five() -> None:
    truth = np.zeros((2, 4, 4), np.float32)
    counted = np.ones((4, 4), np.bool_)
    counted[0] = False
    found = np.full((2, 4, 4), 1e6, np.float32)
    found[0, 1:], found[1, 1:] = 3.0, 4.0
    error = end_point_error(found, Case("made", [], Pair(0, 1), 0.0, truth, counted))
    assert (error.mean, error.median, error.over_one, error.length) == (5.0, 5.0, 1.0, 0.0)


def test_unknown_true_flow_is_left_out() -> None:
    case = rubber_whale(shared_data())
    # The clip's notes state 1.6 % unknown.
    assert (~case.counted).mean() == pytest.approx(0.016, abs=0.002)
    assert np.abs(case.truth).max() < 10


def test_rubber_whale_by_classic_is_within_a_quarter_pixel() -> None:
    assert measure("classic", rubber_whale(shared_data())).mean <= 0.25


@pytest.mark.parametrize(("name", "limit"), [("pan 0.3 px", 0.05), ("pan 8 px", 0.05), ("zoom 4 %", 0.1)])
def test_classic_follows_simple_moves(name: str, limit: float) -> None:
    assert measure("classic", CASES[name]).mean < limit


def test_a_folder_without_the_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="RubberWhale"):
        vectors(tmp_path)


def test_the_table_names_every_case_and_engine() -> None:
    error = end_point_error(CASES["pan 8 px"].truth, CASES["pan 8 px"])
    text = render(Report(("classic",), {"pan 8 px": {"classic": error}}))
    assert "pan 8 px" in text and "classic" in text and "0.000" in text and "8.17" in text


def test_a_shot_of_arrays_gives_what_it_was_given() -> None:
    frames = [np.full((3, 4, 6), value, np.float32) for value in (0.1, 0.9)]
    matte, motion = np.eye(4, 6, dtype=np.float32), np.ones((2, 4, 6), np.float32)
    shot = ArrayShot(frames, mattes={1: matte}, motions={(0, 1): motion})
    assert shot.size == (4, 6) and shot.device == torch.device("cpu")
    assert torch.equal(shot.proxy(1), torch.full((3, 4, 6), 0.9))
    found = shot.matte(1)
    assert found is not None and found.shape == (1, 4, 6) and shot.matte(0) is None
    assert shot.given_motion(0, 1) is not None and shot.given_motion(1, 0) is None


def test_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one size"):
        ArrayShot([np.zeros((3, 4, 4), np.float32), np.zeros((3, 4, 5), np.float32)])
