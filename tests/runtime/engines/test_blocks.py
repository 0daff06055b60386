"""What the published networks are made of computes the same on the CPU, where it goes other ways, as everywhere."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.blocks import scaled
from kairos.engines.convolutions import Conv, Enlarging
from kairos.engines.correlation import InstanceNorm
from kairos.engines.fetching import fetched, pixels, warp
from kairos.engines.layout import beside
from kairos.engines.rife.network import Stage

MANY = 24
"""Channels that are fetched by the pixel."""


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_many_channels_are_fetched_as_each_by_itself(layout: torch.memory_format) -> None:
    planes, flow = drawn(2, MANY, 40, 56).contiguous(memory_format=layout), 12 * drawn(2, 2, 40, 56, seed=2)
    together = warp(planes, flow)
    one_by_one = torch.cat([warp(planes[:, channel : channel + 1], flow) for channel in range(MANY)], 1)
    # By plane, places are told between -1 and 1, and rounded to a hundred-thousandth of a pixel.
    assert (together - one_by_one).abs().max() < 1e-4


def test_many_channels_are_fetched_whole_from_whole_places_and_beyond_the_border() -> None:
    planes, flow = drawn(1, MANY, 6, 9), torch.zeros(1, 2, 6, 9)
    assert torch.equal(warp(planes, flow), planes)
    flow[:, 0], flow[:, 1] = 2.0, -1.0
    assert torch.equal(warp(planes, flow)[..., 1:, :-2], planes[..., :-1, 2:])
    flow[:, 0], flow[:, 1] = 1e9, -1e9
    assert torch.equal(warp(planes, flow), planes[..., :1, -1:].expand_as(planes))


def test_alike_pixels_stay_as_they_are_wherever_they_are_fetched_between() -> None:
    planes = torch.full((1, MANY, 8, 8), 0.1)
    assert (warp(planes, drawn(1, 2, 8, 8)) - planes).abs().max() <= torch.finfo(torch.float32).eps


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_flow_that_is_no_number_spoils_nothing_but_its_own_pixel(bad: float) -> None:
    planes, flow = drawn(1, MANY, 6, 9), torch.zeros(1, 2, 6, 9)
    flow[:, :, 2, 3] = bad
    found = warp(planes, flow)
    assert bool(found.isfinite().all())
    same = (found == planes).all(1)[0]
    assert same.sum() >= 6 * 9 - 1


def test_where_it_learns_many_channels_have_gradients() -> None:
    planes, flow = drawn(1, MANY, 6, 9).requires_grad_(), drawn(1, 2, 6, 9).requires_grad_()
    warp(planes, flow).sum().backward()
    assert planes.grad is not None and flow.grad is not None and bool(flow.grad.any())
    fixed, flow = drawn(1, MANY, 6, 9), drawn(1, 2, 6, 9).requires_grad_()
    x, y = pixels(fixed)
    fetched(fixed, x + flow[:, 0], y + flow[:, 1]).sum().backward()
    assert flow.grad is not None and bool(flow.grad.any())


@pytest.mark.parametrize("outputs", [5, 16, 24, 72, 90])
def test_convolutions_answer_with_their_own_outputs_alone(outputs: int) -> None:
    planes = drawn(1, 12, 10, 14)
    torch.manual_seed(1)
    conv, enlarging = Conv(12, outputs, 3, 2, 1), Enlarging(12, outputs)
    # Without gradients they may be computed another way.
    plain, large = conv(planes).detach(), enlarging(planes).detach()
    with torch.inference_mode():
        assert torch.allclose(conv(planes), plain, atol=1e-6)
        assert torch.allclose(enlarging(planes), large, atol=1e-6)
        assert torch.allclose(enlarging(planes, 4), large[:, :4], atol=1e-6)
    assert plain.shape == (1, outputs, 5, 7) and large.shape == (1, outputs, 20, 28)


@pytest.mark.parametrize("factor", [2.0, 4.0, 8.0])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (16, 24)])
def test_planes_are_enlarged_as_torch_enlarges_them(factor: float, size: tuple[int, int]) -> None:
    planes = drawn(2, 5, *size)
    wanted = F.interpolate(planes, scale_factor=factor, mode="bilinear", align_corners=False)
    found = scaled(planes, factor)
    assert found.shape == wanted.shape and (found - wanted).abs().max() < 1e-6


def test_planes_of_any_layout_lie_side_by_side() -> None:
    parts = [drawn(1, 3, 4, 5), drawn(1, 8, 4, 5).contiguous(memory_format=torch.channels_last)[:, 2:]]
    assert torch.equal(beside(parts), torch.cat(parts, 1))


def test_a_stage_of_rife_is_the_same_with_its_weights_and_what_they_are_added_to_in_one() -> None:
    torch.manual_seed(2)
    stage, planes = Stage(12, 32, 6), drawn(1, 12, 32, 48)
    for unit in stage.convblock:
        unit.beta.data.normal_(0, 0.5)
    plain = stage(planes).detach()
    with torch.inference_mode():
        assert torch.allclose(stage(planes), plain, atol=1e-5)
        assert torch.allclose(stage(planes, 5), plain[:, :5], atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_planes_are_normalised_each_by_itself(layout: torch.memory_format) -> None:
    planes = (3 * drawn(2, 8, 30, 40) + 20 * drawn(2, 8, 1, 1, seed=2)).contiguous(memory_format=layout)
    wanted = F.instance_norm(planes.double())
    with torch.inference_mode():
        assert (InstanceNorm(8)(planes) - wanted).abs().max() < 1e-5
