"""Paths of layers: there and back, and seen or hidden, against what can be worked out by hand."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest
import torch

from kairos.training.scenes.layer import OPAQUE, Layer, Surface
from kairos.training.scenes.motion import PARTS, ROLL, Paths, Ripple, courses
from kairos.training.scenes.render import motion, picture
from kairos.training.scenes.shapes import KINDS, Shape, draw_shape

SIDE = 64
SQUARE = 10.0


def _paths(own: np.ndarray, bend: np.ndarray, ripples: Tuple[Ripple | None, ...], parents: Tuple[int, ...]) -> Paths:
    count = len(own)
    zeros = np.zeros(4)
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    return Paths(
        place=np.full((count, 2), (SIDE - 1) / 2), pivot=np.zeros((count, 2)), half=np.full((count, 2), 20.0),
        points=np.tile(corners * 20.0, (count, 1, 1)), own=own, bend=bend, parents=parents, camera=zeros,
        camera_bend=zeros, parallax=np.ones(count), shake=zeros, shake_rate=zeros, shake_start=zeros,
        centre=((SIDE - 1) / 2, (SIDE - 1) / 2), ripples=ripples,
    )  # fmt: skip


def _surface(value: float) -> Surface:
    lay = np.array([[1.0, 0.0, 32.0], [0.0, 1.0, 32.0]])
    return Surface(
        torch.zeros(1, 3, 65, 65), lay, torch.eye(3), torch.full((3,), value), (0.0, 0.0), 0.0, 1.0, np.zeros((0, 6))
    )


def _square() -> Shape:
    """Twenty pixels wide and high."""
    line = torch.linspace(-16.0, 16.0, 33)
    away = torch.maximum(line.abs()[None, :], line.abs()[:, None])
    return Shape((SQUARE - away)[None, None], (16.0, 16.0), np.zeros((1, 2)))


def _two_layers(shift: Tuple[float, float]) -> Tuple[Layer, Layer]:
    """A square of 1 that moves by a shift between the frames over a background of 0.5 that stands."""
    own = np.zeros((2, PARTS))
    own[1, :2] = shift
    paths = _paths(own, np.zeros((2, PARTS)), (None, None), (-1, -1)).scaled(1.0)
    still, moving = courses(paths)
    ground = Layer(OPAQUE, 0, _surface(0.5), None, 1.0, 1.0, still)
    return ground, Layer(OPAQUE, 7, _surface(1.0), _square(), 1.0, 1.0, moving)


@pytest.mark.parametrize("shift", [(8.0, 0.0), (-5.0, 12.0)], ids=str)
def test_flow_and_visibility_of_a_moving_square_are_what_geometry_says(shift: Tuple[float, float]) -> None:
    layers = _two_layers(shift)
    cpu = torch.device("cpu")
    (first, zero), (_, one) = (picture(layers, time, SIDE, SIDE, cpu, True) for time in (0.0, 1.0))
    assert zero is not None and one is not None
    flow, seen = motion(layers, zero, one, 1.0)
    for row in range(SIDE):
        for column in range(SIDE):
            inside = [
                abs(column - 31.5 - sign * shift[0] / 2) < SQUARE and abs(row - 31.5 - sign * shift[1] / 2) < SQUARE
                for sign in (-1, 1)
            ]
            assert int(zero.owner[row, column]) == int(inside[0])
            expected = shift if inside[0] else (0.0, 0.0)
            assert flow[:, row, column].tolist() == pytest.approx(expected, abs=1e-3)
            # The square is seen wherever it goes; the background unless the square comes to lie over it. A pixel on
            # the square's outline is half covered.
            edges = [abs(abs(p - 31.5 - s / 2) - SQUARE) for p, s in zip((column, row), shift)]
            if min(edges) > 0.75:
                assert float(seen[0, row, column]) == pytest.approx(float(inside[0] or not inside[1]), abs=1e-3)
    assert float(first[:, 31 - int(shift[1] / 2), 31 - int(shift[0] / 2)].mean()) == pytest.approx(1.0)


def test_what_leaves_the_frame_is_not_visible() -> None:
    layers = _two_layers((90.0, 0.0))
    cpu = torch.device("cpu")
    owns = [picture(layers, time, SIDE, SIDE, cpu, True)[1] for time in (0.25, 1.0)]
    assert owns[0] is not None and owns[1] is not None
    flow, seen = motion(layers, owns[0], owns[1], 1.0)
    square = owns[0].owner == 1
    assert square.any()
    assert (seen[0][square] == 0).all()
    # Three quarters of the way at even speed.
    assert torch.allclose(flow[0][square], torch.tensor(67.5), atol=1e-2)


@pytest.mark.parametrize("time", [-1.0, 0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_layer_is_found_again_to_a_thousandth_of_a_pixel(seed: int, time: float) -> None:
    rng = np.random.default_rng(seed)
    waves = rng.normal(0.0, 0.08, (3, 2))
    ripple = Ripple(
        waves, rng.uniform(0, 6, 3), rng.normal(0, 1, (3, 2)), rng.uniform(0.6, 2.6, 3), rng.normal(0, 1, 3)
    )
    own = rng.normal(0.0, 1.0, (1, PARTS)) * [1, 1, 0.05, 0.02, 0.01, 0.01, 0.02, 0.02]
    course = courses(_paths(own, rng.uniform(-0.8, 0.8, (1, PARTS)), (ripple,), (-1,)).scaled(10.0))[0]
    x, y = torch.meshgrid(torch.arange(0.0, SIDE), torch.arange(0.0, SIDE), indexing="xy")
    back_x, back_y = course.to_screen(*course.to_plane(x, y, time), time)
    assert float(torch.maximum((back_x - x).abs().max(), (back_y - y).abs().max())) < 1e-3
    assert course.ripple is not None
    slope = np.linalg.norm(course.ripple.sway, axis=1) @ np.linalg.norm(waves, axis=1)
    assert slope <= 0.25 + 1e-9


def test_a_bent_path_lags_by_a_quarter_of_its_bend_half_way() -> None:
    own, bend = np.zeros((1, PARTS)), np.zeros((1, PARTS))
    own[0, 0], bend[0, 0] = 40.0, 0.8
    paths = _paths(own, bend, (None,), (-1,)).scaled(1.0)
    ends = [paths.matrices(time)[0, 0, 2] for time in (0.0, 0.5, 1.0)]
    assert ends[2] - ends[0] == pytest.approx(40.0)
    assert ends[1] - (ends[0] + ends[2]) / 2 == pytest.approx(-0.25 * 0.8 * 40.0)


def test_a_limb_goes_where_its_body_goes() -> None:
    own = np.zeros((3, PARTS))
    own[0, :2], own[0, ROLL] = (12.0, -4.0), 0.4
    own[2, ROLL] = 0.5
    paths = _paths(own, np.zeros((3, PARTS)), (None, None, None), (-1, 0, 0)).scaled(1.0)
    for time in (0.0, 0.5, 1.0, 2.0):
        body, stiff, swung = paths.matrices(time)
        assert np.allclose(body, stiff)
        joint = np.array([0.0, 0.0, 1.0])
        assert np.allclose(body @ joint, swung @ joint)
    assert not np.allclose(body, swung)


def test_paths_are_scaled_to_the_motion_that_is_asked_for() -> None:
    own = np.zeros((2, PARTS))
    own[0, :3], own[1, :2] = (0.6, 0.3, 0.01), (-0.2, 0.1)
    paths = _paths(own, np.zeros((2, PARTS)), (None, None), (-1, -1))
    for pixels in (0.4, 3.0, 50.0):
        assert paths.at_speed(pixels, SIDE, SIDE).largest_motion(SIDE, SIDE) == pytest.approx(pixels, rel=0.04)
    assert paths.at_speed(0.0, SIDE, SIDE).largest_motion(SIDE, SIDE) == 0.0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_shape_has_an_inside_and_ends_before_its_border(kind: str) -> None:
    noise = np.random.default_rng(0).standard_normal((12, 64, 64)).astype(np.float32)
    for seed in range(3):
        shape = draw_shape(np.random.default_rng(seed), kind, 40.0, noise, torch.device("cpu"))
        field = shape.field[0, 0]
        assert field.max() > 0
        assert max(float(edge.max()) for edge in (field[0], field[-1], field[:, 0], field[:, -1])) <= -8.0
        assert (np.abs(shape.points) <= np.array(shape.half) + 1e-6).all()
