"""What the implicit motion learns from is the scenes' own truth, the same whenever it is asked, and it learns."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from kairos.errors import BadRequest
from kairos.training.gimm import TIMES, GimmTask
from kairos.training.scenes import Scenes, Switches
from kairos.training.tasks import task as task_of

CPU = torch.device("cpu")

SEED = 5
"""Of most tests' scenes: textures are painted once per seed and process, which takes seconds."""


@pytest.fixture(scope="module")
def task() -> GimmTask:
    return GimmTask(2)


def test_paths_are_those_of_the_scene_with_its_pictures() -> None:
    scenes = Scenes(SEED, 48, 64, switches=Switches(photographs=False))
    whole = scenes.batch(5, 1)
    paths = scenes.paths(5, [float(whole.time[0]), 0.0])
    for name in ("flow_01", "flow_10", "visible_01", "visible_10"):
        assert torch.equal(getattr(paths, name), getattr(whole, name)[0])
    for name in ("flow_t0", "flow_t1", "visible_t0", "visible_t1"):
        assert torch.equal(getattr(paths, name)[0], getattr(whole, name)[0])
    assert torch.equal(paths.valid_t[0], whole.valid[0, 1]) and torch.equal(paths.valid, whole.valid[0, ::2])
    assert torch.equal(paths.flow_t1[1], paths.flow_01) and not paths.flow_t0[1].round(decimals=3).any()


def test_a_step_sees_the_same_in_whichever_order_it_is_asked(task: GimmTask) -> None:
    first = task.batch(SEED, 5, 64, CPU)
    task.batch(SEED, 2, 64, CPU)
    again = task.batch(SEED, 5, 64, CPU)
    assert first.times == again.times and all(0 < time < 1 for time in first.times)
    for each in fields(first):
        if each.name != "times":
            one, other = getattr(first, each.name), getattr(again, each.name)
            assert torch.equal(one.nan_to_num(1e9), other.nan_to_num(1e9))
    assert first.times != task.batch(SEED, 6, 64, CPU).times


def test_some_steps_on_one_batch_lower_the_loss(task: GimmTask) -> None:
    torch.manual_seed(2)
    network, batch = task.model(), task.batch(SEED, 5, 64, CPU)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss, parts = task.loss(network, batch, 0.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
        assert set(parts) == {"velocity", "bend"}
    assert losses[-1] < 0.9 * losses[0]


def test_an_untrained_network_is_judged_about_as_good_as_what_it_starts_from() -> None:
    torch.manual_seed(2)
    task = GimmTask(1)
    figures = task.validate(task.model().eval(), 1, CPU)
    for own, start in (("velocity", "forward"), ("two", "straight"), ("four", "quadratic")):
        assert abs(figures[own] - figures[start]) < 0.25 * figures[start]
    assert figures["forward"] < figures["linear"]
    assert len(TIMES) == 7


def test_it_is_trained_as_a_whole() -> None:
    with pytest.raises(BadRequest, match="gimm has no part 'motion'"):
        task_of("gimm", part="motion")
    # Of 4 bytes each: what comes with Kairos stays under two megabytes.
    assert sum(tensor.numel() for tensor in task_of("gimm").model().state_dict().values()) * 4 < 2e6
