"""Outlines of layers: signed distance in pixels over the layer's plane, positive inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.training.scenes.fields import STROKES, Array, letter_segments, segment_distance
from kairos.training.scenes.motion import Numbers

POINTS = 40
Generator = np.random.Generator


@dataclass(frozen=True)
class Shape:
    """A distance field on a grid.

    Attributes:
        field: (1, 1, h, w) signed distance to the outline in pixels, positive inside.
        half: half extent (x, y) in pixels that the grid's outermost samples stand for; beyond it nothing is drawn.
        points: (40, 2) points inside the outline, all over it.
    """

    field: Tensor
    half: Tuple[float, float]
    points: Numbers


def draw_shape(rng: Generator, kind: str, radius: float, noise: Array, device: torch.device) -> Shape:
    """A shape of one of :data:`KINDS` whose size is about a radius in pixels."""
    return _shape(*KINDS[kind](rng, radius, noise), device)


def limb(along: Tuple[float, float], wide: float, narrow: float, device: torch.device) -> Shape:
    """A bone from -along / 2 to along / 2 that tapers from a half width to another; ends are round."""
    half_x, half_y = abs(along[0]) / 2 + wide + 3, abs(along[1]) / 2 + wide + 3
    x, y = _plane(half_x, half_y, _coarse(max(half_x, half_y)))
    ends = (-along[0] / 2, -along[1] / 2, along[0] / 2, along[1] / 2)
    square = max(along[0] ** 2 + along[1] ** 2, 1e-3)
    share = np.clip((x * np.float32(along[0]) + y * np.float32(along[1])) / np.float32(square) + 0.5, 0.0, 1.0)
    field = np.float32(wide) + share * np.float32(narrow - wide) - segment_distance(x, y, ends)
    return _shape(np.asarray(field, np.float32), (half_x, half_y), device)


def body(rng: Generator, radius: float, device: torch.device) -> Shape:
    """Head and trunk, to which limbs are joined: hips at 0.15 radius below the middle, shoulders 0.4 above."""
    half_x, half_y = 0.45 * radius + 4, 0.95 * radius + 4
    x, y = _plane(half_x, half_y, _coarse(radius))
    lean, stout = rng.normal(0, 0.04) * radius, rng.uniform(0.13, 0.2) * radius
    trunk = np.float32(stout) - segment_distance(x, y, (lean, -0.32 * radius, 0.0, 0.12 * radius))
    head = np.float32(rng.uniform(0.12, 0.17) * radius) - np.hypot(x - 1.4 * lean, (y + 0.66 * radius) * 0.85)
    neck = np.float32(0.07 * radius) - segment_distance(x, y, (1.3 * lean, -0.6 * radius, lean, -0.4 * radius))
    return _shape(np.maximum(np.maximum(trunk, head), neck).astype(np.float32), (half_x, half_y), device)


def _shape(field: Array, half: Tuple[float, float], device: torch.device) -> Shape:
    # One row of outside all round, so that nothing is cut off hard.
    field = np.pad(field[1:-1, 1:-1], 1, constant_values=-8.0)
    inside = np.flatnonzero(field > 0.0)
    if len(inside) == 0:
        inside = np.array([int(field.argmax())])
    rows, columns = np.divmod(inside[np.linspace(0, len(inside) - 1, POINTS).astype(int)], field.shape[1])
    scale = 2.0 / (np.array(field.shape[::-1]) - 1.0)
    points = (np.stack([columns, rows], 1) * scale - 1.0) * np.array(half)
    return Shape(torch.from_numpy(np.ascontiguousarray(field, np.float32))[None, None].to(device), half, points)


def _plane(half_x: float, half_y: float, step: float) -> Tuple[Array, Array]:
    columns, rows = max(8, int(2 * half_x / step) + 1), max(8, int(2 * half_y / step) + 1)
    x = np.linspace(-half_x, half_x, columns, dtype=np.float32)[None, :]
    y = np.linspace(-half_y, half_y, rows, dtype=np.float32)[:, None]
    return x, y


def _coarse(radius: float) -> float:
    return max(1.0, radius / 56.0)


def _blob(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    stretch = rng.uniform(0.55, 1.0)
    half = radius * 1.45 + 3
    x, y = _plane(half, half, _coarse(radius))
    turn = rng.uniform(0, np.pi)
    u = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
    v = (y * np.float32(np.cos(turn)) - x * np.float32(np.sin(turn))) / np.float32(stretch)
    angle = np.arctan2(v, u)
    ring = np.ones_like(angle)
    slope = np.zeros_like(angle)
    for k in range(2, 6):
        size, phase = rng.normal(0.0, 0.16) / (k - 1), rng.uniform(0, 2 * np.pi)
        wave = np.float32(k) * angle + np.float32(phase)
        ring += np.float32(size) * np.cos(wave)
        slope -= np.float32(size * k) * np.sin(wave)
    ring = np.clip(ring, 0.3, 1.4)
    distance = (np.float32(radius) * ring - np.hypot(u, v)) / np.sqrt(1 + (slope / ring) ** 2)
    return np.asarray(distance * np.float32(stretch), np.float32), (half, half)


def _polygon(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    count = int(rng.integers(3, 9))
    angles = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * 2 * np.pi / count
    radii = radius * (rng.uniform(0.35, 1.1, count) if rng.uniform() < 0.4 else rng.uniform(0.8, 1.1, count))
    points = np.stack([np.cos(angles) * radii, np.sin(angles) * radii], 1)
    half = radius * 1.1 + 4
    x, y = _plane(half, half, _coarse(radius))
    return _filled(x, y, points), (half, half)


def _filled(x: Array, y: Array, points: Numbers) -> Array:
    """Signed distance to a closed polygon by edge distance and crossing parity."""
    near = np.full(np.broadcast_shapes(x.shape, y.shape), 1e6, np.float32)
    inside = np.zeros(near.shape, bool)
    for a, b in zip(points, np.roll(points, -1, axis=0)):
        near = np.minimum(near, segment_distance(x, y, (a[0], a[1], b[0], b[1])))
        if a[1] != b[1]:
            crossing = (y > min(a[1], b[1])) & (y <= max(a[1], b[1]))
            inside ^= crossing & (x < a[0] + (y - a[1]) * (b[0] - a[0]) / (b[1] - a[1]))
    return np.where(inside, near, -near)


def _box(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    side_x, side_y = radius * rng.uniform(0.45, 1.0), radius * rng.uniform(0.45, 1.0)
    half = float(np.hypot(side_x, side_y)) + 4
    x, y = _plane(half, half, _coarse(radius))
    turn = rng.choice([0.0, rng.normal(0.0, 0.15), rng.uniform(0, np.pi)])
    u, v = _turned(x, y, turn)
    corner = min(side_x, side_y) * rng.choice([0.0, rng.uniform(0.1, 1.0)])
    out_x, out_y = np.abs(u) - np.float32(side_x - corner), np.abs(v) - np.float32(side_y - corner)
    outside = np.hypot(np.maximum(out_x, 0), np.maximum(out_y, 0))
    distance = np.float32(corner) - outside - np.minimum(np.maximum(out_x, out_y), 0)
    if rng.uniform() < 0.3:
        wall = min(side_x, side_y) * rng.uniform(0.12, 0.5)
        distance = np.minimum(distance, np.float32(wall) - distance)
    return np.asarray(distance, np.float32), (half, half)


def _rock(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """A blob with a ragged outline."""
    base, half = _blob(rng, radius * 0.9, noise)
    ragged = _noise(rng, noise[rng.integers(3, 12)], base.shape, rng.uniform(1.0, 1.9))
    return base + np.float32(radius * rng.uniform(0.06, 0.16)) * ragged, half


def _foliage(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """Leaves, lace, a crowd of small things: a ragged blob full of holes."""
    half = radius * 1.25 + 3
    step = max(0.9, radius / 160.0)
    x, y = _plane(half, half, step)
    spread = rng.uniform(0.6, 1.0)
    inner = 1.0 - np.sqrt(x * x + (y / np.float32(spread)) ** 2) / np.float32(radius)
    ragged = _noise(rng, noise[rng.integers(0, 6)], inner.shape, rng.uniform(1.0, 1.9))
    sharp = rng.uniform(2.5, 6.0)
    return np.asarray(np.clip((ragged + inner * np.float32(2.2) - 0.5) * np.float32(sharp), -8, 8), np.float32), (
        half,
        half,
    )


def _figure(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """Head, body and limbs."""
    r = radius
    half_x, half_y = r * 0.95 + 4, r * 1.1 + 4
    x, y = _plane(half_x, half_y, _coarse(radius))
    lean = rng.normal(0, 0.08) * r
    bones: List[Tuple[float, float, float, float, float]] = [
        (lean, -0.62 * r, lean * 1.2, -0.66 * r, 0.17 * r),
        (lean * 0.6, -0.34 * r, 0.0, 0.12 * r, rng.uniform(0.16, 0.26) * r),
    ]
    for side in (-1.0, 1.0):
        lift, fold = rng.uniform(-0.5, 1.3), rng.uniform(-0.9, 0.9)
        sx, sy = side * 0.2 * r + lean * 0.6, -0.38 * r
        ex, ey = sx + side * 0.3 * r * np.cos(lift), sy + 0.3 * r * np.sin(lift)
        hx, hy = ex + side * 0.3 * r * np.cos(lift + fold), ey + 0.3 * r * np.sin(lift + fold)
        kx, ky = side * rng.uniform(0.08, 0.35) * r, 0.52 * r
        fx, fy = kx + rng.uniform(-0.25, 0.25) * r, rng.uniform(0.85, 1.0) * r
        arm, leg = rng.uniform(0.05, 0.085) * r, rng.uniform(0.08, 0.12) * r
        bones += [(sx, sy, ex, ey, arm), (ex, ey, hx, hy, arm * 0.85)]
        bones += [(side * 0.1 * r, 0.1 * r, kx, ky, leg), (kx, ky, fx, fy, leg * 0.75)]
    distance = np.full(np.broadcast_shapes(x.shape, y.shape), -1e6, np.float32)
    for x0, y0, x1, y1, width in bones:
        distance = np.maximum(distance, np.float32(width) - segment_distance(x, y, (x0, y0, x1, y1)))
    return distance, (half_x, half_y)


def _ridge(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """Ground, hills, a skyline: everything below a line. Radius is half of its width."""
    half_x, half_y = radius, radius
    x, y = _plane(half_x, half_y, max(1.5, radius / 110.0))
    line = x * np.float32(rng.normal(0, 0.08))
    slope = np.zeros_like(x)
    if rng.uniform() < 0.35:
        edges = np.sort(rng.uniform(-radius, radius, 18))
        heights = rng.uniform(-0.25, 0.0, 19) * radius
        line = line + heights[np.searchsorted(edges, x[0])][None].astype(np.float32)
    else:
        rough = rng.uniform(0.4, 1.4)
        for k in range(1, 14):
            wave = np.float32(k * np.pi * rng.uniform(0.8, 1.2) / radius)
            size, phase = np.float32(0.16 * radius * rng.normal() / k**rough / 2), rng.uniform(0, 6.28)
            line = line + size * np.sin(wave * x + np.float32(phase))
            slope = slope + size * wave * np.cos(wave * x + np.float32(phase))
    return np.asarray((y - line) / np.sqrt(1 + slope * slope), np.float32), (half_x, half_y)


def _fence(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """Bars, railings, lattice and mesh, with what lies behind seen between."""
    half_x, half_y = radius * rng.uniform(0.8, 1.2), radius * rng.uniform(0.5, 1.0)
    x, y = _plane(half_x, half_y, max(0.75, radius / 170.0))
    period = float(np.exp(rng.uniform(np.log(9.0), np.log(max(14.0, radius * 0.5)))))
    bar = period * rng.uniform(0.07, 0.24)
    kind = rng.integers(3)

    def bars(u: Array, spacing: float, width: float) -> Array:
        return np.asarray(width - np.abs((u / spacing - np.round(u / spacing)) * spacing), np.float32)

    if kind == 0:
        rails = np.maximum(bars(x, period, bar), bars(y, half_y * 0.8, bar * 1.3))
    elif kind == 1:
        u, v = _turned(x, y, np.pi / 4)
        rails = np.maximum(bars(u, period, bar), bars(v, period, bar))
    else:
        rails = np.maximum(bars(x, period, bar), bars(y, period * rng.uniform(0.8, 2.0), bar))
    panel = np.minimum(half_x - 2 - np.abs(x), half_y - 2 - np.abs(y))
    return np.minimum(rails, panel), (half_x, half_y)


def _wires(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """One to five cables, twigs or masts of a pixel or a few."""
    half = radius
    x, y = _plane(half, half * 0.7, max(0.75, radius / 170.0))
    u, v = _turned(x, y, rng.choice([rng.normal(0, 0.2), rng.uniform(0, np.pi)]))
    distance = np.full(np.broadcast_shapes(x.shape, y.shape), -1e6, np.float32)
    sag, tilt = rng.normal(0, 0.25) / radius, rng.normal(0, 0.2)
    for _ in range(int(rng.integers(1, 6))):
        width = np.exp(rng.uniform(np.log(0.6), np.log(2.6)))
        lift = rng.uniform(-0.6, 0.6) * radius
        a, b = sag * rng.uniform(0.7, 1.3), tilt + rng.normal(0, 0.03)
        line = np.float32(a) * u * u + np.float32(b) * u + np.float32(lift)
        slope = np.float32(2 * a) * u + np.float32(b)
        distance = np.maximum(distance, np.float32(width) - np.abs(v - line) / np.sqrt(1 + slope * slope))
    return distance, (half, half * 0.7)


def _hair(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """A body with fine strands all round it, each of its own length and curl."""
    half = radius * 1.1 + 3
    x, y = _plane(half, half, max(0.7, radius / 170.0))
    rho = np.hypot(x, y)
    core = radius * rng.uniform(0.4, 0.65)
    curl = rng.normal(0, 0.5) * (rho / np.float32(radius)) ** 2
    wobble = 0.12 * np.sin(rho * np.float32(rng.uniform(0.05, 0.2)) + np.float32(rng.uniform(0, 6)))
    count = int(rng.integers(40, 160))
    turn = (np.arctan2(y, x) + curl + wobble) * np.float32(count / (2 * np.pi))
    index = np.round(turn)
    strand = index.astype(int) % count
    offset = turn - index - rng.uniform(-0.25, 0.25, count).astype(np.float32)[strand]
    length = (core + (radius - core) * rng.uniform(0.1, 1.0, count)).astype(np.float32)[strand]
    thick = rng.uniform(0.5, 1.1)
    width = np.float32(thick) * np.clip((length - rho) / np.float32(0.35 * radius), -1.0, 1.0)
    strands = width - np.abs(offset) * rho * np.float32(2 * np.pi / count)
    body = np.float32(core) * (1 + 0.08 * np.sin(3 * np.arctan2(y, x) + np.float32(rng.uniform(0, 6)))) - rho
    return np.asarray(np.maximum(body, strands), np.float32), (half, half)


def _lettering(rng: Generator, radius: float, noise: Array) -> Tuple[Array, Tuple[float, float]]:
    """A word or a number."""
    count = int(rng.integers(2, 8))
    unit = 2 * radius / (5.6 * count)
    pen = unit * rng.uniform(0.3, 0.75)
    half_x, half_y = radius + 2 * pen + 3, 3 * unit + 2 * pen + 3
    step = max(0.6, pen / 3)
    x, y = _plane(half_x, half_y, step)
    distance = np.full((y.shape[0], x.shape[1]), -1e3, np.float32)
    letters = sorted(STROKES)
    for k in range(count):
        left = -radius + 5.6 * unit * k + 0.8 * unit
        low, high = np.searchsorted(x[0], [left - 2 * pen - 2, left + 4 * unit + 2 * pen + 2])
        for x0, y0, x1, y1 in letter_segments(letters[int(rng.integers(len(letters)))]):
            segment = (left + x0 * unit, (y0 - 3) * unit, left + x1 * unit, (y1 - 3) * unit)
            window = distance[:, low:high]
            np.maximum(window, np.float32(pen) - segment_distance(x[:, low:high], y, segment), out=window)
    return distance, (half_x, half_y)


def _turned(x: Array, y: Array, angle: float) -> Tuple[Array, Array]:
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * c + y * s, y * c - x * s


def _noise(rng: Generator, field: Array, shape: Tuple[int, ...], spacing: float) -> Array:
    """A random window of periodic noise, spacing samples of it per grid point."""
    size = field.shape[0]
    rows = (rng.integers(size) + np.arange(shape[0]) * spacing).astype(int) % size
    columns = (rng.integers(size) + np.arange(shape[1]) * spacing).astype(int) % size
    answer: Array = field[rows[:, None], columns[None]]
    return answer


KINDS: Dict[str, Callable[[Generator, float, Array], Tuple[Array, Tuple[float, float]]]] = {
    "blob": _blob,
    "polygon": _polygon,
    "box": _box,
    "rock": _rock,
    "foliage": _foliage,
    "figure": _figure,
    "ridge": _ridge,
    "fence": _fence,
    "wires": _wires,
    "hair": _hair,
    "lettering": _lettering,
}
