"""What a scene shows: drawn from its own random numbers, as a picture would be composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
import torch

from kairos.training.scenes.fields import Array, colour
from kairos.training.scenes.layer import ADDITIVE, OPAQUE, SHADOW, TRANSPARENT, Layer, Surface
from kairos.training.scenes.motion import Course, Numbers, Paths, Ripple
from kairos.training.scenes.shapes import POINTS, Shape, draw_shape
from kairos.training.scenes.textures import Bank, Texture

Generator = np.random.Generator

ODDS = {
    "blob": 2.5, "polygon": 1.8, "box": 2.5, "rock": 3.0, "foliage": 2.0, "figure": 4.0,
    "fence": 0.9, "wires": 1.4, "hair": 1.4, "lettering": 1.3,
}  # fmt: skip
"""How often each outline is drawn."""
FILMY = ("blob", "box", "foliage", "rock")


@dataclass(frozen=True)
class Finish:
    """What happens to a picture after its layers are put together.

    Attributes:
        shutter: how long it is open, in intervals; instants: how many it is averaged over, 1 for none.
        grain: deviation of the noise in the encoded picture; soft: a film's short correlation.
        gain: relative brightness at time 1 less that at time 0; flicker: amplitude of a faster change, its phase.
    """

    shutter: float
    instants: int
    grain: float
    soft: bool
    gain: float
    flicker: Tuple[float, float]


@dataclass(frozen=True)
class Scene:
    """One scene, ready to be rendered.

    Attributes:
        layers: from far to near; the first is the background.
        time: of the in-between.
        speed: largest motion in pixels over the interval that was asked for.
    """

    layers: Tuple[Layer, ...]
    finish: Finish
    time: float
    speed: float


@dataclass
class _Draft:
    """A layer before its motion is known."""

    kind: int
    number: int
    surface: Optional[Surface]
    shape: Optional[Shape]
    softness: float
    opacity: float
    place: Tuple[float, float]
    half: Tuple[float, float]
    depth: float
    still: bool = False
    follows: int = -1


@dataclass(frozen=True)
class _Look:
    """What the colours of one scene have in common."""

    hue: float
    saturation: float
    key: float
    haze: Array
    thickness: float
    focus: float
    range: float


def draw_scene(rng: Generator, bank: Bank, height: int, width: int, reach: float, device: torch.device) -> Scene:
    """The scene of a generator of random numbers.

    Args:
        reach: largest motion over the interval, pixels.
    """
    time = 0.5 if rng.uniform() < 0.4 else float(rng.uniform(0.1, 0.9))
    still, speed = _speed(rng, reach)
    short = min(height, width)
    look = _Look(
        rng.uniform(), rng.uniform(0.05, 0.6), rng.uniform(0.25, 0.65),
        colour(rng, rng.uniform(0.45, 0.75), rng.uniform(0.0, 0.4), rng.uniform(0.4, 0.85)),
        rng.uniform(0.1, 0.5) if rng.uniform() < 0.4 else 0.0,
        rng.uniform(0.0, 1.0),
        rng.uniform(1.5, 6.0) if rng.uniform() < 0.3 else 0.0,
    )  # fmt: skip
    drafts = [_background(rng, bank, look, height, width, device)]
    if rng.uniform() < 0.3:
        for k in range(int(rng.integers(1, 4))):
            drafts.append(_ridge(rng, bank, look, height, width, k, device))
    count = int(rng.choice(np.arange(1, 9), p=[0.16, 0.22, 0.2, 0.14, 0.1, 0.07, 0.06, 0.05]))
    depths = np.sort(rng.uniform(0.25, 1.0, count))[::-1]
    for depth in depths:
        number = len(drafts)
        extra, draft = _object(rng, bank, look, height, width, float(depth), count, number, device)
        if extra is not None:
            extra.follows = len(drafts) + 1
            drafts.append(extra)
        drafts.append(draft)
    for kind, odds in ((TRANSPARENT, 0.10), (ADDITIVE, 0.08)):
        if rng.uniform() < odds:
            drafts.append(_film(rng, bank, look, height, width, kind, len(drafts), device))
    paths = _paths(rng, drafts, height, width, still).at_speed(speed, height, width)
    layers = tuple(
        Layer(d.kind, d.number, d.surface, d.shape, d.softness, d.opacity, Course(paths, k))
        for k, d in enumerate(drafts)
    )
    return Scene(layers, _finish(rng, speed, short), time, speed)


def _speed(rng: Generator, reach: float) -> Tuple[str, float]:
    """Whether something is held still, and the largest motion: sub-pixel to 4, to 20, to the reach."""
    draw, place = rng.uniform(), rng.uniform()
    edges = (0.3, min(4.0, reach), min(20.0, reach), reach)
    band = int(np.searchsorted([0.25, 0.55], draw))
    speed = float(np.exp(np.log(edges[band]) + place * np.log(edges[band + 1] / edges[band])))
    chance = rng.uniform()
    if chance < 0.02:
        return "all", 0.0
    return ("others", speed) if chance < 0.04 else ("", speed)


def _surface(
    rng: Generator, bank: Bank, look: _Look, extent: float, depth: float, blur: float, device: torch.device,
    flat: bool = False,
) -> Surface:  # fmt: skip
    """A texture and colours for a layer of an extent in pixels; depth 1 is far; blur in pixels."""
    texture = bank.textures[int(rng.integers(len(bank.textures)))]
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


def _colours(rng: Generator, texture: Texture, look: _Look, flat: bool) -> Tuple[Array, Array]:
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


def _background(rng: Generator, bank: Bank, look: _Look, height: int, width: int, device: torch.device) -> _Draft:
    extent = 1.15 * max(height, width)
    blur = look.range if look.focus < 0.6 else 0.0
    surface = _surface(rng, bank, look, extent, 1.0, blur, device, flat=bool(rng.uniform() < 0.12))
    place = ((width - 1) / 2, (height - 1) / 2)
    return _Draft(OPAQUE, 0, surface, None, 1.0, 1.0, place, (width / 2, height / 2), 1.0)


def _ridge(
    rng: Generator, bank: Bank, look: _Look, height: int, width: int, order: int, device: torch.device
) -> _Draft:
    """Ground or hills, one behind the other."""
    radius = float(1.0 * max(height, width))
    shape = draw_shape(rng, "ridge", radius, bank.noise, device)
    depth = 0.85 - 0.15 * order
    surface = _surface(rng, bank, look, 1.2 * width, depth, 0.0, device)
    place = (width * rng.uniform(0.3, 0.7), height * (rng.uniform(0.4, 0.6) + 0.17 * order))
    return _Draft(OPAQUE, order + 1, surface, shape, 1.0, 1.0, place, shape.half, depth)


def _object(
    rng: Generator, bank: Bank, look: _Look, height: int, width: int, depth: float, count: int, number: int,
    device: torch.device,
) -> Tuple[Optional[_Draft], _Draft]:  # fmt: skip
    """A thing in the scene, and perhaps the shadow that it throws on what lies behind."""
    short = min(height, width)
    kinds = list(ODDS)
    weights = np.array([ODDS[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    largest = 0.48 if count < 4 else 0.26
    radius = short * float(np.exp(rng.uniform(np.log(0.09), np.log(largest))))
    if kind in ("fence", "wires"):
        radius = short * rng.uniform(0.35, 0.8)
    elif kind in ("figure", "foliage", "hair", "lettering"):
        radius = max(radius, short * 0.13)
    shape = draw_shape(rng, kind, radius, bank.noise, device)
    blur = look.range * abs(depth - look.focus) if kind not in ("wires", "fence", "lettering") else 0.0
    softness = max(1.0, 2.2 * blur)
    if kind in ("blob", "rock") and rng.uniform() < 0.12:
        softness = max(softness, radius * rng.uniform(0.1, 0.5))
    surface = _surface(rng, bank, look, 2 * radius, depth, blur, device, flat=kind in ("wires", "lettering"))
    rim, spots = 0.0, np.zeros((0, 6))
    if kind in ("blob", "figure", "rock", "hair") and rng.uniform() < 0.6:
        rim = rng.uniform(0.2, 0.6)
    if kind in ("blob", "figure", "box", "polygon") and rng.uniform() < 0.25:
        spots = _highlights(rng, radius, short)
    surface = Surface(
        surface.canvas,
        surface.lay,
        surface.mix,
        surface.base,
        surface.light,
        rim,
        radius * rng.uniform(0.08, 0.3),
        spots,
    )
    place = (rng.uniform(0.02, 0.98) * width, rng.uniform(0.02, 0.98) * height)
    draft = _Draft(OPAQUE, number, surface, shape, softness, 1.0, place, shape.half, depth)
    shadow = None
    if rng.uniform() < 0.3 and kind not in ("wires",):
        offset = rng.normal(0.0, 0.12 * radius, 2) + np.array([0.0, 0.05 * radius])
        shadow = _Draft(
            SHADOW, number, None, shape, max(2.0, radius * rng.uniform(0.05, 0.4)), rng.uniform(0.25, 0.65),
            (place[0] + offset[0], place[1] + offset[1]), shape.half, depth,
        )  # fmt: skip
    return shadow, draft


def _highlights(rng: Generator, radius: float, short: int) -> Numbers:
    """One to three glints above white, which stay on the surface."""
    spots = []
    for _ in range(int(rng.integers(1, 4))):
        size = np.exp(rng.uniform(np.log(0.8), np.log(max(1.5, 0.035 * short))))
        peak = np.exp(rng.uniform(np.log(0.5), np.log(3.0)))
        warm = 1.0 + rng.normal(0.0, 0.08, 3)
        spots.append([*rng.uniform(-0.35, 0.35, 2) * radius, size, *(peak * warm)])
    return np.array(spots)


def _film(
    rng: Generator, bank: Bank, look: _Look, height: int, width: int, kind: int, number: int, device: torch.device
) -> _Draft:
    """Glass, smoke, a reflection, a glow: seen through, or added."""
    radius = min(height, width) * rng.uniform(0.15, 0.5)
    shape = draw_shape(rng, FILMY[int(rng.integers(len(FILMY)))], radius, bank.noise, device)
    surface = _surface(rng, bank, look, 2 * radius, 0.2, rng.choice([0.0, 3.0]), device)
    softness = rng.choice([1.0, radius * rng.uniform(0.1, 0.6)])
    place = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height)
    opacity = rng.uniform(0.15, 0.55)
    return _Draft(kind, number, surface, shape, max(1.0, softness), opacity, place, shape.half, 0.2)


def _paths(rng: Generator, drafts: List[_Draft], height: int, width: int, still: str) -> Paths:
    """Motion of everything at unit speed: about one pixel at the layer's edge from each part that moves."""
    count = len(drafts)
    size = np.array([np.hypot(*draft.half) for draft in drafts])
    own, bend = np.zeros((count, 6)), np.zeros((count, 6))
    ripples: List[Optional[Ripple]] = []
    for k, draft in enumerate(drafts):
        heading = rng.normal(0.0, 0.5) + rng.choice([0.0, np.pi]) if rng.uniform() < 0.6 else rng.uniform(0, 6.2832)
        pace = 0.0 if rng.uniform() < 0.3 else np.exp(rng.uniform(np.log(0.2), 0.0))
        parts = rng.normal(0.0, 1.0, 4) * (rng.uniform(size=4) < np.array([0.5, 0.5, 0.2, 0.2]))
        own[k] = [pace * np.cos(heading), pace * np.sin(heading), *(parts * pace * [0.5, 0.35, 0.8, 0.8] / size[k])]
        bends = rng.uniform(-0.8, 0.8, 6) * (rng.uniform() < 0.5)
        bend[k] = bends
        ripple = _ripple(rng, size[k])
        fixed = draft.shape is None or draft.shape.half[0] >= max(height, width)
        if fixed:
            own[k, :4] = 0.0
        ripples.append(ripple if rng.uniform() < (0.25 if fixed else 0.45) else None)
        if draft.kind == SHADOW:
            ripples[k] = None
    for k, draft in enumerate(drafts):
        if draft.follows >= 0:
            slip = rng.uniform(0.6, 1.2)
            own[k] = own[draft.follows] * slip
            own[k, :2] += rng.normal(0.0, 0.12, 2)
            bend[k] = bend[draft.follows]
    camera = np.zeros(4)
    shake = np.zeros(4)
    reachable = np.hypot(height, width) / 2
    if rng.uniform() >= 0.3 and still == "":
        pan = rng.normal(0.0, 1.0, 2) * np.array([0.8, 0.4]) * (rng.uniform() < 0.8)
        turns = rng.normal(0.0, 0.5, 2) * (rng.uniform(size=2) < np.array([0.25, 0.4])) / reachable
        camera = np.array([*pan, *turns])
        if rng.uniform() < 0.2:
            shake = rng.normal(0.0, 0.3, 4) * np.array([1.0, 1.0, 0.4 / reachable, 0.2 / reachable])
    if still == "others":
        mover = int(rng.integers(1, count))
        for k in range(count):
            if k != mover:
                own[k] = 0.0
                ripples[k] = None
    elif not own.any() and not camera.any():
        own[-1, :2] = rng.normal(0.0, 1.0, 2)
    spread = 0.0 if rng.uniform() < 0.35 else rng.uniform(0.2, 1.0)
    depth = np.array([draft.depth for draft in drafts])
    return Paths(
        np.array([draft.place for draft in drafts]), rng.normal(0.0, 0.35, (count, 2)) * size[:, None],
        np.array([draft.half for draft in drafts]), np.stack([_points(draft) for draft in drafts]), own, bend, camera,
        rng.uniform(-0.6, 0.6, 4) * (rng.uniform() < 0.5),
        1.0 - spread * depth * 0.8, shake, rng.uniform(4.0, 11.0, 4), rng.uniform(0, 6.2832, 4),
        ((width - 1) / 2, (height - 1) / 2), tuple(ripples),
    )  # fmt: skip


