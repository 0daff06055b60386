"""One pass over planes does what several of torch's do."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.convolutions import Conv, Layers
from kairos.engines.correlation import BasicBlock, InstanceNorm
from kairos.engines.pointwise import added, normalised, sloped


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_pixel(*shape: int, seed: int = 1) -> Tensor:
    return drawn(*shape, seed=seed).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, "one", "each"])
@pytest.mark.parametrize("lying", ["by pixel", "by plane", "in a larger one"])
def test_sums_and_slopes_are_those_of_torch(slope: object, lying: str) -> None:
    first, second = by_pixel(2, 7, 90, 83), by_pixel(2, 7, 90, 83, seed=2)
    if lying == "by plane":
        first = first.contiguous()
    elif lying == "in a larger one":
        first = F.pad(first, (0, 3, 0, 2)).contiguous(memory_format=torch.channels_last)[:, :, :90, :83]
    given = {"one": drawn(1), "each": drawn(7, seed=3)}.get(str(slope), slope)
    factor = given.view(1, -1, 1, 1) if isinstance(given, Tensor) else given
    total = first + second
    alone, both = (torch.where(each >= 0, each, each * factor) for each in (first, total))
    assert torch.equal(sloped(first.clone(memory_format=torch.preserve_format), given), alone)
    assert torch.equal(added(first, second, given), both)
    assert not torch.equal(second, total)


def test_what_is_learned_gets_its_gradient() -> None:
    layers, slope = nn.Conv2d(4, 6, 1), nn.Parameter(drawn(6))
    planes = by_pixel(1, 4, 8, 8)
    added(layers(planes), by_pixel(1, 6, 8, 8), slope).sum().backward()
    assert slope.grad is not None and layers.weight.grad is not None


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("apart", [0.0, 1000.0])
def test_planes_are_normalised_each_by_itself(batch: int, apart: float) -> None:
    planes = by_pixel(batch, 5, 70, 61).double() * torch.tensor([1, 2, 0.01, 5, 0]).view(1, -1, 1, 1) + apart
    wanted = F.relu(F.instance_norm(planes.float().double(), eps=1e-5))
    with torch.no_grad():
        found = normalised(planes.float(), 1e-5, 0.0)
        # Numbers far from 0 have few digits left that tell them apart.
        assert (found - wanted)[:, [0, 1, 3, 4]].abs().max() < (1e-5 if not apart else 2e-3)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    planes, found, threads = by_pixel(1, 12, 200, 150), [], torch.get_num_threads()
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            with torch.no_grad():
                found.append(normalised(planes.clone(memory_format=torch.preserve_format), 1e-5, 0.1))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, found[0]) for each in found)


@pytest.mark.parametrize("corner", [0.0, 3.7])
def test_flat_planes_with_another_corner_keep_their_digits(corner: float) -> None:
    """What a convolution with a border of zeros makes of a flat picture."""
    planes = torch.full((1, 3, 300, 400), 0.37) + torch.tensor([0, 0.01, 0]).view(1, 3, 1, 1) * drawn(1, 3, 300, 400)
    planes[..., 0, 0] += corner
    wanted = F.instance_norm(planes.double(), eps=1e-5)
    with torch.no_grad():
        found = normalised(planes.contiguous(memory_format=torch.channels_last), 1e-5)
    assert (found - wanted).abs().max() < 2e-4


def test_what_is_below_all_numbers_is_0_without_slope_and_what_is_none_stays() -> None:
    planes = torch.tensor([-float("inf"), float("nan"), float("inf")]).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    planes = planes.contiguous(memory_format=torch.channels_last)
    found = added(planes.clone(memory_format=torch.preserve_format), torch.zeros_like(planes), 0)[0, :, 5, 5]
    assert found[0] == 0 and bool(found[1].isnan()) and found[2] == float("inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        normalised(planes, 1e-5, 0)


def test_a_single_picture_without_a_batch_has_its_slope_too() -> None:
    layers = Layers(Conv(4, 5, 3, 1, 1), nn.PReLU(1)).requires_grad_(False)
    planes = drawn(4, 9, 9)
    assert (layers(planes) - layers(planes[None])[0]).abs().max() < 1e-6


@pytest.mark.parametrize("stride", [1, 2])
def test_a_residual_block_is_what_it_is_in_training(stride: int) -> None:
    block = BasicBlock(16, 16, stride, InstanceNorm)
    planes = by_pixel(1, 16, 40, 46)
    wanted = block(planes)
    before = planes.clone()
    with torch.no_grad():
        assert (block(planes) - wanted).abs().max() < 2e-5
    assert torch.equal(planes, before)
