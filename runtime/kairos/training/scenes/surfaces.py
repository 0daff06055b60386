"""Surfaces: a texture of the bank in the palette, the haze and the focus of one scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
import torch

from kairos.training.scenes.fields import Array, colour
from kairos.training.scenes.layer import Surface
from kairos.training.scenes.motion import Numbers
from kairos.training.scenes.textures import Bank, Texture

Generator = np.random.Generator


@dataclass(frozen=True)
class Look:
    """What the colours of one scene have in common."""

    hue: float
    saturation: float
    key: float
    haze: Array
    thickness: float
    focus: float
    range: float


def draw_surface(
    rng: Generator, bank: Bank, look: Look, extent: float, depth: float, blur: float, device: torch.device,
    flat: bool = False,
) -> Surface:  # fmt: skip
    """A texture and colours for a layer of an extent in pixels; depth 1 is far; blur in pixels."""
    natural = [texture for texture in bank.textures if texture.natural]
    pictured = bool(natural) and rng.uniform() < 0.25
    choice = natural if pictured else bank.textures[: len(bank.textures) - len(natural)]
    texture = choice[int(rng.integers(len(choice)))]
    density = float(np.exp(rng.uniform(np.log(0.9), np.log(2.6))))
    density = min(density, 1.6 * texture.levels[0].shape[-1] / extent)
    level = int(np.clip(np.ceil(np.log2(max(density, 1e-3) / 1.7)), 0, 4))
    if blur > 1.0:
        level = int(np.clip(level + round(np.log2(blur)), 0, 4))
    canvas = texture.levels[level]
    scale = density / 2**level
    angle = rng.choice([0.0, rng.normal(0.0, 0.1), rng.uniform(0, 2 * np.pi)])
    if texture.natural:
        angle = rng.normal(0.0, 0.15)
    flip = rng.choice([-1.0, 1.0])
    turn = scale * np.array([[np.cos(angle) * flip, -np.sin(angle)], [np.sin(angle) * flip, np.cos(angle)]])
    rows, columns = canvas.shape[-2:]
    room_x, room_y = columns - extent * scale, rows - extent * scale
    middle = [columns / 2 + rng.uniform(-0.5, 0.5) * max(room_x, 0.3 * columns),
              rows / 2 + rng.uniform(-0.5, 0.5) * max(room_y, 0.3 * rows)]  # fmt: skip
    lay = np.concatenate([turn, np.array(middle)[:, None]], 1)
    mix, base = _colours(rng, texture, look, flat)
    fog = look.thickness * depth**2
    mix, base = mix * (1 - fog), base * (1 - fog) + fog * look.haze
    light = rng.normal(0.0, 0.5 / extent, 2) if rng.uniform() < 0.7 else np.zeros(2)
    highlights = np.zeros((0, 6))
    offset = base - mix @ np.array(texture.mean, np.float32)
    return Surface(
        canvas, lay, torch.from_numpy(mix.astype(np.float32)).to(device),
        torch.from_numpy(offset.astype(np.float32)).to(device), (float(light[0]), float(light[1])), 0.0, 1.0,
        highlights,
    )  # fmt: skip


def _colours(rng: Generator, texture: Texture, look: Look, flat: bool) -> Tuple[Array, Array]:
    """A texture's (3, 3) mix and (3,) mean colour in the scene's palette."""
    mean = np.array(texture.mean, np.float32)
    value = float(np.clip(look.key * np.exp(rng.normal(0.0, 0.4)), 0.05, 0.9))
    hue = look.hue + (rng.normal(0.0, 0.06) if rng.uniform() < 0.7 else 0.5 + rng.normal(0.0, 0.1))
    saturation = look.saturation * rng.uniform(0.2, 1.4)
    own = colour(rng, hue, saturation, value)
    contrast = float(np.exp(rng.uniform(np.log(0.45), np.log(1.15))))
    if flat or rng.uniform() < 0.12:
        contrast *= rng.uniform(0.08, 0.35)
    if texture.natural and rng.uniform() < 0.75:
        exposure = float(np.clip(np.exp(rng.normal(0.0, 0.25)), 0.5, 1.5))
        return np.eye(3, dtype=np.float32) * min(1.0, 0.6 + contrast * 0.4) * exposure, mean * exposure
    bright = np.outer(own / max(float(own.mean()), 0.05), [0.3, 0.5, 0.2])
    keep = rng.uniform(0.2, 1.0)
    mix = contrast * (keep * np.eye(3) + (1 - keep) * bright)
    return mix.astype(np.float32), np.asarray(own * (1 - 0.3 * keep) + 0.3 * keep * mean, np.float32)


def draw_highlights(rng: Generator, radius: float, short: int) -> Numbers:
    """One to three glints above white, which stay on the surface."""
    spots = []
    for _ in range(int(rng.integers(1, 4))):
        size = np.exp(rng.uniform(np.log(0.8), np.log(max(1.5, 0.035 * short))))
        peak = np.exp(rng.uniform(np.log(0.5), np.log(3.0)))
        warm = 1.0 + rng.normal(0.0, 0.08, 3)
        spots.append([*rng.uniform(-0.35, 0.35, 2) * radius, size, *(peak * warm)])
    return np.array(spots)
