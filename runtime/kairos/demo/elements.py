"""The things that move in the demo scene: a rolling ball, a card of frosted glass, a print on the wall."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from kairos.demo.camera import PACE, Values, Vector, View, along, column, dot, spot, unit, vector
from kairos.demo.light import KEY_COLOUR, KEY_POSITION, Light, smooth
from kairos.demo.textures import ball_skin, lettering, print_on_the_wall

WALL_Z = 5.6
"""Depth of the wall, metres."""


@dataclass(frozen=True)
class Surface:
    """What an element shows at points of the picture.

    Attributes:
        cover: (...) 0..1.
        depth: (...) metres along the camera's axis; meaningless where nothing is covered.
        normal: (3, ...) unit vectors in the world.
    """

    cover: Values
    depth: Values
    normal: Values


class Element(Protocol):
    """Something that moves by itself. Every time is in frames, every x and y in pixels."""

    @property
    def name(self) -> str:
        """Its name in the Cryptomatte."""

    def bounds(self, view: View, time: float) -> Tuple[int, int, int, int]:
        """Left, top, right and bottom of its box of pixels, the last two exclusive; inside the picture."""

    def distance(self, view: View, time: float) -> float:
        """Its middle's depth: farther elements are painted first."""

    def surface(self, view: View, time: float, x: Values, y: Values) -> Surface:
        """What lies under the points."""

    def colour(self, view: View, time: float, x: Values, y: Values, surface: Surface, light: Light) -> Values:
        """(3, ...) scene-linear, not multiplied by the cover."""

    def carry(
        self, views: Tuple[View, View], times: Tuple[float, float], x: Values, y: Values, depth: Values
    ) -> Tuple[Values, Values, Values]:
        """Where the points of its surface under x, y at the first time are at the second: x, y and depth."""


def box_of(view: View, x: npt.ArrayLike, y: npt.ArrayLike, margin: float) -> Tuple[int, int, int, int]:
    """The pixels round some points, cut to the picture."""
    xs, ys = np.asarray(x), np.asarray(y)
    left = int(np.clip(math.floor(xs.min() - margin), 0, view.width))
    top = int(np.clip(math.floor(ys.min() - margin), 0, view.height))
    right = int(np.clip(math.ceil(xs.max() + margin) + 1, left, view.width))
    bottom = int(np.clip(math.ceil(ys.max() + margin) + 1, top, view.height))
    return left, top, right, bottom


