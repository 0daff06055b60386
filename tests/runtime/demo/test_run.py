"""``kairos demo`` from end to end, small: its figures are figures, and its pictures are there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import List

import cv2
import numpy as np
import pytest

from kairos.demo import DemoReport, DemoScene, run_demo
from kairos.demo.measure import score_vectors
from kairos.demo.run import mask_tiles
from kairos.events import Event
from kairos.pictures import mask_picture, tonemap
from kairos.retime import run_retime

MASKS = ("occlusion.forward", "occlusion.backward", "confidence.a", "blend.a")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def events() -> List[Event]:
    return []


@pytest.fixture(scope="module")
def report(folder: Path, events: List[Event]) -> DemoReport:
    return run_demo(folder, events.append, run_retime, DemoScene(384, 216, 3))


def test_every_inbetween_is_measured(report: DemoReport) -> None:
    assert [float(score.time) for score in report.inbetweens] == [0.25, 0.5, 0.75, 1.25, 1.5, 1.75]
    assert [score.number for score in report.inbetweens] == [1002, 1003, 1004, 1006, 1007, 1008]
    assert len(report.vectors) == 8


def test_the_result_is_far_nearer_the_truth_than_blending(report: DemoReport) -> None:
    assert all(score.psnr > score.psnr_blend + 3 for score in report.inbetweens)


def test_the_lamp_keeps_its_light(report: DemoReport) -> None:
    assert all(0.97 < score.energy < 1.03 and 0.98 < score.peak < 1.02 for score in report.inbetweens)


def test_every_identifier_is_known(report: DemoReport) -> None:
    assert all(score.ids_known == 1.0 and score.ids_right > 0.97 for score in report.inbetweens)


def test_frames_at_whole_source_times_are_copies(report: DemoReport) -> None:
    assert (report.copied, report.copied_exact) == (3, 3)


def test_vectors_are_nearer_the_truth_than_none(report: DemoReport) -> None:
    assert all(score.error < 0.9 * score.length for score in report.vectors)


def test_pictures_are_written_and_named_in_the_report(report: DemoReport, folder: Path) -> None:
    for name in ("contact_sheet.png", "vectors.png", "masks.png"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None and picture.std() > 10
        assert name in report.text()


def test_the_report_gives_its_figures_in_words(report: DemoReport) -> None:
    text = report.text()
    assert f"{report.mean('psnr'):.2f} dB" in text and "px mean error" in text and "3 of 3" in text


def test_the_jobs_events_are_passed_on(report: DemoReport, events: List[Event]) -> None:
    assert [event.kind for event in events if event.kind in ("planned", "done")] == ["planned", "done"]


def test_only_the_pixels_that_count_are_measured() -> None:
    true, found = np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.float32)
    found[0, 0, 0], found[:, 0, 1] = 100.0, (3.0, 4.0)
    counted = np.array([[False, True], [True, True]])
    score = score_vectors(7, found, true, counted)
    assert score.error == pytest.approx(5.0 / 3) and score.median == 0.0


def test_what_is_hidden_is_shown_beside_the_truth() -> None:
    scene, moment = DemoScene(384, 216, 3), Fraction(5, 4)
    planes = {**scene.render(float(moment)).planes}
    planes.update({name: np.full((216, 384), 0.5, np.float32) for name in MASKS})
    tiles = dict(mask_tiles(scene, 1006, moment, planes))
    assert len(tiles) == 6
    for other, which in ((1.5, "next"), (1.0, "previous")):
        truth = scene.occlusion(1.25, other).astype(np.float32)
        (caption,) = [each for each in tiles if each.startswith("Truth") and f"the {which} frame" in each]
        assert caption.endswith(f"{100 * truth.mean():.1f} % of the picture")
        assert np.array_equal(tiles[caption], mask_picture(truth, tonemap(scene.render(1.25).rgb)))
        (found,) = [each for each in tiles if each.startswith("occlusion") and f"the {which} frame" in each]
        assert found.endswith("50.0 % of the picture")