def _points(draft: _Draft) -> Numbers:
    """Where a layer's motion is measured: inside its outline, or all over the frame."""
    if draft.kind in (SHADOW, TRANSPARENT, ADDITIVE):
        return np.full((POINTS, 2), np.nan)
    if draft.shape is not None:
        return draft.shape.points
    x, y = np.meshgrid(np.linspace(-1.0, 1.0, 6), np.linspace(-1.0, 1.0, 4))
    grid: Numbers = np.stack([x.ravel(), y.ravel()], 1) * np.array(draft.half)
    return grid


def _ripple(rng: Generator, size: float) -> Ripple:
    count = int(rng.integers(1, 4))
    length = size * np.exp(rng.uniform(np.log(0.5), np.log(2.5), count))
    angle, way = rng.uniform(0, 2 * np.pi, count), rng.uniform(0, 2 * np.pi, count)
    waves = (2 * np.pi / length)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    sway = rng.uniform(0.05, 0.4, count)[:, None] * np.stack([np.cos(way), np.sin(way)], 1)
    return Ripple(
        waves, rng.uniform(0, 2 * np.pi, count), sway, rng.uniform(0.6, 2.6, count), rng.normal(0.0, 0.5, count)
    )


def _finish(rng: Generator, speed: float, short: int) -> Finish:
    shutter, instants = 0.0, 1
    if rng.uniform() < 0.25:
        instants = 5
        # Samples further than two pixels apart would show as steps.
        shutter = min(rng.uniform(0.1, 0.6), 2.0 * (instants - 1) / max(speed, 1e-3))
        if shutter * speed < 0.7:
            instants = 1
    grain = float(np.exp(rng.uniform(np.log(0.003), np.log(0.03)))) if rng.uniform() < 0.4 else 0.0
    soft = bool(rng.uniform() < 0.5)
    gain, flicker = 0.0, (0.0, 0.0)
    if rng.uniform() < 0.1:
        gain, flicker = rng.normal(0.0, 0.06), (rng.normal(0.0, 0.02), rng.uniform(0, 6.2832))
    return Finish(shutter, instants, grain, soft, gain, flicker)
