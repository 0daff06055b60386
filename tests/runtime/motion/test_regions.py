"""Label maps: what they promise, on maps small enough to read."""

from __future__ import annotations

from typing import List, Tuple

import pytest
import torch
from torch import Tensor

from kairos.motion.regions import at_cells, followed, numbered, partition, shared


def labels(rows: List[str]) -> Tensor:
    """A label map as it looks, a digit per pixel."""
    return torch.tensor([[int(digit) for digit in row] for row in rows], dtype=torch.int16)


def rows(map: Tensor) -> List[str]:
    return ["".join(str(number) for number in row) for row in map.tolist()]


def masks(*pictures: List[str]) -> Tensor:
    return torch.stack([labels(picture) > 0 for picture in pictures])


def test_masks_become_labels_in_their_order_and_the_rest_is_0() -> None:
    found = partition(masks(["1100", "0000"], ["0000", "0001"]))
    assert found.dtype is torch.int16
    assert rows(found) == ["1100", "0002"]


@pytest.mark.parametrize("first_is_smaller", [True, False])
def test_a_pixel_of_two_masks_goes_to_the_smaller(first_is_smaller: bool) -> None:
    thin, thick = ["0100", "0100"], ["1110", "1110"]
    if first_is_smaller:
        assert rows(partition(masks(thin, thick))) == ["2120", "2120"]
    else:
        assert rows(partition(masks(thick, thin))) == ["1210", "1210"]


def test_of_equally_large_masks_the_first_keeps_what_both_cover() -> None:
    assert rows(partition(masks(["110"], ["011"]))) == ["112"]
    assert rows(partition(masks(["011"], ["110"]))) == ["211"]


def test_no_mask_leaves_all_to_the_rest() -> None:
    assert rows(partition(torch.zeros(0, 2, 3, dtype=torch.bool))) == ["000", "000"]


def test_masks_that_are_no_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="bool"):
        partition(torch.zeros(1, 2, 2))


def test_a_cell_shows_what_most_of_its_pixels_show() -> None:
    map = labels(["1122", "1222", "0033", "0303"])
    assert rows(at_cells(map, (2, 2))) == ["12", "03"]


def test_a_tie_goes_to_the_smallest_label_that_is_not_0() -> None:
    assert rows(at_cells(labels(["0055", "5533"]), (1, 2))) == ["53"]
    assert rows(at_cells(labels(["0000", "0550"]), (1, 2))) == ["00"]
    assert rows(at_cells(labels(["01", "23"]), (1, 1))) == ["1"]


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (5, 7), (7, 11), (11, 13)], ids=str)
def test_cells_of_any_size_count_the_pixels_whose_centres_they_hold(size: Tuple[int, int]) -> None:
    map = torch.randint(0, 5, (11, 13), generator=torch.Generator().manual_seed(1)).to(torch.int16)
    found = at_cells(map, size)
    for row in range(size[0]):
        for column in range(size[1]):
            counts = [0] * 5
            for y in range(11):
                for x in range(13):
                    if int((y + 0.5) * size[0] / 11) == row and int((x + 0.5) * size[1] / 13) == column:
                        counts[map[y, x]] += 1
            assert sum(counts) >= 1
            best = max(counts)
            expected = next(label for label in (1, 2, 3, 4, 0) if counts[label] == best)
            assert found[row, column] == expected


def test_more_cells_than_pixels_repeat_them() -> None:
    assert rows(at_cells(labels(["12"]), (2, 4))) == ["1122", "1122"]
    # More rows, fewer columns.
    assert rows(at_cells(labels(["1133"]), (2, 2))) == ["13", "13"]


def test_a_map_at_its_own_size_is_a_copy() -> None:
    map = labels(["12", "03"])
    found = at_cells(map, (2, 2))
    found[0, 0] = 0
    assert rows(map) == ["12", "03"]


def test_labels_that_one_frame_lacks_become_the_rest_in_both() -> None:
    first, second = shared(labels(["0123"]), labels(["3014", "0000"]))
    assert rows(first) == ["0103"]
    assert rows(second) == ["3010", "0000"]


def test_a_frame_without_objects_shares_none() -> None:
    first, second = shared(labels(["0123"]), labels(["0000"]))
    assert rows(first) == rows(second) == ["0000"]


def test_labels_follow_the_motion_whole() -> None:
    # Everything moves two pixels right: the way back is two left. The left border comes from outside.
    back = torch.zeros(2, 1, 6)
    back[0] = -2.0
    assert rows(followed(labels(["120034"]), back)) == ["111200"]
    # Fractions go to the nearest pixel: numbers are never mixed.
    back[0] = -1.6
    assert rows(followed(labels(["150034"]), back)) == ["111500"]


def test_a_flow_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="follow"):
        followed(labels(["12"]), torch.zeros(2, 1, 3))


STILL = torch.zeros(2, 1, 8)


def test_numbers_are_kept_by_greatest_overlap() -> None:
    assert rows(numbered(labels(["11100222"]), STILL, labels(["22000111"]))) == ["11000222"]
    # Both of today's halves overlap yesterday's one: the larger overlap keeps the number, the other gets a free one.
    assert rows(numbered(labels(["11111000"]), STILL, labels(["22111000"]))) == ["22111000"]
    assert rows(numbered(labels(["11111000"]), STILL, labels(["11122000"]))) == ["11122000"]


def test_numbers_follow_the_motion() -> None:
    back = torch.zeros(2, 1, 8)
    back[0] = -4.0
    # Without the motion, the right object would lie on the left one's place.
    assert rows(numbered(labels(["00221100"]), back, labels(["00000011"]))) == ["00000022"]


def test_what_is_new_gets_a_number_that_nobody_had() -> None:
    assert rows(numbered(labels(["11000000"]), STILL, labels(["11000022"]))) == ["11000022"]
    assert rows(numbered(labels(["11000000"]), STILL, labels(["11000022"]), taken=5)) == ["11000066"]
    assert rows(numbered(labels(["00000000"]), STILL, labels(["11000000"]), taken=1)) == ["22000000"]


@pytest.mark.parametrize(
    "bad", [torch.zeros(2, 2), torch.zeros(1, 2, 2, dtype=torch.int16), labels(["00"]) - 1], ids=["float", "3-d", "-1"]
)
def test_what_is_no_label_map_is_refused(bad: Tensor) -> None:
    with pytest.raises(ValueError, match="label map"):
        at_cells(bad, (1, 1))
