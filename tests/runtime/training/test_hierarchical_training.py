"""Hierarchical motion learns from the scenes' own objects, from faulty masks and from none, and its base stays."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from kairos.engines.hierarchical.loading import load_hierarchy, save_hierarchy
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.errors import BadRequest
from kairos.training.hierarchical import MASKS, HierarchicalTask, fast, harmed, looked, losses, objects_of
from kairos.training.scenes import Scenes
from kairos.training.tasks import task as task_of

pytestmark = pytest.mark.usefixtures("small_textures")

CPU = torch.device("cpu")
SEED = 5


@pytest.fixture(scope="module")
def task() -> HierarchicalTask:
    return HierarchicalTask(2)


def test_a_step_sees_the_same_in_whichever_order_and_process_it_is_asked(task: HierarchicalTask) -> None:
    first = task.batch(SEED, 9, 96, CPU)
    task.batch(SEED, 2, 96, CPU)
    again = pickle.loads(pickle.dumps(task)).batch(SEED, 9, 96, CPU)
    assert first.scale == again.scale and torch.equal(first.seen.scenes.frames, again.seen.scenes.frames)
    assert all(torch.equal(one, other) for one, other in zip(first.labels, again.labels))
    assert {task.batch(SEED, step, 96, CPU).scale for step in range(8)} == {0.5, 1.0}


def test_masks_are_the_scenes_own_objects_or_have_suffered(task: HierarchicalTask) -> None:
    whole, supply = [0, 0], Scenes(SEED, 96, 96)
    for step in range(0, 32, 4):
        batch = task.batch(SEED, step, 96, CPU)
        true = objects_of(supply.chosen(fast(supply, step // 4 * 6, 2)))
        for told, ids in zip(batch.labels[0], true[0]):
            whole[torch.equal(told, ids)] += 1
    assert min(whole) >= 2
    left = harmed(true, np.random.default_rng(1), 0.0)
    assert all(torch.equal(one, other) for one, other in zip(left, true))


def test_some_steps_on_one_batch_lower_the_loss_and_leave_the_base(task: HierarchicalTask) -> None:
    torch.manual_seed(2)
    plugin, batch = task.model(), task.batch(SEED, 1, 128, CPU)
    before = {name: tensor.clone() for name, tensor in task.base(CPU).state_dict().items()}
    optimizer = torch.optim.AdamW(plugin.parameters(), 2e-3)
    totals, matched = [], []
    for _ in range(25):
        loss, parts = task.loss(plugin, batch, 0.0)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        totals.append(float(loss.detach()))
        matched.append(parts["matched"])
        assert set(parts) == {"flow", "scales", "step", "matched"}
    assert totals[-1] < totals[0] and matched[-1] < 0.8 * matched[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.base(CPU).state_dict().items())


def test_without_a_part_that_finds_motion_nothing_is_matched(task: HierarchicalTask) -> None:
    batch = task.batch(SEED, 1, 96, CPU)
    base, plugin = task.base(CPU), SwiftHierarchy(("hce_s",))
    seen = looked(base, batch.seen.scenes, batch.seen.prior, batch.scale)
    assert set(losses(base, plugin, seen, batch.labels)) == {"flow", "scales", "step"}


def test_untrained_it_is_as_good_as_its_base_with_any_masks(task: HierarchicalTask) -> None:
    figures = HierarchicalTask(1).validate(SwiftHierarchy().eval(), 1, CPU)
    for masks in MASKS:
        for figure in ("psnr", "epe", "epe large"):
            assert figures[f"{figure} {masks}"] == figures[f"{figure} base {masks}"]
    assert figures["score"] == 0.0 and figures["psnr base none"] > 15.0
    assert figures["epe base true"] != figures["epe base none"]


def test_weights_are_kept_and_taken_back_with_their_parts(tmp_path: Path) -> None:
    path = tmp_path / "plugin.safetensors"
    plugin = SwiftHierarchy(("hce_t", "hir_s"))
    torch.nn.init.normal_(plugin.last.weight)
    save_hierarchy(path, plugin, {"made": "for a test"})
    found = load_hierarchy(path, CPU)
    assert found.settings.parts == ("hce_t", "hir_s")
    assert all(torch.equal(tensor, plugin.state_dict()[name]) for name, tensor in found.state_dict().items())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(BadRequest, match="damaged"):
        load_hierarchy(path, CPU)


def test_the_command_line_knows_its_parts() -> None:
    with pytest.raises(BadRequest, match="hierarchical has no part 'motion'"):
        task_of("hierarchical", part="motion")
    alone = task_of("hierarchical", part="hir_l").model()
    assert isinstance(alone, SwiftHierarchy) and alone.settings.parts == ("hir_l",)
    assert sum(tensor.numel() for tensor in task_of("hierarchical").model().state_dict().values()) * 4 < 2e6
