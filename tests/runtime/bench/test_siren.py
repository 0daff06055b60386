"""The bench of fitted fields: clips, rows, and a run through the command."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
import pytest
from PIL import Image as Pictures

from kairos.bench import siren as bench
from kairos.bench.clips import Clip
from kairos.bench.metrics import Image
from kairos.cli import main
from kairos.errors import BadRequest


def _panned(root: Path) -> List[Image]:
    columns, rows = np.meshgrid(np.arange(380.0), np.arange(340.0))
    plane = [128 + 60 * np.sin((columns - 5.0 * number) * 0.06) * np.cos(rows * 0.05) for number in range(4)]
    return [np.repeat(each.round().astype(np.uint8)[..., None], 3, -1) for each in plane]


@pytest.fixture(autouse=True)
def clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clip of four frames, of which the last is lost."""
    monkeypatch.setattr(bench, "CLIPS", [Clip("judo", _panned, 0.0)])


def test_a_clip_is_made_smaller_and_cropped_in_the_middle(tmp_path: Path) -> None:
    kept, dropped = bench.small(tmp_path, "judo", (24, 20))
    assert (len(kept), len(dropped)) == (2, 1) and kept[0].shape == (20, 24, 3)
    # A fifth of the size: columns 26 to 49 of 76, each the mean of five.
    row = _panned(tmp_path)[0][:, :, 0].reshape(68, 5, 76, 5).mean((1, 3))[24:44, 26:50]
    assert float(np.abs(kept[0][:, :, 0] - row).max()) < 1
    with pytest.raises(BadRequest, match="judo is 76x68 here, smaller than 80x20"):
        bench.small(tmp_path, "judo", (80, 20))
    with pytest.raises(BadRequest, match="no clip 'tennis'"):
        bench.siren(tmp_path, names=["tennis"])


def test_the_made_scene_moves_a_little() -> None:
    kept, dropped = bench.made((48, 40))
    assert [len(kept), len(dropped)] == [3, 2] and kept[0].shape == (40, 48, 3)
    assert all(0 < np.abs(kept[0].astype(int) - other).mean() < 40 for other in (*dropped, *kept[1:]))


def test_every_method_has_its_row_and_the_picture_its_columns(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "OMEGAS", (10.0, 30.0))
    settings = ["--clip", "judo", "--size", "72x64", "--steps", "4", "--width", "8", "--race", "3", "--device", "cpu"]
    assert main(["bench", "siren", str(tmp_path), *settings, "--out", str(tmp_path)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("judo: 2 frames of 72x64 kept, 1 withheld")
    names = [bench.BLEND, "classic", "swift", "SIREN w=10", "SIREN w=30"]
    names += [bench.PUBLISHED, bench.PATHS, bench.CARRIED, bench.GRID, bench.DEFAULT]
    assert [line[:22].strip() for line in lines[2:12]] == names
    # What is copied has no fit, and what goes over a base shows the frames themselves.
    figures = {name: line[22:].split() for name, line in zip(names, lines[2:])}
    assert [len(figures[name]) for name in names] == [2, 2, 2, *[4] * 6, 3]
    assert "narrow" not in lines[13] and lines[13].startswith("Network 24 wide") and "published" in lines[13]
    assert [line.split("  ")[-1] for line in lines if "not reached" in line] == ["3 steps, not reached"] * 3
    with Pictures.open(tmp_path / "siren.png") as sheet:
        assert sheet.width == 6 * (72 * 3 + 6) + 6
