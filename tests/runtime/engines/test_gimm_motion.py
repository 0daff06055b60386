"""Paths at any time from any flows: pixels follow what has arrived around them, as both frames bear it out."""

from __future__ import annotations

import math
from typing import Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.architecture import shapes_of
from kairos.engines.gimm import quick
from kairos.engines.gimm.anchored import Anchored, places
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.ends import bends_at, ends_of, ways
from kairos.engines.gimm.evidence import evidence
from kairos.engines.gimm.loading import SHIPPED, load_network
from kairos.engines.gimm.motion import GimmMotion
from kairos.engines.gimm.network import GIMM
from support.implicit import SIZES, deciding, fresh, silent

HEIGHT, WIDTH = 48, 64


def _grid(height: int, width: int) -> Tuple[Tensor, Tensor]:
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    return x, y


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
    assert values == {"variant": "gimm-anchored", **SIZES}
    ARCHITECTURE.build(values).load_state_dict(tensors, strict=True)


@pytest.mark.parametrize("time", [0.0, 0.3, 1.0])
def test_even_motion_stays_exact_also_where_nothing_arrives(time: float) -> None:
    flow = torch.tensor([5.0, -3.0])[:, None, None].expand(2, HEIGHT, WIDTH)
    motion = GimmMotion(fresh())
    to_0, to_1 = motion.at(motion.know(flow, -flow), time)
    assert torch.allclose(to_0, -time * flow, atol=1e-3) and torch.allclose(to_1, (1 - time) * flow, atol=1e-3)


@pytest.mark.parametrize("sides", ["both", "before", "after", "neither"])
@pytest.mark.parametrize("told", ["carried", "arrived"])
def test_four_frames_show_acceleration_and_two_do_not(sides: str, told: str) -> None:
    # x(s) = 5 s + 2 s^2 to the right, by hand; along y it moves evenly.
    def flow(start: float, end: float) -> Tensor:
        across = 5 * (end - start) + 2 * (end**2 - start**2)
        return torch.tensor([across, -3.0 * (end - start)])[:, None, None].expand(2, HEIGHT, WIDTH)

    motion, time = GimmMotion(silent()), 0.5
    before = flow(0, -1) if sides in ("both", "before") else None
    after = flow(1, 2).clone() if sides in ("both", "after") else None
    if before is not None and after is not None:
        # What one neighbour does not show, the other tells.
        after[:, 20, 30] = torch.nan
    arrived = flow(0, 1) if told == "arrived" else None
    found = motion.at(motion.know(flow(0, 1), flow(1, 0), before, after), time, arrived)
    off = _error(found, (flow(time, 0), flow(time, 1)))
    # The parabola lies 2 t (1 - t) = 0.5 pixels from the straight line.
    assert off == pytest.approx(0.5, abs=0.01) if sides == "neither" else off < 0.01


def test_a_turn_or_a_zoom_asks_nothing_and_a_border_between_two_motions_does() -> None:
    x, y = _grid(HEIGHT, WIDTH)
    assert not len(places(torch.stack([0.3 * y - 0.2 * x, -0.3 * x - 0.2 * y])))
    border = torch.zeros(2, HEIGHT, WIDTH)
    border[0, :, 30:] = 2.0
    columns = places(border) % WIDTH
    assert set(columns.tolist()) == set(range(30 - 6, 30 + 6))


def test_where_all_is_torn_only_the_most_torn_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kairos.engines.gimm.anchored._ALWAYS", 100)
    monkeypatch.setattr("kairos.engines.gimm.anchored._SHARE", 0.1)
    torch.manual_seed(1)
    velocity = torch.randn(2, HEIGHT, WIDTH) * torch.linspace(0, 40, WIDTH)
    asked = places(velocity)
    assert 0.07 * HEIGHT * WIDTH < len(asked) <= 0.11 * HEIGHT * WIDTH
    assert float((asked % WIDTH).float().mean()) > 0.6 * WIDTH


def _block(time: float, other: float) -> Tensor:
    """(2, 120, 160): from one time's pixels to another's; a block goes 12 pixels to the right over still ground."""
    x, y = _grid(120, 160)
    inside = (x - 18 - 12 * time).abs().le(8) & (y - 24).abs().le(10)
    return torch.stack([torch.where(inside, 12.0 * (other - time), 0.0), torch.zeros_like(x)])


