"""Paths at any time from any flows: what is carried forward is kept, turns are followed, grids may be coarse."""

from __future__ import annotations

import math
from typing import Any, Dict, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.gimm.anchored import Anchored, filled, slopes_of
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.motion import GimmMotion

SIZES: Dict[str, Any] = {
    "latent": 4, "widths": [8, 8], "blocks": 1, "refined": [8, 12], "refiners": 1, "hidden": 16, "layers": 4,
}  # fmt: skip
HEIGHT, WIDTH = 48, 64


def _grid(height: int, width: int) -> Tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return x, y


def _silent(**shares: float) -> Anchored:
    """The network without corrections; its share of the bend about the frame's own rest is as asked."""
    torch.manual_seed(1)
    network = Anchored(**SIZES).eval().requires_grad_(False)
    # Of what it reads its decisions from, the first is 1 and the others are nothing.
    last = network.hyponet.params_dict["linear_wb3"]
    last.zero_()
    last[-1, 0] = 1.0
    network.gain.zero_()
    network.gain[0, 4] = shares.get("steady", 0.0)
    return network


def _turning(angle: float, time: float, other: float) -> Tensor:
    """(2, H, W): from the pixels of one time to another's, of a plane that turns evenly about the frame's centre."""
    x, y = _grid(HEIGHT, WIDTH)
    x, y = x - (WIDTH - 1) / 2, y - (HEIGHT - 1) / 2
    turn = angle * (other - time)
    cos, sin = math.cos(turn), math.sin(turn)
    return torch.stack([x * cos - y * sin - x, x * sin + y * cos - y])


def _error(found: Tuple[Tensor, Tensor], truth: Tuple[Tensor, Tensor]) -> float:
    inner = (slice(None), slice(10, -10), slice(10, -10))
    return max(float((a - b)[inner].square().sum(0).sqrt().max()) for a, b in zip(found, truth))


def test_own_weights_are_recognised_by_their_shapes_and_built_again() -> None:
    tensors = Anchored(**SIZES).state_dict()
    values = ARCHITECTURE.recognise(shapes_of(ARCHITECTURE.spelled(tensors)))
    assert values == {"variant": "gimm-anchored", "anchored": True, **SIZES}
    ARCHITECTURE.build(values).load_state_dict(tensors, strict=True)


@pytest.mark.parametrize("time", [0.0, 0.3, 1.0])
def test_even_motion_stays_exact_also_where_nothing_arrives(time: float) -> None:
    flow = torch.tensor([5.0, -3.0])[:, None, None].expand(2, HEIGHT, WIDTH)
    motion = GimmMotion(_silent())
    to_0, to_1 = motion.at(motion.know(flow, -flow), time)
    assert torch.allclose(to_0, -time * flow, atol=1e-3) and torch.allclose(to_1, (1 - time) * flow, atol=1e-3)


@pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
def test_a_turn_is_followed_round_and_not_cut_across(time: float) -> None:
    angle = 0.5
    there, back = _turning(angle, 0, 1), _turning(angle, 1, 0)
    truth = _turning(angle, time, 0), _turning(angle, time, 1)
    straight, bent = (GimmMotion(_silent(steady=share)) for share in (0.0, 1.0))
    cut, round = (_error(each.at(each.know(there, back), time), truth) for each in (straight, bent))
    # The sagitta of half a radian at the measured pixels' 26 from the centre: 26 / 8 * 0.25 = 0.8 pixels.
    assert cut > 0.5 and round < 0.3 * cut


