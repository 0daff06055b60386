"""Small highlights move whole and are trusted whole."""

from __future__ import annotations

import math
import time
from typing import Tuple

import torch
from torch import Tensor

from kairos.engines.inbetween.spots import moved_whole, trusted_whole
from support.generated import blurred


def lamp(*places: Tuple[int, int], side: int = 7, soft: float = 0.0) -> Tensor:
    """(1, 60, 90) grey with lamps, by left and top."""
    plane = torch.full((1, 60, 90), 0.4)
    for left, top in places:
        plane[:, top : top + side, left : left + side] = 1.0
    return blurred(plane, soft)


NONE = torch.zeros(2, 60, 90)


def test_a_lamp_moves_by_the_way_of_its_middle_also_out_of_focus() -> None:
    flow = moved_whole(NONE, lamp((20, 20), soft=1.0), lamp((24, 21)))
    assert (flow[:, 20:27, 20:27] - torch.tensor([4.0, 1.0])[:, None, None]).abs().max() < 0.15
    assert not flow[:, :15].any() and not flow[:, :, 40:].any()


def test_a_lamp_that_may_be_either_of_two_stays_as_it_was_found() -> None:
    assert torch.equal(moved_whole(NONE, lamp((40, 20)), lamp((34, 20), (46, 20))), NONE)


def test_what_is_too_far_or_of_another_size_is_another_lamp() -> None:
    assert torch.equal(moved_whole(NONE, lamp((20, 20)), lamp((60, 20))), NONE)
    assert torch.equal(moved_whole(NONE, lamp((20, 20), side=5), lamp((17, 17), side=12)), NONE)


def test_a_lamp_at_the_edge_is_not_moved_by_what_is_seen_of_it() -> None:
    assert torch.equal(moved_whole(NONE, lamp((0, 20)), lamp((4, 20))), NONE)


def test_a_lamp_is_trusted_whole_or_not_at_all() -> None:
    trust = torch.full((1, 60, 90), 0.3)
    trust[:, :, :22] = 0.0
    trust[:, :, 22:30] = 0.9
    told = trusted_whole(trust, lamp((20, 20)))
    assert (told[:, 20:27, 20:27] == 0.9).all()
    assert torch.equal(told[:, :, 50:], trust[:, :, 50:])


def test_a_city_at_night_takes_time_by_its_lamps_and_not_by_their_square() -> None:
    """Four times the lamps: four times the time if each is looked at once, sixteen if each is held against all."""
    cities = []
    for apart in (20, 10):
        plane = torch.full((1, 450, 800), 0.4)
        rows, columns = (torch.arange(side) % apart < 5 for side in plane.shape[1:])
        plane[0, rows[:, None] & columns] = 1.0
        cities.append((apart, plane, plane.roll(1, 2)))
    quickest = [math.inf, math.inf]
    # In turn, so that both see the machine as it is; what it does besides only adds.
    for _ in range(3):
        for number, (apart, plane, moved) in enumerate(cities):
            began = time.process_time()
            flow = moved_whole(torch.zeros(2, *plane.shape[1:]), plane, moved)
            quickest[number] = min(quickest[number], time.process_time() - began)
            assert float(flow[0, apart + 2, apart + 2]) == 1.0
    assert quickest[1] < 9 * quickest[0]
