"""Label maps at cells: the compiled kernels answer as torch does."""

from __future__ import annotations

from typing import Tuple

import pytest
import torch

from kairos.engines.hierarchical import cells
from kairos.engines.hierarchical.cells import both_at_cells
from kairos.motion import fast


@pytest.mark.parametrize(
    ("pixels", "size"),
    [
        ((7, 9), (3, 4)),
        ((33, 47), (5, 6)),
        ((64, 96), (4, 6)),
        ((5, 5), (5, 5)),
        ((1, 1), (1, 1)),
        ((100, 57), (13, 11)),
    ],
)
@pytest.mark.parametrize("shown", ["all", "nothing in one", "others in one", "high numbers"])
def test_labels_at_cells_are_the_same_without_kernels(
    pixels: Tuple[int, int], size: Tuple[int, int], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = torch.Generator().manual_seed(sum(pixels))
    one, two = (torch.randint(0, 4, pixels, generator=draw).short() for _ in range(2))
    if shown == "nothing in one":
        one = one * 0
    elif shown == "others in one":
        two[: pixels[0] // 2] = 5
    elif shown == "high numbers":
        one, two = one * 10000, two * 10000
    assert cells._at_cells(one, two, size) is not None
    found = both_at_cells(one, two, size)
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    assert cells._at_cells(one, two, size) is None
    wanted = both_at_cells(one, two, size)
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[1], wanted[1])


def test_more_cells_than_pixels_and_maps_that_are_none_are_torchs() -> None:
    labels = torch.ones(3, 4, dtype=torch.int16)
    assert cells._at_cells(labels, labels, (6, 4)) is None
    assert both_at_cells(labels, labels, (6, 4))[0].shape == (1, 6, 4)
    with pytest.raises(ValueError):
        both_at_cells(-labels, labels, (1, 1))
    with pytest.raises(ValueError):
        both_at_cells(labels.float(), labels.float(), (1, 1))
