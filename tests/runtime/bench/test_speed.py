"""The speed bench times what it says, and its table adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kairos.bench.engine_speed import SHIFT, choose_device, made_frames, measure_engine, parse_size
from kairos.bench.job_speed import BETWEEN, measure_job
from kairos.bench.network_speed import OFFICIAL, measure_network
from kairos.bench.speed import speed
from kairos.bench.speed_report import Ceiling, EngineSpeed, JobSpeed, NetworkSpeed, Report, network_line, render
from kairos.bench.untrained import only_untrained
from kairos.engines.architectures import variant
from kairos.errors import BadRequest
from kairos.retime import run_retime
from kairos.weights.store import Store


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


@pytest.mark.slow
def test_nothing_of_the_job_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    measure_job("classic", 96, 64, "cpu", run_retime, frames=2)
    assert list(tmp_path.iterdir()) == []


def test_a_published_network_is_measured_without_weights_beside_minterpolate() -> None:
    report = speed(["96x64"], [], "cpu", untrained=["ifrnet-s", "raft-small"])
    (engine,) = report.engines
    assert engine.engine == "ifrnet ifrnet-s" and engine.further > 0 and 0 < engine.first < 10
    between, flow = report.networks
    assert between.untrained and between.engine == engine and between.seconds > 0
    assert flow.variant == "raft-small" and flow.engine is None, "no engine runs it: it finds motion for others"
    assert min(between.multiple) > 0 and between.official is None, "the official code was measured at 1280x720"
    text = render(report)
    assert "random weights" in text and "x minterpolate" in text


def test_users_weights_are_measured_by_name() -> None:
    with only_untrained("ifrnet-s"):
        network = measure_network("ifrnet-s", 96, 64, "ifrnet-s")
        with pytest.raises(BadRequest, match="weights of ifrnet"):
            speed(["96x64"], ["rife"], "cpu", weights="ifrnet-s")
    assert not network.untrained


def test_untrained_weights_are_gone_when_they_have_been_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", "/nowhere")
    with only_untrained("ifrnet-s"):
        (record,) = Store().records()
        assert record.variant == "ifrnet-s"
    assert Store().root == Path("/nowhere") and Store().records() == []


def test_a_network_is_told_in_one_line_with_what_the_official_code_takes() -> None:
    engine = EngineSpeed("film film", 1280, 720, 20.5, 12.25, 0.1, 5 << 29, 0.0)
    row = NetworkSpeed("film", 1280, 720, True, 20.0, (0.625, 0.5), (32.0, 40.0), 2 << 30, 40.0, 7.1, engine)
    line = network_line(row)
    assert "first 20.50 s  further 12.25 s  network 20.00 s  32.00 to 40.00x minterpolate (official 40x)" in line
    assert "peak 2.50 GiB (official 7.1 GiB)  random weights" in line
    report = Report("a machine", (engine,), (), None, (row,), (4.0, 2))
    assert "two idle cores" in render(report) and "doubtful" in render(report)
    assert "0.62 s for one in-between of a call at 1280x720, 0.50 s for one more" in render(report)


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_official_figure_is_of_a_network_there_is(name: str) -> None:
    assert variant(name)[1]["variant"] == name


def test_an_unknown_network_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadRequest, match="rife-5"):
        speed(["96x64"], [], "cpu", untrained=["rife-5"])
