"""Occlusion, hole filling, tiles, coarse planes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kairos.motion.coarse import Grid, coarse_grid, from_coarse, smooth_coarse, to_coarse
from kairos.motion.fill import fill_holes, fill_weighted
from kairos.motion.occlusion import clean_mask, confidence, consistency, occlusion
from kairos.motion.tiling import resize, resize_flow, tiled


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def crossing() -> tuple[torch.Tensor, torch.Tensor]:
    """A square of 10 px at columns 10..19 that moves 6 px right over still ground, there and back."""
    there, back = torch.zeros(2, 40, 50), torch.zeros(2, 40, 50)
    there[0, 15:25, 10:20] = 6
    back[0, 15:25, 16:26] = -6
    return there, back


def test_occlusion_is_the_ground_that_gets_covered() -> None:
    there, back = crossing()
    hidden = occlusion(consistency(there, back), there)
    expected = torch.zeros(1, 40, 50)
    expected[:, 15:25, 20:26] = 1
    assert torch.equal(hidden, expected)


def test_confidence_is_full_where_both_flows_agree_and_none_outside_the_frame() -> None:
    there, back = crossing()
    found = confidence(consistency(there, back), there)
    assert (found[0, 15:25, 10:20] == 1).all()
    assert (found[0, 15:25, 20:26] < 1e-6).all()
    away = torch.full((2, 8, 8), 20.0)
    assert not confidence(consistency(away, -away), away).any()


def test_cleaning_takes_specks_and_closes_pinholes() -> None:
    mask = torch.zeros(1, 20, 20)
    mask[:, 5:15, 5:15] = 1
    hurt = mask.clone()
    hurt[0, 2, 2], hurt[0, 10, 10] = 1, 0
    assert torch.equal(clean_mask(hurt)[0, 1:4, 1:4], torch.zeros(3, 3))
    assert clean_mask(hurt)[0, 10, 10] == 1


def test_the_median_is_that_of_nine_pixels() -> None:
    planes = noise(2, 17, 23)
    padded = F.pad(planes[None], (1, 1, 1, 1), mode="replicate")[0]
    taps = [padded[:, r : r + 17, c : c + 23] for r in range(3) for c in range(3)]
    assert torch.equal(clean_mask(planes), torch.stack(taps).median(0).values)


def test_holes_are_filled_smoothly_and_known_pixels_untouched() -> None:
    ramp = torch.arange(64.0).expand(1, 33, 64).contiguous()
    known = torch.ones(1, 33, 64, dtype=torch.bool)
    known[:, 10:20, 20:36] = False
    holed = torch.where(known, ramp, torch.nan)
    filled = fill_holes(holed, known)
    assert torch.equal(filled[known], ramp[known])
    assert (filled - ramp).abs().max() < 8
    assert filled.min() >= 0 and filled.max() <= 63
    assert not fill_holes(holed, torch.zeros_like(known)).any()


def test_full_weight_keeps_a_pixel_exactly() -> None:
    planes = noise(2, 31, 45)
    weight = noise(1, 31, 45, seed=1)
    weight[weight > 0.5] = 1.0
    kept = (weight == 1).expand(2, -1, -1)
    assert torch.equal(fill_weighted(planes, weight)[kept], planes[kept])


@pytest.mark.parametrize("tile", [7, 16, 100])
def test_tiles_with_a_halo_equal_the_whole(tile: int) -> None:
    planes = noise(3, 45, 61)

    def local(part: torch.Tensor) -> torch.Tensor:
        padded = F.pad(part[None], (3, 3, 3, 3), mode="replicate")
        return F.max_pool2d(padded, 7, 1)[0]

    assert torch.equal(tiled(local, planes, tile, 3), local(planes))
    if tile < 45:
        assert not torch.equal(tiled(local, planes, tile, 0), local(planes))


def test_a_resized_flow_still_points_to_the_same_place() -> None:
    flow = torch.ones(2, 40, 60) * torch.tensor([6.0, -4.0])[:, None, None]
    small = resize_flow(flow, 20, 15)
    assert torch.allclose(small, torch.tensor([1.5, -2.0])[:, None, None].expand(2, 20, 15))
    assert torch.allclose(resize_flow(small, 40, 60), flow)


@pytest.mark.parametrize("grid", [Grid(0, 0), Grid(0, 1), Grid(1, 0), Grid(1, 1)])
def test_repeated_samples_are_recognised_with_their_grid(grid: Grid) -> None:
    small = noise(1, 21, 26)
    plane = from_coarse(small, grid, (40, 50))[0]
    assert coarse_grid(plane) == grid
    assert torch.equal(from_coarse(to_coarse(plane[None], grid), grid, (40, 50))[0], plane)
    # The smoothed plane has no blocks left.
    assert coarse_grid(smooth_coarse(plane[None])[0]) is None


def test_ordinary_flat_and_plain_planes_are_not_coarse() -> None:
    assert coarse_grid(noise(40, 50)) is None
    assert coarse_grid(torch.zeros(40, 50)) is None
    shape = torch.zeros(40, 50)
    shape[10:20, 10:20] = 1
    assert coarse_grid(shape) is None
    assert coarse_grid(noise(20, 25).repeat_interleave(4, 0).repeat_interleave(4, 1)) is None
    assert coarse_grid(noise(20, 50).repeat_interleave(2, 0)) is None


@pytest.mark.parametrize("size", [(80, 120), (61, 97)])
def test_enlarging_keeps_pixel_centres(size: tuple[int, int]) -> None:
    planes = noise(2, 40, 60)
    expected = F.interpolate(planes[None], size, mode="bilinear", align_corners=False)[0]
    # torch finds its places in float32: off by about 60 * 2^-23 pixels.
    assert torch.allclose(resize(planes, *size), expected, atol=2e-5)
