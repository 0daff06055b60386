"""The ffmpeg column of the quality table."""

from __future__ import annotations

from pathlib import Path
from typing import List

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage.metrics import peak_signal_noise_ratio

from kairos.bench.minterpolate import minterpolate
from kairos.errors import BadRequest
from support.shared import shared_data

Pixels = npt.NDArray[np.uint8]

# DESIGN section 10, column "ffmpeg mci", dB. Beachball and car-turn are checked by the quality bench itself, which
# owns the reading of EXR parts and movies.
DESIGN_TABLE = {
    "mobfgsr/view": 30.84,
    "middlebury-RubberWhale": 39.87,
    "middlebury-DogDance": 31.62,
    "middlebury-Walking": 31.58,
    "judo": 37.81,
    "dog-run": 27.11,
    "sintel-ambush1": 22.30,
    "tennis-pan": 22.69,
}


def _clip(folder: Path) -> List[Pixels]:
    names = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    frames = [cv2.cvtColor(cv2.imread(str(name)), cv2.COLOR_BGR2RGB).astype(np.uint8) for name in names]
    return frames[: len(frames) - 1 + len(frames) % 2]


@pytest.mark.parametrize("clip", DESIGN_TABLE)
def test_the_ffmpeg_column_is_reproduced_within_a_tenth_of_a_decibel(clip: str) -> None:
    frames = _clip(shared_data() / clip)
    made = minterpolate(frames[::2])
    score = np.mean([peak_signal_noise_ratio(truth, made[i], data_range=255) for i, truth in enumerate(frames[1::2])])
    assert score == pytest.approx(DESIGN_TABLE[clip], abs=0.1)


def test_a_still_clip_comes_back_within_the_colour_round_trip() -> None:
    rng = np.random.default_rng(1)
    key = cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8), (0, 0), 2).astype(np.uint8)
    made = minterpolate([key] * 3)
    # 8-bit YCrCb and back: three rounded coefficients up to 1.773 move a value by at most 2.
    assert len(made) == 2
    assert max(int(np.abs(frame.astype(int) - key).max()) for frame in made) <= 2


def test_a_panning_texture_is_followed_and_not_blended() -> None:
    rng = np.random.default_rng(2)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (128, 256, 3), dtype=np.uint8), (0, 0), 3)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    frames = [np.ascontiguousarray(wide[:, 4 * i : 4 * i + 192]) for i in range(7)]
    made = minterpolate(frames[::2])
    for index, truth in enumerate(frames[1::2]):
        inner = (slice(16, -16), slice(16, -16))
        blend = ((frames[2 * index].astype(int) + frames[2 * index + 2] + 1) // 2).astype(np.uint8)
        ours = peak_signal_noise_ratio(truth[inner], made[index][inner], data_range=255)
        assert ours > peak_signal_noise_ratio(truth[inner], blend[inner], data_range=255) + 6


def test_one_key_is_refused() -> None:
    with pytest.raises(BadRequest, match="two frames"):
        minterpolate([np.zeros((32, 32, 3), np.uint8)])


def test_keys_of_two_sizes_are_refused() -> None:
    with pytest.raises(BadRequest, match="differ in size"):
        minterpolate([np.zeros((32, 32, 3), np.uint8), np.zeros((32, 48, 3), np.uint8)])
