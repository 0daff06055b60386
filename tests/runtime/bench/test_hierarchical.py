"""The bench of regions: rows trained alike, figures of known errors, and a whole run through the command."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, Tuple

import numpy as np
import pytest
import torch
from PIL import Image

from kairos.bench import hierarchical as bench
from kairos.bench.hierarchical import BASE, REGIONS, Report, Row, judge, judged
from kairos.bench.hierarchical_report import gains, render
from kairos.cli import main
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.errors import BadRequest
from kairos.training import rows as training
from kairos.training.hierarchical import MASKS
from kairos.training.rows import load_rows, train_rows
from kairos.training.scenes import Scenes
from support.banks import small_bank

SEED = 5


@pytest.fixture(scope="module", autouse=True)
def _small_textures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_bank(patch)
        yield


@pytest.fixture()
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # Scenes of one seed, and points of the curves after fewer steps.
    supply = Scenes(SEED, 96, 128, switches=bench.SWITCHES)
    monkeypatch.setattr(bench, "_supply", lambda width, height: supply)
    monkeypatch.setattr(bench, "LARGE", 8.0)
    monkeypatch.setattr(training, "SEED", SEED)
    monkeypatch.setattr(training, "SMOOTH", 1)


@pytest.mark.usefixtures("_quick")
def test_a_row_learns_the_same_whichever_others_learn_beside_it() -> None:
    together, curves = train_rows(2, 96, {"HCE-S": ("hce_s",), "no part": ()})
    alone, again = train_rows(2, 96, {"no part": ()})
    assert curves["no part"] == again["no part"] and len(curves["HCE-S"]) == 2
    own = together["no part"].state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in alone["no part"].state_dict().items())
    assert float(together["no part"].last.weight.abs().max()) > 0


@pytest.mark.usefixtures("_quick")
def test_the_command_trains_judges_and_draws(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = ["bench", "hierarchical", "--rows", str(tmp_path), "--count", "1", "--size", "128x96"]
    assert main([*run, "--steps", "2", "--crop", "64"]) == 0
    text = capfd.readouterr().out
    assert text.startswith("1 scenes: PSNR of the in-between") and "harmed masks" in text
    for name in (BASE, REGIONS, "no part", "HCE-S", "HCE-T", "HIR-L", "HIR-S", "all"):
        assert any(line.startswith(name) for line in text.splitlines()), name
    assert Image.open(tmp_path / "hierarchical.png").size[0] == 1280


@pytest.mark.usefixtures("_quick")
def test_untrained_rows_are_what_swift_makes_of_the_same_masks() -> None:
    scene = Scenes(SEED, 96, 128, switches=bench.SWITCHES).batch(2, 1)
    found = judged(scene, {"all": SwiftHierarchy().eval()}, 2)
    for masks in MASKS:
        assert found["all", masks] == found[BASE if masks == "none" else REGIONS, masks]


def test_means_are_over_scenes_that_move_enough_and_gains_are_on_swift() -> None:
    def row(*psnr: float) -> Row:
        return Row(list(psnr), [0.5] * len(psnr))

    pairs: dict[Tuple[str, str], Row] = {(BASE, "none"): row(30, 20, 10), (REGIONS, "true"): row(30, 21, 13)}
    report = Report([30.0, 50.0, 80.0], pairs, 9)
    assert report.mean(REGIONS, "true", over=40) == 17 and report.count(40) == 2
    assert gains(report) == {REGIONS: [(30.0, 0.0), (50.0, 1.0), (80.0, 3.0)]}
    assert "2 scenes with motion over 40 px" in render(report) and "+2.00" in render(report)
    assert np.isclose(report.mean(BASE, "none", "epe"), 0.5)


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="holds no trained rows"):
        load_rows(tmp_path)
    with pytest.raises(BadRequest, match="holds no trained rows"):
        judge(tmp_path, 1)
