"""Attention within regions and near an expected place: what dense attention answers, at a fraction of its memory."""

from __future__ import annotations

import math
import os
import weakref
from typing import Any, Callable, List, Sequence, Tuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kairos.engines.hierarchical import attention
from kairos.engines.hierarchical.attention import Attended, attend, attend_both, attend_near

TOLERANCE = 1e-5


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def dense(queries: Tensor, keys: Tensor, values: Tensor, labels0: Tensor, labels1: Tensor) -> Tensor:
    """Masked attention with the full square; 0 where a row of the mask is empty."""
    likeness = queries @ keys.T / queries.shape[1] ** 0.5
    likeness = likeness.masked_fill(labels0[:, None] != labels1, -torch.inf)
    return torch.softmax(likeness, 1).nan_to_num(0.0) @ values


def mixed_labels(count: int, labels: int, seed: int) -> Tensor:
    return torch.randint(0, labels, (count,), generator=torch.Generator().manual_seed(seed)).short()


@pytest.mark.parametrize(("first", "second"), [(1, 1), (7, 64), (130, 97), (0, 5), (5, 0)])
@pytest.mark.parametrize("limit", [None, 64])
def test_it_equals_dense_masked_attention(first: int, second: int, limit: int) -> None:
    queries, keys, values = drawn(first, 16), drawn(second, 16, seed=2), drawn(second, 18)
    labels0, labels1 = mixed_labels(first, 5, 3), mixed_labels(second, 4, 4)
    found = attend(queries, keys, values, labels0, labels1, limit)
    assert found.values.shape == (first, 18)
    assert torch.allclose(found.values, dense(queries, keys, values, labels0, labels1), rtol=0, atol=TOLERANCE)
    assert torch.equal(found.answered, (labels0[:, None] == labels1).any(1))


def test_a_region_without_keys_is_answered_by_zeros_and_says_so() -> None:
    labels0, labels1 = torch.tensor([0, 2, 9, 2]), torch.tensor([0, 0, 5])
    found = attend(drawn(4, 8), drawn(3, 8), drawn(3, 2), labels0, labels1)
    assert found.answered.tolist() == [True, False, False, False]
    assert not found.values[1:].any() and found.values[0].any()


def test_a_region_of_one_cell_takes_all_from_the_one_cell_it_has() -> None:
    values = drawn(3, 4)
    found = attend(drawn(1, 8), drawn(3, 8), values, torch.tensor([3]), torch.tensor([0, 3, 0]))
    assert torch.allclose(found.values[0], values[1])


@pytest.mark.parametrize(("first", "second"), [(1, 1), (7, 64), (130, 97), (0, 5), (5, 0)])
@pytest.mark.parametrize(("limit", "loud"), [(None, 1.0), (64, 1.0), (None, 4.0), (None, 40.0)])
def test_both_ways_at_once_are_each_way_alone(first: int, second: int, limit: int, loud: float) -> None:
    """However loud the keys are: of the loudest, shares of nearly all others vanish."""
    keys = drawn(first, 16) * loud, drawn(second, 16, seed=2)
    values, labels = (
        (drawn(first, 18), drawn(second, 18, seed=2)),
        (mixed_labels(first, 5, 3), mixed_labels(second, 4, 4)),
    )
    found = attend_both(keys, values, labels, limit)
    wanted = attend(*keys, values[1], *labels), attend(*keys[::-1], values[0], *labels[::-1])
    for way, alone in zip(found, wanted):
        assert torch.allclose(way.values, alone.values, rtol=0, atol=TOLERANCE)
        assert torch.equal(way.answered, alone.answered)


@pytest.mark.parametrize("told", [1, 7, 18, 50, 98, 146])
@pytest.mark.parametrize("width", [3, 48])
def test_compiled_kernels_compare_as_torch_does(told: int, width: int) -> None:
    """However wide what is told is, and whatever regions are: large, of one cell, in one frame alone."""
    keys = drawn(700, width), drawn(650, width, seed=2)
    values = drawn(700, told), drawn(650, told, seed=2)
    labels = regions([400, 0, 1, 95, 200, 4]), regions([448, 3, 1, 0, 196, 2])
    found, wanted = attend_both(keys, values, labels), attend_both(keys, values, labels, limit=1 << 20)
    for way, alone in zip(found, wanted):
        assert torch.allclose(way.values, alone.values, rtol=0, atol=TOLERANCE)
        assert torch.equal(way.answered, alone.answered)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two processors")
