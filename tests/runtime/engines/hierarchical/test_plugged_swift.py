"""Hierarchical motion in ``swift``: nothing at first, then better motion from one scale on."""

from __future__ import annotations

from itertools import combinations
from typing import Optional, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.plugged_swift import (
    Labels,
    SwiftHierarchy,
    level_of,
    mixed,
    told_to_cells,
    told_to_pixels,
)
from kairos.engines.hierarchical.proving import borne_out, unlike
from kairos.engines.swift.motion import Features, Motion, Step
from kairos.motion import fast

SUBSETS = [parts for count in (0, 1, 4) for parts in combinations(PARTS, count)]


def pair(motion: Motion) -> Tuple[Features, Features]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 1, 3, 96, 128, generator=generator)
    return motion.encoder(images[0], 2), motion.encoder(images[1], 2)


def made(parts: Tuple[str, ...] = PARTS, trained: bool = False) -> Tuple[Motion, SwiftHierarchy]:
    torch.manual_seed(2)
    motion, hierarchy = Motion().eval(), SwiftHierarchy(parts, 16).eval()
    for head in (motion.decoder.answer, motion.refiner.answer):
        torch.nn.init.normal_(head.weight, std=0.01)
    if trained:
        torch.nn.init.normal_(hierarchy.last.weight, std=0.1)
    return motion, hierarchy


def labels() -> Tuple[Tensor, Tensor]:
    first = torch.zeros(1, 6, 8, dtype=torch.int16)
    first[:, 1:4, 2:5] = 1
    return first, first.roll(2, 2)


@torch.no_grad()
def test_untrained_it_leaves_swift_as_it_is_to_the_bit() -> None:
    motion, hierarchy = made()
    first, second = pair(motion)
    estimates, flow = motion(first, second)
    again, found = motion(first, second, step=hierarchy.step(first, second, labels=labels()))
    assert torch.equal(found, flow)
    assert all(torch.equal(one.flow, two.flow) for one, two in zip(estimates, again))


def unproved(hierarchy: SwiftHierarchy, first: Features, second: Features, maps: Optional[Labels] = None) -> Step:
    """A step that takes all that the plug-in says, as training does."""
    met = hierarchy.meet(first.coarse[1], second.coarse[1], *labels())
    around = None if maps is None else (torch.cat(labels()), torch.cat(maps))
    return Step(1, lambda flow, prior: hierarchy.bettered(met, flow, prior, 16, around))


@pytest.mark.parametrize("parts", SUBSETS, ids=lambda parts: "+".join(parts) or "none")
def test_with_each_of_the_parts_and_all_it_moves_the_motion_and_all_of_it_learns(parts: Tuple[str, ...]) -> None:
    motion, hierarchy = made(parts, trained=True)
    first, second = pair(motion)
    motion.requires_grad_(False)
    _, before = motion(first, second)
    _, found = motion(first, second, step=unproved(hierarchy, first, second))
    assert not torch.equal(found, before)
    (found * torch.rand(found.shape, generator=torch.Generator().manual_seed(3))).sum().backward()  # type: ignore[no-untyped-call]
    idle = [name for name, each in hierarchy.named_parameters() if each.grad is None or not each.grad.any()]
    assert not [name for name in idle if not name.endswith("key.bias")], idle


def test_cells_are_16_pixels_of_the_frame_wide_where_there_is_such_a_level() -> None:
    assert [level_of(scale, 5) for scale in (1.0, 0.5, 0.25, 2.0)] == [1, 0, 0, 2]
    assert level_of(1.0, 1) == 0


@torch.no_grad()
def test_a_prior_is_left_to_the_bit_until_training_and_then_gives_way() -> None:
    prior = torch.randn(2, 2, 96, 128, generator=torch.Generator().manual_seed(4)) * 6
    first_map, second_map = (each.repeat_interleave(16, 1).repeat_interleave(16, 2) for each in labels())
    answers = []
    for trained in (False, True):
        motion, hierarchy = made(trained=trained)
        first, second = pair(motion)
        _, alone = motion(first, second, prior)
        step = unproved(hierarchy, first, second, (first_map, second_map))
        _, found = motion(first, second, prior, step=step)
        flow, other = step.moved(torch.zeros(2, 2, 6, 8), prior)
        answers.append((torch.equal(found, alone), other is not None and torch.equal(other, prior), bool(flow.any())))
    assert answers == [(True, True, False), (False, False, True)]


