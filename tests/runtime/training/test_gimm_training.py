"""What the implicit motion learns from is the scenes' own truth, the same whenever it is asked, and it learns."""

from __future__ import annotations

import pytest
import torch

from kairos.errors import BadRequest
from kairos.training.gimm import TIMES, GimmTask
from kairos.training.scenes import Scenes, Switches
from kairos.training.tasks import task as task_of
from support.implicit import silent

pytestmark = pytest.mark.usefixtures("small_textures")

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
    first = task.batch(SEED, 9, 64, CPU)
    task.batch(SEED, 2, 64, CPU)
    again = task.batch(SEED, 9, 64, CPU)
    assert len(first.ends) == 2 and len(first.asked) == 2
    for one, other in zip(first.asked, again.asked):
        assert one.time == other.time and 0 < one.time < 1
        for name in ("base", "pixels", "velocity", "weight", "away"):
            assert torch.equal(getattr(one, name), getattr(other, name))
    for one_end, other_end in zip(first.ends, again.ends):
        assert torch.equal(one_end.planes, other_end.planes)
    assert first.asked[0].time != task.batch(SEED, 10, 64, CPU).asked[0].time


def test_what_is_asked_is_turned_with_the_scene(task: GimmTask) -> None:
    """Of pixels that arrive exactly the truth is what has arrived, whichever way the scene is turned."""
    for step in range(4):
        for asked in task.batch(SEED, step, 96, CPU).asked:
            off, long = ((asked.base - asked.velocity * share).square().sum(0).sqrt() for share in (1, 0))
            assert float(off.median()) <= max(0.3, 0.3 * float(long.median()))


def test_some_steps_on_one_batch_lower_the_loss(task: GimmTask) -> None:
    torch.manual_seed(2)
    network, batch = task.model(), task.batch(SEED, 5, 96, CPU)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        loss, parts = task.loss(network, batch, 0.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
        assert set(parts) == {"velocity", "square", "believed", "bend"}
    # By how often errors double: half of what it began with is one less.
    assert losses[-1] < losses[0] - 1.0


def test_it_is_judged_beside_what_is_carried_with_true_flows_and_with_found_ones() -> None:
    figures = GimmTask(1).validate(silent(), 1, CPU)
    for flows in ("", "searched "):
        for frames in ("two", "four"):
            # One that leaves what arrives as it is, is as good as what arrives.
            assert figures[f"{flows}{frames}"] == pytest.approx(figures[f"{flows}carried {frames}"], rel=1e-4)
    assert figures["two"] < figures["searched two"] and len(TIMES) == 7


def test_it_is_trained_as_a_whole() -> None:
    with pytest.raises(BadRequest, match="gimm has no part 'motion'"):
        task_of("gimm", part="motion")
    # Of 4 bytes each: what comes with Kairos stays under two megabytes.
    assert sum(tensor.numel() for tensor in task_of("gimm").model().state_dict().values()) * 4 < 2e6
