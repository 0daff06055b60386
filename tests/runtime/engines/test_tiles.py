"""Tiles of a network's grid: what is worked out in parts is what is worked out at once."""

from __future__ import annotations

from typing import List

import pytest
import torch
from torch import Tensor, nn

from kairos.engines.fetching import warp
from kairos.engines.tiles import WHOLE, Part, cells, in_tiles, warp_part


def planes(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("tile", [32, 40, 64, 200])
@pytest.mark.parametrize("height, width", [(64, 96), (33, 130), (100, 20)])
def test_a_convolution_that_sees_no_further_than_the_halo_is_that_of_the_whole(
    height: int, width: int, tile: int
) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(2, 4, 3, 1, 1), nn.Conv2d(4, 3, 5, 1, 2), nn.ConvTranspose2d(3, 2, 4, 2, 1))
    given = planes(1, 2, height, width)
    with torch.no_grad():
        wanted = network(given)
        found = in_tiles(lambda part: network(part.of(given)), (height, width), tile, 4, grown=2)
        short = in_tiles(lambda part: network(part.of(given)), (height, width), tile, 2, grown=2)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert max(height, width) <= tile or not torch.allclose(short, wanted, atol=1e-3)


def test_parts_begin_and_end_where_coarser_cells_do() -> None:
    seen: List[Part] = []

    def work(part: Part) -> Tensor:
        seen.append(part)
        return torch.zeros(1, 1, part.rows.stop - part.rows.start, part.columns.stop - part.columns.start)  # type: ignore[union-attr]

    in_tiles(work, (96, 160), 50, 10, 16)
    ends = [end for part in seen for span in (part.rows, part.columns) if span for end in (span.start, span.stop)]
    assert len(seen) == 2 * 3 and all(end % 16 == 0 for end in ends)
    assert seen[0].finer(2).coarser(2) == seen[0] and WHOLE.finer(4) == WHOLE.coarser(4) == WHOLE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_part_of_what_a_flow_fetches_is_fetched_from_the_whole(dtype: torch.dtype) -> None:
    given, flow = planes(1, 3, 60, 80).to(dtype), 40 * planes(1, 2, 60, 80)
    part = Part(slice(10, 40), slice(30, 80))
    found = warp_part(given, part.of(flow), part)
    assert found.dtype == dtype and torch.allclose(
        found, part.of(warp(given, flow)), atol=1e-4 if dtype is torch.float32 else 2e-3
    )


def test_a_tile_is_so_many_pixels_of_the_frame() -> None:
    assert cells(None, 2) is None and cells(256, 2) == 128 and cells(64, 4) == 32
