"""Motion algebra."""

from __future__ import annotations

import pytest
import torch

from kairos.motion.inbetween import Inbetween
from kairos.motion.vectors import between, chain

SIZE = (10, 12)


def vector(x: float, y: float) -> torch.Tensor:
    return torch.tensor([float(x), float(y)])[:, None, None].expand(2, *SIZE).contiguous()


def answer(
    to_0: torch.Tensor, to_1: torch.Tensor, time: float, hidden_0: float = 0.0, hidden_1: float = 0.0
) -> Inbetween:
    one = torch.ones(1, *SIZE)
    return Inbetween(time, to_0, to_1, one * 0.5, one * hidden_0, one * hidden_1, one)


def position(time: float) -> torch.Tensor:
    """A parabola: 8 px per interval across, thrown up by 3 and falling by 4 px per interval squared."""
    return vector(8 * time, -3 * time + 4 * time**2)


@pytest.mark.parametrize("tau", [0.0, 0.2, 0.4, 0.75, 1.0])
def test_a_parabola_is_followed_exactly(tau: float) -> None:
    found = between(answer(position(0) - position(0.4), position(1) - position(0.4), 0.4), tau)
    assert torch.allclose(found, position(tau) - position(0.4), atol=1e-5)


@pytest.mark.parametrize(("time", "tau"), [(0.0, 0.3), (0.0, 1.0), (1.0, 0.6), (1.0, 0.0)])
def test_at_a_source_frame_the_path_is_straight(time: float, tau: float) -> None:
    whole = vector(6, -2)
    found = between(answer(whole * -time, whole * (1 - time), time), tau)
    assert torch.allclose(found, whole * (tau - time))


def test_an_occluded_side_follows_the_visible_one() -> None:
    wrong = vector(40, 40)
    from_1 = between(answer(wrong, vector(4, 2), 0.5, hidden_0=1.0), 0.0)
    from_0 = between(answer(vector(-4, -2), wrong, 0.5, hidden_1=1.0), 1.0)
    assert torch.allclose(from_1, vector(-4, -2))
    assert torch.allclose(from_0, vector(4, 2))


def test_no_motion_is_exactly_none() -> None:
    assert not between(answer(vector(0, 0), vector(0, 0), 0.3), 0.9).any()


def test_chained_motion_adds_up_along_the_way() -> None:
    first, second = vector(3, 1), vector(0, 0)
    second[0] = torch.arange(12.0) * 0.1
    found = chain(first, second)
    assert torch.allclose(found.flow[0, 2:8, 2:5], 3 + (torch.arange(2.0, 5.0) + 3) * 0.1, atol=1e-5)
    assert found.valid[0, 0, 0] and not found.valid[0, 0, 10] and not found.valid[0, 9, 0]
