"""A training learns, goes on exactly where it was, survives its own death, and says where its weights come from."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from kairos.errors import BadRequest, EngineError
from kairos.events import Event
from kairos.training import schedule
from kairos.training.checkpoint import load_state, load_weights
from kairos.training.log import read_log
from kairos.training.settings import TrainSettings
from kairos.training.task import VALIDATION_SEED
from kairos.training.trainer import PATIENCE, SHORT_WARM_UP, train
from support.shared import ROOT
from support.training import Sharpen, deaf

SETTINGS = TrainSettings(steps=60, seed=3, size=32, lr=1e-2, warm_up=8, log_every=10, device="cpu", threads=1)


def _weights(folder: Path) -> Dict[str, torch.Tensor]:
    """Everything that goes on from here: network, running mean, moments of the optimiser."""
    state = load_state(folder / "state.pt")
    found = {f"{part}.{name}": value for part in ("model", "ema") for name, value in state[part].items()}
    for index, moments in state["optimizer"]["state"].items():
        found.update({f"{index}.{name}": value for name, value in moments.items()})
    return found


def _same(first: Dict[str, torch.Tensor], second: Dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def _lines(folder: Path, kind: str) -> List[Dict[str, Any]]:
    """Lines of the log, without what the clock says."""
    lines = [line for line in read_log(folder / "log.jsonl") if line["kind"] == kind]
    return [{n: v for n, v in line.items() if n not in ("seconds", "samples_per_second")} for line in lines]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken")
    train(Sharpen(), SETTINGS, out, deaf)
    return out


def test_the_loss_falls_and_the_score_rises(unbroken: Path) -> None:
    losses = [line["loss"] for line in _lines(unbroken, "train")]
    scores = [line["score"] for line in _lines(unbroken, "validation")]
    # Uniform noise has variance 1/12; the untrained network is further away than that.
    assert losses[0] > 1 / 12 > losses[-1]
    assert scores[-1] > scores[0] + 3


def test_the_same_settings_give_the_same_weights_and_another_seed_others(unbroken: Path, tmp_path: Path) -> None:
    train(Sharpen(), SETTINGS, tmp_path / "again", deaf)
    train(Sharpen(), replace(SETTINGS, seed=4), tmp_path / "other", deaf)
    assert _same(_weights(unbroken), _weights(tmp_path / "again"))
    assert not _same(_weights(unbroken), _weights(tmp_path / "other"))


def test_a_resumed_training_equals_an_unbroken_one_bit_for_bit(unbroken: Path, tmp_path: Path) -> None:
    # Step 37 lies between two lines of the log and between two validations.
    result = train(Sharpen(), replace(SETTINGS, stop_at=37), tmp_path, deaf)
    assert result.stopped and result.steps == 37
    torch.rand(5)
    result = train(Sharpen(), replace(SETTINGS, resume_from=tmp_path, seed=None), tmp_path, deaf)
    assert not result.stopped and result.steps == 60 and result.samples == 240
    assert _same(_weights(unbroken), _weights(tmp_path))
    for kind in ("train", "validation"):
        assert _lines(unbroken, kind) == _lines(tmp_path, kind)
    assert _same(load_weights(unbroken / "best.safetensors")[0], load_weights(tmp_path / "best.safetensors")[0])


def test_batches_made_ahead_in_another_process_change_nothing(unbroken: Path, tmp_path: Path) -> None:
    train(Sharpen(), replace(SETTINGS, workers=1), tmp_path, deaf)
    assert _same(_weights(unbroken), _weights(tmp_path))


def test_a_failure_in_the_other_process_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="makes batches failed") as caught:
        train(Sharpen(count=-1), replace(SETTINGS, workers=1, validate_first=False), tmp_path, deaf)
    assert "Trying to create tensor with negative dimension" in str(caught.value.__cause__)


def test_a_killed_training_leaves_a_state_that_goes_on_exactly(unbroken: Path, tmp_path: Path) -> None:
    status, state = _interrupted(tmp_path, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert 0 < state["step"] < 60
    assert load_weights(tmp_path / "best.safetensors")[1]["task"] == "sharpen"
    train(Sharpen(), replace(SETTINGS, resume_from=tmp_path), tmp_path, deaf)
    assert _same(_weights(unbroken), _weights(tmp_path))
    assert _lines(unbroken, "train") == _lines(tmp_path, "train")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_sigterm_finishes_the_step_saves_and_goes_on_exactly(unbroken: Path, tmp_path: Path) -> None:
    status, state = _interrupted(tmp_path, signal.SIGTERM)
    assert status == 0
    assert state["step"] < 60
    train(Sharpen(), replace(SETTINGS, resume_from=tmp_path), tmp_path, deaf)
    assert _same(_weights(unbroken), _weights(tmp_path))


def _interrupted(folder: Path, number: signal.Signals) -> Tuple[int, Dict[str, Any]]:
    """Sends a signal to a training of its own once it has saved some steps. Answers with exit status and state."""
    program = f"""
