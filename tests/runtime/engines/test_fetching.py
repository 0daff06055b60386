"""Planes are fetched alike, whoever fetches them."""

from __future__ import annotations

from typing import Tuple
from unittest import mock

import pytest
import torch
from torch import Tensor

from kairos.engines import fetching


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_torch(planes: Tensor, flow: Tensor) -> Tensor:
    with mock.patch.object(fetching, "_compiled", lambda *given: False):
        return fetching.warp(planes, flow)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (6, 1), (2, 2), (9, 13), (130, 150)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_compiled_kernels_fetch_what_torch_fetches(size: Tuple[int, int], channels: int) -> None:
    planes, flow = drawn(2, channels, *size), 5 * drawn(2, 2, *size, seed=2)
    assert fetching._compiled(planes, flow)
    wanted = by_torch(planes.double().float(), flow)
    # Places are told more exactly than on a grid from -1 to 1.
    assert (fetching.warp(planes, flow) - wanted).abs().max() < 1e-4
    x, y = fetching.pixels(planes)
    places = fetching.fetched(planes, x + flow[:, 0], y + flow[:, 1])
    assert (places - wanted).abs().max() < 1e-4


def test_planes_may_lie_in_any_order_in_memory() -> None:
    planes, flow = drawn(1, 5, 20, 30), 3 * drawn(1, 4, 20, 30, seed=2)
    wanted = fetching.warp(planes[:, 1:4].contiguous(), flow[:, 2:].contiguous())
    by_pixel = planes.contiguous(memory_format=torch.channels_last)
    assert torch.equal(fetching.warp(planes[:, 1:4], flow[:, 2:]), wanted)
    assert torch.equal(fetching.warp(by_pixel[:, 1:4], flow[:, 2:]), wanted)
    turned = flow.contiguous(memory_format=torch.channels_last)
    assert torch.equal(fetching.warp(planes[:, 1:4], turned[:, 2:]), wanted)


def test_still_pixels_keep_their_bits_and_the_border_is_repeated() -> None:
    planes = 5000 * drawn(1, 3, 9, 11)
    assert torch.equal(fetching.warp(planes, torch.zeros(1, 2, 9, 11)), planes)
    beyond = torch.full((1, 2, 9, 11), 1e9)
    assert torch.equal(fetching.warp(planes, beyond), planes[..., -1:, -1:].expand_as(planes))
    assert torch.equal(fetching.warp(planes, -beyond), planes[..., :1, :1].expand_as(planes))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_vector_that_is_none_fetches_from_inside(bad: float) -> None:
    planes, flow = drawn(1, 3, 9, 11), drawn(1, 2, 9, 11, seed=2)
    wanted = fetching.warp(planes, flow)
    flow[0, :, 4, 5] = bad
    found = fetching.warp(planes, flow)
    assert bool(found.isfinite().all())
    found[..., 4, 5] = wanted[..., 4, 5]
    assert torch.equal(found, wanted)


def test_what_is_learned_gets_its_gradient() -> None:
    planes, flow = drawn(1, 3, 9, 11).requires_grad_(), drawn(1, 2, 9, 11).requires_grad_()
    fetching.warp(planes, flow).sum().backward()
    assert planes.grad is not None and flow.grad is not None
