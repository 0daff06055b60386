"""Composition by layer policy."""

from __future__ import annotations

from typing import Optional

import pytest
import torch
from torch import Tensor

from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos_nodes.layers import Policy

SIZE = (24, 32)


def answer(
    velocity: tuple[float, float] = (0.0, 0.0),
    time: float = 0.5,
    blend: Optional[Tensor] = None,
    occlusion: float = 0.0,
    **painted: Tensor,
) -> Inbetween:
    flow = torch.tensor(velocity)[:, None, None].expand(2, *SIZE).contiguous()
    hidden = torch.full((1, *SIZE), occlusion)
    return Inbetween(
        time=time,
        flow_to_0=flow * -time,
        flow_to_1=flow * (1 - time),
        blend=torch.full((1, *SIZE), 1 - time) if blend is None else blend,
        occlusion_0=hidden,
        occlusion_1=hidden,
        confidence=1 - hidden,
        **painted,
    )


def bits(planes: Tensor) -> Tensor:
    return planes.contiguous().view(torch.int32)


def wide_range(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    planes = torch.exp2(torch.rand(3, *SIZE, generator=generator) * 30 - 14) - 8
    planes[0, 0, 0], planes[1, 1, 1], planes[2, 2, 2] = 65504.0, -8.0, -0.0
    return planes


@pytest.mark.parametrize("policy", [each for each in Policy if each is not Policy.DROP])
@pytest.mark.parametrize("time", [0.1, 0.5, 1 / 3])
def test_a_still_layer_comes_back_bit_identical_under_every_policy(policy: Policy, time: float) -> None:
    plate = wide_range()
    plate[0, 3, 3], plate[1, 4, 4] = torch.nan, torch.inf
    blend = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(5))
    assert torch.equal(bits(compose(plate, plate.clone(), answer(time=time, blend=blend), policy)), bits(plate))


def test_a_whole_pixel_move_is_exact_for_colour() -> None:
    plate = wide_range()
    later = plate.roll((2, 4), (1, 2))
    made = compose(plate, later, answer((4.0, 2.0)), Policy.BLEND)
    assert torch.equal(made[:, 4:-4, 8:-8], plate.roll((1, 2), (1, 2))[:, 4:-4, 8:-8])


def test_an_edge_against_black_shows_nothing_outside_its_range() -> None:
    plate = torch.zeros(3, *SIZE)
    plate[:, :, 16:] = 5000.0
    made = compose(plate, plate.roll(1, 2), answer((1.0, 0.0), time=0.3), Policy.BLEND)[:, :, 4:]
    assert made.min() == 0.0 and made.max() == 5000.0
    assert (made[:, :, :10] == 0).all()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("policy", [Policy.BLEND, Policy.DEPTH, Policy.NORMAL, Policy.VECTOR])
def test_a_broken_pixel_does_not_spread(policy: Policy, broken: float) -> None:
    plate = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(2)) + 1
    hurt = plate.clone()
    hurt[:, 10, 10] = broken
    move = answer((3.0, 1.0), blend=torch.full((1, *SIZE), 0.7))
    made, whole = compose(hurt, plate, move, policy), compose(plate, plate, move, policy)
    lost = ~made.isfinite()
    # Source 0 dominates: pixel (10, 10) of it is the nearest of output pixel (11, 12) (10 + 1.5 and 10 + 0.5, rounded
    # as floor(-flow + 0.5) does) and of no other.
    assert lost.any(0).sum() == 1
    assert (made[made.isfinite()] <= whole.max() + 1e-4).all()
    far = torch.ones(SIZE, dtype=torch.bool)
    far[7:16, 7:18] = False
    assert torch.equal(made[:, far], whole[:, far])


def test_a_broken_pixel_of_the_lesser_source_does_not_show() -> None:
    plate = torch.rand(3, *SIZE)
    hurt = plate.clone()
    hurt[0, 10, 10] = torch.nan
    assert compose(plate, hurt, answer(time=0.4), Policy.BLEND).isfinite().all()


