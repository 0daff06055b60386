"""The demo's camera: a pinhole that drifts, and its pixels' rays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
"""(3,) metres: x right, y up, z away from the camera's start."""
Values = npt.NDArray[np.float32]
"""Any shape; points are (3, ...)."""


def vector(x: float, y: float, z: float) -> Vector:
    """A point or a direction."""
    return np.array([x, y, z], np.float64)


def spot(point: Vector) -> Values:
    """(3, 1) of one point."""
    return point.astype(np.float32).reshape(3, 1)


def along(values: Values, axis: Vector) -> Values:
    """Dot product of (3, ...) vectors with one vector."""
    a, b, c = (np.float32(each) for each in axis)
    return np.asarray(values[0] * a + values[1] * b + values[2] * c, np.float32)


def dot(one: Values, two: Values) -> Values:
    """Dot product of (3, ...) vectors."""
    return np.asarray(one[0] * two[0] + one[1] * two[1] + one[2] * two[2], np.float32)


def unit(values: Values) -> Values:
    """(3, ...) vectors of length 1."""
    return np.asarray(values / np.sqrt(np.maximum(dot(values, values), 1e-12)), np.float32)


def column(values: Vector, like: Values) -> Values:
    """A vector shaped to combine with (3, ...) values."""
    return values.astype(np.float32).reshape(3, *([1] * (like.ndim - 1)))


PACE = 11.0
"""Frames in which things cover the distances that their paths are written in."""


@dataclass(frozen=True)
class View:
    """The camera at one time.

    Attributes:
        origin: where it stands.
        axes: (3, 3), rows are its right, up and forward in the world.
        focal: pixels.
        height, width: of the picture, pixels.
    """

    origin: Vector
    axes: npt.NDArray[np.float64]
    focal: float
    height: int
    width: int

    def rays(self, x: Values, y: Values) -> Values:
        """(3, ...) directions through pixels, one metre long in depth: origin + depth * ray is the point seen.

        ``x`` and ``y`` may be an open grid, (1, W) and (H, 1), as :meth:`pixels` gives.
        """
        across = ((x - (self.width - 1) / 2) / self.focal).astype(np.float32)
        up = (((self.height - 1) / 2 - y) / self.focal).astype(np.float32)
        right, upward, forward = self.axes.astype(np.float32)
        return np.stack([across * right[i] + (up * upward[i] + forward[i]) for i in range(3)])

    def points(self, x: Values, y: Values, depth: Values) -> Values:
        """(3, ...) points seen through pixels at a depth (metres along the camera's axis)."""
        rays = self.rays(x, y)
        return column(self.origin, rays) + rays * depth

    def project(self, points: Values) -> Tuple[Values, Values, Values]:
        """Pixel x and y of (3, ...) points, and their depth."""
        relative = points - column(self.origin, points)
        right, up, depth = (along(relative, axis) for axis in self.axes)
        safe = np.maximum(depth, np.float32(1e-3))
        x = self.focal * right / safe + np.float32((self.width - 1) / 2)
        y = np.float32((self.height - 1) / 2) - self.focal * up / safe
        return x.astype(np.float32), y.astype(np.float32), depth

    def pixels(self) -> Tuple[Values, Values]:
        """x (1, W) and y (H, 1) of all pixel centres: an open grid."""
        return np.arange(self.width, dtype=np.float32)[None], np.arange(self.height, dtype=np.float32)[:, None]


def drifting_view(time: float, height: int, width: int) -> View:
    """A hand-held drift that gathers pace, with a slow pan; ``time`` in frames."""
    pace = time / PACE
    sway = 0.02 * math.sin(1.3 * pace + 0.4)
    origin = vector(-0.10 + 0.13 * pace + 0.06 * pace * pace, 1.02 + 0.02 * pace + sway, -0.25 + 0.07 * pace)
    yaw = math.radians(1.2 - 1.7 * pace)
    pitch = math.radians(-7.2 + 0.35 * pace)
    forward = vector(math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch))
    right = vector(math.cos(yaw), 0.0, -math.sin(yaw))
    up = np.cross(forward, right)
    return View(origin, np.stack([right, up, forward]), 1.22 * width, height, width)
