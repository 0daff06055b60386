"""Colours of generated pictures matched to the keys'."""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.engines.inbetween.colours import Tone, ends_of, kept_small, same, steadied, tone


def picture(seed: int) -> Tensor:
    return 0.15 + 0.7 * torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(seed))


WRONG = Tone(torch.tensor([[0.94, 0.02, 0.0, 0.05], [0.01, 1.04, 0.0, -0.03], [0.0, 0.03, 0.96, 0.02]]))


def test_a_change_of_colour_is_undone() -> None:
    true = picture(0)
    found = tone(WRONG(true), true, torch.ones(1, 48, 64))
    before, after = (WRONG(true) - true).abs().mean(), (found(WRONG(true)) - true).abs().mean()
    assert after < 0.15 * before


def test_what_shows_something_else_does_not_spoil_it() -> None:
    true = picture(0)
    seen = WRONG(true)
    seen[:, :12] = 1 - seen[:, :12]
    found = tone(seen, true, torch.ones(1, 48, 64))
    assert (found(WRONG(true)) - true).abs().mean() < 0.4 * (WRONG(true) - true).abs().mean()


def test_without_anything_known_nothing_changes() -> None:
    assert torch.equal(tone(picture(0), picture(1), torch.zeros(1, 48, 64)).matrix, torch.eye(3, 4))


def test_ends_are_matched_in_tone_and_over_areas() -> None:
    keys = picture(0), picture(1)
    shade = torch.linspace(-0.04, 0.04, 64).expand(3, 48, 64)
    generated = WRONG(keys[0]) + shade, keys[1]
    ends = ends_of(generated, keys)
    wrong = (generated[0] - keys[0]).abs().mean()
    assert (ends(generated[0], 0.0) - keys[0]).abs().mean() < 0.25 * wrong
    assert (ends(keys[1], 1.0) - keys[1]).abs().mean() < 0.1 * wrong


def test_in_the_middle_the_mean_of_both_ends_is_taken_off() -> None:
    keys = picture(0), picture(1)
    ends = ends_of((WRONG(keys[0]), keys[1]), keys)
    half = Tone(torch.lerp(WRONG.matrix, torch.eye(3, 4), 0.5))
    middle = picture(2)
    assert (ends(half(middle), 0.5) - middle).abs().mean() < 0.4 * (half(middle) - middle).abs().mean()


def test_a_great_change_is_light_and_is_kept() -> None:
    flash = Tone(torch.cat([0.5 * torch.eye(3), torch.full((3, 1), 0.3)], 1))
    grey = torch.full((3, 4, 4), 0.5)
    changed = kept_small(flash)(grey)
    assert 0.01 < (changed - grey).abs().max() <= 0.1 + 1e-6


def test_tones_do_not_flicker() -> None:
    shifts = [0.0, 0.06, 0.0, 0.06, 0.0, 0.06, 0.0]
    tones = [Tone(torch.cat([torch.eye(3), torch.full((3, 1), shift)], 1)) for shift in shifts]
    steady = [float(each.matrix[0, 3]) for each in steadied(tones, [1.0] * 7)]
    jumps = [abs(one - two) for one, two in zip(steady[2:-2], steady[3:-2])]
    assert max(jumps) < 0.02
    assert torch.equal(steadied([same(torch.device("cpu"))] * 3, [0.0] * 3)[1].matrix, torch.eye(3, 4))