@pytest.mark.parametrize("policy", [Policy.ID, Policy.NEAREST])
def test_identifiers_move_as_bits(policy: Policy) -> None:
    patterns = torch.randint(-(2**31), 2**31 - 1, (2, *SIZE), generator=torch.Generator().manual_seed(3))
    first = patterns.to(torch.int32).view(torch.float32)
    second = (patterns + 12345).clamp(max=2**31 - 1).to(torch.int32).view(torch.float32)
    blend = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(4))
    made = bits(compose(first, second, answer((5.3, -2.1), blend=blend), policy))
    pairs = {tuple(pair) for each in (first, second) for pair in bits(each).reshape(2, -1).t().tolist()}
    assert {tuple(pair) for pair in made.reshape(2, -1).t().tolist()} <= pairs
    assert first.isnan().any() and len(made.unique()) > 100


def test_depth_has_nothing_between_foreground_and_background() -> None:
    first, second = torch.full((1, *SIZE), 10.0), torch.full((1, *SIZE), 10.0)
    first[:, 8:16, 6:14], second[:, 8:16, 13:21] = 1.0, 1.0
    blend = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(6))
    made = compose(first, second, answer((6.5, 0.3), blend=blend), Policy.DEPTH)
    assert set(made.unique().tolist()) == {1.0, 10.0}


def test_vectors_are_not_mixed_across_an_edge() -> None:
    layer = torch.zeros(2, *SIZE)
    layer[0, :, 16:] = 7.5
    made = compose(layer, layer, answer((1.7, 0.0)), Policy.VECTOR)
    assert set(made[0].unique().tolist()) == {0.0, 7.5}


def test_normals_stay_unit_length_and_empty_ground_stays_empty() -> None:
    generator = torch.Generator().manual_seed(7)
    normals = torch.nn.functional.normalize(torch.randn(3, *SIZE, generator=generator), dim=0)
    normals[:, :, :6] = 0.0
    made = compose(normals, normals.roll(1, 2), answer((1.4, 0.6)), Policy.NORMAL)
    length = made.square().sum(0).sqrt()[:, 12:]
    assert torch.allclose(length, torch.ones_like(length), atol=1e-5)
    # The roll wraps column 31 into column 0, which a cubic reaches from columns 0 and 1.
    assert not made[:, :, 2:4].any()


def test_a_held_layer_is_the_earlier_source() -> None:
    first, second = wide_range(0), wide_range(1)
    assert torch.equal(bits(compose(first, second, answer((3.0, 0.0), time=0.9), Policy.HOLD)), bits(first))


def test_a_residual_acts_only_where_neither_source_is_trusted_and_not_in_highlights() -> None:
    codec = Codec(1.0)
    plate = torch.full((3, *SIZE), 0.2)
    plate[:, :, 16:] = 50.0
    residual = torch.full((3, *SIZE), 0.05)
    trusted = compose(plate, plate, answer(residual=residual), Policy.BLEND, codec=codec)
    assert torch.equal(trusted, plate)
    invented = compose(plate, plate, answer(occlusion=1.0, residual=residual), Policy.BLEND, codec=codec)
    assert (invented[:, :, :16] > 0.25).all()
    assert torch.equal(invented[:, :, 16:], plate[:, :, 16:])


def test_a_painted_image_is_decoded_without_clipping() -> None:
    codec = Codec(1.0)
    painted = torch.full((3, *SIZE), 500.0)
    plate = torch.zeros(4, *SIZE)
    made = compose(plate, plate, answer(image=codec.encode(painted)), Policy.BLEND, codec=codec)
    assert torch.allclose(made[:3], painted, rtol=1e-4)
    assert torch.equal(made[3], plate[3])


def test_a_plane_sampled_coarsely_moves_on_its_own_grid() -> None:
    small = torch.rand(1, 12, 16, generator=torch.Generator().manual_seed(8))
    plate = small.repeat_interleave(2, 1).repeat_interleave(2, 2)
    later = small.roll(1, 2).repeat_interleave(2, 1).repeat_interleave(2, 2)
    made = compose(plate, later, answer((2.0, 0.0), time=0.4), Policy.BLEND)
    assert torch.equal(made[:, 0::2, 0::2], made[:, 1::2, 1::2])
    still = compose(plate, plate, answer(time=0.4), Policy.BLEND)
    assert torch.equal(still, plate)


def test_clashing_sizes_and_dropped_layers_are_named() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        compose(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4), answer(), Policy.BLEND)
    with pytest.raises(ValueError, match="drop"):
        compose(torch.zeros(1, *SIZE), torch.zeros(1, *SIZE), answer(), Policy.DROP)
