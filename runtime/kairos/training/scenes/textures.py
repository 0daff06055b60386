"""The bank of textures that every scene draws from: built once, seeded, kept as pyramids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Callable, List, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kairos.training.scenes.fields import (
    STROKES,
    Array,
    colour,
    fractal,
    letter_segments,
    ramp,
    segment_distance,
)

SIZE = 704
"""Side of a large procedural canvas in pixels."""
LEVELS = 5
NOISE = 512

Painter = Callable[[np.random.Generator], Array]


@dataclass(frozen=True)
class Texture:
    """One canvas as a pyramid.

    Attributes:
        levels: each (1, 3, h, w) float32, half the size of the one before, about 0..1.
        mean: (3,) mean colour.
        natural: a photograph, whose colours are best left nearly as they are.
    """

    levels: Tuple[Tensor, ...]
    mean: Tuple[float, float, float]
    natural: bool


@dataclass(frozen=True)
class Bank:
    """Everything scenes share.

    Attributes:
        textures: the canvases.
        noise: (N, 512, 512) numpy fractal noise, mean 0, deviation 1, for ragged outlines and smoke.
        grain: (3, 1024, 1024) white noise, deviation 1; grain_soft is the same with a film's short correlation.
    """

    textures: Tuple[Texture, ...]
    noise: Array
    grain: Tensor
    grain_soft: Tensor


def build_bank(seed: int, device: torch.device, photographs: bool) -> Bank:
    """The bank of a seed; the photographs come after the procedural canvases, which they leave unchanged."""
    bank = _procedural(seed, device)
    return replace(bank, textures=bank.textures + _photographic(device)) if photographs else bank


@lru_cache(maxsize=1)
def _photographic(device: torch.device) -> Tuple[Texture, ...]:
    return tuple(_pyramid(picture, device, natural=True) for picture in free_photographs())


@lru_cache(maxsize=2)
def _procedural(seed: int, device: torch.device) -> Bank:
    rng = np.random.default_rng([seed, 0x7E87])
    painters: List[Tuple[Painter, int]] = [
        (_dead_leaves, 11),
        (_cloud, 9),
        (_rough, 6),
        (_bricks, 4),
        (_weave, 4),
        (_stripes, 3),
        (_wood, 3),
        (_cells, 4),
        (_sheet_of_letters, 3),
        (_straw, 3),
        (_facade, 3),
    ]
    textures = [_pyramid(painter(rng), device, natural=False) for painter, count in painters for _ in range(count)]
    noise = np.concatenate([fractal(rng, NOISE, power, 3) for power in (1.3, 1.6, 1.9, 2.3)])
    white = torch.from_numpy(rng.standard_normal((3, 1024, 1024), dtype=np.float32))
    soft = (
        functional.avg_pool2d(functional.pad(white[None], (1, 1, 1, 1), mode="circular"), 3, 1)[0] * 2.0 + white * 0.6
    )
    soft = soft / soft.std()
    return Bank(tuple(textures), noise, white.to(device), soft.to(device))


def _pyramid(canvas: Array, device: torch.device, natural: bool) -> Texture:
    """Levels by a binomial filter, the first lightly filtered too: it is sampled at more than its own density."""
    levels = [_filtered(np.asarray(canvas, np.float32), (0.62, 0.19, 0.0))]
    for _ in range(LEVELS - 1):
        levels.append(_filtered(levels[-1], (0.375, 0.25, 0.0625), 2))
    means = levels[0].mean(axis=(1, 2)).tolist()
    tensors = tuple(torch.from_numpy(level)[None].to(device) for level in levels)
    return Texture(tensors, (means[0], means[1], means[2]), natural)


def _filtered(image: Array, taps: Tuple[float, float, float], step: int = 1) -> Array:
    """A symmetric filter of five taps, given from the middle outwards, along rows and columns; every ``step``-th of
    both is kept. Plane by plane: what is worked on stays near the processor.
    """
    return np.stack([_along(_along(plane, taps, step).T, taps, step).T for plane in image])


def _along(plane: Array, taps: Tuple[float, float, float], step: int) -> Array:
    """The filter along the first axis; beyond the edge the edge goes on."""
    wide, size = np.pad(plane, ((2, 2), (0, 0)), mode="edge"), len(plane)
    total: Array = wide[2 : 2 + size : step] * np.float32(taps[0])
    for offset, tap in enumerate(taps[1:], start=1):
        if tap:
            both = wide[2 + offset : 2 + offset + size : step] + wide[2 - offset : 2 - offset + size : step]
            both *= np.float32(tap)
            total += both
    return total


def free_photographs() -> List[Array]:
    """Those of scikit-image's bundled pictures that are free of any claim."""
    from skimage import data

    loaders: Tuple[Callable[[], Array], ...] = (
        data.astronaut,
        data.camera,
        data.brick,
        data.grass,
        data.gravel,
        data.chelsea,
        data.coffee,
        data.rocket,
        data.hubble_deep_field,
    )
    pictures = []
    for load in loaders:
        picture = np.asarray(load(), np.float32) / 255.0
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        pictures.append(np.ascontiguousarray(picture[..., :3].transpose(2, 0, 1)))
    return pictures


