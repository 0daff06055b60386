"""Backward warping."""

from __future__ import annotations

import pytest
import torch

from kairos.motion.warp import FILTERS, backward_warp, warp_unmixed


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("filter", FILTERS)
def test_a_still_pixel_passes_bit_identical_beside_moving_ones(filter: str) -> None:
    planes = noise(3, 30, 40) * 1000
    planes[:, 4, 4] = -0.0
    flow = noise(2, 30, 40, seed=1) * 5
    flow[:, :, :20] = 0
    moved = backward_warp(planes, flow, filter)
    assert torch.equal(
        moved[:, :, :20].contiguous().view(torch.int32), planes[:, :, :20].contiguous().view(torch.int32)
    )
    assert not torch.equal(moved[:, :, 20:], planes[:, :, 20:])


@pytest.mark.parametrize("filter", FILTERS)
def test_whole_pixel_moves_are_exact(filter: str) -> None:
    planes = noise(2, 30, 5000)
    flow = torch.zeros(2, 30, 5000)
    flow[0], flow[1] = 3, -2
    moved = backward_warp(planes, flow, filter)
    assert torch.equal(moved[:, 2:, :-3], planes[:, :-2, 3:])


@pytest.mark.parametrize("filter", FILTERS)
def test_borders_repeat_and_broken_vectors_do_no_harm(filter: str) -> None:
    planes = noise(1, 12, 12)
    flow = torch.full((2, 12, 12), 1e9)
    flow[:, 0, 0] = torch.nan
    moved = backward_warp(planes, flow, filter)
    assert torch.allclose(moved[0, 1:], planes[0, -1, -1].expand(11, 12))
    assert moved.isfinite().all()


@pytest.mark.parametrize("filter", ["cubic", "lanczos"])
def test_clamped_filters_stay_in_the_range_of_their_source_pixels(filter: str) -> None:
    planes = torch.zeros(1, 20, 40)
    planes[:, :, 20:] = 5000.0
    flow = torch.full((2, 20, 40), 0.4)
    moved = backward_warp(planes, flow, filter)
    assert moved.min() == 0.0
    assert moved.max() == 5000.0
    assert backward_warp(planes, flow, filter, clamp=False).min() < -1.0


def test_the_range_is_that_of_the_filters_own_pixels_and_no_others() -> None:
    # The 4 by 4 pixels under a cubic at column 10.5 are columns 9..12: a value at column 13 must not widen its range.
    planes = torch.tensor([0.0] * 10 + [1.0, 1.0, 0.0, -50.0] + [0.0] * 6).expand(1, 8, 20).contiguous()
    flow = torch.zeros(2, 8, 20)
    flow[0] = 0.5
    assert backward_warp(planes, flow, "cubic")[0, 4, 10] == 1.0


def test_a_linear_ramp_is_moved_exactly_by_every_interpolating_filter() -> None:
    ramp = torch.arange(64.0).expand(1, 32, 64).contiguous()
    flow = torch.full((2, 32, 64), 0.3)
    for filter in ("bilinear", "cubic"):
        moved = backward_warp(ramp, flow, filter)
        assert torch.allclose(moved[:, :, 4:-4], ramp[:, :, 4:-4] + 0.3, atol=1e-5), filter


def test_half_precision_planes_keep_float32_coordinates() -> None:
    # Half floats around 3000.25 are 2 apart: the fraction would be lost in a half-precision coordinate.
    ramp = ((torch.arange(4096.0) - 3000) / 8).expand(1, 4, 4096).contiguous()
    flow = torch.zeros(2, 4, 4096)
    flow[0] = 0.25
    moved = backward_warp(ramp.half(), flow, "bilinear")
    assert moved.dtype == torch.float16
    assert abs(float(moved[0, 1, 3000]) - 0.03125) < 1e-3


def test_chunks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    planes, flow = noise(3, 50, 60), noise(2, 50, 60, seed=1) * 9
    whole = {filter: backward_warp(planes, flow, filter) for filter in FILTERS}
    monkeypatch.setattr("kairos.motion.warp.CHUNK_PIXELS", 7 * 60)
    for filter in FILTERS:
        assert torch.equal(backward_warp(planes, flow, filter), whole[filter]), filter


def test_unmixed_warp_is_smooth_on_a_slope_and_takes_one_side_at_an_edge() -> None:
    depth = torch.arange(60.0).expand(1, 30, 60) * 0.01 + 1.0
    depth = torch.where(torch.arange(60) >= 30, depth + 9.0, depth).contiguous()
    flow = torch.full((2, 30, 60), 0.37)
    moved = warp_unmixed(depth, flow)
    assert torch.allclose(moved[:, 5:-5, 5:24], depth[:, 5:-5, 5:24] + 0.0037, atol=1e-5)
    assert not ((moved > 2.0) & (moved < 10.0)).any()


def test_an_unknown_filter_and_clashing_sizes_are_named() -> None:
    with pytest.raises(ValueError, match="gauss"):
        backward_warp(noise(1, 4, 4), noise(2, 4, 4), "gauss")
    with pytest.raises(ValueError, match="differ in size"):
        backward_warp(noise(1, 4, 4), noise(2, 4, 5))
