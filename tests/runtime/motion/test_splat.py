"""Forward splatting."""

from __future__ import annotations

import pytest
import torch

from kairos.motion.splat import splat


def test_a_whole_pixel_move_carries_values_unchanged() -> None:
    values = torch.rand(3, 20, 30)
    flow = torch.zeros(2, 20, 30)
    flow[0], flow[1] = 4, -3
    moved, area = splat(values, flow)
    assert torch.equal(moved[:, :-3, 4:], values[:, 3:, :-4])
    assert (area[:, :-3, 4:] == 1).all()
    assert (area[:, -3:] == 0).all() and (moved[:, -3:] == 0).all()


def test_a_fraction_is_shared_by_area() -> None:
    values, flow = torch.zeros(1, 9, 9), torch.zeros(2, 9, 9)
    values[0, 4, 4] = 1.0
    flow[0], flow[1] = 0.25, 0.5
    moved, area = splat(values, flow)
    assert torch.allclose(moved[0, 4:6, 4:6], torch.tensor([[0.375, 0.125], [0.375, 0.125]]))
    assert torch.allclose(area[0, 2:-2, 2:-2], torch.ones(5, 5))


def collision() -> tuple[torch.Tensor, torch.Tensor]:
    """Two pixels that meet at column 5: 1 from column 3, 9 from column 7."""
    values = torch.zeros(1, 1, 11)
    values[0, 0, 3], values[0, 0, 7] = 1.0, 9.0
    flow = torch.full((2, 1, 11), torch.inf)
    flow[:, 0, 3], flow[:, 0, 7] = torch.tensor([2.0, 0.0]), torch.tensor([-2.0, 0.0])
    return values, flow


def test_collisions_are_settled_by_mode() -> None:
    values, flow = collision()
    importance = torch.zeros(1, 1, 11)
    importance[0, 0, 3], importance[0, 0, 7] = 3.0, 1.0
    assert splat(values, flow)[0][0, 0, 5] == 5.0
    assert splat(values, flow, importance, "linear")[0][0, 0, 5] == pytest.approx((3 * 1 + 9) / 4)
    weight = torch.exp(torch.tensor(2.0))
    expected = float((weight * 1 + 9) / (weight + 1))
    assert float(splat(values, flow, importance, "softmax")[0][0, 0, 5]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [1e3, 1e6, -1e6])
def test_softmax_is_safe_for_large_importance(size: float) -> None:
    values, flow = collision()
    importance = torch.full((1, 1, 11), size)
    importance[0, 0, 7] += abs(size)
    moved, _ = splat(values, flow, importance, "softmax")
    assert moved.isfinite().all()
    assert moved[0, 0, 5] == 9.0


def test_pixels_without_a_finite_vector_are_dropped() -> None:
    moved, area = splat(torch.ones(1, 5, 5), torch.full((2, 5, 5), torch.nan))
    assert not area.any() and not moved.any()


def test_the_number_of_threads_changes_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    values, importance = torch.rand(3, 200, 300, generator=generator), torch.rand(1, 200, 300, generator=generator)
    flow = torch.randn(2, 200, 300, generator=generator) * 6
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            found.append(splat(values, flow, importance, "softmax"))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each[0], found[0][0]) and torch.equal(each[1], found[0][1]) for each in found)


def test_missing_importance_and_unknown_modes_are_named() -> None:
    with pytest.raises(ValueError, match="needs an importance"):
        splat(torch.ones(1, 2, 2), torch.zeros(2, 2, 2), mode="softmax")
    with pytest.raises(ValueError, match="nearest"):
        splat(torch.ones(1, 2, 2), torch.zeros(2, 2, 2), mode="nearest")


def test_planes_of_another_size_than_their_motion_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in size"):
        splat(torch.zeros(0, 30, 40), torch.zeros(2, 20, 40))