import time
from pathlib import Path
from kairos.training.settings import TrainSettings
from kairos.training.trainer import train
from support.training import Sharpen, deaf

class Slow(Sharpen):
    def batch(self, *given):
        time.sleep(0.05)
        return super().batch(*given)

settings = TrainSettings(**{_given(replace(SETTINGS, save_minutes=0))!r})
assert train(Slow(), settings, Path({str(folder)!r}), deaf).stopped
"""
    path = os.pathsep.join(str(ROOT / name) for name in ("runtime", "nodes", "tests"))
    process = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": path})
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None and _logged(folder) < 20:
            time.sleep(0.05)
        process.send_signal(number)
        status = process.wait(120)
    finally:
        process.kill()
    return status, load_state(folder / "state.pt")


def _given(settings: TrainSettings) -> Dict[str, Any]:
    return {name: value for name, value in settings.record().items() if value is not None}


def _logged(folder: Path) -> int:
    return max((line["step"] for line in read_log(folder / "log.jsonl")), default=0)


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "code", "foreign", "part", "moment"])
def test_a_hostile_state_is_refused_in_one_line(unbroken: Path, tmp_path: Path, damage: str) -> None:
    path, mark = tmp_path / "state.pt", tmp_path / "ran"
    good = (unbroken / "state.pt").read_bytes()
    state = load_state(unbroken / "state.pt")
    if damage == "code":
        torch.save({**state, "history": _Runs(mark)}, path)
    elif damage == "foreign":
        torch.save({"weights": torch.zeros(3)}, path)
    elif damage == "part":
        torch.save({**state, "model": {"0.weight": torch.zeros(2)}}, path)
    elif damage == "moment":
        state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(7)
        torch.save(state, path)
    else:
        path.write_bytes({"empty": b"", "text": b"not a state", "cut": good[: len(good) // 2]}[damage])
    with pytest.raises(BadRequest) as caught:
        train(Sharpen(), replace(SETTINGS, steps=80, resume_from=tmp_path), tmp_path, deaf)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not mark.exists()


class _Runs:
    """Unpickled without care, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_batch_with_nan_is_skipped_and_counted(tmp_path: Path) -> None:
    heard: List[Event] = []
    result = train(Sharpen(broken=frozenset({5, 6, 20})), replace(SETTINGS, steps=30), tmp_path, heard.append)
    assert result.skipped == 3
    warnings = [event.data["message"] for event in heard if event.kind == "warning"]
    assert [text.split(":")[0] for text in warnings] == ["Step 6", "Step 7", "Step 21"]
    assert all(value.isfinite().all() for value in _weights(tmp_path).values())
    assert all(line["loss"] is not None for line in _lines(tmp_path, "train"))


def test_a_training_that_diverged_ends_with_what_to_do(tmp_path: Path) -> None:
    broken = frozenset(range(10, 60))
    with pytest.raises(EngineError, match=f"{PATIENCE} steps up to 30.*lower --lr"):
        train(Sharpen(broken=broken), SETTINGS, tmp_path, deaf)