def _stops(rng: np.random.Generator, count: int) -> Array:
    """(count, 3) colours that belong together, dark to light."""
    hue, saturation = rng.uniform(), rng.uniform(0.05, 0.6)
    drift = rng.normal(0.0, 0.08)
    values = np.sort(rng.uniform(0.08, 0.92, count))
    return np.stack([colour(rng, hue + drift * k, saturation * rng.uniform(0.5, 1.2), v) for k, v in enumerate(values)])


def _grid(size: int) -> Tuple[Array, Array]:
    line = np.arange(size, dtype=np.float32)
    return line[None, :], line[:, None]


def _cloud(rng: np.random.Generator) -> Array:
    """Smooth fractal: skies, walls, skin, out of focus backgrounds."""
    field = fractal(rng, SIZE, rng.uniform(1.5, 2.4), 1, rng.uniform(0.0, 3.0))[0]
    base = ramp(0.5 + 0.24 * field, _stops(rng, int(rng.integers(2, 5))))
    return base + 0.02 * fractal(rng, SIZE, 1.0, 3)


def _rough(rng: np.random.Generator) -> Array:
    """Rock, plaster, earth: fractal with hard creases and fine detail."""
    field = fractal(rng, SIZE, rng.uniform(0.9, 1.4), 2)
    creased = -np.abs(field[0]) if rng.uniform() < 0.5 else field[0]
    creased = (creased - creased.mean()) / creased.std()
    light = np.gradient(fractal(rng, SIZE, 1.5)[0], axis=1)
    return ramp(0.5 + 0.2 * creased + 0.05 * field[1] + 0.25 * light, _stops(rng, 3))


def _dead_leaves(rng: np.random.Generator) -> Array:
    """Opaque shapes of power-law size laid over one another: the statistics of natural pictures (Lee, Mumford 2001)."""
    size = SIZE
    image = np.repeat(np.repeat(_stops(rng, 3)[1][:, None, None], size, 1), size, 2).astype(np.float32)
    grain = fractal(rng, size, 1.2)[0]
    stops = _stops(rng, 6)
    second = _stops(rng, 3)
    smallest = rng.uniform(2.0, 5.0)
    largest = rng.uniform(50.0, 160.0)
    square, contrast = rng.uniform() < 0.4, rng.uniform(0.02, 0.10)
    count = int(min(5200, 2.6 * size * size / (smallest * smallest * 14.0 * np.log(largest / smallest))))
    # A radius law of r^-3 fills every octave of size alike.
    radii = 1.0 / np.sqrt(rng.uniform(1.0 / largest**2, 1.0 / smallest**2, count))
    for radius in radii:
        cx, cy = rng.uniform(-radius, size + radius, 2)
        x0, x1 = int(max(cx - radius, 0)), int(min(cx + radius + 2, size))
        y0, y1 = int(max(cy - radius, 0)), int(min(cy + radius + 2, size))
        if x1 <= x0 or y1 <= y0:
            continue
        x = np.arange(x0, x1, dtype=np.float32)[None] - np.float32(cx)
        y = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(cy)
        angle, squash = rng.uniform(0, np.pi), rng.uniform(0.4, 1.0)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        u, v = c * x + s * y, (c * y - s * x) / np.float32(squash)
        distance = np.maximum(np.abs(u), np.abs(v)) * np.float32(1.3) if square else np.sqrt(u * u + v * v)
        alpha = np.minimum(np.maximum(np.float32(radius) - distance, 0.0), 1.0)
        tint = second[rng.integers(3)] if rng.uniform() < 0.15 else stops[rng.integers(6)]
        shade = 1.0 + np.float32(rng.uniform(-0.25, 0.25) / radius) * u + np.float32(contrast) * grain[y0:y1, x0:x1]
        window = image[:, y0:y1, x0:x1]
        window += alpha * (tint[:, None, None] * shade - window)
    return image