class Shifted:
    """Frames of which the second is the first moved by whole cells, and motion both ways."""

    def __init__(self, across: int = 2) -> None:
        first = torch.rand(1, 5, 8, 12, generator=torch.Generator().manual_seed(5))
        self.looks = torch.cat([first, first.roll(across, 3)])
        self.truth = torch.zeros(2, 2, 8, 12)
        self.truth[0, 0], self.truth[1, 0] = across, -across
        self.still = torch.zeros(2, 2, 8, 12)


def test_what_takes_cells_to_where_they_look_more_alike_is_proved_and_nothing_else_is() -> None:
    scene = Shifted()
    # What ends outside of the frame looks like its border.
    inside = slice(3, 9)
    assert borne_out(scene.looks, scene.truth, [scene.still])[..., inside].eq(1).all()
    assert not borne_out(scene.looks, scene.still, [scene.truth])[..., inside].any()
    assert not borne_out(scene.looks, scene.truth, [scene.truth])[..., inside].any(), "as good is no better"
    assert not borne_out(scene.looks, scene.truth, [scene.still, scene.truth])[..., inside].any(), "than either"


def test_a_cell_alone_proves_nothing_against_its_neighbours() -> None:
    scene = Shifted()
    told, known = scene.still.clone(), scene.truth.clone()
    told[..., 4, 6], known[..., 4, 6] = scene.truth[..., 4, 6], scene.still[..., 4, 6]
    assert not borne_out(scene.looks, told, [known])[..., 3:9].any()


@torch.no_grad()
def test_what_the_plug_in_says_is_taken_where_it_is_proved() -> None:
    motion, hierarchy = made()
    image = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(6))
    first, second = (motion.encoder(each, 2) for each in (image, image.roll(32, 3)))
    truth = torch.zeros(2, 2, 6, 8)
    truth[0, 0], truth[1, 0] = 2.0, -2.0
    met = hierarchy.meet(first.coarse[1], second.coarse[1], None, None)
    looks = torch.cat([first.coarse[1], second.coarse[1]])
    prior = torch.zeros(2, 2, 96, 128)
    for told, taken in ((truth, True), (-truth, False)):
        hierarchy._told = lambda *given, told=told: (told, torch.ones(2, 1, 6, 8))  # type: ignore[method-assign]
        flow, grown = hierarchy.bettered(met, torch.zeros(2, 2, 6, 8), prior, 16, None, looks)
        assert grown is not None
        middle = flow[..., 2:4, 3:5], grown[..., 40:56, 56:72] / 16
        wanted = truth[..., 2:4, 3:5] if taken else torch.zeros(2, 2, 2, 2)
        assert torch.allclose(middle[0], wanted) and torch.allclose(middle[1].mean((2, 3)), wanted.mean((2, 3)))


def test_cells_are_told_to_pixels_up_to_the_outlines_of_objects() -> None:
    cells = torch.zeros(1, 2, 4)
    cells[:, :, 2:] = 1
    pixels = torch.zeros(1, 32, 64)
    # The object begins in the middle of a cell that mostly shows the rest.
    pixels[:, :, 24:] = 1
    planes = torch.where(cells[:, None] == 1, 5.0, -3.0)
    found = told_to_pixels(planes, (32, 64), 16, (cells, pixels))
    assert torch.allclose(found, torch.where(pixels[:, None] == 1, 5.0, -3.0), atol=0.05)
    smooth = told_to_pixels(planes, (32, 64), 16)
    assert -2.9 < float(smooth[0, 0, 0, 30]) < 4.9


def test_without_outlines_cells_are_interpolated_as_anywhere() -> None:
    planes = torch.rand(2, 3, 5, 7)
    found = told_to_pixels(planes, (80, 105), 16)
    whole = torch.nn.functional.interpolate(planes, (80, 112), mode="bilinear", align_corners=False)
    assert torch.allclose(found, whole[..., :105], atol=0.01)
    assert torch.allclose(told_to_pixels(torch.ones(1, 1, 5, 7), (77, 111), 16), torch.ones(()))