def test_both_ways_answer_the_same_on_any_number_of_threads() -> None:
    keys, values = (drawn(700, 16), drawn(650, 16, seed=2)), (drawn(700, 50), drawn(650, 50, seed=2))
    labels, before, answers = (regions([500, 200]), regions([450, 200])), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            answers.append(attend_both(keys, values, labels))
    finally:
        torch.set_num_threads(before)
    for answer in answers[1:]:
        assert all(torch.equal(one.values, two.values) for one, two in zip(answer, answers[0]))


def test_gradients_of_both_ways_are_those_of_each_alone() -> None:
    labels, given = (mixed_labels(40, 4, 1), mixed_labels(33, 3, 2)), (drawn(40, 8), drawn(33, 8), drawn(33, 5))
    answers = []
    for way in (lambda *all: attend_both(all[:2], (all[0], all[2]), labels)[0], lambda *all: attend(*all, *labels)):
        leaves = [each.clone().requires_grad_() for each in given]
        answers.append(torch.autograd.grad(way(*leaves).values.square().sum(), leaves))
    for found, true in zip(*answers):
        assert torch.allclose(found, true, rtol=0, atol=TOLERANCE)


def test_gradients_are_those_of_dense_attention() -> None:
    labels0, labels1 = mixed_labels(40, 4, 1), mixed_labels(33, 3, 2)
    wanted = [drawn(40, 8), drawn(33, 8, seed=2), drawn(33, 5)]
    answers = []
    for way in (lambda *given: attend(*given, limit=200).values, dense):
        leaves = [each.clone().requires_grad_() for each in wanted]
        answer = way(*leaves, labels0, labels1)
        answers.append(torch.autograd.grad((answer * drawn(40, 5)).sum(), leaves))
    for found, true in zip(*answers):
        assert torch.allclose(found, true, rtol=0, atol=TOLERANCE)


def test_half_precision_keeps_places_to_a_fraction_of_a_cell() -> None:
    """Columns up to 2000 have a step of 1 in half precision: told so, places would be lost."""
    keys, places = F.normalize(drawn(200, 16)) * 16, 1800 + drawn(200, 2)
    labels = torch.zeros(200, dtype=torch.int16)
    whole = attend(keys, keys, places, labels, labels).values
    half = attend(keys.half(), keys.half(), places, labels, labels).values
    assert half.dtype == torch.float32
    assert (half - whole).abs().max() < 0.02


class Counted(TorchDispatchMode):
    """Counts bytes of all tensors that are made while it lasts: those alive at once at most."""

    def __init__(self) -> None:
        super().__init__()
        self._alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(answer):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self._alive:
                    self._alive[key] = storage.nbytes()
                    weakref.finalize(storage, self._alive.pop, key, None)
                self.peak = max(self.peak, sum(self._alive.values()))
        return answer


def peak(work: Callable[[], Any]) -> int:
    with Counted() as counted:
        kept = work()
    del kept
    return counted.peak


def regions(sizes: Sequence[int]) -> Tensor:
    return torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])


def attended(labels: Tensor, limit: int, learn: bool) -> Attended:
    given: List[Tensor] = [drawn(len(labels), width).requires_grad_(learn) for width in (4, 4, 3)]
    return attend(given[0], given[1], given[2], labels, labels, limit)


