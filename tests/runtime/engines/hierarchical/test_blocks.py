"""The hierarchy's parts, each of which may be left out, at every size, time and label map."""

from __future__ import annotations

from itertools import combinations
from typing import Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.hierarchical import blocks
from kairos.engines.hierarchical.blocks import PARTS, Hierarchy, LongRange, Settings, region_means, spread
from kairos.errors import BadRequest

SUBSETS = [parts for count in range(5) for parts in combinations(PARTS, count)]


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def maps(batch: int, height: int, width: int) -> Tuple[Tensor, Tensor]:
    """Label maps that differ within the batch and between the frames; label 3 is in one frame alone."""
    maps = torch.zeros(2, batch, height, width, dtype=torch.int16)
    for number in range(batch):
        maps[0, number, : height // 2, number:] = 1
        maps[1, number, : height // 2, : width - number] = 1
    maps[0, 0, -1, -1] = 3
    return maps[0], maps[1]


def hierarchy(*, parts: Tuple[str, ...] = PARTS, trained: bool = True, grown: int = 1, inputs: int = 8) -> Hierarchy:
    torch.manual_seed(3)
    built = Hierarchy(Settings(inputs, 8, 6, True, grown, parts)).eval()
    if trained:
        torch.nn.init.normal_(built.inter.last.weight, std=0.1)
    return built


def test_a_region_tells_its_mean_to_all_its_cells_and_nothing_to_others() -> None:
    planes, (labels, _) = drawn(2, 3, 4, 5), maps(2, 4, 5)
    told = spread(region_means(planes, labels, 4), labels)
    for number in range(2):
        for label in labels[number].unique():
            here = labels[number] == label
            assert torch.allclose(told[number][:, here], planes[number][:, here].mean(1, keepdim=True))
    assert not region_means(planes, labels, 4)[1, 3].any(), "a region that is not there"


@pytest.mark.parametrize("parts", SUBSETS, ids=lambda parts: "+".join(parts) or "none")
def test_every_subset_of_the_parts_works_and_all_of_it_learns(parts: Tuple[str, ...]) -> None:
    built = hierarchy(parts=parts)
    first, second = drawn(2, 8, 5, 6), drawn(2, 8, 5, 6, seed=2)
    told = built.at(built.meet(first, second, *maps(2, 5, 6)), torch.tensor([0.25, 0.5]).view(2, 1, 1, 1))
    assert told.added.feature is not None and told.added.logit is not None
    assert told.added.flows.shape == (2, 4, 5, 6) and told.added.feature.shape == (2, 6, 5, 6)
    assert bool(told.coarse.any()) == bool({"hir_l", "hir_s"} & set(parts))
    sum(each.square().sum() for each in told.added).backward()  # type: ignore[union-attr, misc]
    idle = [name for name, weight in built.named_parameters() if weight.grad is None or not weight.grad.any()]
    # The bias of keys adds the same to all that a query is compared with.
    assert not [name for name in idle if not name.endswith("compared.key.bias")], idle


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (5, 4), (9, 7)])
@pytest.mark.parametrize("grown", [1, 2])
def test_every_size_works_and_untrained_it_adds_exactly_nothing(size: Tuple[int, int], grown: int) -> None:
    built = hierarchy(trained=False, grown=grown, inputs=5)
    first, second = drawn(1, 5, *size), drawn(1, 5, *size, seed=2)
    added = built.at(built.meet(first, second, *maps(1, *size)), 0.3).added
    assert added.feature is not None and added.logit is not None
    assert added.flows.shape[-2:] == (size[0] * grown, size[1] * grown)
    for planes in added:
        assert planes is not None and torch.equal(planes, torch.zeros_like(planes))


def test_a_batch_answers_as_its_pairs_do_alone() -> None:
    built, (labels0, labels1) = hierarchy(), maps(3, 6, 7)
    first, second = drawn(3, 8, 6, 7), drawn(3, 8, 6, 7, seed=2)
    whole = built.at(built.meet(first, second, labels0, labels1), 0.4).added.flows
    for number in range(3):
        one = slice(number, number + 1)
        alone = built.at(built.meet(first[one], second[one], labels0[one], labels1[one]), 0.4).added.flows
        assert torch.allclose(whole[one], alone, atol=1e-4)


def test_both_frames_are_treated_alike() -> None:
    """Turned round in time, the coarse flows change places."""
    built, (labels0, labels1) = hierarchy(parts=("hce_s", "hce_t", "hir_l")), maps(1, 6, 7)
    first, second = drawn(1, 8, 6, 7), drawn(1, 8, 6, 7, seed=2)
    on = built.at(built.meet(first, second, labels0, labels1), 0.25).coarse
    back = built.at(built.meet(second, first, labels1, labels0), 0.75).coarse
    assert torch.allclose(on, back.roll(2, 1), atol=1e-4)