def _bricks(rng: np.random.Generator) -> Array:
    x, y = _grid(SIZE)
    width, height = rng.uniform(24, 90), rng.uniform(10, 36)
    row = np.floor(y / height)
    u, v = (x / width + 0.5 * (row % 2)), y / height
    column = np.floor(u)
    fu, fv = (u - column) * width, (v - row) * height
    gap = rng.uniform(1.0, 3.0)
    joint = np.clip(np.minimum(np.minimum(fu, width - fu), np.minimum(fv, height - fv)) - gap + 0.5, 0, 1)
    table = rng.uniform(0.25, 0.9, (256, 256)).astype(np.float32)
    tone = table[row.astype(int) % 256, column.astype(int) % 256]
    noise = fractal(rng, SIZE, 1.1, 2)
    wall = ramp(tone + 0.06 * noise[0], _stops(rng, 4))
    mortar = ramp(0.5 + 0.1 * noise[1], _stops(rng, 2))
    return np.asarray(joint * wall + (1 - joint) * mortar, np.float32)


def _weave(rng: np.random.Generator) -> Array:
    """Cloth and mesh: two crossing gratings of a few pixels."""
    x, y = _grid(SIZE)
    period = rng.uniform(5.0, 16.0)
    over = np.sin(x * (2 * np.pi / period)) * np.sin(y * (2 * np.pi / (period * rng.uniform(0.8, 1.25))))
    plaid = np.sin(x * (2 * np.pi / rng.uniform(60, 200))) + np.sin(y * (2 * np.pi / rng.uniform(60, 200)))
    noise = fractal(rng, SIZE, 1.3)[0]
    field = 0.5 + rng.uniform(0.08, 0.22) * over + rng.uniform(0.0, 0.15) * np.sign(plaid) + 0.07 * noise
    return ramp(field.astype(np.float32), _stops(rng, 3))


def _stripes(rng: np.random.Generator) -> Array:
    """Boards, blinds, corrugated iron: stripes with per-stripe tone and shading."""
    x, y = _grid(SIZE)
    period = rng.uniform(8.0, 60.0)
    u = (x + 0.0 * y) / period
    index = np.floor(u)
    tone = rng.uniform(0.25, 0.8, 256).astype(np.float32)[index.astype(int) % 256]
    fold = np.sin((u - index) * np.pi)
    noise = fractal(rng, SIZE, 1.4, 2)
    return ramp(tone * (0.55 + 0.45 * fold) + 0.06 * noise[0], _stops(rng, 3))


def _wood(rng: np.random.Generator) -> Array:
    """Grain, marble, ripples: a warped grating."""
    x, y = _grid(SIZE)
    noise = fractal(rng, SIZE, 2.0, 2)
    field = np.sin(x * rng.uniform(0.1, 0.3) + y * 0.03 + noise[0] * rng.uniform(3, 9))
    fine = fractal(rng, SIZE, 0.9)[0]
    return ramp((0.5 + 0.22 * field + 0.05 * fine).astype(np.float32), _stops(rng, 4))


