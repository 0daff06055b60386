"""Motion segmentation: on motion that is written down, on made scenes with their truth, and on real clips."""

from __future__ import annotations

from typing import Tuple

import numpy as np
import pytest
import torch
from torch import Tensor

from kairos.engines.hierarchical.masks.parametric import Vectors, noise
from kairos.engines.hierarchical.masks.segment import Settings, moving_apart

HEIGHT, WIDTH = 96, 128
Box = Tuple[int, int, int, int]


def camera(zoom: float = 0.0, pan: Tuple[float, float] = (0.0, 0.0)) -> Tensor:
    """(2, H, W) of an even move."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) - 47.5, torch.arange(WIDTH) - 63.5, indexing="ij")
    return torch.stack([pan[0] + zoom * x, pan[1] + zoom * y])


def boxes_over(ground: Tuple[float, float], *moves: Tuple[Box, Tuple[float, float]]) -> Tuple[Tensor, Tensor, Tensor]:
    """Boxes (top, bottom, left, right in the first frame) that move over a ground: both flows, and the boxes' label map
    in the first frame.
    """
    there, back = camera(pan=ground), camera(pan=(-ground[0], -ground[1]))
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.int16)
    for number, ((top, bottom, left, right), (x, y)) in enumerate(moves, 1):
        there[:, top:bottom, left:right] = torch.tensor([x, y])[:, None, None]
        back[:, top + int(y) : bottom + int(y), left + int(x) : right + int(x)] = -torch.tensor([x, y])[:, None, None]
        labels[top:bottom, left:right] = number
    return there, back, labels


def iou(a: Tensor, b: Tensor) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    "flow",
    [camera(), camera(pan=(7.0, -3.0)), camera(zoom=0.05), camera(zoom=-0.03, pan=(2.0, 20.0))],
    ids=["still", "pan", "zoom", "both"],
)
def test_a_still_or_evenly_moving_shot_is_one_region(flow: Tensor) -> None:
    # To first order, the way back of an even move is its opposite; the rest is under the slack.
    first, second = moving_apart(flow, -flow)
    assert first.shape == second.shape == (HEIGHT, WIDTH) and first.dtype is torch.int16
    assert not first.any() and not second.any()


@pytest.mark.parametrize("ground", [(0.0, 0.0), (6.0, -2.0)], ids=str)
def test_things_that_move_apart_are_found_in_both_frames_the_largest_first(ground: Tuple[float, float]) -> None:
    there, back, truth = boxes_over(ground, ((10, 50, 10, 60), (14.0, 6.0)), ((60, 84, 84, 112), (-8.0, 3.0)))
    first, second = moving_apart(there, back)
    assert first.unique().tolist() == second.unique().tolist() == [0, 1, 2]
    for number in (1, 2):
        assert iou(first == number, truth == number) > 0.9
        moved = torch.roll(truth == number, ((6, 14), (3, -8))[number - 1], (0, 1))
        assert iou(second == number, moved) > 0.85


def test_the_answer_is_the_same_every_time() -> None:
    there, back, _ = boxes_over((3.0, 0.0), ((10, 50, 10, 60), (14.0, 6.0)))
    assert all(torch.equal(a, b) for a, b in zip(moving_apart(there, back), moving_apart(there, back)))


def test_things_of_equal_motion_are_two_where_they_lie_apart() -> None:
    there, back, truth = boxes_over((0.0, 0.0), ((10, 40, 10, 50), (9.0, 4.0)), ((50, 74, 80, 110), (9.0, 4.0)))
    first, second = moving_apart(there, back)
    assert first.unique().tolist() == second.unique().tolist() == [0, 1, 2]
    assert iou(first == 2, truth == 2) > 0.9


def test_a_limb_that_bends_belongs_to_its_body() -> None:
    there, back, truth = boxes_over((0.0, 0.0), ((20, 60, 20, 60), (10.0, 0.0)))
    # A limb that turns about its end at the body's right side: there both move alike.
    turn = torch.zeros(2, HEIGHT, WIDTH)
    turn[0], turn[1] = 10.0, 0.4 * (torch.arange(WIDTH) - 60.0)
    there[:, 30:48, 60:84] = turn[:, 30:48, 60:84]
    for column in range(60, 84):
        down = round(0.4 * (column - 60))
        back[0, 30 + down : 48 + down, column + 10] = -10.0
        back[1, 30 + down : 48 + down, column + 10] = -0.4 * (column - 60)
    truth[30:48, 60:84] = 1
    first, _ = moving_apart(there, back)
    assert int(first.max()) == 1
    assert iou(first == 1, truth == 1) > 0.9


def test_no_more_objects_than_asked_for_the_largest_of_all() -> None:
    moves = [((4 + 24 * row, 20 + 24 * row, 8, 24 + 4 * row), (9.0, 1.0 + 5.0 * (row % 2))) for row in range(3)]
    there, back, truth = boxes_over((0.0, 0.0), *moves)
    first, second = moving_apart(there, back, Settings(objects=1))
    assert first.unique().tolist() == second.unique().tolist() == [0, 1]
    assert iou(first == 1, truth == 3) > 0.8


def test_broken_vectors_do_no_harm() -> None:
    there, back, truth = boxes_over((0.0, 0.0), ((20, 60, 20, 70), (10.0, 0.0)))
    there[:, 5, 5], back[:, 90, 100] = float("nan"), float("inf")
    first, _ = moving_apart(there, back)
    assert iou(first == 1, truth == 1) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (16, 24)], ids=str)
def test_small_frames_are_answered(size: Tuple[int, int]) -> None:
    first, second = moving_apart(torch.ones(2, *size), -torch.ones(2, *size))
    assert first.shape == second.shape == size


def test_flows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="flows"):
        moving_apart(torch.zeros(2, 4, 4), torch.zeros(2, 4, 5))


def test_ground_in_perspective_is_one_region() -> None:
    # A plane that comes near: what is low in the frame goes furthest, by a homography of up to 20 pixels.
    y, x = torch.meshgrid(torch.arange(HEIGHT) / HEIGHT, torch.arange(WIDTH) - 63.5, indexing="ij")
    near = 0.25 * y**2
    there = torch.stack([near * x, near * 80])
    first, second = moving_apart(there, -there)
    assert not first.any() and not second.any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noise_is_no_object(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    patches = torch.nn.functional.interpolate(
        torch.randn(1, 2, HEIGHT // 8, WIDTH // 8, generator=random), (HEIGHT, WIDTH), mode="bilinear"
    )[0]
    flow = camera(pan=(5.0, 0.0)) + 3.0 * patches
    first, second = moving_apart(flow, -flow)
    assert not first.any() and not second.any()


def test_touching_parts_that_differ_less_than_both_leave_the_rest_are_one_thing() -> None:
    there, back, truth = boxes_over((0.0, 0.0), ((20, 60, 20, 50), (16.0, 0.0)), ((20, 60, 50, 80), (20.0, 6.0)))
    first, _ = moving_apart(there, back)
    assert int(first.max()) == 1 and iou(first == 1, truth > 0) > 0.85
    there, back, truth = boxes_over((0.0, 0.0), ((20, 60, 20, 50), (10.0, 0.0)), ((20, 60, 50, 80), (-10.0, 0.0)))
    assert int(moving_apart(there, back)[0].max()) == 2, "two that part stay two"


def test_noise_of_vectors_is_what_no_smooth_motion_explains_and_an_edge_is_none() -> None:
    y, x = (plane.astype(np.float32) for plane in np.mgrid[-1:1:64j, -1:1:96j])
    flat = np.ones_like(x)
    steps = np.where(x < 0, 3 + 2 * x - y, -9 * flat).astype(np.float32)
    assert noise(Vectors(x, y, steps, 0 * x, flat, flat), 8).max() < 0.02
    rough = np.random.default_rng(1).normal(0, 2, (2, *x.shape)).astype(np.float32)
    # Two axes of deviation 2 each; the calmest block has less.
    assert 1.5 < float(np.median(noise(Vectors(x, y, *rough, flat, flat), 8))) < 2 * 2**0.5
