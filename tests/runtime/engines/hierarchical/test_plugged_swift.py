"""Hierarchical motion in ``swift``: nothing at first, then better motion from one scale on."""

from __future__ import annotations

from itertools import combinations
from typing import Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy, level_of
from kairos.engines.swift.motion import Features, Motion

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


@pytest.mark.parametrize("parts", SUBSETS, ids=lambda parts: "+".join(parts) or "none")
def test_with_each_of_the_parts_and_all_it_moves_the_motion_and_all_of_it_learns(parts: Tuple[str, ...]) -> None:
    motion, hierarchy = made(parts, trained=True)
    first, second = pair(motion)
    motion.requires_grad_(False)
    _, before = motion(first, second)
    _, found = motion(first, second, step=hierarchy.step(first, second, labels=labels()))
    assert not torch.equal(found, before)
    (found * torch.rand(found.shape, generator=torch.Generator().manual_seed(3))).sum().backward()  # type: ignore[no-untyped-call]
    idle = [name for name, each in hierarchy.named_parameters() if each.grad is None or not each.grad.any()]
    assert not [name for name in idle if not name.endswith("key.bias")], idle


def test_cells_are_16_pixels_of_the_frame_wide_where_there_is_such_a_level() -> None:
    assert [level_of(scale, 5) for scale in (1.0, 0.5, 0.25, 2.0)] == [1, 0, 0, 2]
    assert level_of(1.0, 1) == 0
