"""What arrives of a layer that is alone is, by compiled kernels, what torch makes of it."""

from __future__ import annotations

from typing import Iterator, Tuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic import arriving, layered, midway
from kairos.engines.classic.motion import Layer, PairMotion


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    with torch.inference_mode():
        yield


def soft(size: Tuple[int, int], count: int, seed: int, scale: float = 1.0) -> Tensor:
    drawn = torch.randn(1, count, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(drawn * scale, size, mode="bicubic")[0]


def layer(size: Tuple[int, int], given: bool, lost: bool) -> Layer:
    there = soft(size, 2, 1, 9.0)
    back = soft(size, 2, 2) - there
    if lost:
        there[:, 0, 0], back[0, -1, -1] = torch.nan, torch.inf
    planes = (soft(size, 1, seed, 2.0).sigmoid() for seed in range(3, 9))
    return Layer(there, back, *planes, given)


@pytest.mark.parametrize("size", [(120, 200), (111, 333), (5, 7), (1, 3), (9, 1), (300, 401)], ids=str)
@pytest.mark.parametrize("time", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("given", [False, True])
def test_it_is_that_of_torch(size: Tuple[int, int], time: float, given: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    moving = layer(size, given, lost=False)
    found = arriving._arrived(moving, time, None)
    monkeypatch.setattr(arriving, "quick", lambda layer, *planes: False)
    wanted = arriving._arrived(moving, time, None)
    for one, other in ((found.velocity, wanted.velocity), (found.trust, wanted.trust), (found.cover, wanted.cover)):
        # Whether enough of a pixel arrives can tip by rounding, at a pixel or two.
        assert one.shape == other.shape and float((one - other).abs().gt(1e-3).float().mean()) < 1e-4


@pytest.mark.parametrize("size", [(120, 200), (111, 333), (5, 7), (1, 3), (9, 1)], ids=str)
def test_what_both_frames_show_is_that_of_torch(size: Tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    moving = layer(size, given=False, lost=False)
    still = soft(size, 1, 9) > 0.8
    pair = PairMotion((moving,), still)
    assert arriving.quick(moving)
    found = midway.moment(pair, 0.3)
    for module in (midway, arriving):
        monkeypatch.setattr(module, "quick", lambda layer, *planes: False)
    monkeypatch.setattr(layered, "usable", lambda motion, *planes: False)
    wanted = midway.moment(pair, 0.3)
    assert torch.equal(found.quiet, wanted.quiet)
    for name in ("velocity", "trust", "seen0", "seen1"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert one.shape == other.shape and float((one - other).abs().gt(1e-3).float().mean()) < 1e-4, name
    if size[0] > 100:
        assert 0.05 < float(wanted.seen0.mean()) < 0.95


def test_vectors_that_are_no_numbers_carry_nothing() -> None:
    """Nothing but their own pixel changes, and what is around fills it."""
    size = (40, 50)
    still = torch.zeros(2, *size)
    some = [torch.full((1, *size), 0.9) for _ in range(6)]
    lost = still.clone()
    lost[:, 20, 30] = torch.nan
    found = arriving._arrived(Layer(lost, -lost, *some), 0.4, None)
    assert torch.equal(found.velocity, still) and float(found.trust[0, 20, 30]) == 0.0
    assert float(found.trust.sum()) == pytest.approx(0.9 * (size[0] * size[1] - 1), rel=1e-5)


def test_on_any_number_of_threads_the_same_bits() -> None:
    moving, answers = layer((301, 403), given=False, lost=True), []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            answers.append(arriving._arrived(moving, 0.3, None))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(answers[0].velocity, answers[1].velocity) and torch.equal(answers[0].trust, answers[1].trust)
