"""A minute of training ``swift`` on the CPU: it learns, and cut short it goes on exactly as if it had not been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kairos.errors import BadRequest
from kairos.training.checkpoint import load_state, load_weights
from kairos.training.log import read_log
from kairos.training.settings import TrainSettings
from kairos.training.swift import SwiftTask
from kairos.training.tasks import task as task_of
from kairos.training.trainer import train
from support.training import deaf

pytestmark = pytest.mark.usefixtures("small_textures")

SETTINGS = TrainSettings(
    steps=72, seed=5, size=96, lr=2e-3, warm_up=5, ema_decay=0.9, log_every=9, validate_first=False,
    validate_steps=72, validate_count=1, device="cpu", threads=1,
)  # fmt: skip

BATCHES = 4


class FewScenes(SwiftTask):
    """``swift``, with the same eight scenes again and again: what it has seen, it must know in a minute."""

    def __init__(self) -> None:
        super().__init__(2)

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> Any:
        return super().batch(seed, step % BATCHES, size, device)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train(FewScenes(), SETTINGS, out, deaf)
    return out


def _loss(task: SwiftTask, model: torch.nn.Module) -> float:
    """Mean of the whole loss, as at the end of a training, over the scenes trained on."""
    found = []
    with torch.no_grad():
        for step in range(BATCHES):
            batch = task.batch(SETTINGS.seed or 0, step, SETTINGS.size, torch.device("cpu"))
            found.append(float(task.loss(model, batch, 1.0)[0]))
    return sum(found) / BATCHES


@pytest.mark.slow
def test_a_minute_of_training_lowers_the_loss(trained: Path) -> None:
    task = FewScenes()
    torch.manual_seed(SETTINGS.seed or 0)
    model = task.model()
    before = _loss(task, model)
    model.load_state_dict(load_weights(trained / "last.safetensors")[0])
    assert _loss(task, model) < 0.8 * before


@pytest.mark.slow
def test_a_resumed_training_of_swift_equals_an_unbroken_one(trained: Path, tmp_path: Path) -> None:
    train(FewScenes(), replace(SETTINGS, stop_at=31), tmp_path, deaf)
    train(FewScenes(), replace(SETTINGS, resume_from=tmp_path), tmp_path, deaf)
    whole, resumed = load_state(trained / "state.pt"), load_state(tmp_path / "state.pt")
    for part in ("model", "ema"):
        assert all(torch.equal(whole[part][name], resumed[part][name]) for name in whole[part])
    for kind in ("train", "validation"):
        lines = [
            [{n: v for n, v in line.items() if n not in ("seconds", "samples_per_second")} for line in read_log(path)]
            for path in (trained / "log.jsonl", tmp_path / "log.jsonl")
        ]
        first, second = ([line for line in each if line["kind"] == kind] for each in lines)
        assert first == second and first


@pytest.mark.parametrize("part", ["motion", "meeting"])
def test_one_part_learns_and_the_other_stays(part: str) -> None:
    task = SwiftTask(1, part)
    torch.manual_seed(2)
    model = task.model()
    loss, _ = task.loss(model, task.batch(SETTINGS.seed or 0, 0, 96, torch.device("cpu")), 1.0)
    loss.backward()
    learns = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert learns == {part}
    assert task.provenance()["part"] == part


def test_a_part_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadRequest, match="no part 'colour'"):
        task_of("swift", None, "colour")
