"""Planes side by side are what torch puts there, in the order of memory that convolutions are fastest in."""

from __future__ import annotations

from typing import List, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines import layout
from kairos.engines.layout import beside


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_pixel(planes: Tensor) -> Tensor:
    return planes.contiguous(memory_format=torch.channels_last)


def parts(batch: int, height: int, width: int) -> List[Tensor]:
    """As networks have them: by plane, by pixel, some channels of more, some rows and columns, one number for all."""
    wide = drawn(batch, 9, height + 2, width + 3, seed=2)
    return [
        drawn(batch, 3, height, width),
        by_pixel(drawn(batch, 5, height, width, seed=3)),
        by_pixel(drawn(batch, 12, height, width, seed=4))[:, 4:9],
        wide[:, 2:6, 1:-1, 3:],
        torch.full((1, 1, 1, 1), 0.5).expand(batch, 1, height, width),
        drawn(batch, 2, width, height, seed=5).transpose(-1, -2),
    ]


@pytest.mark.parametrize("size", [(1, 1), (3, 17), (64, 40), (150, 131)])
@pytest.mark.parametrize("batch", [1, 2])
def test_it_is_what_torch_puts_side_by_side(batch: int, size: Tuple[int, int]) -> None:
    given = parts(batch, *size)
    found = beside(given)
    assert torch.equal(found, torch.cat(given, 1))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_what_compiled_kernels_do_not_take_goes_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [drawn(1, 3, 8, 9).half(), drawn(1, 4, 8, 9).half()]
    assert torch.equal(beside(given), torch.cat(given, 1)) and beside(given).dtype is torch.half
    learning = [drawn(1, 3, 8, 9).requires_grad_(), drawn(1, 4, 8, 9)]
    beside(learning).sum().backward()
    assert learning[0].grad is not None
    monkeypatch.setattr(layout, "_kernels", lambda: None)
    given = parts(2, 8, 9)
    assert torch.equal(beside(given), torch.cat(given, 1))


def test_parts_of_other_sizes_are_refused_and_empty_ones_are_none() -> None:
    wide = drawn(2, 4, 12, 12)
    for other in (wide[..., :9, :8], wide[..., :8, :9], wide[:1, :, :8, :8]):
        with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
            beside([wide[..., :8, :8], other])
        with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
            beside([other, wide[..., :8, :8]])
    assert torch.equal(beside([wide[:, :0], wide]), wide)
    assert beside([wide[:, :, :0], wide[:, :, :0]]).shape == (2, 8, 0, 12)


def test_a_recorded_graph_holds_for_other_sizes() -> None:
    class Both(torch.nn.Module):
        def forward(self, one: Tensor, two: Tensor) -> Tensor:
            return beside([one, two])

    traced = torch.jit.trace(Both(), (drawn(1, 3, 8, 8), drawn(1, 2, 8, 8)))
    one, two = drawn(1, 3, 5, 11), drawn(1, 2, 5, 11)
    assert torch.equal(traced(one, two), torch.cat([one, two], 1))
