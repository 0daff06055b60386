"""Thin things in the demo scene: rods, a spinning baton, the lamp and the cable it swings on."""

from __future__ import annotations

import math
from typing import Callable, Tuple

import numpy as np

from kairos.demo.camera import PACE, Values, Vector, View, column, dot, spot, unit, vector
from kairos.demo.elements import Surface, box_of
from kairos.demo.light import KEY_COLOUR, KEY_POSITION, Light

Ends = Callable[[float], Tuple[Vector, Vector]]

PIVOT = vector(0.10, 3.1, 3.05)
"""Where the lamp's cable hangs, above the picture."""
CABLE = 1.96
LAMP_RADIUS = 0.024
LAMP_VALUE = 5000.0


def lamp_position(time: float) -> Vector:
    """The lamp, a pendulum that swings out to the left and a little to the back."""
    angle = 0.30 * math.cos(0.075 * time + 0.75)
    away = 0.05 * math.sin(0.075 * time)
    return PIVOT + CABLE * vector(math.sin(angle), -math.cos(angle), away)


class Stick:
    """A round stick between two points, drawn as its outline on the screen; far thinner than it is long.

    Args:
        name: in the Cryptomatte.
        ends: its two ends at a time.
        radius: metres.
        tint: albedo.
        polish: strength of the streak that the key leaves on it.
    """

    def __init__(self, name: str, ends: Ends, radius: float, tint: Vector, polish: float) -> None:
        self.name, self.ends, self.radius, self.tint, self.polish = name, ends, radius, tint, polish

    def _screen(self, view: View, time: float) -> Tuple[Values, Values, Values]:
        return view.project(np.stack(self.ends(time), axis=1).astype(np.float32))

    def bounds(self, view: View, time: float) -> Tuple[int, int, int, int]:
        x, y, depth = self._screen(view, time)
        return box_of(view, x, y, view.focal * self.radius / float(depth.min()) + 2)

    def distance(self, view: View, time: float) -> float:
        return float(self._screen(view, time)[2].mean())

    def _place(self, view: View, time: float, x: Values, y: Values) -> Tuple[Values, Values, Values]:
        """Part of the way along the screen's segment (unclamped), pixels to its side, pixels beyond its ends."""
        xs, ys, _ = self._screen(view, time)
        run, rise = float(xs[1] - xs[0]), float(ys[1] - ys[0])
        length = max(math.hypot(run, rise), 1e-3)
        forth = ((x - xs[0]) * run + (y - ys[0]) * rise) / length
        side = ((y - ys[0]) * run - (x - xs[0]) * rise) / length
        beyond = np.maximum(np.maximum(-forth, forth - length), 0)
        return (forth / length).astype(np.float32), side.astype(np.float32), beyond.astype(np.float32)

    def _depth(self, view: View, time: float, part: Values) -> Values:
        """Depth of the axis: on the screen, its inverse is linear."""
        _, _, depth = self._screen(view, time)
        part = np.clip(part, 0, 1)
        return np.asarray(1 / ((1 - part) / depth[0] + part / depth[1]), np.float32)

    def surface(self, view: View, time: float, x: Values, y: Values) -> Surface:
        part, side, beyond = self._place(view, time, x, y)
        depth = self._depth(view, time, part)
        radius = view.focal * self.radius / depth
        cover = np.clip(radius + 0.5 - np.hypot(side, beyond), 0, 1) * np.minimum(1, 2 * radius)
        across = np.clip(side / radius, -0.999, 0.999)
        xs, ys, _ = self._screen(view, time)
        run, rise = float(xs[1] - xs[0]), float(ys[1] - ys[0])
        length = max(math.hypot(run, rise), 1e-3)
        right, up, forward = view.axes
        # Across the stick on the screen (x right, y down), then towards the camera.
        sideways = right * (-rise / length) - up * (run / length)
        out = np.sqrt(1 - across * across)
        normal = unit(column(sideways, across[None]) * across - column(forward, across[None]) * out)
        return Surface(cover.astype(np.float32), depth - np.float32(self.radius) * out, normal)

    def colour(self, view: View, time: float, x: Values, y: Values, surface: Surface, light: Light) -> Values:
        points = view.points(x, y, surface.depth)
        lit = column(self.tint, points) * light.diffuse(points, surface.normal, np.ones_like(surface.depth))
        facing = unit(-view.rays(x, y))
        middle = unit(unit(column(KEY_POSITION, points) - points) + facing)
        streak = np.clip(dot(middle, surface.normal), 0, 1) ** 60 * self.polish
        return np.asarray(lit + column(KEY_COLOUR * self.tint, points) * streak, np.float32)

    def carry(
        self, views: Tuple[View, View], times: Tuple[float, float], x: Values, y: Values, depth: Values
    ) -> Tuple[Values, Values, Values]:
        """A point keeps its place along the stick and its share of the half-width to the side."""
        part, side, _ = self._place(views[0], times[0], x, y)
        start = self._screen(views[0], times[0])[2]
        stop = self._screen(views[1], times[1])
        # The part of the way in the world, from the part on the screen.
        inverse = (1 - part) / start[0] + part / start[1]
        world = part / start[1] / inverse
        axis_depth = (1 - world) * stop[2][0] + world * stop[2][1]
        seen = world * stop[2][1] / axis_depth
        xs, ys = stop[0], stop[1]
        run, rise = float(xs[1] - xs[0]), float(ys[1] - ys[0])
        length = max(math.hypot(run, rise), 1e-3)
        # Half-widths shrink with depth.
        aside = side * (self._depth(views[0], times[0], part) / axis_depth)
        x_there = xs[0] + seen * run - aside * (rise / length)
        y_there = ys[0] + seen * rise + aside * (run / length)
        out = depth - self._depth(views[0], times[0], part)
        return x_there.astype(np.float32), y_there.astype(np.float32), (axis_depth + out).astype(np.float32)