class _Judged(Sharpen):
    """Its validation says what it is told to."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.__dict__["scores"] = iter(scores)

    def validate(self, model: torch.nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        return {"score": next(self.__dict__["scores"])}


def test_the_best_weights_are_those_of_the_best_score(tmp_path: Path) -> None:
    judged = _Judged(1.0, 3.0, float("nan"), 2.0)
    result = train(judged, replace(SETTINGS, steps=30, validate_steps=10), tmp_path, deaf)
    assert result.score == 3.0
    assert [line["best"] for line in _lines(tmp_path, "validation")] == [True, True, False, False]
    record = load_weights(result.best)[1]
    assert (record["steps"], json.loads(record["validation"])) == ("10", {"score": 3.0})
    assert load_weights(result.last)[1]["steps"] == "30"


def test_weights_say_where_they_come_from(unbroken: Path) -> None:
    record = load_weights(unbroken / "last.safetensors")[1]
    assert {"task": "sharpen", "scenes": "textures 1", "seed": "3", "steps": "60", "samples": "240"}.items() <= (
        record.items()
    )
    assert {"kairos", "torch", "device", "hours", "total_hours", "settings", "history"} <= record.keys()
    assert json.loads(record["settings"])["lr"] == 1e-2
    assert json.loads(record["validation"])["score"] == _lines(unbroken, "validation")[-1]["score"]
    with safe_open(unbroken / "last.safetensors", framework="pt") as file:
        assert file.metadata() == record


def test_a_training_from_weights_starts_there_and_adds_to_their_history(unbroken: Path, tmp_path: Path) -> None:
    weights = unbroken / "best.safetensors"
    seen: List[int] = []

    class Watched(Sharpen):
        def batch(self, seed: int, step: int, size: int, device: torch.device) -> Any:
            if seed != VALIDATION_SEED:
                seen.append(step)
            return super().batch(seed, step, size, device)

    settings = replace(SETTINGS, steps=20, resume_from=weights, warm_up=500, half_weights=True)
    result = train(Watched(), settings, tmp_path, deaf)
    start = _lines(tmp_path, "validation")[0]["score"]
    assert start == pytest.approx(_lines(unbroken, "validation")[-1]["score"], abs=1e-4)
    # Scenes go on where the earlier training ended, instead of coming again.
    assert seen == list(range(60, 80))
    record = load_weights(result.last)[1]
    assert (record["steps"], record["total_steps"], record["total_samples"]) == ("20", "80", "320")
    assert [run["steps"] for run in json.loads(record["history"])] == ["60"]
    assert load_state(tmp_path / "state.pt")["warm_up"] == SHORT_WARM_UP
    assert result.last.stat().st_size < weights.stat().st_size + 2000
    with safe_open(result.last, framework="pt") as file:
        assert file.get_tensor("0.weight").dtype == torch.float16


def test_a_folder_that_holds_a_training_is_not_written_over(unbroken: Path) -> None:
    before = (unbroken / "state.pt").read_bytes()
    with pytest.raises(BadRequest, match=r"holds a training already.*--resume-from"):
        train(Sharpen(), SETTINGS, unbroken, deaf)
    assert (unbroken / "state.pt").read_bytes() == before


def test_a_finished_training_and_another_seed_or_task_are_refused(unbroken: Path) -> None:
    for change, message in (({}, "is over"), ({"steps": 90, "seed": 5}, "--seed 3")):
        with pytest.raises(BadRequest, match=message):
            train(Sharpen(), replace(SETTINGS, resume_from=unbroken, **change), unbroken, deaf)
    with pytest.raises(BadRequest, match="a training of sharpen, not of blur"):
        train(Sharpen(id="blur"), replace(SETTINGS, steps=90, resume_from=unbroken), unbroken, deaf)


def test_weights_of_another_network_are_refused(unbroken: Path, tmp_path: Path) -> None:
    class Larger(Sharpen):
        def model(self) -> torch.nn.Module:
            return torch.nn.Conv2d(1, 1, 7)

    with pytest.raises(BadRequest, match="another network"):
        train(Larger(), replace(SETTINGS, resume_from=unbroken / "best.safetensors"), tmp_path, deaf)


def test_minutes_end_the_training_and_lower_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Second(Sharpen):
        """Every batch takes a second."""

        def batch(self, seed: int, step: int, size: int, device: torch.device) -> Any:
            now[0] += seed != VALIDATION_SEED
            return super().batch(seed, step, size, device)

    now = [1000.0]
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: now[0]))
    settings = replace(SETTINGS, steps=None, minutes=0.5, validate_minutes=0.2, stop_at=13)
    assert train(Second(), settings, tmp_path, deaf).stopped
    now[0] += 5000
    result = train(Second(), replace(settings, stop_at=None, resume_from=tmp_path), tmp_path, deaf)
    # The time in between does not count.
    assert (result.steps, result.seconds, result.stopped) == (30, 30.0, False)
    assert [line["step"] for line in _lines(tmp_path, "validation")] == [0, 12, 25, 30]
    rates = {line["step"]: line["lr"] for line in _lines(tmp_path, "train")}
    assert rates == pytest.approx({step: 1e-2 * schedule.rate(step, (step - 1) / 30, 8) for step in (10, 20, 30)})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "--steps or --minutes"),
        ({"steps": 5, "minutes": 1.0}, "--steps or --minutes"),
        ({"steps": 0}, "--steps 0"),
        ({"minutes": float("nan")}, "--minutes nan"),
        ({"steps": 5, "lr": -1.0}, "--lr -1.0"),
        ({"steps": 5, "workers": 2}, "--workers 2"),
        ({"steps": 5, "seed": VALIDATION_SEED}, "validation scenes"),
        ({"steps": 5, "validate_steps": 0}, "--validate-every 0"),
    ],
)
def test_impossible_settings_are_refused(given: Dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        TrainSettings(**given)


@pytest.mark.parametrize(
    "given", [{"device": "cuda"}, {"device": "abacus"}, {"precision": "fp8"}, {"precision": "bf16"}], ids=str
)
def test_a_device_or_precision_that_is_not_there_is_refused(given: Dict[str, Any], tmp_path: Path) -> None:
    if given.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a card here")
    with pytest.raises(BadRequest):
        train(Sharpen(), replace(SETTINGS, **given), tmp_path, deaf)


def test_the_curve_shows_loss_and_score(unbroken: Path) -> None:
    image = Image.open(unbroken / "curve.png").convert("RGB")
    assert image.size == (960, 640)
    upper, lower = (image.crop((0, top, 960, top + 320)).getcolors(1 << 20) for top in (0, 320))
    colours = [{colour: count for count, colour in each or []} for each in (upper, lower)]
    # The colours of the two lines.
    assert colours[0][(36, 92, 168)] > 400 and colours[1][(190, 84, 24)] > 400