def sample(texture: Values, u: Values, v: Values) -> Values:
    """(C, ...) texture values at u and v in texels, bilinear, repeating at the sides."""
    shape = u.shape
    found = cv2.remap(
        texture,
        u.reshape(shape[0], -1).astype(np.float32),
        v.reshape(shape[0], -1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.moveaxis(np.asarray(found, np.float32).reshape(*shape, -1), -1, 0)


def _facing(view: View, x: Values, y: Values) -> Values:
    return unit(-view.rays(x, y))


class Ball:
    """A lacquered ball that rolls along a curve and gathers pace."""

    name = "ball"
    radius = 0.40

    def centre(self, time: float) -> Vector:
        """Where its middle is; it rests on the floor."""
        pace = time / PACE
        return vector(-0.80 + 0.44 * pace + 0.17 * pace**2, self.radius, 3.72 - 0.26 * pace + 0.14 * pace**2)

    def _spin(self, time: float) -> npt.NDArray[np.float64]:
        """(3, 3) from its own axes to the world's: rolls without sliding, steps of an eighth of a frame from 0."""
        spin = _about(vector(0.3, 0.2, 1.0), 0.5) @ _about(vector(1.0, 0.0, 0.0), -0.9)
        steps = max(1, math.ceil(abs(time) * 8))
        for step in range(steps):
            move = self.centre(time * (step + 1) / steps) - self.centre(time * step / steps)
            axis = np.cross(vector(0, 1, 0), move)
            length = float(np.linalg.norm(axis))
            if length > 0:
                spin = _about(axis, length / self.radius) @ spin
        return spin

    def bounds(self, view: View, time: float) -> Tuple[int, int, int, int]:
        x, y, depth = view.project(spot(self.centre(time)))
        return box_of(view, x, y, 1.06 * view.focal * self.radius / (float(depth[0]) - self.radius) + 2)

    def distance(self, view: View, time: float) -> float:
        return float(view.project(spot(self.centre(time)))[2][0])

    def surface(self, view: View, time: float, x: Values, y: Values) -> Surface:
        rays = view.rays(x, y)
        middle = self.centre(time) - view.origin
        squared, half = dot(rays, rays), along(rays, middle)
        inside = half * half - squared * np.float32(middle @ middle - self.radius**2)
        depth = (half - np.sqrt(np.maximum(inside, 0))) / squared
        normal = unit(rays * depth - column(middle, rays))
        miss = np.sqrt(np.maximum(np.float32(middle @ middle) - half * half / squared, 0))
        cover = np.clip((self.radius - miss) * view.focal / depth + 0.5, 0, 1)
        return Surface(cover.astype(np.float32), depth, normal)

    def colour(self, view: View, time: float, x: Values, y: Values, surface: Surface, light: Light) -> Values:
        normal = surface.normal
        points = view.points(x, y, surface.depth)
        spin = self._spin(time)
        own = [along(normal, spin[:, axis]) for axis in range(3)]
        longitude = np.arctan2(own[2], own[0]) * np.float32(512 / np.pi) + 512
        latitude = (np.arcsin(np.clip(own[1], -1, 1)) * np.float32(1 / np.pi) + 0.5) * 511
        albedo = sample(ball_skin(), longitude, latitude)
        below = np.clip(0.5 - 0.5 * normal[1], 0, 1)
        foot = 1 - 0.75 * below**2
        bounce = column(vector(0.16, 0.10, 0.055), points) * (below**1.5 * foot)
        matt = albedo * (light.diffuse(points, normal, np.ones_like(foot)) * foot + bounce)

        facing = _facing(view, x, y)
        cosine = np.clip(dot(facing, normal), 0, 1)
        mirror = 2 * cosine * normal - facing
        fresnel = 0.045 + 0.955 * (1 - cosine) ** 5
        up = mirror[1]
        room = column(vector(0.16, 0.17, 0.20), points) * smooth(-0.05, 0.5, up) + column(
            vector(0.10, 0.065, 0.04), points
        ) * smooth(0.05, -0.4, up)
        box = _softbox(mirror)
        to_key = unit(column(KEY_POSITION, points) - points)
        glint = np.exp((np.clip(dot(mirror, to_key), -1, 1) - 1) * np.float32(2600.0))
        to_lamp = unit(column(light.lamp, points) - points)
        spark = np.exp((np.clip(dot(mirror, to_lamp), -1, 1) - 1) * np.float32(5000.0))
        shine = room + box[None] * column(vector(11.0, 12.0, 14.0), points)
        shine += glint[None] * column(KEY_COLOUR, points) * 60 + spark[None] * column(vector(900, 620, 330), points)
        return np.asarray(matt + fresnel * shine, np.float32)

    def carry(
        self, views: Tuple[View, View], times: Tuple[float, float], x: Values, y: Values, depth: Values
    ) -> Tuple[Values, Values, Values]:
        turn = self._spin(times[1]) @ self._spin(times[0]).T
        points = views[0].points(x, y, depth)
        return views[1].project(_moved(points, self.centre(times[0]), self.centre(times[1]), turn))


class Sheet:
    """A flat rectangle: where its middle is, and its right, up and normal, at any time."""

    name = "sheet"
    half = (0.5, 0.5)
    """Half its width and height, metres."""

    def centre(self, time: float) -> Vector:
        """Its middle."""
        return vector(0, 0, 0)

    def axes(self, time: float) -> Tuple[Vector, Vector, Vector]:
        """Its right, up and normal (towards the camera)."""
        return vector(1, 0, 0), vector(0, 1, 0), vector(0, 0, -1)

    def _corners(self, time: float) -> Values:
        right, up, _ = self.axes(time)
        signs = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        points = [self.centre(time) + right * self.half[0] * i + up * self.half[1] * j for i, j in signs]
        return np.stack(points, axis=1).astype(np.float32)

    def bounds(self, view: View, time: float) -> Tuple[int, int, int, int]:
        x, y, _ = view.project(self._corners(time))
        return box_of(view, x, y, 2)

    def distance(self, view: View, time: float) -> float:
        return float(view.project(spot(self.centre(time)))[2][0])

    def _depth(self, view: View, time: float, x: Values, y: Values) -> Values:
        normal = self.axes(time)[2]
        slope = along(view.rays(x, y), normal)
        return np.asarray(float((self.centre(time) - view.origin) @ normal) / slope, np.float32)

    def _local(self, view: View, time: float, x: Values, y: Values, depth: Values) -> Tuple[Values, Values]:
        """Metres right and up of the middle."""
        right, up, _ = self.axes(time)
        points = view.points(x, y, depth)
        offset = points - column(self.centre(time), points)
        return along(offset, right), along(offset, up)

    def carry(
        self, views: Tuple[View, View], times: Tuple[float, float], x: Values, y: Values, depth: Values
    ) -> Tuple[Values, Values, Values]:
        turn = np.stack(self.axes(times[1]), axis=1) @ np.stack(self.axes(times[0]), axis=1).T
        points = views[0].points(x, y, depth)
        return views[1].project(_moved(points, self.centre(times[0]), self.centre(times[1]), turn))


class Card(Sheet):
    """A card of frosted glass with soft edges and lettering, that turns and rises as it drifts."""

    name = "card"
    half = (0.40, 0.27)
    glass = 0.34
    """Cover of the bare glass."""

    def centre(self, time: float) -> Vector:
        pace = time / PACE
        return vector(0.74 - 0.20 * pace - 0.10 * pace**2, 0.80 + 0.10 * pace - 0.07 * pace**2, 3.25 + 0.10 * pace)

    def axes(self, time: float) -> Tuple[Vector, Vector, Vector]:
        pace = time / PACE
        turn = _about(vector(0, 1, 0), math.radians(24 - 26 * pace - 8 * pace**2)) @ _about(
            vector(0, 0, 1), math.radians(-5 + 7 * pace)
        )
        return turn @ vector(1, 0, 0), turn @ vector(0, 1, 0), turn @ vector(0, 0, -1)

    def _covers(self, view: View, time: float, x: Values, y: Values, depth: Values) -> Tuple[Values, Values]:
        """Cover of the whole card, and of its lettering."""
        across, up = self._local(view, time, x, y, depth)
        corner = 0.05
        beyond_x = np.maximum(np.abs(across) - (self.half[0] - corner), 0)
        beyond_y = np.maximum(np.abs(up) - (self.half[1] - corner), 0)
        edge = np.asarray(corner - np.hypot(beyond_x, beyond_y), np.float32)
        height, width = 540, 800
        sheet = np.zeros((height, width), np.float32)
        sheet[120:340] = lettering("KAIROS", 220, width, 0.80, 0.07)
        sheet[350:430] = lettering("MOVES THE PLATE", 80, width, 0.55, 0.14)
        u = (across / self.half[0] + 1) * (width / 2) - 0.5
        v = (1 - up / self.half[1]) * (height / 2) - 0.5
        letters = sample(sheet, np.clip(u, 0, width - 1), np.clip(v, 0, height - 1))[0]
        rim = np.exp(-(((edge - 0.02) / 0.006) ** 2)) * 0.30
        glass = smooth(0.0, 0.022, edge) * self.glass
        ink = np.maximum(letters, 0) * smooth(0.0, 0.022, edge)
        return np.asarray(np.clip(glass + rim + (1 - glass - rim) * ink * 0.97, 0, 1), np.float32), ink

    def surface(self, view: View, time: float, x: Values, y: Values) -> Surface:
        depth = self._depth(view, time, x, y)
        cover, _ = self._covers(view, time, x, y, depth)
        return Surface(cover, depth, _everywhere(self.axes(time)[2], depth))

    def colour(self, view: View, time: float, x: Values, y: Values, surface: Surface, light: Light) -> Values:
        _, ink = self._covers(view, time, x, y, surface.depth)
        points = view.points(x, y, surface.depth)
        lit = light.diffuse(points, surface.normal, np.ones_like(surface.depth), wrap=0.6)
        facing = _facing(view, x, y)
        mirror = 2 * dot(facing, surface.normal) * surface.normal - facing
        sheen = 0.03 + 0.25 * _softbox(mirror)
        glass = column(vector(0.30, 0.42, 0.45), points) * lit + sheen
        letters = column(vector(0.88, 0.84, 0.76), points) * lit
        return np.asarray(glass * (1 - ink) + letters * ink, np.float32)


class Print(Sheet):
    """A framed print on the wall: it moves by the camera alone."""

    name = "print"
    half = (0.36, 0.48)

    def centre(self, time: float) -> Vector:
        return vector(-0.30, 1.06, WALL_Z - 0.03)

    def surface(self, view: View, time: float, x: Values, y: Values) -> Surface:
        depth = self._depth(view, time, x, y)
        across, up = self._local(view, time, x, y, depth)
        beyond = np.maximum(np.abs(across) - self.half[0], np.abs(up) - self.half[1])
        cover = np.clip(0.5 - beyond * view.focal / depth, 0, 1)
        return Surface(cover.astype(np.float32), depth, _everywhere(vector(0, 0, -1), depth))

    def colour(self, view: View, time: float, x: Values, y: Values, surface: Surface, light: Light) -> Values:
        across, up = self._local(view, time, x, y, surface.depth)
        picture = print_on_the_wall()
        height, width = picture.shape[:2]
        u = np.clip((across / self.half[0] + 1) * (width / 2) - 0.5, 0, width - 1)
        v = np.clip((1 - up / self.half[1]) * (height / 2) - 0.5, 0, height - 1)
        points = view.points(x, y, surface.depth)
        return sample(picture, u, v) * light.diffuse(points, surface.normal, np.ones_like(surface.depth))


def _everywhere(normal: Vector, like: Values) -> Values:
    """(3, ...) of one vector."""
    return np.stack([np.full(like.shape, axis, np.float32) for axis in normal])


def _softbox(mirror: Values) -> Values:
    """(...) how much of a window-like softbox, up and left behind the camera, a mirrored ray meets."""
    toward = vector(-0.50, 0.62, -0.60)
    toward = toward / np.linalg.norm(toward)
    right = np.cross(vector(0, 1, 0), toward)
    right = right / np.linalg.norm(right)
    up = np.cross(toward, right)
    ahead = along(mirror, toward)
    far = np.maximum(ahead, 1e-3)
    u, v = along(mirror, right) / far, along(mirror, up) / far
    pane = smooth(0.30, 0.26, np.abs(u)) * smooth(0.40, 0.36, np.abs(v))
    bars = smooth(0.008, 0.02, np.abs(u)) * smooth(0.008, 0.02, np.abs(v))
    return np.asarray(np.where(ahead > 0, pane * bars, 0), np.float32)


def _moved(points: Values, start: Vector, stop: Vector, turn: npt.NDArray[np.float64]) -> Values:
    """(3, ...) points of a rigid thing that turns and goes from ``start`` to ``stop``."""
    own = points - column(start, points)
    turned = np.stack([along(own, turn[row]) for row in range(3)])
    return turned + column(stop, points)


def _about(axis: Vector, angle: float) -> npt.NDArray[np.float64]:
    """(3, 3) rotation about an axis, radians (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross, np.float64)
