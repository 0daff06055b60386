"""Fields of the engine ``siren``: what they say of a point, and how it changes along a direction."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
import pytest
import torch

from kairos.engines.siren.field import Field, GridField, SirenField
from kairos.engines.siren.session import Window
from kairos.engines.siren.spline import coefficients, sampled
from support.scenes import grid


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["siren", "grid"])
def test_the_derivative_along_the_motion_is_the_full_jacobian_times_it(kind: str, dtype: torch.dtype) -> None:
    fields: dict[str, Callable[[], Field]] = {
        "siren": lambda: SirenField(48, 3, 30.0),
        "grid": lambda: GridField((16, 24), 4, 0.1, 2.0),
    }
    field = fields[kind]().to(dtype)
    # Points of one time, and others of times of their own.
    points = torch.rand(64, 3) * 2 - 1
    points[40:, 2] = points[40, 2]
    points = points.to(dtype) * torch.tensor([1.0, 1.0, 0.15], dtype=dtype)
    way = torch.randn(64, 3).to(dtype) * 0.1
    values, change = field.along(points, way)
    given = points.clone().requires_grad_()
    # One by one: the derivatives of points of one time would be shared among them.
    plain = torch.cat([field(point[None]) for point in given])
    assert float((field(points) - plain).detach().abs().max()) < 1e-5
    rows = [torch.autograd.grad(plain[:, channel].sum(), given, retain_graph=True)[0] for channel in range(3)]
    full = torch.einsum("cnk,nk->nc", torch.stack(rows), way)
    assert float(full.detach().abs().max()) > 0.01
    least = 1e-5 if dtype is torch.float32 else 1e-12
    assert float((change - full).detach().abs().max()) < least and float((values - plain).detach().abs().max()) < least


@pytest.mark.parametrize(("motion", "planes"), [(0.0, 12), (2.0, 12), (4.0, 20), (50.0, 36)])
def test_a_grids_planes_lie_the_closer_the_more_moves(motion: float, planes: int) -> None:
    # Five frames, and a plane more at either end: 1/2, 1/4 and (at the least) 1/8 of a frame apart.
    assert len(GridField((16, 24), 5, 0.1, motion).levels[-1].planes) == planes - 1


def test_the_derivative_is_torchs_own_forward_mode_and_learns_by_ordinary_backward() -> None:
    field = SirenField(32, 2, 30.0).double()
    points, way = torch.rand(20, 3).double(), torch.randn(20, 3).double()
    _, change = field.along(points, way)
    _, theirs = torch.func.jvp(field, (points,), (way,))
    assert torch.allclose(change, theirs, atol=1e-10)
    ours = torch.autograd.grad(change.abs().mean(), list(field.parameters()), allow_unused=True)
    others = torch.autograd.grad(theirs.abs().mean(), list(field.parameters()), allow_unused=True)
    for one, two in zip(ours, others):
        assert (one is None) == (two is None) and (one is None or torch.allclose(one, two, atol=1e-10))


def test_a_sine_network_begins_as_its_authors_published_it() -> None:
    field = SirenField(64, 3, 30.0)
    layers = [*field.sines.waves, field.sines.last]
    first, *others = [layer.weight.detach() for layer in layers]
    assert 0.3 < float(first.abs().max()) <= 1 / 3
    bound = math.sqrt(6 / 64) / 30
    assert all(0.9 * bound < float(weight.abs().max()) <= bound for weight in others)
    assert len(others) == 4 and [group["lr"] for group in field.groups()] == [1e-3]
    assert SirenField(1024, 1).groups()[0]["lr"] == pytest.approx(1e-4, rel=0.01)


def test_in_bfloat16_hidden_products_alone_are_rounded_and_the_derivative_stays_the_values_own() -> None:
    torch.manual_seed(3)
    whole = SirenField(64, 3, 30.0)
    half = SirenField(64, 3, 30.0, half=True)
    half.load_state_dict(whole.state_dict())
    points, way = torch.rand(400, 3) * 2 - 1, torch.randn(400, 3) * 0.05
    with torch.no_grad():
        (values, change), (near, near_change) = whole.along(points, way), half.along(points, way)
    assert near.dtype is torch.float32 and not torch.equal(near, values)
    assert float((near - values).abs().max()) < 0.02 * float(values.abs().max())
    assert float((near_change - change).abs().mean()) < 0.02 * float(change.abs().mean())
    # Without hidden layers nothing is rounded: coordinates and phases stay as they are.
    alone, rounded = SirenField(64, 0, 30.0), SirenField(64, 0, 30.0, half=True)
    rounded.load_state_dict(alone.state_dict())
    assert torch.equal(alone(points), rounded(points))


def test_a_spline_goes_through_its_samples_and_holds_a_slow_wave_between_them() -> None:
    columns, rows = grid(24, 40)
    planes = torch.from_numpy(np.stack([np.sin(columns * 0.5) * np.cos(rows * 0.4)])).float()
    made_of = coefficients(planes)
    x, y = torch.rand(300) * 30 + 5, torch.rand(300) * 13 + 5
    whole = sampled(made_of, x.round(), y.round())[:, 0]
    assert torch.allclose(whole, planes[0, y.round().long(), x.round().long()], atol=1e-5)
    # A cubic spline is off by a part of the fourth power of the frequency.
    assert float((sampled(made_of, x, y)[:, 0] - torch.sin(x * 0.5) * torch.cos(y * 0.4)).abs().max()) < 5e-3


def test_what_the_field_says_is_not_clamped() -> None:
    field = SirenField(8, 0)
    with torch.no_grad():
        field.sines.last.bias.copy_(torch.tensor([9.0, -7.0, 0.0]))
        painted = Window(field, 0.1, 2).picture((4, 6), 0.5, torch.device("cpu"))
    assert painted[0].mean() > 4.5 and painted[1].mean() < -2.5
