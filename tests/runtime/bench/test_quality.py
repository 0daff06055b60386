"""The quality bench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kairos.bench.baselines import splat_and_warp
from kairos.bench.clips import CLIPS, Clip, split
from kairos.bench.metrics import Image, Score, align, mean, psnr, score
from kairos.bench.quality import BLEND, Report, blend, quality, rebuild, render
from kairos.errors import BadRequest
from support.shared import shared_data

BY_NAME = {clip.name: clip for clip in CLIPS}


def blended(clip: Clip) -> float:
    kept, dropped = split(clip.load(shared_data()))
    return float(np.mean([psnr(truth, image) for truth, image in zip(dropped, blend(kept))]))


@pytest.mark.parametrize("name", BY_NAME)
def test_the_blend_column_is_the_designs_table(name: str) -> None:
    assert round(blended(BY_NAME[name]), 2) == BY_NAME[name].blend


# Clips of three frames alone, to stay quick: what `kairos bench quality` measures, less 0.3 dB for other processors.
@pytest.mark.parametrize(
    ("name", "least"),
    [("mobfgsr", 31.8), ("middlebury-RubberWhale", 44.3), ("middlebury-DogDance", 33.0), ("middlebury-Walking", 36.4)],
)
def test_classic_is_as_good_as_measured(name: str, least: float) -> None:
    kept, dropped = split(BY_NAME[name].load(shared_data()))
    found = mean([score(truth, image) for truth, image in zip(dropped, rebuild("classic", kept))])
    assert found.psnr >= least
    assert found.psnr >= BY_NAME[name].blend - 0.3


def test_an_even_count_loses_its_last_frame() -> None:
    frames = [np.full((2, 2, 3), value, np.uint8) for value in range(6)]
    kept, dropped = split(frames)
    assert [int(frame[0, 0, 0]) for frame in kept] == [0, 2, 4]
    assert [int(frame[0, 0, 0]) for frame in dropped] == [1, 3]


def test_blending_rounds_up() -> None:
    pair = [np.full((1, 1, 3), value, np.uint8) for value in (254, 255)]
    assert blend(pair)[0][0, 0, 0] == 255


def test_aligning_forgives_a_shift() -> None:
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))
    picture = (127 + 60 * np.sin(columns / 5) * np.cos(rows / 7) + 40 * np.sin((columns + rows) / 11)).astype(np.uint8)
    truth = np.repeat(picture[..., None], 3, -1)
    shifted = np.roll(truth, 2, 1)
    assert psnr(truth, align(truth, shifted)) > psnr(truth, shifted) + 6


def test_the_report_prints_both_means() -> None:
    scores = {clip.name: {BLEND: Score(20.0, 0.5, 21.0, 1.0)} for clip in CLIPS}
    scores["beachball"] = {BLEND: Score(31.0, 0.5, 21.0, 1.0)}
    report = Report((BLEND,), scores)
    assert report.mean(BLEND).psnr == pytest.approx(21.0)
    assert report.mean(BLEND, without="beachball").psnr == pytest.approx(20.0)
    text = render(report)
    assert "mean without beachball" in text and all(clip.name in text for clip in CLIPS)


def test_a_missing_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is no folder"):
        quality(tmp_path / "nowhere")
    with pytest.raises(BadRequest, match="beachball"):
        quality(tmp_path)


def test_softness_shows_in_the_gradient_energy() -> None:
    truth = np.random.default_rng(2).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    soft = ((truth[1:].astype(np.uint16) + truth[:-1]) // 2).astype(np.uint8)
    assert score(truth, truth).detail == 1.0
    # Averaging two rows halves the noise's energy across columns, and more down them.
    assert score(truth[1:], soft).detail < 0.6


def test_splat_and_warp_rebuilds_a_pan_that_blending_doubles() -> None:
    columns, rows = np.meshgrid(np.arange(160), np.arange(120))

    def frame(shift: float) -> Image:
        wave = np.sin((columns - shift) / 5) * np.cos(rows / 7)
        plane = (127 + 60 * wave + 40 * np.sin((columns - shift + rows) / 11)).astype(np.uint8)
        return np.repeat(plane[..., None], 3, -1)

    kept = [frame(0), frame(8)]
    inner = (slice(10, -10), slice(16, -16))
    found, doubled = (psnr(frame(4)[inner], way(kept)[0][inner]) for way in (splat_and_warp, blend))
    assert found > 35 and found > doubled + 8
