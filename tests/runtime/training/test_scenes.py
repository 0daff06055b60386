"""Scenes are the same whenever they are asked for, and what they say about themselves is true."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from kairos.training.scenes import SceneBatch, Scenes, Switches, contact_sheet, textures
from kairos.training.scenes.plan import draw_speed

SIZE = 128
PLAIN = Switches(photographs=False, films=False, shadows=False, shutter=False, grain=False, brightness=False)
DIRECTIONS = {"01": (0, 2), "10": (2, 0), "t0": (1, 0), "t1": (1, 2)}
"""Which of the three frames a flow starts from, and which it leads to."""


@pytest.fixture(scope="module")
def plain() -> Scenes:
    # Without scikit-image: scenes without photographs are made of procedural textures alone.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "skimage", None)
        return Scenes(5, SIZE, SIZE, switches=PLAIN)


@pytest.fixture(scope="module")
def plain_batch(plain: Scenes) -> SceneBatch:
    return plain.batch(0, 24)


@pytest.fixture(scope="module")
def full(plain: Scenes) -> Scenes:
    return Scenes(5, SIZE, SIZE, switches=Switches(photographs=False), context=True)


@pytest.fixture(scope="module")
def full_batch(full: Scenes) -> SceneBatch:
    return full.batch(0, 24)


def _sampled(image: Tensor, flow: Tensor, mode: str) -> Tensor:
    height, width = image.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = columns + flow[:, 0], rows + flow[:, 1]
    grid = torch.stack((x * 2 / (width - 1) - 1, y * 2 / (height - 1) - 1), -1)
    return functional.grid_sample(image, grid, mode, "border", align_corners=True)


def _lands_inside(flow: Tensor, margin: float) -> Tensor:
    """(B, 1, H, W) where a flow leads to a pixel of the frame, a margin inside."""
    height, width = flow.shape[-2:]
    x, y = torch.arange(width) + flow[:, :1], torch.arange(height)[:, None] + flow[:, 1:]
    return (x >= margin) & (x <= width - 1 - margin) & (y >= margin) & (y <= height - 1 - margin)


@pytest.mark.slow
@pytest.mark.parametrize("way", DIRECTIONS)
def test_warping_a_frame_by_its_flow_rebuilds_the_other_where_it_is_visible(plain_batch: SceneBatch, way: str) -> None:
    start, end = DIRECTIONS[way]
    flow, seen = getattr(plain_batch, f"flow_{way}"), getattr(plain_batch, f"visible_{way}")
    target = plain_batch.frames[:, start]
    rebuilt = _sampled(plain_batch.frames[:, end], flow, "bicubic")
    trusted = (seen > 0.99) & (plain_batch.valid[:, start] > 0.5)
    moving = flow.norm(dim=1, keepdim=True) > 1.0
    both = (trusted & moving).expand_as(target)
    error = (rebuilt - target).abs()[both].mean()
    still = (plain_batch.frames[:, end] - target).abs()[both].mean()
    # Interpolating a frame that is itself interpolated costs a little of its finest detail, and edges share pixels.
    assert error < 0.006
    assert still > 8 * error
    # The motion is right to a fraction of a pixel: off by one, the error is a multiple.
    for shift in ((1.0, 0.0), (0.0, 1.0)):
        off = _sampled(plain_batch.frames[:, end], flow + torch.tensor(shift)[None, :, None, None], "bicubic")
        assert (off - target).abs()[both].mean() > 2.5 * error


@pytest.mark.parametrize("way", DIRECTIONS)
def test_a_visible_point_belongs_to_the_same_layer_in_the_other_frame(plain_batch: SceneBatch, way: str) -> None:
    start, end = DIRECTIONS[way]
    flow, seen = getattr(plain_batch, f"flow_{way}"), getattr(plain_batch, f"visible_{way}")
    # Every layer has its own place in depth, also the limbs of one object.
    found = _sampled(plain_batch.depth[:, end].float(), flow, "nearest").round().long()
    same = found == plain_batch.depth[:, start]
    # Nearest sampling slips by half a pixel at outlines, which wires and lattices are made of.
    assert same[seen > 0.99].float().mean() > 0.985
    hidden = (seen < 0.01) & _lands_inside(flow, 1.0)
    assert hidden.any()
    assert same[hidden].float().mean() < 0.1


def test_hidden_points_are_those_that_do_not_come_back(plain_batch: SceneBatch) -> None:
    """From a visible point of 0 the flow at its place in 1 leads home, from a hidden one it does not."""
    back = _sampled(plain_batch.flow_10, plain_batch.flow_01, "bilinear")
    miss = (plain_batch.flow_01 + back).norm(dim=1, keepdim=True)
    seen = plain_batch.visible_01
    assert (miss[seen > 0.99] < 0.1).float().mean() > 0.97
    covered = (seen < 0.01) & _lands_inside(plain_batch.flow_01, 0.0)
    assert covered.float().mean() > 0.005
    assert (miss[covered] > 0.5).float().mean() > 0.75
    assert (seen[~_lands_inside(plain_batch.flow_01, -0.51)] == 0).all()


def test_a_scene_is_the_same_in_any_batch(full: Scenes, full_batch: SceneBatch) -> None:
    again = Scenes(5, SIZE, SIZE, switches=Switches(photographs=False), context=True)
    for batch, first in ((again.batch(11, 1), 11), (again.batch(3, 2), 3), (full.batch(20, 4), 20)):
        for name, value in vars(batch).items():
            assert torch.equal(value, getattr(full_batch, name)[first : first + len(value)]), name


def test_other_seeds_and_numbers_give_other_scenes(full: Scenes, full_batch: SceneBatch) -> None:
    assert not torch.equal(full_batch.frames[0], full_batch.frames[1])
    assert len({round(float(frame.mean()), 5) for frame in full_batch.frames}) == len(full_batch.frames)


def test_a_frame_can_be_rendered_at_any_time(full: Scenes, full_batch: SceneBatch) -> None:
    time = float(full.scene(6).time)
    times = full.render(6, (0.0, time, 1.0, -1.0, 2.0, 0.123))
    assert torch.equal(times[:3], full_batch.frames[6])
    assert full_batch.context is not None
    assert torch.equal(times[3:5], full_batch.context[6])
    assert torch.isfinite(times).all()


def test_switches_leave_the_rest_of_a_scene_as_it_is(plain_batch: SceneBatch, full_batch: SceneBatch) -> None:
    assert torch.equal(plain_batch.ids, full_batch.ids)
    assert torch.equal(plain_batch.time, full_batch.time)
    assert torch.equal(plain_batch.flow_t1, full_batch.flow_t1)
    assert not torch.equal(plain_batch.frames, full_batch.frames)


def test_values_are_an_encoded_picture_with_highlights_above_white(full_batch: SceneBatch) -> None:
    frames = full_batch.frames
    assert frames.isfinite().all()
    assert 0.15 < float(frames.median()) < 0.7
    assert float((frames > 1.2).float().mean()) < 0.02
    assert float(frames.max()) > 1.3
    assert float(frames.min()) == pytest.approx(-0.1, abs=0.099)


def test_grain_is_another_in_every_frame(full: Scenes, plain: Scenes) -> None:
    index = next(k for k in range(200) if full.scene(k).finish.grain > 0.01)
    noisy = full.render(index, (0.5, 0.6))
    clean = Scenes(5, SIZE, SIZE, switches=Switches(photographs=False, grain=False)).render(index, (0.5, 0.6))
    one, other = (noisy - clean).reshape(2, -1)
    assert abs(float(one.std()) / full.scene(index).finish.grain - 1.0) < 0.1
    assert abs(float(torch.corrcoef(torch.stack((one, other)))[0, 1])) < 0.05


def test_mixtures_are_marked(full: Scenes, full_batch: SceneBatch, plain_batch: SceneBatch) -> None:
    filmed = [k for k in range(24) if {1, 2} & {layer.kind for layer in full.scene(k).layers}]
    assert filmed
    assert (full_batch.valid <= plain_batch.valid).float().mean() > 0.999
    assert full_batch.valid[filmed].mean() < plain_batch.valid[filmed].mean() - 0.02
    assert plain_batch.valid.mean() > 0.95


def test_the_background_is_object_0_and_farthest(full_batch: SceneBatch) -> None:
    for ids, depth in zip(full_batch.ids, full_batch.depth):
        assert ids.min() >= 0 and depth.min() >= 0
        if (ids == 0).any() and (ids > 0).any():
            assert depth[ids == 0].min() > depth[ids > 0].max()
    assert full_batch.ids.amax(dim=(1, 2, 3, 4)).gt(0).float().mean() > 0.8


def test_motion_is_spread_from_below_a_pixel_to_the_reach() -> None:
    rng = np.random.default_rng(0)
    speeds = np.array([draw_speed(rng, 115.0)[1] for _ in range(4000)])
    # A quarter up to 4 pixels, three tenths from 4 to 20, the rest to the reach; standing still is among the first.
    assert abs(float((speeds <= 4.0).mean()) - 0.25) < 0.03
    assert abs(float(((speeds > 4.0) & (speeds <= 20.0)).mean()) - 0.30) < 0.03
    assert float(speeds.max()) <= 115.0
    assert float((speeds == 0.0).mean()) == pytest.approx(0.02, abs=0.01)


def test_a_scene_moves_as_fast_as_it_was_asked_to(plain: Scenes, plain_batch: SceneBatch) -> None:
    asked = np.array([plain.scene(k).speed for k in range(24)])
    found = plain_batch.flow_01.norm(dim=1).amax(dim=(1, 2)).numpy()
    moving = asked > 0.0
    ratio = found[moving] / asked[moving]
    # What is measured are some points of each layer, of which others can be in front.
    assert float(np.median(ratio)) == pytest.approx(1.0, abs=0.15)
    assert float(ratio.max()) < 2.5
    assert float((found[~moving]).sum()) < 1e-2


def test_the_time_between_is_half_in_four_scenes_of_ten(plain: Scenes) -> None:
    times = np.array([plain.scene(k).time for k in range(120)])
    # 0.4 with a deviation of 0.045 in 120 draws.
    assert float((times == 0.5).mean()) == pytest.approx(0.4, abs=0.15)
    assert times.min() >= 0.1 and times.max() <= 0.9


def test_the_photographs_are_free_and_come_in_colour() -> None:
    pytest.importorskip("skimage")
    pictures = textures.free_photographs()
    assert len(pictures) == 9
    for picture in pictures:
        assert picture.shape[0] == 3 and picture.min() >= 0.0 and picture.max() <= 1.0


def test_a_contact_sheet_has_a_row_for_every_scene(full: Scenes) -> None:
    sheet = contact_sheet(full, 0, 2)
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * SIZE + 3 * 4, 7 * SIZE + 8 * 4, 3)


def test_a_mistaken_size_number_or_reach_is_told(plain: Scenes) -> None:
    with pytest.raises(ValueError, match="31x64 are too small"):
        Scenes(0, 64, 31)
    with pytest.raises(ValueError, match="reach -2"):
        Scenes(0, 64, 64, reach=-2)
    with pytest.raises(ValueError, match="scene -1"):
        plain.scene(-1)
    with pytest.raises(ValueError, match="holds nothing"):
        plain.batch(0, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_renders_the_same_scenes(full: Scenes, full_batch: SceneBatch) -> None:
    there = Scenes(5, SIZE, SIZE, device="cuda", switches=Switches(photographs=False)).batch(0, 8)
    for name in ("flow_01", "flow_t0", "visible_t1"):
        difference = (getattr(there, name).cpu() - getattr(full_batch, name)[:8]).abs()
        # A pixel on the verge between two layers may fall to either.
        assert (difference < 1e-2).float().mean() > 0.999
    assert ((there.frames.cpu() - full_batch.frames[:8]).abs() < 1e-2).float().mean() > 0.999
