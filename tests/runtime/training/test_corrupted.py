"""Harm done to label maps: each kind by itself, seeded, and never more than asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import List

import pytest
import torch
from torch import Tensor

from kairos.training.corrupted import Harm, corrupted

NONE = Harm(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def map_of_three() -> Tensor:
    """Squares numbered 2, 3 and 5 on a frame of 100 by 120."""
    labels = torch.zeros(100, 120, dtype=torch.int16)
    labels[20:40, 10:30], labels[20:40, 40:60], labels[60:90, 70:110] = 2, 3, 5
    return labels


def many(harm: Harm, times: int = 60) -> List[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [corrupted(map_of_three(), generator, harm) for _ in range(times)]


def numbers(labels: Tensor) -> List[int]:
    return [number for number in labels.unique().tolist() if number]


def test_without_harm_the_map_is_a_copy() -> None:
    labels = map_of_three()
    found = corrupted(labels, torch.Generator().manual_seed(0), NONE)
    assert torch.equal(found, labels) and found.dtype is torch.int16
    assert found.data_ptr() != labels.data_ptr()


def test_the_same_seed_does_the_same_harm_and_another_seed_another() -> None:
    assert all(torch.equal(a, b) for a, b in zip(many(Harm()), many(Harm())))
    found = many(Harm())
    assert not all(torch.equal(found[0], each) for each in found)


def test_a_whole_map_is_lost_as_often_as_asked_for() -> None:
    lost = sum(not each.any() for each in many(replace(NONE, empty=0.25), 200))
    # Binomial: 50 expected, deviation 6.1.
    assert 30 <= lost <= 70
    assert not any(each.any() for each in many(replace(NONE, empty=1.0), 5))


def test_objects_are_missing_one_by_one() -> None:
    found = [numbers(each) for each in many(replace(NONE, missing=0.5))]
    assert {tuple(each) for each in found} >= {(), (2,), (3, 5), (2, 3, 5)}
    assert not many(replace(NONE, missing=1.0), 1)[0].any()


def test_two_objects_merge_and_lose_no_pixel() -> None:
    found = many(replace(NONE, merged=1.0))
    assert all(len(numbers(each)) == 2 for each in found)
    assert all(torch.equal(each > 0, map_of_three() > 0) for each in found)
    assert len({tuple(numbers(each)) for each in found}) == 3


def test_erosion_stays_inside_and_growth_outside_by_no_more_than_the_rim() -> None:
    truth = map_of_three() > 0
    for each in many(replace(NONE, eroded=1.0, rim=0.04)):
        assert not (each[~truth] > 0).any()
        # A rim of at most 4 pixels leaves the inside.
        assert bool((each[24:36, 14:26] == 2).all())
        assert int((each > 0).sum()) < int(truth.sum())
    for each in many(replace(NONE, grown=1.0, rim=0.04)):
        assert bool((each[truth] > 0).all())
        assert not each[0:16].any() and not each[95:].any()
        assert int((each > 0).sum()) > int(truth.sum())


def test_shifted_objects_keep_their_shape_and_stay_near() -> None:
    found = many(replace(NONE, shifted=1.0, shift=0.05))
    for each in found:
        rows, columns = (each == 2).nonzero().T
        assert int((each == 2).sum()) == 400
        assert 15 <= int(rows.min()) <= 25 and 5 <= int(columns.min()) <= 15
    assert len({tuple((each == 2).nonzero()[0].tolist()) for each in found}) > 10


def test_where_grown_objects_meet_the_smaller_shows() -> None:
    labels = torch.zeros(40, 40, dtype=torch.int16)
    labels[10:30, 0:20], labels[15:25, 22:30] = 1, 2
    for seed in range(20):
        found = corrupted(labels, torch.Generator().manual_seed(seed), replace(NONE, grown=1.0, rim=0.1))
        assert bool((found[15:25, 22:30] == 2).all())


def test_a_map_without_objects_stays_so() -> None:
    assert not corrupted(torch.zeros(8, 8, dtype=torch.int16), torch.Generator()).any()


def test_harm_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="missing"):
        Harm(missing=1.5)
    with pytest.raises(ValueError, match="together"):
        Harm(eroded=0.6, grown=0.6)
    with pytest.raises(ValueError, match="label map"):
        corrupted(torch.zeros(4, 4), torch.Generator())