@pytest.fixture
def all_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pixel goes the whole way to what the network says, so that this alone is judged."""
    monkeypatch.setattr("kairos.engines.gimm.anchored._GONE", 1.0)


@pytest.mark.usefixtures("all_the_way")
def test_pixels_follow_the_motion_that_both_frames_bear_out_where_edges_arrive_smeared() -> None:
    """The engine's own motion is smeared by 7 pixels; the better both ends agree with one, the more it is believed."""
    time = 0.5
    truth = _block(time, 1) - _block(time, 0)
    smeared = torch.nn.functional.avg_pool2d(truth[None], 7, 1, 3, count_include_pad=False)[0]
    # What is told first is how far the path's ends miss, in frame 0 and in frame 1.
    off = []
    for network in (silent(), deciding({0: -1.0, 1: -1.0})):
        motion = GimmMotion(network)
        to_0, to_1 = motion.at(motion.know(_block(0, 1), _block(1, 0)), time, smeared)
        off.append(float((to_1 - to_0 - truth).abs().sum()))
    assert off[1] < 0.5 * off[0]


@pytest.mark.parametrize("part", [0.0, 0.65])
def test_a_pixel_goes_part_of_the_way_to_what_the_network_says(part: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, network = ends_of(_block(0, 1), _block(1, 0)), deciding({0: -1.0, 1: -1.0})
    base = torch.cat([torch.nn.functional.avg_pool2d(_block(0, 1)[None], 7, 1, 3)[0], torch.zeros(2, 120, 160)])
    found = {}
    for gone in (part, 1.0):
        monkeypatch.setattr("kairos.engines.gimm.anchored._GONE", gone)
        with torch.inference_mode():
            found[gone] = network.told(network.seen(ends), 0.5, base.clone())
    assert not torch.equal(found[1.0], base)
    torch.testing.assert_close(found[part], torch.lerp(base, found[1.0], part))


@pytest.mark.usefixtures("all_the_way")
@pytest.mark.parametrize("time", [0.25, 0.5, 0.75])
def test_the_weights_that_come_with_kairos_have_learned_whose_motion_a_pixel_follows(time: float) -> None:
    truth = _block(time, 1) - _block(time, 0)
    smeared = torch.nn.functional.avg_pool2d(truth[None], 7, 1, 3, count_include_pad=False)[0]
    motion = GimmMotion(load_network(SHIPPED, torch.device("cpu")))
    to_0, to_1 = motion.at(motion.know(_block(0, 1), _block(1, 0)), time, smeared)
    assert float((to_1 - to_0 - truth).abs().sum()) < 0.4 * float((smeared - truth).abs().sum())
    assert SHIPPED.stat().st_size < 2 << 20


def test_motions_of_both_ends_are_weighed_too_and_beliefs_sum_to_one() -> None:
    ends = ends_of(_block(0, 1), _block(1, 0))
    network = fresh()
    base = torch.zeros(4, 120, 160)
    base[0], asked = 3.0, torch.tensor([24 * 160 + 24, 5])
    motions, says = network.weighed(network.seen(ends), 0.5, base.flatten(1).T.contiguous(), asked)
    assert motions.shape == (2, 27, 4) and torch.allclose(says.sum(1), torch.ones(2))
    # The pixel lies on the block: 1.5 pixels back and on, both frames show the block's own motion.
    assert motions[0, :3, 0].tolist() == [3.0, 12.0, 12.0] and motions[1, :3, 0].tolist() == [3.0, 0.0, 0.0]


def test_bends_are_believed_as_the_encoder_says_each_pixels_own_or_those_around() -> None:
    """By hand: half of each pixel's own bend and half of what the cells around show, and of both eight tenths."""
    flow = torch.tensor([6.0, 0.0])[:, None, None].expand(2, HEIGHT, WIDTH)
    # Eight pixels to the right of its straight way, and one pixel is wrong by a hundred.
    before, odd = -flow - 16.0 * torch.tensor([1.0, 0.0])[:, None, None], (24, 30)
    before = before.clone()
    before[0, odd[0], odd[1]] -= 100.0
    network = fresh()
    network.encoder[-1].bias[-2:] = torch.logit((torch.tensor([0.8, 0.5]) + 0.05) / 1.1)
    # Flows that were found: they miss each other by a tenth of a pixel.
    bend = network.seen(ends_of(flow, -flow + 0.1, before)).ends.bends()[0][0]
    assert float(bend[5, 5]) == pytest.approx(0.8 * 8.0, abs=0.2)
    # Of the odd one's 50 more, half of eight tenths; it is one of some 1900 pixels gathered around.
    assert float(bend[odd] - bend[24, 33]) == pytest.approx(0.8 * 0.5 * 50.0, abs=0.5)
    # A renderer's agree, and are believed outright.
    bend = network.seen(ends_of(flow, -flow, before)).ends.bends()[0][0]
    assert float(bend[5, 5]) == pytest.approx(8.0, abs=1e-3)
    assert float(bend[odd] - bend[24, 33]) == pytest.approx(50.0, abs=1e-3)


@pytest.mark.parametrize("time", [0.0, 0.375, 1.0])
def test_told_by_the_compiled_kernel_or_by_torch_it_is_the_same(time: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    flow, back, before, base = (torch.randn(4 if four else 2, 50, 70) * 6 for four in (False, False, False, True))
    seen = fresh().seen(ends_of(flow, back, before))
    asked = torch.cat([torch.randperm(50 * 70)[:600], torch.tensor([0, 69, 49 * 70, 50 * 70 - 1])])
    arrived = base.flatten(1).T.contiguous()
    assert quick.usable(arrived), "numba is among the dependencies"
    found = [(*evidence(seen, time, arrived, asked), bends_at(seen.ends, time, base[:2]))]
    monkeypatch.setattr(quick, "usable", lambda *_: False)
    found.append((*evidence(seen, time, arrived, asked), bends_at(seen.ends, time, base[:2])))
    for ours, wanted in zip(*found):
        assert ours.shape == wanted.shape and ours.dtype == wanted.dtype
        # Between two pixels rounding may fall either way.
        assert float(((ours - wanted).abs() < 1e-4).float().mean()) > 0.999


def test_where_nothing_is_uneven_what_arrives_stays_as_it_is() -> None:
    there, back = _turning(0.3, 0, 1), _turning(0.3, 1, 0)
    arrived = _turning(0.3, 0.25, 1) - _turning(0.3, 0.25, 0)
    bend = torch.full_like(arrived, 2.0)
    motion = GimmMotion(fresh(2))
    found = motion.at(motion.know(there, back), 0.25, arrived, bend)
    for ours, wanted in zip(found, ways(arrived, bend, 0.25)):
        assert torch.equal(ours, wanted)


def test_the_published_network_sees_a_coarse_grid_and_keeps_the_engines_edges() -> None:
    torch.manual_seed(1)
    network = GIMM(4, [8, 8], 1, [8, 12], 1, 16, 4).eval().requires_grad_(False)
    motion, time = GimmMotion(network, 4), 0.5
    known = motion.know(_block(0, 1), _block(1, 0))
    arrived = _block(time, 1) - _block(time, 0)
    plain, kept = (to_1 - to_0 for to_0, to_1 in (motion.at(known, time), motion.at(known, time, arrived)))
    # What arrives on the coarse grid is taken from what it tells, and what arrives put there instead.
    soft = torch.nn.functional.interpolate(
        torch.nn.functional.avg_pool2d(arrived[None], 4), scale_factor=4.0, mode="bilinear", align_corners=False
    )[0]
    assert torch.allclose(kept - plain, arrived - soft, atol=1e-4) and bool((arrived != soft)[0, 24].any())


@pytest.mark.parametrize("own", [True, False])
def test_what_is_not_finite_does_not_spread(own: bool) -> None:
    flow = torch.full((2, HEIGHT, WIDTH), 2.0)
    flow[0, 5, 5], flow[1, 6, 6] = torch.nan, torch.inf
    torch.manual_seed(1)
    network = fresh() if own else GIMM(4, [8, 8], 1, [8, 12], 1, 16, 4).eval().requires_grad_(False)
    motion = GimmMotion(network, 2)
    found = motion.at(motion.know(flow, -flow, flow, -flow), 0.5, flow)
    assert all(bool(each.isfinite().all()) for each in found)
