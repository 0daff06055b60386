"""Grain taken off the keys and made anew."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kairos.engines.inbetween.grain import apart, put_on
from support.generated import blurred

STRENGTH = 0.012


def ground() -> Tensor:
    """(3, H, W) encoded, without grain: gradients and an edge."""
    y, x = torch.meshgrid(torch.arange(160) + 0.0, torch.arange(240) + 0.0, indexing="ij")
    shade = 0.3 + 0.3 * x / 240 + 0.02 * torch.sin(y / 17)
    shade = torch.where((x - 120) ** 2 + (y - 80) ** 2 < 900, shade - 0.15, shade)
    return torch.stack([shade, shade * 0.9 + 0.02, shade * 0.8 + 0.05])


def grain(seed: int, blur: float) -> Tensor:
    noise = blurred(torch.randn(3, 160, 240, generator=torch.Generator().manual_seed(seed)), blur)
    noise = torch.stack([noise[0], 0.6 * noise[0] + 0.8 * noise[1], noise[2]])
    return STRENGTH * noise / noise.std((1, 2), keepdim=True)


def neighbours(planes: Tensor) -> float:
    """How alike pixels beside each other are, -1..1."""
    return float((planes[..., 1:] * planes[..., :-1]).mean() / planes.square().mean())


@pytest.mark.parametrize("blur", [0.0, 0.7], ids=["noise", "film"])
def test_grain_is_taken_off_and_put_back_as_it_was(blur: float) -> None:
    clean, noise = ground(), grain(1, blur)
    one, _, found = apart(clean + noise, clean + grain(2, blur))
    assert (one - clean).square().mean().sqrt() < 0.4 * STRENGTH
    made = put_on(one, found, seed=7) - one
    assert made.std((1, 2)) == pytest.approx([STRENGTH] * 3, rel=0.12)
    assert neighbours(made) == pytest.approx(neighbours(noise), abs=0.1)
    alike = float((made[0] * made[1]).mean() / (made[0].std() * made[1].std()))
    assert alike == pytest.approx(0.6, abs=0.12)


def test_grain_follows_the_level() -> None:
    clean = ground()
    strong = (0.9 - clean.mean(0, keepdim=True)) * 2
    one, _, found = apart(clean + grain(1, 0.5) * strong, clean + grain(2, 0.5) * strong)
    made = (put_on(one, found, seed=7) - one).square().mean(0)
    level = clean.mean(0)
    dark, bright = (made[part].mean().sqrt() for part in (level < 0.35, level > 0.5))
    true_dark, true_bright = (strong[0][part].mean() for part in (level < 0.35, level > 0.5))
    assert float(dark / bright) == pytest.approx(float(true_dark / true_bright), rel=0.2)


def test_the_seed_decides() -> None:
    clean = ground()
    _, _, found = apart(clean + grain(1, 0.5), clean + grain(2, 0.5))
    assert torch.equal(put_on(clean, found, 3), put_on(clean, found, 3))
    one, two = (put_on(clean, found, seed) - clean for seed in (3, 4))
    assert abs(float((one * two).mean() / one.square().mean())) < 0.05


def test_a_plate_without_grain_stays_as_it_is_bit_for_bit() -> None:
    clean = ground()
    one, two, found = apart(clean, clean)
    assert torch.equal(one, clean) and torch.equal(two, clean)
    assert torch.equal(put_on(clean, found, 1), clean)


@pytest.mark.parametrize("size", [(1, 1), (7, 200), (64, 5)])
def test_keys_narrower_than_what_grain_is_measured_in_have_none(size: tuple[int, int]) -> None:
    keys = [torch.rand(3, *size, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    one, two, found = apart(*keys)
    assert torch.equal(one, keys[0]) and torch.equal(two, keys[1])
    assert torch.equal(put_on(one, found, 1), one)


def test_edges_and_single_bright_pixels_stay() -> None:
    key = ground() + grain(1, 0.0)
    key[:, 40, 40] = 1.2
    one, _, _ = apart(key, ground() + grain(2, 0.0))
    assert one[0, 40, 40] > 1.1
    # The disc's rim at 30 pixels from its middle: nothing of either side runs over.
    assert (one - ground())[:, 80, 145:155].abs().max() < 2 * STRENGTH