def test_regions_keep_their_cells_from_each_other() -> None:
    """With labels, cells of a region move towards it in the other frame, whatever looks like them elsewhere."""
    built = hierarchy(parts=("hir_l",))
    planes = drawn(1, 8, 6, 8)
    labels0, labels1 = torch.zeros(1, 6, 8, dtype=torch.int16), torch.zeros(1, 6, 8, dtype=torch.int16)
    labels0[:, 1:3, 1:3], labels1[:, 3:5, 5:7] = 1, 1
    motion = built.meet(planes, planes, labels0, labels1).motion
    assert motion is not None
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    ends = (torch.stack([x, y]) + motion[0])[:, 1:3, 1:3]
    assert bool((ends[0] >= 5).all() and (ends[0] <= 6).all() and (ends[1] >= 3).all() and (ends[1] <= 4).all())


def test_a_region_that_is_missing_in_the_other_frame_does_not_move() -> None:
    built, (labels0, labels1) = hierarchy(parts=("hir_l",)), maps(1, 6, 7)
    motion = built.meet(drawn(1, 8, 6, 7), drawn(1, 8, 6, 7, seed=2), labels0, labels1).motion
    assert motion is not None and not motion[0, :, -1, -1].any() and motion[0, :, -2, -2].any()


def test_reduced_precision_answers_nearly_the_same() -> None:
    built = hierarchy()
    first, second = drawn(1, 8, 6, 7), drawn(1, 8, 6, 7, seed=2)
    whole = built.at(built.meet(first, second, *maps(1, 6, 7)), 0.5)
    reduced = built.to(torch.bfloat16)
    told = reduced.at(reduced.meet(first.bfloat16(), second.bfloat16(), *maps(1, 6, 7)), 0.5)
    assert told.coarse.dtype == told.added.flows.dtype == torch.float32
    assert (told.coarse - whole.coarse).abs().max() < 0.2


def test_settings_and_label_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadRequest, match="no part 'hce'"):
        Settings(8, 8, parts=("hce",))
    with pytest.raises(BadRequest, match="grow by 3"):
        Settings(8, 8, grown=3)
    with pytest.raises(BadRequest, match="does not fit features"):
        hierarchy().meet(drawn(1, 8, 4, 4), drawn(1, 8, 4, 4), *maps(1, 4, 5))


def test_cells_of_large_regions_ask_as_fours_but_for_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that shifts by two cells is matched alike either way; a small object is matched cell by cell."""
    monkeypatch.setattr(blocks, "_LARGE", 200)
    torch.manual_seed(4)
    module, (rows, columns) = LongRange(16).eval(), (17, 23)
    torch.nn.init.constant_(module.compared.sharpness, 3.0)
    wide = torch.randn(1, 16, rows, columns + 2)
    planes = torch.cat([wide[..., 2:], wide[..., :-2]])
    labels = torch.zeros(2, rows, columns, dtype=torch.int16)
    labels[0, 4:9, 3:10] = labels[1, 4:9, 5:12] = 3
    with torch.no_grad():
        features, motion = module(planes, labels)
    exact_features, exact = (each.detach() for each in module(planes, labels))
    for frame, way in ((0, 2.0), (1, -2.0)):
        small = labels[frame] == 3
        assert torch.allclose(motion[frame][:, small], exact[frame][:, small], atol=1e-4)
        assert torch.allclose(features[frame][:, small], exact_features[frame][:, small], atol=1e-4)
        # Away from the columns that the other frame does not show.
        rest = ~small[:, 4:-4]
        assert (motion[frame][:, :, 4:-4][:, rest] - torch.tensor([way, 0.0])[:, None]).abs().mean() < 0.05
    # Neighbours that speak as one say the same; where both labels meet each label has a say of its own.
    assert torch.equal(motion[0, :, 12, 14], motion[0, :, 13, 15])
    assert not torch.equal(motion[0, :, 4, 2], motion[0, :, 4, 3])


def test_no_region_is_large_in_small_pictures() -> None:
    labels = torch.zeros(2, 32, 32, dtype=torch.int16)
    assert blocks._speakers(labels) is None
    found = blocks._speakers(torch.zeros(1, 33, 32, dtype=torch.int16))
    assert found is not None and len(found) == 33 * 32 and len(found.unique()) == 17 * 16