def _cells(rng: np.random.Generator) -> Array:
    """Voronoi cells: stones, scales, cracked ground, leaves of a hedge."""
    step = float(rng.uniform(14, 48))
    x, y = _grid(SIZE)
    count = int(SIZE / step) + 3
    points = rng.uniform(0.05, 0.95, (count, count, 2)).astype(np.float32)
    tones = rng.uniform(0.15, 0.85, (count, count)).astype(np.float32)
    nearest = np.full((SIZE, SIZE), 1e9, np.float32)
    second = nearest.copy()
    tone = np.zeros((SIZE, SIZE), np.float32)
    column, row = (x / step).astype(int)[0] + 1, (y / step).astype(int)[:, 0] + 1
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            r, c = np.clip(row + dy, 0, count - 1), np.clip(column + dx, 0, count - 1)
            px = (c - 1 + points[..., 0][r][:, c]) * step
            py = (r[:, None] - 1 + points[..., 1][r][:, c]) * step
            distance = np.hypot(x - px, y - py).astype(np.float32)
            second = np.minimum(second, np.maximum(distance, nearest))
            tone = np.where(distance < nearest, tones[r][:, c], tone)
            nearest = np.minimum(nearest, distance)
    edge = np.clip((second - nearest) / rng.uniform(2.0, 6.0), 0.0, 1.0)
    field = tone * (0.4 + 0.6 * edge) + 0.06 * fractal(rng, SIZE, 1.2)[0]
    return ramp(field, _stops(rng, 5))


def _sheet_of_letters(rng: np.random.Generator) -> Array:
    """Rows of lettering: posters, signs, captions, numbers on a dial."""
    paper = ramp(0.5 + 0.1 * fractal(rng, SIZE, 1.8)[0], _stops(rng, 2))
    ink = _stops(rng, 2)[int(rng.integers(2))] * rng.choice([0.3, 1.0])
    cover = np.zeros((SIZE, SIZE), np.float32)
    letters = sorted(STROKES)
    top = 6.0
    while top < SIZE - 20:
        unit = float(np.exp(rng.uniform(np.log(1.6), np.log(12.0))))
        pen = unit * rng.uniform(0.3, 0.7)
        left = rng.uniform(4, 60)
        while left + 5 * unit < SIZE and top + 7 * unit < SIZE:
            if rng.uniform() < 0.84:
                width, height = int(5.5 * unit) + 3, int(7.5 * unit) + 3
                x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
                near = np.full((height, width), 1e3, np.float32)
                for segment in letter_segments(letters[int(rng.integers(len(letters)))]):
                    near = np.minimum(near, segment_distance(x, y, [p * unit + pen for p in segment]))
                r, c = int(top), int(left)
                window = cover[r : r + height, c : c + width]
                mark = np.clip(pen - near + 0.5, 0, 1)[: window.shape[0], : window.shape[1]]
                np.maximum(window, mark, out=window)
            left += 5.6 * unit
        top += unit * rng.uniform(8.5, 11.0)
    return np.asarray(paper + cover * (ink[:, None, None] - paper), np.float32)


def _straw(rng: np.random.Generator) -> Array:
    """Blades, fur, straw: fractal noise drawn out along one direction that slowly turns."""
    noise = fractal(rng, SIZE, 0.6)[0]
    length = int(rng.integers(12, 36))
    lean = np.cumsum(rng.normal(0, 0.15, length))
    total = np.zeros_like(noise)
    for k in range(length):
        total += np.roll(noise, (k, round(float(lean[k]))), axis=(0, 1))
    total /= total.std()
    field = 0.5 + 0.17 * total + 0.1 * fractal(rng, SIZE, 2.0)[0]
    return ramp(field.astype(np.float32), _stops(rng, 4))


def _facade(rng: np.random.Generator) -> Array:
    """Windows on a wall, shelves of books, a rack of lamps: boxes on a regular grid, each its own tone."""
    x, y = _grid(SIZE)
    width, height = rng.uniform(20, 80), rng.uniform(24, 90)
    u, v = x / width, y / height
    column, row = np.floor(u), np.floor(v)
    inset = rng.uniform(0.1, 0.35)
    fu, fv = np.abs(u - column - 0.5), np.abs(v - row - 0.5)
    box = np.clip((0.5 - inset - np.maximum(fu * 1.0, fv * 1.0)) * width + 0.5, 0, 1)
    table = rng.uniform(0.0, 1.0, (256, 256)).astype(np.float32) ** 2
    tone = table[row.astype(int) % 256, column.astype(int) % 256]
    noise = fractal(rng, SIZE, 1.5, 2)
    wall = ramp(0.5 + 0.12 * noise[0], _stops(rng, 2))
    glass = ramp(tone + 0.08 * noise[1] + 0.2 * (fv - 0.25), _stops(rng, 3))
    return np.asarray(wall + box * (glass - wall), np.float32)
