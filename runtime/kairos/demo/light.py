"""Light in the demo scene: a key spot, a cool fill, the swinging lamp, and soft shadows on floor and wall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from kairos.demo.camera import Values, Vector, along, column, dot, unit, vector

KEY_POSITION = vector(-2.1, 3.3, 0.4)
KEY_TARGET = vector(0.25, 0.1, 3.9)
KEY_COLOUR = vector(1.0, 0.86, 0.68) * 23.0
FILL_COLOUR = vector(0.085, 0.11, 0.155)
LAMP_COLOUR = vector(1.0, 0.62, 0.28) * 0.34
SOFTNESS = 0.05
"""Half the angle the key covers, radians: what makes a penumbra."""


def smooth(low: float, high: float, values: Values) -> Values:
    """0 below ``low``, 1 above ``high``, a smooth step between."""
    part = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


@dataclass(frozen=True)
class Light:
    """All lights at one time. ``lamp`` is where the lamp hangs."""

    lamp: Vector

    def key(self, points: Values, normals: Values, wrap: float = 0.0) -> Values:
        """(...) cosine-weighted key irradiance without colour, inside its cone; ``wrap`` lets light round the edge."""
        to_light = column(KEY_POSITION, points) - points
        squared = dot(to_light, to_light)
        distance = np.sqrt(squared)
        aim = KEY_TARGET - KEY_POSITION
        inside = np.asarray(-along(to_light, aim / np.linalg.norm(aim)) / distance, np.float32)
        cone = smooth(0.78, 0.955, inside)
        facing = np.clip((dot(to_light, normals) / distance + wrap) / (1 + wrap), 0, None)
        return np.asarray(cone * facing / squared, np.float32)

    def around(self, points: Values, normals: Values) -> Values:
        """(3, ...) fill from above and light of the lamp."""
        sky = (0.55 + 0.45 * normals[1]).astype(np.float32)
        to_lamp = column(self.lamp, points) - points
        squared = dot(to_lamp, to_lamp)
        near = np.clip(dot(to_lamp, normals), 0, None) / (np.sqrt(squared) * (squared + np.float32(0.02)))
        return np.asarray(column(FILL_COLOUR, points) * sky + column(LAMP_COLOUR, points) * near, np.float32)

    def diffuse(self, points: Values, normals: Values, key_share: Values, wrap: float = 0.0) -> Values:
        """(3, ...) light that a matt white surface gives back; ``key_share`` is what shadows leave of the key."""
        return self.around(points, normals) + column(KEY_COLOUR, points) * self.key(points, normals, wrap) * key_share


def ball_shadow(points: Values, centre: Vector, radius: float) -> Values:
    """(...) share of the key that passes a ball, times how much of the sky it leaves at its foot."""
    to_light = unit(column(KEY_POSITION, points) - points)
    to_ball = column(centre, points) - points
    ahead = dot(to_ball, to_light)
    squared = dot(to_ball, to_ball)
    miss = np.sqrt(np.maximum(squared - ahead * ahead, 0))
    penumbra = np.maximum(ahead, 0.02) * SOFTNESS
    lit = np.clip((miss - radius) / (2 * penumbra) + 0.5, 0, 1)
    lit = lit * lit * (3 - 2 * lit)
    return np.asarray(np.where(ahead > 0, lit, 1), np.float32)


def ball_contact(points: Values, normals: Values, centre: Vector, radius: float) -> Values:
    """(...) share of the sky that a ball leaves to a surface (a sphere's form factor)."""
    to_ball = column(centre, points) - points
    squared = np.maximum(dot(to_ball, to_ball), np.float32(radius * radius))
    facing = np.clip(dot(to_ball, normals) / np.sqrt(squared), 0, 1)
    return np.asarray(1 - 0.92 * facing * (radius * radius) / squared, np.float32)


def stick_shadow(points: Values, ends: Tuple[Vector, Vector], radius: float) -> Values:
    """(...) share of the key that passes a thin stick."""
    start, stop = ends
    axis = stop - start
    to_light = column(KEY_POSITION, points) - points
    ray = unit(to_light)
    offset = points - column(start, points)
    cross = along(ray, axis)
    on_ray, on_axis = dot(ray, offset), along(offset, axis)
    length = np.float32(axis @ axis)
    low = np.maximum(length - cross * cross, np.float32(1e-6))
    place = np.clip((on_axis - cross * on_ray) / low, 0, 1)
    ahead = cross * place - on_ray
    gap = offset + ray * ahead - column(axis, points) * place
    miss = np.sqrt(dot(gap, gap))
    penumbra = np.maximum(ahead, 0.02) * SOFTNESS + radius
    # A stick thinner than its penumbra never hides the whole of the light.
    hidden = np.clip(1 - miss / penumbra, 0, 1) * np.minimum(1.0, 1.3 * radius / penumbra)
    return np.asarray(np.where(ahead > 0, 1 - hidden, 1), np.float32)


def card_shadow(
    points: Values, centre: Vector, axes: Tuple[Vector, Vector, Vector], half: Tuple[float, float], opacity: float
) -> Values:
    """(...) share of the key that passes a card: its centre, right, up and normal, half width and height."""
    right, up, normal = axes
    to_light = column(KEY_POSITION, points) - points
    toward = column(centre, points) - points
    slope = along(to_light, normal)
    part = along(toward, normal) / np.where(np.abs(slope) < 1e-6, np.float32(1e-6), slope)
    offset = np.asarray(points + to_light * part - column(centre, points), np.float32)
    edge = np.maximum(part * np.sqrt(dot(to_light, to_light)), 0.05) * SOFTNESS
    beyond = np.maximum(np.abs(along(offset, right)) - half[0], np.abs(along(offset, up)) - half[1])
    hidden = np.clip(0.5 - beyond / (2 * edge), 0, 1)
    hidden = hidden * hidden * (3 - 2 * hidden)
    return np.asarray(np.where((part > 0) & (part < 1), 1 - opacity * hidden, 1), np.float32)