@pytest.mark.parametrize("size", [(77, 111), (16, 16), (5, 200)], ids=str)
@pytest.mark.parametrize("apart", [True, False])
def test_kernels_tell_cells_to_pixels_as_torch_does(
    size: Tuple[int, int], apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fast.usable(torch.zeros(1)), "numba is among the dependencies"
    drawn = torch.Generator().manual_seed(4)
    # Cells may reach beyond the picture.
    cells = (-(-size[0] // 16) + 1, -(-size[1] // 16))
    planes = torch.randn(2, 3, *cells, generator=drawn)
    labels = [torch.randint(0, 3, (2, *each), generator=drawn).to(torch.int16) for each in (cells, size)]
    around = (labels[0], labels[1]) if apart else None
    found = told_to_pixels(planes, size, 16, around)
    monkeypatch.setattr(fast, "usable", lambda *_: False)
    assert found.shape == (2, 3, *size) and torch.allclose(found, told_to_pixels(planes, size, 16, around), atol=1e-5)


@pytest.mark.parametrize("size", [(77, 111), (16, 16), (5, 200)], ids=str)
@pytest.mark.parametrize("apart", [True, False])
def test_kernels_mix_a_prior_with_what_cells_tell_as_torch_does(
    size: Tuple[int, int], apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = torch.Generator().manual_seed(4)
    cells = (-(-size[0] // 16) + 1, -(-size[1] // 16))
    planes, prior = torch.randn(2, 3, *cells, generator=drawn), torch.randn(2, 2, *size, generator=drawn)
    labels = [torch.randint(0, 3, (2, *each), generator=drawn).to(torch.int16) for each in (cells, size)]
    around = (labels[0], labels[1]) if apart else None
    found = mixed(prior, planes, 16, around)
    monkeypatch.setattr(fast, "usable", lambda *_: False)
    assert found.shape == prior.shape and torch.allclose(found, mixed(prior, planes, 16, around), atol=1e-5)


@pytest.mark.parametrize("size", [(80, 96), (77, 91)], ids=str)
def test_kernels_tell_pixels_to_cells_as_torch_does(size: Tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    prior = torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(8)) * 9
    found = told_to_cells(prior, 8, (10, 12))
    monkeypatch.setattr(fast, "usable", lambda *_: False)
    assert torch.allclose(found, told_to_cells(prior, 8, (10, 12)), atol=1e-5)


@pytest.mark.parametrize("size", [(6, 8), (1, 9), (7, 1)], ids=str)
def test_kernels_find_cells_as_unlike_as_torch_does(size: Tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.Generator().manual_seed(9)
    planes, flows = torch.randn(4, 16, *size, generator=drawn), torch.randn(3, 4, 2, *size, generator=drawn) * 4
    flows[0, 0, 0, 0, 0] = float("nan")
    found = unlike(planes, flows)
    monkeypatch.setattr(fast, "usable", lambda *_: False)
    assert found.shape == (3, 4, 1, *size) and torch.allclose(found, unlike(planes, flows), atol=1e-5)


def test_what_learns_is_told_the_same_as_what_is_in_use() -> None:
    motion, hierarchy = made(trained=True)
    first, second = (Features(each.fine.detach(), [cells.detach() for cells in each.coarse]) for each in pair(motion))
    prior, maps = torch.randn(2, 2, 96, 128, generator=torch.Generator().manual_seed(4)) * 6, labels()
    outlines = tuple(each.repeat_interleave(16, 1).repeat_interleave(16, 2) for each in maps)

    def told() -> Tuple[Tensor, Optional[Tensor]]:
        met = hierarchy.meet(first.coarse[1], second.coarse[1], *maps)
        around = torch.cat(maps), torch.cat(outlines)
        return hierarchy.bettered(met, torch.zeros(2, 2, 6, 8), prior, 16, around)

    learning = told()
    with torch.no_grad():
        used = told()
    for one, other in zip(learning, used):
        assert one is not None and other is not None and one.requires_grad and not other.requires_grad
        assert torch.allclose(one, other, atol=1e-4)