class Lamp:
    """A small bulb of 5000, far brighter than anything it lights, with the glow a lens gives it."""

    name = "lamp"

    def bounds(self, view: View, time: float) -> Tuple[int, int, int, int]:
        x, y, depth = view.project(spot(lamp_position(time)))
        return box_of(view, x, y, view.focal * LAMP_RADIUS / float(depth[0]) + 2)

    def distance(self, view: View, time: float) -> float:
        return float(view.project(spot(lamp_position(time)))[2][0]) - 0.01

    def _radius(self, view: View, time: float) -> Tuple[float, float, float, float]:
        x, y, depth = view.project(spot(lamp_position(time)))
        return float(x[0]), float(y[0]), float(depth[0]), view.focal * LAMP_RADIUS / float(depth[0])

    def surface(self, view: View, time: float, x: Values, y: Values) -> Surface:
        centre_x, centre_y, depth, radius = self._radius(view, time)
        right, up, forward = view.axes
        across, down = (x - centre_x) / radius, (y - centre_y) / radius
        squared = across**2 + down**2
        cover = np.clip(radius * (1 - np.sqrt(squared)) + 0.5, 0, 1)
        out = np.sqrt(np.maximum(1 - squared, 0))
        like = squared[None]
        normal = unit(column(right, like) * across - column(up, like) * down - column(forward, like) * out)
        depths = depth - LAMP_RADIUS * out
        return Surface(cover.astype(np.float32), depths.astype(np.float32), normal)

    def colour(self, view: View, time: float, x: Values, y: Values, surface: Surface, light: Light) -> Values:
        like = surface.normal
        return np.broadcast_to(column(vector(1.0, 0.80, 0.52) * LAMP_VALUE, like), like.shape)

    def carry(
        self, views: Tuple[View, View], times: Tuple[float, float], x: Values, y: Values, depth: Values
    ) -> Tuple[Values, Values, Values]:
        ax, ay, adepth, aradius = self._radius(views[0], times[0])
        bx, by, bdepth, bradius = self._radius(views[1], times[1])
        scale = bradius / aradius
        return bx + (x - ax) * scale, by + (y - ay) * scale, depth - adepth + bdepth

    def glow(self, view: View, time: float, x: Values, y: Values) -> Values:
        """(3, H, W) light that the lens spreads about the lamp; moves with it."""
        centre_x, centre_y, _, radius = self._radius(view, time)
        squared = ((x - centre_x) ** 2 + (y - centre_y) ** 2) / np.float32(radius * radius)
        near = np.asarray(1.1 / (1 + squared / 2.2) ** 1.6 + 0.10 / (1 + squared / 30.0) ** 1.5, np.float32)
        return column(vector(1.0, 0.62, 0.28), near[None]) * near


def cable_ends(time: float) -> Tuple[Vector, Vector]:
    """The lamp's cable."""
    lamp = lamp_position(time)
    return PIVOT, lamp + (PIVOT - lamp) * (LAMP_RADIUS * 0.6 / CABLE)


def baton_ends(time: float) -> Tuple[Vector, Vector]:
    """A baton thrown across the picture: a parabola, spinning about its middle."""
    pace = time / PACE
    middle = vector(0.86 - 0.42 * pace, 1.02 + 0.36 * pace - 0.34 * pace**2, 4.45)
    angle = math.radians(22 + 78 * pace + 10 * pace**2)
    arm = 0.30 * vector(math.cos(angle), math.sin(angle), 0.12)
    return middle - arm, middle + arm


def standing(x: float, z: float, height: float) -> Ends:
    """A rod that stands on the floor."""
    return lambda time: (vector(x, 0.0, z), vector(x, height, z))
