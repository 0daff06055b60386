"""Grain (and a sensor's noise) kept apart: measured on the keys, taken off them, and made anew for every picture.

What is pasted from keys would carry their grain along the motion, and what is generated has none: the eye sees both.
Statistics are taken in blocks of 8 by 8 under a cosine transform: how strong grain is at every fineness, how its
strength goes with the level, and how alike it is in the three channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK = 8
_COARSE = 4
"""Order of the cosine term, both axes added, under which a block's structure shows more than its grain."""

_LOOSE = 1.3
"""How much stronger a coarse term may be than the fine ones suggest."""

_FLAT = 0.15
"""Part of the blocks, of every level, that count as flat."""

_LEVELS = 6
"""Levels at which the strength is measured."""

_THRESHOLD = 2.7
"""Times the strength under which a term is grain."""

_MOST = 3.5
"""Times the strength by which a pixel is changed at most: what differs by more is no grain."""

_STRIDE = 2
"""Pixels between the positions of the blocks in which grain is taken off."""

_STRONGEST = 0.025
"""Encoded strength of the strongest grain there is, about a quarter of a stop: what seems stronger is texture."""

_LEAST = 1e-4
"""Encoded strength under which there is no grain at all: half a code of 12 bits."""


@dataclass(frozen=True)
class Grain:
    """Statistics of a plate's grain. Made by :func:`measured`.

    Attributes:
        power: (3, 8, 8) variance of cosine terms in the mean over all levels, encoded values squared.
        levels: (n,) encoded means of blocks, rising.
        factors: (n,) by which the variance at a level differs from the mean.
        mix: (3, 3) lower triangle: takes independent channels to ones as alike as the grain's.
    """

    power: Tensor
    levels: Tensor
    factors: Tensor
    mix: Tensor

    @property
    def strength(self) -> Tensor:
        """(3,) standard deviation, encoded, in the mean over all levels."""
        return self.power.mean((1, 2)).sqrt()

    def variance(self, level: Tensor) -> Tensor:
        """Factor on the variance at levels of any shape, between those measured by straight lines."""
        if len(self.levels) == 1:
            return self.factors.expand(level.shape)
        flat = level.reshape(-1).contiguous()
        after = torch.searchsorted(self.levels, flat).clamp(1, len(self.levels) - 1)
        low, high = self.levels[after - 1], self.levels[after]
        part = ((flat - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
        return torch.lerp(self.factors[after - 1], self.factors[after], part).reshape(level.shape)


def measured(first: Tensor, second: Tensor) -> Grain:
    """Measures the grain of two keys, (3, H, W) encoded each, where they show little else.

    Where no part is flat, texture is taken for grain, up to the strength of the strongest. Of keys that are narrower
    than a block nothing is known: they have none.
    """
    if min(first.shape[-2:]) < _BLOCK:
        one = torch.ones(1, device=first.device)
        return Grain(torch.zeros(3, _BLOCK, _BLOCK, device=first.device), one, one, torch.eye(3, device=first.device))
    terms = torch.cat([_terms(_blocks(key)) for key in (first, second)], 1)
    order = _order(terms.device)
    fine = (order >= _COARSE) & (order > 0)
    coarse = (order < _COARSE) & (order > 0)
    level = terms[:, :, 0, 0].mean(0) / _BLOCK
    energy = terms.square().mean(0)
    by_coarse, by_fine = energy[:, coarse].sum(1), energy[:, fine].sum(1)
    powers, levels, samples = [], [], []
    for part in level.argsort().tensor_split(min(_LEVELS, max(1, len(level) // 64))):
        count = max(1, round(len(part) * _FLAT))
        # Flat by its coarse terms, measured by the fine ones, and the reverse: the choice does not bias the measure.
        for_fine = part[by_coarse[part].argsort()[:count]]
        for_coarse = part[by_fine[part].argsort()[:count]]
        chosen, others = terms[:, for_fine], terms[:, for_coarse]
        power = torch.where(fine, chosen.square().mean(1), others.square().mean(1))
        # Structure that remains shows in coarse terms alone: grain goes on there as it does among the fine ones.
        power = torch.where(coarse, torch.minimum(power, _LOOSE * _extended(power)), power)
        power[:, 0, 0] = 0.5 * (power[:, 0, 1] + power[:, 1, 0])
        powers.append(power)
        levels.append(level[part].mean())
        samples.append((chosen / power.mean((1, 2)).sqrt().clamp(min=1e-9)[:, None, None, None])[:, :, fine])
    power = torch.stack(powers).mean(0)
    power = power * (_STRONGEST / power.mean((1, 2)).sqrt().clamp(min=_STRONGEST)).square()[:, None, None]
    factors = torch.stack([each.mean() for each in powers])
    factors = factors / factors.mean().clamp(min=1e-20)
    return Grain(power, torch.stack(levels), factors, _mix(torch.cat([each.reshape(3, -1) for each in samples], 1)))


def _extended(power: Tensor) -> Tensor:
    """(3, 8, 8) the Gaussian in frequency that fits the fine terms of a measured power, at all terms."""
    one = torch.arange(_BLOCK, device=power.device).float()
    length = one[:, None] ** 2 + one**2
    order = _order(power.device)
    used = (order >= _COARSE) & (order <= 2 * _COARSE)
    away, level = length[used], power[:, used].clamp(min=1e-20).log()
    middle = level.mean(1, keepdim=True)
    slope = ((away - away.mean()) * (level - middle)).sum(1, keepdim=True) / (away - away.mean()).square().sum()
    # Grain is not stronger the finer it is: a slope upwards is chance.
    slope = slope.clamp(max=0.0)[:, :, None]
    return torch.exp(middle[:, :, None] + slope * (length - away.mean()))


def _mix(samples: Tensor) -> Tensor:
    """(3, 3) from normalised terms (3, n) of all channels."""
    exact = samples.cpu().double()
    together = exact @ exact.T
    spread = together.diagonal().sqrt().clamp(min=1e-9)
    alike = together / spread / spread[:, None]
    eye = torch.eye(3, dtype=torch.float64)
    # Channels that are the same would leave nothing to tell apart.
    triangle: Tensor = torch.linalg.cholesky(0.999 * torch.where(eye > 0, eye, alike) + 0.001 * eye)
    return triangle.float().to(samples.device)


def taken_off(key: Tensor, grain: Grain) -> Tensor:
    """A key (3, H, W) without its grain: terms under its strength go, in blocks at many positions, whose mean counts
    (after Yu and Sapiro, "DCT Image Denoising", IPOL 2011).
    """
    if float(grain.strength.max()) < _LEAST:
        return key
    height, width = key.shape[-2:]
    total, counts = torch.zeros_like(key), torch.zeros_like(key)
    sums = F.pad(key[None], (_BLOCK, 2 * _BLOCK, _BLOCK, 2 * _BLOCK), mode="replicate")[0]
    rows, columns = (-(-(side + _BLOCK) // _BLOCK) for side in (height, width))
    for down in range(0, _BLOCK, _STRIDE):
        for across in range(0, _BLOCK, _STRIDE):
            # The block that holds the first pixel begins up to a block before it.
            top, left = _BLOCK - down, _BLOCK - across
            part = sums[:, top : top + rows * _BLOCK, left : left + columns * _BLOCK]
            terms = _terms(_blocks(part))
            factor = grain.variance(terms[:, :, 0, 0].mean(0) / _BLOCK)
            threshold = _THRESHOLD * (grain.power[:, None] * factor[:, None, None]).sqrt()
            kept = terms.abs() > threshold
            kept[:, :, 0, 0] = True
            weight = 1.0 / kept.sum((2, 3), keepdim=True)
            clean = _back(torch.where(kept, terms, 0.0)) * weight
            spot = slice(down, down + height), slice(across, across + width)
            total += _joined(clean, rows, columns)[:, spot[0], spot[1]]
            counts += _joined(weight.expand_as(terms), rows, columns)[:, spot[0], spot[1]]
    off = key - total / counts
    most = _MOST * grain.strength[:, None, None] * grain.variance(key.mean(0, keepdim=True)).sqrt()
    return key - off.clamp(-most, most)


def put_on(picture: Tensor, grain: Grain, seed: int) -> Tensor:
    """A picture (3, H, W), encoded, with grain made from a seed: the same grain for the same seed and size."""
    if float(grain.strength.max()) < _LEAST:
        return picture
    height, width = picture.shape[-2:]
    source = torch.Generator().manual_seed(seed)
    # Made on the CPU: the same grain on every machine.
    white = torch.randn(3, height, width, generator=source).to(picture.device)
    together = (grain.mix @ white.reshape(3, -1)).reshape(white.shape)
    shaped: Tensor = torch.fft.irfft2(
        torch.fft.rfft2(together) * _spectrum(grain.power, height, width), s=(height, width)
    )
    return picture + shaped * grain.variance(picture.mean(0, keepdim=True)).sqrt()


def _spectrum(power: Tensor, height: int, width: int) -> Tensor:
    """(3, H, W // 2 + 1) amplitude of a frame's frequencies, between those of the cosine terms by straight lines."""
    down = torch.fft.fftfreq(height, device=power.device).abs() * 2 * _BLOCK
    across = torch.fft.rfftfreq(width, device=power.device) * 2 * _BLOCK
    row, column = (place.clamp(0, _BLOCK - 1) for place in (down, across))
    row0, column0 = row.floor().long(), column.floor().long()
    row1, column1 = (row0 + 1).clamp(max=_BLOCK - 1), (column0 + 1).clamp(max=_BLOCK - 1)
    by_row = torch.lerp(power[:, row0], power[:, row1], (row - row0)[:, None])
    dense = torch.lerp(by_row[:, :, column0], by_row[:, :, column1], column - column0)
    # All but the first column (and the last of an even width) stand for two frequencies of a real picture.
    twice = torch.full((width // 2 + 1,), 2.0, device=power.device)
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    mean = (dense * twice).sum((1, 2)) / (height * width)
    return (dense * (power.mean((1, 2)) / mean.clamp(min=1e-20))[:, None, None]).sqrt()


def _cosines(device: torch.device) -> Tensor:
    """(8, 8) orthonormal cosine transform: terms by places."""
    place = torch.arange(_BLOCK, dtype=torch.float64) + 0.5
    rows = torch.cos(math.pi / _BLOCK * torch.arange(_BLOCK, dtype=torch.float64)[:, None] * place)
    rows = rows * math.sqrt(2 / _BLOCK)
    rows[0] /= math.sqrt(2)
    return rows.float().to(device)


def _order(device: torch.device) -> Tensor:
    one = torch.arange(_BLOCK, device=device)
    return one[:, None] + one


def _blocks(planes: Tensor) -> Tensor:
    """(C, n, 8, 8) whole blocks of planes (C, H, W) of at least one block."""
    rows, columns = (side // _BLOCK for side in planes.shape[-2:])
    whole = planes[:, : rows * _BLOCK, : columns * _BLOCK]
    return whole.reshape(len(planes), rows, _BLOCK, columns, _BLOCK).transpose(2, 3).reshape(len(planes), -1, 8, 8)


def _joined(blocks: Tensor, rows: int, columns: int) -> Tensor:
    """The reverse."""
    split = blocks.reshape(len(blocks), rows, columns, _BLOCK, _BLOCK).transpose(2, 3)
    return split.reshape(len(blocks), rows * _BLOCK, columns * _BLOCK)


def _terms(blocks: Tensor) -> Tensor:
    cosines = _cosines(blocks.device)
    return cosines @ blocks @ cosines.T


def _back(terms: Tensor) -> Tensor:
    cosines = _cosines(terms.device)
    return cosines.T @ terms @ cosines


def apart(first: Tensor, second: Tensor) -> Tuple[Tensor, Tensor, Grain]:
    """Both keys (3, H, W) without grain, and what it is like."""
    grain = measured(first, second)
    return taken_off(first, grain), taken_off(second, grain), grain