@pytest.mark.parametrize("sides", ["both", "before", "after", "neither"])
def test_four_frames_show_acceleration_and_two_do_not(sides: str) -> None:
    # x(s) = 5 s + 2 s^2 to the right, by hand; along y it moves evenly.
    def flow(start: float, end: float) -> Tensor:
        across = 5 * (end - start) + 2 * (end**2 - start**2)
        return torch.tensor([across, -3.0 * (end - start)])[:, None, None].expand(2, HEIGHT, WIDTH)

    motion, time = GimmMotion(_silent()), 0.5
    before = flow(0, -1) if sides in ("both", "before") else None
    after = flow(1, 2).clone() if sides in ("both", "after") else None
    if before is not None and after is not None:
        # What one neighbour does not show, the other tells.
        after[:, 20, 30] = torch.nan
    found = motion.at(motion.know(flow(0, 1), flow(1, 0), before, after), time)
    off = _error(found, (flow(time, 0), flow(time, 1)))
    # The parabola lies 2 t (1 - t) = 0.5 pixels from the straight line.
    assert off == pytest.approx(0.5, abs=0.01) if sides == "neither" else off < 0.01


def test_a_border_between_two_motions_is_no_turn() -> None:
    velocity = torch.zeros(1, 2, 8, 12)
    velocity[..., 6:] = 9.0
    assert not slopes_of(velocity).any()
    x, y = _grid(8, 12)
    slopes = slopes_of(torch.stack([0.5 * x, -0.25 * y])[None])
    wanted = torch.tensor([0.5, 0.0, 0.0, -0.25])[:, None, None].expand(4, 8, 12)
    assert torch.allclose(slopes[0], wanted)


def test_holes_are_told_by_what_surrounds_them() -> None:
    planes, known = torch.full((1, 2, 21, 30), 7.0), torch.ones(1, 1, 21, 30)
    known[..., 4:12, 5:30], planes[..., 4:12, 5:30] = 0.0, 99.0
    assert torch.allclose(filled(planes, known), torch.tensor(7.0), atol=1e-4)


def test_a_coarse_grid_tells_smooth_motion_nearly_as_well() -> None:
    there, back = _turning(0.3, 0, 1), _turning(0.3, 1, 0)
    fine, cells = (GimmMotion(_silent(steady=1.0), cell) for cell in (1, 3))
    exact, near = (each.at(each.know(there, back), 0.5) for each in (fine, cells))
    # Three pixels do not divide the frame: the last cells repeat its border.
    assert _error(exact, near) < 0.15 and near[0].shape == there.shape


def test_before_it_has_learned_it_adds_nothing_to_what_it_is_given() -> None:
    torch.manual_seed(3)
    flow, arrived, bend, beyond = torch.randn(4, 2, HEIGHT, WIDTH).mul(3)
    motion = GimmMotion(Anchored(**SIZES).eval().requires_grad_(False), 4)
    to_0, to_1 = motion.at(motion.know(flow, -flow, beyond, -beyond), 0.25, arrived, bend)
    away = bend * 0.25 * 0.75
    assert torch.allclose(to_0, -0.25 * arrived - away, atol=1e-5)
    assert torch.allclose(to_1, 0.75 * arrived - away, atol=1e-5)


def test_edges_of_the_engines_own_motion_stay_sharp_on_a_coarse_grid() -> None:
    flow = torch.zeros(2, HEIGHT, WIDTH)
    flow[0, 18:34, 18:42] = 4.0
    arrived = torch.zeros(2, HEIGHT, WIDTH)
    arrived[0, 18:34, 20:44] = 4.0
    back = torch.zeros(2, HEIGHT, WIDTH)
    back[0, 18:34, 22:46] = -4.0
    motion = GimmMotion(_silent(), 4)
    known = motion.know(flow, back)
    soft, sharp = motion.at(known, 0.5), motion.at(known, 0.5, arrived)
    off = [float((to_1 - 0.5 * arrived).abs().mean()) for _, to_1 in (soft, sharp)]
    assert off[1] < 0.6 * off[0]


def test_what_is_not_finite_does_not_spread() -> None:
    flow = torch.full((2, HEIGHT, WIDTH), 2.0)
    flow[0, 5, 5], flow[1, 6, 6] = torch.nan, torch.inf
    motion = GimmMotion(_silent(), 2)
    assert all(bool(each.isfinite().all()) for each in motion.at(motion.know(flow, -flow), 0.5))
