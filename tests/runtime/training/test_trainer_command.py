"""``kairos train`` on the command line, and the pieces of a training by themselves."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from kairos.cli import main
from kairos.cli.train import parse_interval
from kairos.errors import BadRequest, KairosError
from kairos.training import tasks
from kairos.training.batches import moved, samples
from kairos.training.checkpoint import load_state, load_weights
from kairos.training.ema import Ema
from kairos.training.log import Log, read_log
from kairos.training.plot import draw_curve, ticks
from kairos.training.schedule import FLOOR, rate
from support.shared import ROOT
from support.training import Sharpen, Textures

SHORT = ["--size", "32", "--lr", "0.01", "--warm-up", "5", "--device", "cpu", "--threads", "1"]


@pytest.fixture(autouse=True)
def _sharpen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tasks.TASKS, "sharpen", lambda count, part: Sharpen(count=count or 4))


def test_the_command_trains_and_resumes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    command = ["train", "sharpen", "--out", out, "--steps", "20", "--batch", "2", *SHORT]
    assert main([*command, "--stop-at", "8", "--validate-every", "5"]) == 0
    assert main([*command, "--resume-from", out]) == 0
    told = capfd.readouterr()
    assert "sharpen: 20 steps, 40 samples" in told.out and str(tmp_path / "out" / "best.safetensors") in told.out
    assert "score" in told.err
    steps = [line["step"] for line in read_log(tmp_path / "out" / "log.jsonl") if line["kind"] == "validation"]
    # Every 5 up to 8; then, without an interval, ten times over the whole.
    assert steps == [0, 5, 10, 12, 14, 16, 18, 20]


def test_the_command_trains_for_minutes_from_weights(tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert main(["train", "sharpen", "--out", first, "--steps", "4", *SHORT]) == 0
    weights = str(tmp_path / "first" / "last.safetensors")
    minutes = ["--minutes", "0.01", "--validate-every", "0.005m"]
    assert main(["train", "sharpen", "--out", second, "--resume-from", weights, *minutes, *SHORT]) == 0
    record = load_weights(tmp_path / "second" / "last.safetensors")[1]
    assert int(record["total_steps"]) == 4 + load_state(tmp_path / "second" / "state.pt")["step"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["blur", "--steps", "5"], "There is no training of 'blur'. Choose one of: swift"),
        (["sharpen"], "A training needs a length."),
        (["sharpen", "--steps", "5", "--validate-every", "soon"], "--validate-every soon is no interval."),
        (["sharpen", "--steps", "5", "--batch", "0"], "--batch 0 is too small."),
        (["sharpen", "--steps", "5", "--resume-from", "nowhere"], "There is no training state nowhere."),
        (["sharpen", "--steps", "5", "--resume-from", "no.safetensors"], "There are no weights no.safetensors."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_trained_is_said_in_one_line(
    given: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *given, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"kairos: {message}") and error.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["train", "sharpen", "--out", str(tmp_path / "file" / "out"), "--steps", "2", *SHORT]) == 1
    assert str(tmp_path / "file" / "out") in capfd.readouterr().err


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"\xff" * 200)
    with pytest.raises(BadRequest, match=r"bad\.safetensors is damaged"):
        load_weights(path)


def test_an_interval_is_steps_or_minutes() -> None:
    assert parse_interval("500") == {"validate_steps": 500}
    assert parse_interval("2.5m") == {"validate_minutes": 2.5}
    assert parse_interval(None) == {}


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    assert [rate(step, 0.0, 3) for step in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    # Half of a cosine is down to the middle between peak and floor; beyond the end it stays at the floor.
    assert rate(10, 0.5, 0) == pytest.approx((1 + FLOOR) / 2)
    assert rate(10, 1.0, 0) == rate(10, 1.7, 0) == pytest.approx(FLOOR)


def test_the_running_mean_is_warmed_up() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    ema = Ema(model, 0.5)
    model.weight.data.fill_(1.0)
    # min(0.5, (1 + n) / (10 + n)): 1/10 and 2/11 of the mean are kept, later a half.
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx(0.9)
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx(1 - 0.1 * 2 / 11)
    ema.updates = 1000
    before = ema.model.weight.item()
    ema.update(model)
    assert ema.model.weight.item() == pytest.approx((before + 1) / 2)


def test_tensors_move_inside_any_container() -> None:
    batch = {"a": [Textures(torch.zeros(2), torch.ones(3)), None], "b": (torch.zeros(1), "word", 5)}
    there = moved(batch, torch.device("meta"))
    assert there["a"][0].sharp.device.type == there["b"][0].device.type == "meta"
    assert there["b"][1:] == ("word", 5) and there["a"][1] is None
    assert samples(Sharpen(), batch) == 2


def test_a_line_cut_short_by_a_crash_is_passed_over_and_later_steps_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"kind": "train", "step": step, "loss": 1.0}) for step in (10, 20, 30)]
    path.write_text("\n".join(lines) + '\n{"kind": "tra')
    log = Log(tmp_path, 20)
    log.add("train", 30, 1.0, {"loss": math.inf})
    assert [(line["step"], line["loss"]) for line in read_log(path)] == [(10, 1.0), (20, 1.0), (30, None)]


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(KairosError, match=r"log\.jsonl cannot be written"):
        log.add("train", 1, 0.0, {})


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from kairos.engines.inbetween.recipe import State
from kairos.engines.inbetween.store import Kept, Place
from kairos.errors import KairosError
from kairos.training.checkpoint import save_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
noise = torch.randn(1, 5, 4, 50, 50)
state = State(1, noise, noise.clone(), torch.get_rng_state())
for write in (
    lambda: save_state(Path(sys.argv[1]), {"noise": noise}),
    lambda: Place("a" * 64).write(Kept(state, {}, 1.0)),
):
    try:
        write()
    except KairosError as error:
        print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX file limits")
def test_a_full_disk_is_told_whoever_writes(tmp_path: Path) -> None:
    """A limit of 50 kB on every file stands for it: torch and safetensors report it by errors of their own."""
    path = os.pathsep.join(str(ROOT / each) for each in ("runtime", "nodes"))
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "state.pt")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "KAIROS_CACHE": str(tmp_path / "cache")},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" cannot be written: ")[0].rpartition("/")[2] for line in lines] == [
        "state.pt",
        "state.safetensors",
    ]
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "expected"),
    [
        (0.0, 50_000.0, False, [0, 10_000, 20_000, 30_000, 40_000, 50_000]),
        (13.2, 14.6, False, [13.5, 14.0, 14.5]),
        (0.03, 0.4, True, [0.05, 0.1, 0.2]),
        (0.001, 100.0, True, [0.001, 0.01, 0.1, 1, 10, 100]),
        (0.9, 1.1, True, [0.9, 0.95, 1.0, 1.05, 1.1]),
    ],
)
def test_axes_are_marked_at_round_values(low: float, high: float, logarithmic: bool, expected: list[float]) -> None:
    assert ticks(low, high, logarithmic) == pytest.approx(expected)


def test_a_long_training_is_drawn_as_its_trend(tmp_path: Path) -> None:
    lines = [json.dumps({"kind": "train", "step": step, "loss": 1.0 + step % 2}) for step in range(1, 4001)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    draw_curve(tmp_path)
    image = Image.open(tmp_path / "curve.png")
    counted = {colour: count for count, colour in image.getcolors(1 << 20) or []}
    # Ten neighbours always average 1.5: one flat line of the panel's 852 pixels, 2 thick.
    assert counted[(36, 92, 168)] < 3 * 852
