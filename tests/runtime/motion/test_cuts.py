"""Cuts and repeats, on the development clips and on clips spliced from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, List

import pytest
import torch
import torch.nn.functional as F

from kairos.bench.clips import CLIPS
from kairos.motion.cuts import cut_score, is_cut, is_repeat
from support.shared import shared_data


@lru_cache(maxsize=1)
def clips() -> Dict[str, List[torch.Tensor]]:
    """Every development clip at 128 pixels' height, its frames as proxies."""
    root = shared_data()
    found = {}
    for clip in CLIPS:
        frames = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in clip.load(root)]
        size = (128, round(frames[0].shape[2] * 128 / frames[0].shape[1]))
        found[clip.name] = [F.interpolate(frame[None], size, mode="area")[0] for frame in frames]
    return found


@pytest.mark.parametrize("name", [clip.name for clip in CLIPS])
@pytest.mark.parametrize("step", [1, 2])
def test_motion_is_no_cut_however_fast(name: str, step: int) -> None:
    frames = clips()[name][::step]
    pairs = list(zip(frames, frames[1:]))[:4]
    assert [round(cut_score(a, b), 2) for a, b in pairs if is_cut(a, b)] == []


@pytest.mark.parametrize("name", [clip.name for clip in CLIPS])
def test_another_scene_is_a_cut(name: str) -> None:
    here = clips()[name]
    names = list(clips())
    # Four other clips each, the whole round of them over all tests (every pair of clips was tried when this was made).
    for step in (1, 3, 4, 7):
        other = names[(names.index(name) + step) % len(names)]
        there = clips()[other]
        if other[:8] == name[:8]:
            continue
        second = [F.interpolate(frame[None], here[0].shape[1:], mode="area")[0] for frame in there[:2]]
        assert is_cut(here[-1], second[0], here[-2], second[1]), other


def test_a_flash_is_no_cut() -> None:
    before, first, second, after = clips()["dog-run"][2:6]
    white = torch.ones_like(second)
    assert not is_cut(first, white, before, after)
    assert not is_cut(white, second, first, after)
    assert not is_cut(first, (second * 3 + 0.3).clamp(0, 1), before, after)


def test_a_change_of_exposure_is_no_cut() -> None:
    first, second = clips()["judo"][:2]
    assert not is_cut(first, second * 0.3)


def test_black_and_a_picture_are_a_cut_and_two_blacks_are_none() -> None:
    picture = clips()["judo"][0]
    assert is_cut(torch.zeros_like(picture), picture)
    assert not is_cut(torch.zeros_like(picture), torch.zeros_like(picture))


def test_repeats_are_told_from_motion() -> None:
    root = shared_data()
    movie = next(clip for clip in CLIPS if clip.name == "judo").load(root)
    frames = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in movie]
    assert is_repeat(frames[0], frames[0].clone())
    generator = torch.Generator().manual_seed(0)
    coded = frames[0] + torch.randn(frames[0].shape, generator=generator) * 0.2 / 255
    assert is_repeat(frames[0], coded)
    # Two fighters on a static ground: little moves, but it moves.
    assert not any(is_repeat(a, b) for a, b in zip(frames, frames[1:]))
    assert not is_repeat(frames[0], frames[0][:, :-1])
