"""Convolutions to few outputs answer what all of them answer."""

from __future__ import annotations

from typing import Tuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines import few, winograd
from kairos.engines.convolutions import Conv, Enlarging, Layers
from kairos.motion import fast

CLOSE = 3e-5


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few, "_LEAST_PIXELS", 1)
    monkeypatch.setattr(few, "_LEAST_INPUTS", 1)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layer(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> Conv:
    conv = Conv(inputs, outputs, size, 1, size // 2, bias=bias).requires_grad_(False)
    conv.weight.copy_(drawn(outputs, inputs, size, size) / (size * inputs**0.5))
    return conv


def exact(conv: Conv, seen: Tensor) -> Tensor:
    bias = None if conv.bias is None else conv.bias.double()
    return F.conv2d(seen.double(), conv.weight.double(), bias, 1, conv.padding)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 2), (5, 32), (6, 33), (70, 131)], ids=str)
@pytest.mark.parametrize("kind", [(16, 3, 3), (1, 1, 3), (5, 8, 5), (37, 5, 7)], ids=str)
def test_it_answers_what_a_convolution_answers(size: Tuple[int, int], kind: Tuple[int, int, int]) -> None:
    conv = layer(*kind)
    for seen in (drawn(2, kind[0], *size), drawn(2, *size, kind[0]).permute(0, 3, 1, 2), drawn(2, kind[0], *size)[1:]):
        assert few.fits(conv, seen, 1.0)
        found = conv(seen)
        assert found.is_contiguous()
        assert (found - exact(conv, seen)).abs().max() < CLOSE


@pytest.mark.parametrize("slope", [1.0, 0.0, 0.3, "each"])
@pytest.mark.parametrize("bias", [True, False])
def test_bias_and_what_is_below_0_are_part_of_it(slope: object, bias: bool) -> None:
    conv, seen = layer(20, 5, bias=bias), drawn(1, 20, 12, 50)
    each = drawn(5, seed=4) if slope == "each" else slope
    wanted = exact(conv, seen)
    wanted = torch.where(wanted >= 0, wanted, wanted * (each.view(1, -1, 1, 1) if isinstance(each, Tensor) else each))
    assert (conv(seen, each) - wanted).abs().max() < CLOSE


def test_any_number_of_threads_gives_the_same_bits() -> None:
    conv, seen, found, threads = layer(40, 3), drawn(1, 40, 150, 130), [], torch.get_num_threads()
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            found.append(conv(seen))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, found[0]) for each in found)


def test_what_it_cannot_do_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = drawn(1, 16, 9, 40)
    kinds = [
        Conv(16, 9, 3, 1, 1),
        Conv(16, 3, 3, 2, 1),
        Conv(16, 3, 3, 1, 0),
        Conv(16, 3, 1),
        Conv(16, 3, 3, 1, 2, 2),
        Conv(16, 4, 3, 1, 1, groups=4),
        Conv(16, 3, (3, 5), 1, (1, 2)),
        Conv(16, 3, 3, 1, 1, padding_mode="reflect"),
    ]
    with torch.no_grad():
        assert not any(few.fits(conv, seen, 1.0) for conv in kinds)
        assert few.fits(layer(16, 3), seen, 1.0)
        assert not few.fits(layer(16, 3).half(), seen.half(), 1.0)
    learning = Layers(layer(16, 3), torch.nn.PReLU(3))
    assert not few.fits(learning[0], seen, learning[1].weight)
    learning(seen).sum().backward()
    assert learning[1].weight.grad is not None
    traced = torch.jit.trace(layer(16, 3), (seen,))
    assert "_convolution" in str(traced.graph)
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    assert not few.fits(layer(16, 3), seen, 1.0)


def test_a_layer_goes_now_this_way_and_now_that(monkeypatch: pytest.MonkeyPatch) -> None:
    conv, seen = layer(16, 8), drawn(1, 16, 12, 40)
    conv(seen)
    monkeypatch.setattr(winograd, "_WORTH", 0)
    monkeypatch.setattr(winograd, "_LEAST", dict.fromkeys(winograd._LEAST, (1, 1)))
    with torch.no_grad():
        assert winograd.fits(conv, seen)
        assert (conv(seen) - exact(conv, seen)).abs().max() < CLOSE


@pytest.mark.parametrize("kind", [layer(16, 3), layer(16, 64), Enlarging(64, 32).requires_grad_(False)], ids=type)
def test_planes_of_another_number_of_channels_are_refused(kind: torch.nn.Module) -> None:
    for channels in (4, 96):
        with pytest.raises(RuntimeError):
            kind(drawn(1, channels, 64, 64))


def test_weights_that_have_changed_are_packed_anew() -> None:
    conv, seen = layer(16, 3), drawn(1, 16, 9, 40)
    conv(seen)
    conv.weight.mul_(2)
    assert (conv(seen) - exact(conv, seen)).abs().max() < CLOSE