@pytest.mark.parametrize("cells", [400, 800, 1600])
def test_memory_of_training_grows_with_the_sum_of_squares(cells: int) -> None:
    """Shares are kept for the gradients, 4 bytes each, and at most three arrays of a region's while it is worked on."""
    sizes = [cells // 2, cells // 4, cells // 8, cells // 8]
    squares, largest = sum(size * size for size in sizes), max(sizes) ** 2
    rest = 4 * cells * 80
    found = peak(lambda: attended(regions(sizes), 1 << 30, learn=True))
    assert 4 * squares <= found <= 4 * (squares + 2 * largest) + rest
    assert found < 4 * cells * cells


@pytest.mark.parametrize("cells", [400, 800, 1600])
def test_memory_of_use_is_bounded_whatever_the_regions(cells: int) -> None:
    limit = 1 << 16
    found = peak(lambda: attended(regions([cells]), limit, learn=False))
    assert found <= 3 * limit + 4 * cells * 80


def near_by_hand(queries: Tensor, keys: Tensor, values: Tensor, flow: Tensor, radius: int) -> Tuple[Tensor, Tensor]:
    """Cell by cell, every key and value fetched bilinearly from its own place."""
    _, width, rows, columns = queries.shape
    found, offset = torch.zeros_like(values), torch.zeros(1, 2, rows, columns)
    for y in range(rows):
        for x in range(columns):
            told, likeness, steps = [], [], []
            for down in range(-radius, radius + 1):
                for right in range(-radius, radius + 1):
                    place = x + float(flow[0, 0, y, x]) + right, y + float(flow[0, 1, y, x]) + down
                    inside = [min(1.0, at + 1, side - at) for at, side in zip(place, (columns, rows))]
                    if min(inside) <= 0:
                        continue
                    grid = torch.tensor([[[[(2 * place[0] + 1) / columns - 1, (2 * place[1] + 1) / rows - 1]]]])
                    key, value = (
                        F.grid_sample(each, grid, "bilinear", "border", align_corners=False)[0, :, 0, 0]
                        for each in (keys, values)
                    )
                    likeness.append((queries[0, :, y, x] @ key) / width**0.5 + math.log(inside[0] * inside[1]))
                    told.append(value)
                    steps.append(torch.tensor([float(right), float(down)]))
            if told:
                share = torch.softmax(torch.stack(likeness), 0)
                found[0, :, y, x], offset[0, :, y, x] = share @ torch.stack(told), share @ torch.stack(steps)
    return found, offset


@pytest.mark.parametrize("limit", [None, 5000])
def test_a_window_is_compared_where_bilinear_fetching_would_look(limit: int) -> None:
    rows, columns = 5, 6
    queries, keys, values = drawn(1, 4, rows, columns), drawn(1, 4, rows, columns, seed=2), drawn(1, 3, rows, columns)
    flow = drawn(1, 2, rows, columns) * 2
    flow[0, :, 0, 0] = torch.tensor([40.0, 0.0])
    wanted = near_by_hand(queries, keys, values, flow, 1)
    found = attend_near(queries, keys, values, flow, 1, limit)
    assert torch.allclose(found.values, wanted[0], rtol=0, atol=TOLERANCE)
    assert torch.allclose(found.offset, wanted[1], rtol=0, atol=TOLERANCE)
    assert not found.values[0, :, 0, 0].any(), "a window outside has nothing to tell"


def test_a_window_leads_on_to_what_looks_alike_and_gradients_reach_the_displacement() -> None:
    keys = F.normalize(drawn(2, 32, 12, 14), dim=1) * 32**0.75
    moved = keys.roll((2, -1), (2, 3))
    flow = torch.zeros(2, 2, 12, 14).requires_grad_()
    near = attend_near(keys, moved, moved, flow)
    inner = near.offset[:, :, 4:-4, 4:-4]
    assert torch.allclose(inner, torch.tensor([-1.0, 2.0])[:, None, None].expand_as(inner), atol=0.2)
    near.values.square().sum().backward()
    assert flow.grad is not None and flow.grad.abs().sum() > 0


def test_a_displacement_that_is_no_number_counts_as_none() -> None:
    planes, flow = drawn(1, 4, 6, 6), torch.zeros(1, 2, 6, 6)
    flow[0, 0, 2, 2] = torch.nan
    assert bool(attend_near(planes, planes, planes, flow).values.isfinite().all())


@pytest.mark.parametrize("size", [(9, 14), (3, 40), (1, 1)])
@pytest.mark.parametrize(("compared", "told"), [(16, 5), (16, 21), (72, 72), (21, 84)])
def test_windows_in_one_pass_tell_the_same(
    size: Tuple[int, int], compared: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(3)
    queries, keys = (torch.randn(2, compared, *size, generator=draw) for _ in range(2))
    values, flow = torch.randn(2, told, *size, generator=draw), torch.randn(2, 2, *size, generator=draw) * 4
    flow[0, 0, 0, 0], flow[1, 1, 0, 0] = torch.nan, 300.0
    with torch.inference_mode():
        found = attend_near(queries, keys, values, flow)
        monkeypatch.setattr(attention, "_kernels", lambda *planes: None)
        wanted = attend_near(queries, keys, values, flow)
    torch.testing.assert_close(found.values, wanted.values, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.offset, wanted.offset, atol=1e-5, rtol=1e-5)
    assert not bool(wanted.values[1, :, 0, 0].any()), "its whole window lies outside"
