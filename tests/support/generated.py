"""A made scene between two keys, its truth at every time, and stand-ins for what a network would generate of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.inbetween.plate import Plate
from kairos.motion.encode import decode, encode

LAMP, HOLE = 20.0, -0.05
"""Scene-linear values of the emissive square and of the negative one."""


class Waves:
    """A texture known at every point, down to ``shortest`` pixels of wavelength: finer than a small picture holds."""

    def __init__(self, seed: int, mean: float, contrast: float, shortest: float = 2.6, longest: float = 80.0) -> None:
        random = np.random.default_rng(seed)
        length = np.exp(random.uniform(np.log(shortest), np.log(longest), 36))
        angle, self._phase = random.uniform(0, np.pi, 36), random.uniform(0, 2 * np.pi, 36)
        self._x, self._y = 2 * np.pi * np.cos(angle) / length, 2 * np.pi * np.sin(angle) / length
        weights = random.normal(size=(3, 36)) * 0.3 + random.normal(size=(1, 36))
        self._weights = weights * contrast / np.sqrt((weights**2).sum(1, keepdims=True) / 2)
        self._mean = mean

    def at(self, x: Tensor, y: Tensor) -> Tensor:
        """(3, H, W) at points (H, W), at least 0."""
        total = torch.full((3, *x.shape), self._mean)
        for wave in range(len(self._x)):
            cosine = torch.cos(float(self._x[wave]) * x + float(self._y[wave]) * y + float(self._phase[wave]))
            total += torch.tensor(self._weights[:, wave], dtype=torch.float32)[:, None, None] * cosine
        return total.clamp(min=0.005)


@dataclass(frozen=True)
class Scene:
    """Ground that is panned and turned, a disc before it, a lamp and a hole: all on paths that are not straight.

    Attributes:
        size: height and width.
        far: part of the width by which the ground is panned between the keys.
        visitor: a second disc, that neither key shows.
        light: factor on all light, half way between the keys.
    """

    size: Tuple[int, int] = (270, 480)
    far: float = 0.06
    visitor: bool = False
    light: float = 1.0
    lamp: bool = True

    def linear(self, time: float) -> Tensor:
        """(3, H, W) scene-linear truth."""
        height, width = self.size
        y, x = torch.meshgrid(torch.arange(height) + 0.0, torch.arange(width) + 0.0, indexing="ij")
        # Slow at first: the network knows such things, two keys alone do not.
        way = time * time * (3 - 2 * time)
        turn, pan = 0.06 * way, self.far * width * way
        middle_x, middle_y = x - width / 2, y - height / 2
        ground_x = middle_x * np.cos(turn) - middle_y * np.sin(turn) + pan
        ground_y = middle_x * np.sin(turn) + middle_y * np.cos(turn) + 0.3 * pan
        picture = Waves(3, 0.25, 0.09).at(ground_x, ground_y)
        disc_x, disc_y = width * (0.65 - 0.2 * way), height * (0.55 + 0.08 * np.sin(np.pi * time))
        picture = self._disc(picture, x, y, (disc_x, disc_y), 0.17, Waves(4, 0.5, 0.15))
        if self.visitor and 0.0 < time < 1.0:
            place = width * (1.25 - 1.1 * time), height * 0.3
            picture = self._disc(picture, x, y, place, 0.14, Waves(9, 0.35, 0.12))
        if self.lamp:
            side = height // 12
            for value, (left, top) in ((LAMP, self.lamp_at(time)), (HOLE, self.hole_at(time))):
                inside = (x >= left) & (x < left + side) & (y >= top) & (y < top + side)
                picture = torch.where(inside, value, picture)
        return picture * (1 + (self.light - 1) * float(np.sin(np.pi * time)))

    def lamp_at(self, time: float) -> Tuple[int, int]:
        """Left and top of the lamp, whole pixels."""
        height, width = self.size
        return round(width * (0.12 + 0.1 * time * time)), round(height * 0.15)

    def hole_at(self, time: float) -> Tuple[int, int]:
        """Left and top of the hole, whole pixels."""
        height, width = self.size
        return round(width * (0.2 + 0.05 * time)), round(height * 0.75)

    def encoded(self, time: float) -> Tensor:
        """(3, H, W) truth as an engine sees it."""
        return encode(self.linear(time), 0.6)

    def visitor_at(self, time: float) -> Tensor:
        """(H, W) bool, well within the second disc."""
        height, width = self.size
        y, x = torch.meshgrid(torch.arange(height) + 0.0, torch.arange(width) + 0.0, indexing="ij")
        return (x - width * (1.25 - 1.1 * time)) ** 2 + (y - height * 0.3) ** 2 < (0.12 * height) ** 2

    def _disc(
        self, under: Tensor, x: Tensor, y: Tensor, place: Tuple[float, float], radius: float, waves: Waves
    ) -> Tensor:
        away = ((x - place[0]) ** 2 + (y - place[1]) ** 2).sqrt()
        cover = (radius * self.size[0] - away + 0.5).clamp(0, 1)
        return torch.lerp(under, waves.at(x - place[0], y - place[1]), cover)


def light_of(encoded: Tensor) -> Tensor:
    """An encoded picture of the scene's, scene-linear."""
    return decode(encoded, 0.6)


@dataclass(frozen=True)
class Faults:
    """What is wrong with generated pictures: what a network of latents does to the truth."""

    blur: float = 1.0
    noise: float = 0.012
    drift: float = 0.04
    tint: float = 0.02


def generated(plate: Plate, scene: Scene, count: int, faults: Optional[Faults] = None, seed: int = 0) -> List[Tensor]:
    """Stand-ins (3, h, w): the truth on the canvas, out of focus, with a drift of colours that is greatest in the
    middle, noise, and clipped to 0..1.
    """
    faults = faults or Faults()
    source = torch.Generator().manual_seed(seed)
    pictures = []
    for index in range(count):
        time = index / (count - 1)
        shown = plate.look.show(plate.canvas.show(scene.encoded(time)))
        soft = blurred(shown, faults.blur)
        strength = 0.4 + 0.6 * float(np.sin(np.pi * time))
        grey = soft.mean(0, keepdim=True)
        drifted = (soft - 0.4) * (1 + 2 * faults.drift * strength) + 0.4 + faults.drift * strength
        drifted = grey + (drifted - grey) * (1 + 3 * faults.drift * strength)
        drifted = drifted + faults.tint * torch.tensor([1.0, -0.5, -1.0])[:, None, None] * strength
        noise = blurred(torch.randn(soft.shape, generator=source), 0.7) * 2.0
        pictures.append((drifted + faults.noise * noise).clamp(0, 1))
    return pictures


def blurred(planes: Tensor, sigma: float) -> Tensor:
    """(C, h, w) under a Gaussian."""
    if sigma <= 0:
        return planes
    reach = max(1, round(3 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    taps = taps / taps.sum()
    padded = F.pad(planes[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps.reshape(1, 1, 1, -1)), taps.reshape(1, 1, -1, 1))[:, 0]


def psnr(picture: Tensor, truth: Tensor, where: Optional[Tensor] = None) -> float:
    """dB over encoded values cut to 0..1, over the pixels (H, W) bool where it counts."""
    error = (picture.clamp(0, 1) - truth.clamp(0, 1)).square().mean(0)
    mean = float(error.mean() if where is None else error[where].mean())
    return 10 * float(np.log10(1 / max(mean, 1e-12)))
