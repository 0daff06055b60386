"""The speed bench times what it says, and its table adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kairos.bench.engine_speed import SHIFT, choose_device, made_frames, measure_engine, parse_size
from kairos.bench.job_speed import BETWEEN, measure_job
from kairos.bench.speed import speed
from kairos.bench.speed_report import Ceiling, EngineSpeed, JobSpeed, Report, render
from kairos.errors import BadRequest
from kairos.retime import run_retime


def test_a_whole_job_is_measured_with_its_parts() -> None:
    job = measure_job("classic", 160, 96, "cpu", run_retime, frames=3)
    assert job.frames == 2 * (BETWEEN + 1) + 1
    assert job.files > 0 and job.model > 0
    # Nothing can end before its slower part does, but for noise between runs of a fraction of a second.
    assert job.wall > 0.4 * max(job.files, job.model)


def test_an_engine_is_measured_per_inbetween() -> None:
    row = measure_engine("classic", 160, 96, "cpu")
    assert (row.engine, row.width, row.height) == ("classic", 160, 96)
    assert 0 < row.further < row.first < 10 and row.compose > 0
    assert row.memory > 50 << 20


def test_an_engine_is_measured_in_a_process_of_its_own() -> None:
    report = speed(["160x96"], ["classic"], "cpu")
    # This process has loaded test tools and clips; a fresh one that makes two small frames stays under a gibibyte.
    assert 50 << 20 < report.engines[0].memory < 1 << 30
    assert report.jobs == () and report.ceiling is None


def test_made_frames_pan() -> None:
    first, second = made_frames(700, 300, 2)
    assert first.shape == (3, 300, 700)
    assert np.array_equal(second[:, :, :-SHIFT], first[:, :, SHIFT:])


def test_fractions_follow_from_the_times() -> None:
    job = JobSpeed("classic", 64, 64, 9, wall=9.0, files=2.0, model=8.0)
    assert job.of_sum == pytest.approx(0.9) and job.of_slower == pytest.approx(8 / 9)
    row = EngineSpeed("made", 1000, 1000, first=0.5, further=0.25, compose=0.001, memory=1 << 31, flops=1e12)
    text = render(Report("a card", (row,), (job,), Ceiling(matmul=4e12, copy=136e9)))
    # 1e12 operations in half a second of 4e12 a second; 17 planes of 4 MB in a millisecond of 136 GB/s.
    assert "50.0 %" in text and "2.00" in text and "10.0 %" in text and "0.889" in text


@pytest.mark.parametrize("text", ["1920", "1920x", "axb", "0x1080", "12x12"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="--size"):
        parse_size(text)


def test_a_size_is_width_by_height() -> None:
    assert parse_size("1920x1080") == (1920, 1080)


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(BadRequest, match="--device"):
        choose_device("abacus")


def test_nothing_of_the_job_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    measure_job("classic", 96, 64, "cpu", run_retime, frames=2)
    assert list(tmp_path.iterdir()) == []
