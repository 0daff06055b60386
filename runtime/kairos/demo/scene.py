"""The demo's clip: a small HDR scene rendered by code, whose motion is known exactly at any time.

A ball rolls, a card of frosted glass turns, a baton spins and a lamp of 5000 swings over a wooden floor; the camera
drifts. Everything is a function of time, so any in-between can be rendered and compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Dict, List, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from kairos.demo.camera import Values, View, column, drifting_view, unit, vector
from kairos.demo.cryptomatte import metadata, rank_layers
from kairos.demo.elements import WALL_Z, Ball, Card, Element, Print
from kairos.demo.light import KEY_COLOUR, Light, ball_contact, ball_shadow, card_shadow, stick_shadow
from kairos.demo.sticks import Lamp, Stick, baton_ends, cable_ends, lamp_position, standing
from kairos.demo.textures import FLOOR_SIZE, FLOOR_TEXELS, floor, plaster
from kairos.frame import Frame, Part, Planes, Window

FIRST = 1001
RATE = Fraction(24)
FLOOR, WALL = "floor", "wall"
SAMPLES = 2
"""Samples a pixel's side. Every outline is soft over a pixel by itself, so that two samples give many levels."""

BRASS = vector(0.62, 0.42, 0.16)


@dataclass(frozen=True)
class RenderedTruth:
    """The scene at one time.

    Attributes:
        time: in source frames, 0 = the first.
        planes: (H, W) float32 by channel name: ``R G B A`` scene-linear, ``foreground.R/G/B/A`` (all that moves by
            itself, premultiplied), ``Z`` metres along the camera's axis and ``N.X/Y/Z`` world normals (one sample a
            pixel), ``CryptoObject00/01`` ranks, and ``forward.u/v``, ``backward.u/v``: pixels to the place one source
            frame later and earlier, u right, v up.
        label: (H, W) which of ``DemoScene.names`` is in front at the pixel's centre.
    """

    time: float
    planes: Dict[str, Planes]
    label: npt.NDArray[np.int32]

    @property
    def rgb(self) -> Planes:
        """(3, H, W) scene-linear."""
        return np.stack([self.planes[name] for name in "RGB"])


@dataclass(frozen=True)
class _Seen:
    """What is in front at every pixel's centre: labels, depths, normals."""

    view: View
    time: float
    label: npt.NDArray[np.int32]
    depth: Values
    normal: Values


class DemoScene:
    """The demo's scene.

    Args:
        width, height: pixels.
        frames: how many frames of it are the clip; its motion does not depend on it.
    """

    def __init__(self, width: int = 960, height: int = 540, frames: int = 9) -> None:
        self.width, self.height, self.frames = width, height, frames
        self._ball, self._card, self._lamp = Ball(), Card(), Lamp()
        self._sticks = (
            Stick("rod near", standing(-0.16, 3.02, 0.62), 0.0075, BRASS, 0.5),
            Stick("rod far", standing(1.10, 4.75, 1.25), 0.013, BRASS, 0.5),
            Stick("baton", baton_ends, 0.014, vector(0.42, 0.09, 0.05), 0.8),
            Stick("cable", cable_ends, 0.0035, vector(0.05, 0.05, 0.055), 0.1),
        )
        self._elements: Tuple[Element, ...] = (Print(), self._ball, self._card, self._lamp, *self._sticks)
        self.names: Tuple[str, ...] = (FLOOR, WALL, *(element.name for element in self._elements))

    def view(self, time: float) -> View:
        """The camera at a time."""
        return drifting_view(time, self.height, self.width)

    def render(self, time: float) -> RenderedTruth:
        """The scene at any time, in source frames from 0 (before the first and after the last frame too)."""
        view = self.view(time)
        light = Light(lamp_position(time))
        rgb = self._set(view, time, light)
        foreground = np.zeros((4, self.height, self.width), np.float32)
        covers = self._set_covers(view)
        for element in self._far_to_near(view, time):
            self._paint(element, view, time, light, rgb, foreground, covers)
        x, y = view.pixels()
        glow = self._lamp.glow(view, time, x, y)
        rgb += glow
        foreground[:3] += glow

        seen = self._seen(time)
        planes = {name: rgb[index] for index, name in enumerate("RGB")}
        planes["A"] = np.ones((self.height, self.width), np.float32)
        planes.update({f"foreground.{name}": foreground[index] for index, name in enumerate("RGBA")})
        planes["Z"] = seen.depth
        planes.update({f"N.{axis}": seen.normal[index] for index, axis in enumerate("XYZ")})
        for layer, other in (("forward", time + 1), ("backward", time - 1)):
            motion = self._motion(seen, other)[0]
            planes[f"{layer}.u"], planes[f"{layer}.v"] = motion[0], -motion[1]
        planes.update(rank_layers("CryptoObject", covers))
        return RenderedTruth(time, planes, seen.label)

    def motion(self, time_a: float, time_b: float) -> Planes:
        """(2, H, W) pixels, x right, y down: where what is seen at ``time_a`` has moved by ``time_b``."""
        return self._motion(self._seen(time_a), time_b)[0]

    def occlusion(self, time_a: float, time_b: float) -> npt.NDArray[np.bool_]:
        """(H, W) True where what is seen at ``time_a`` is hidden or outside the picture at ``time_b``."""
        here, there = self._seen(time_a), self._seen(time_b)
        motion, depth = self._motion(here, time_b)
        x, y = here.view.pixels()
        column_there, row_there = np.rint(x + motion[0]).astype(int), np.rint(y + motion[1]).astype(int)
        outside = (column_there < 0) | (column_there >= self.width) | (row_there < 0) | (row_there >= self.height)
        at = (row_there.clip(0, self.height - 1), column_there.clip(0, self.width - 1))
        # Floor and wall meet in one line; a pixel of either may round to the other.
        other = (there.label[at] != here.label) & ~((there.label[at] < 2) & (here.label < 2))
        behind = depth > there.depth[at] + 0.03
        return np.asarray(outside | other | behind)

    def frame(self, number: int) -> Frame:
        """Source frame ``FIRST`` (1001) and following: half-float beauty and normals, all other layers float."""
        truth = self.render(float(number - FIRST))
        names = tuple(truth.planes)
        half = ("R", "G", "B", "A", "N.X", "N.Y", "N.Z", *(f"foreground.{name}" for name in "RGBA"))
        depths = tuple("half" if name in half else "float" for name in names)
        part = Part(
            names,
            np.stack([truth.planes[name] for name in names]),
            Window(0, 0, self.width, self.height),
            depths,
            metadata=metadata("CryptoObject", self.names),
            compression="zip",
        )
        seconds, count = divmod(number - FIRST, int(RATE))
        return Frame(
            number, part.window, (part,), rate=RATE, timecode=f"01:00:{seconds:02d}:{count:02d}", colorspace=""
        )

    def _far_to_near(self, view: View, time: float) -> List[Element]:
        return sorted(self._elements, key=lambda element: -element.distance(view, time))

    def _floor_or_wall(self, view: View, x: Values, y: Values) -> Tuple[Values, npt.NDArray[np.bool_]]:
        """Depth of floor or wall under pixels, and where it is the floor."""
        rays = view.rays(x, y)
        wall = np.float32(WALL_Z - view.origin[2]) / rays[2]
        below = np.minimum(rays[1], np.float32(-1e-6))
        ground = np.float32(-view.origin[1]) / below
        is_floor = ground < wall
        return np.where(is_floor, ground, wall), is_floor

    def _set_covers(self, view: View) -> Dict[str, Planes]:
        x, y = view.pixels()
        _, is_floor = self._floor_or_wall(view, x, y)
        covers = {name: np.zeros((self.height, self.width), np.float32) for name in self.names}
        covers[FLOOR], covers[WALL] = is_floor.astype(np.float32), (~is_floor).astype(np.float32)
        return covers

    def _set(self, view: View, time: float, light: Light) -> Values:
        """(3, H, W) floor and wall with their shadows: tone at SAMPLES a side, light at one."""
        fine = View(view.origin, view.axes, view.focal * SAMPLES, view.height * SAMPLES, view.width * SAMPLES)
        tone = cv2.resize(self._tone(fine), (self.width, self.height), interpolation=cv2.INTER_AREA)
        x, y = view.pixels()
        depth, is_floor = self._floor_or_wall(view, x, y)
        points = view.points(x, y, depth)
        zero = np.zeros_like(depth)
        normals = np.stack([zero, is_floor.astype(np.float32), -(~is_floor).astype(np.float32)])
        share = self._key_share(view, time)
        # Where floor and wall meet, each hides half of the room from the other.
        corner = 1 - 0.45 * np.exp(-np.where(is_floor, WALL_Z - points[2], points[1]) / np.float32(0.22))
        contact = ball_contact(points, normals, self._ball.centre(time), Ball.radius) * corner
        lit = light.around(points, normals) * contact
        lit += column(KEY_COLOUR, points) * (light.key(points, normals) * share)
        wood = np.stack([tone**0.9 * 0.62, tone**1.15 * 0.40, tone**1.4 * 0.235])
        paint = column(vector(0.30, 0.36, 0.37), points) * tone
        return np.asarray(np.where(is_floor, wood, paint) * lit, np.float32)

    def _key_share(self, view: View, time: float) -> Values:
        """(H, W) what everything's shadows leave of the key; soft, so worked out at half size."""
        half = View(view.origin, view.axes, view.focal / 2, (view.height + 1) // 2, (view.width + 1) // 2)
        x, y = half.pixels()
        points = half.points(x, y, self._floor_or_wall(half, x, y)[0])
        share = ball_shadow(points, self._ball.centre(time), Ball.radius)
        share *= card_shadow(points, self._card.centre(time), self._card.axes(time), Card.half, 0.55)
        for stick in self._sticks[:3]:
            share *= stick_shadow(points, stick.ends(time), stick.radius)
        return np.asarray(cv2.resize(share, (view.width, view.height), interpolation=cv2.INTER_LINEAR), np.float32)

    def _tone(self, view: View) -> Values:
        """(H, W) texture of floor and wall."""
        x, y = view.pixels()
        depth, is_floor = self._floor_or_wall(view, x, y)
        points = view.points(x, y, depth)
        rows = np.flatnonzero(~is_floor.all(axis=1))
        wall_rows = slice(0, int(rows[-1]) + 1) if len(rows) else slice(0, 0)
        tone = np.empty(depth.shape, np.float32)
        texture = plaster()
        tall, wide = texture.shape
        u = (points[0][wall_rows] + 3.5) * np.float32(wide / 7.0)
        v = (3.4 - points[1][wall_rows]) * np.float32(tall / 3.5)
        tone[wall_rows] = cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)

        first = int(np.flatnonzero(is_floor.any(axis=1))[0])
        texel = FLOOR_SIZE / FLOOR_TEXELS
        # How many texels one row of the picture spans in depth, at its middle.
        middle = points[2][first:, view.width // 2]
        span = np.abs(np.gradient(middle)) / texel
        level = np.clip(np.log2(np.maximum(span, 1e-6)), 0, len(floor()) - 1.001).astype(np.float32)
        found = np.zeros((view.height - first, view.width), np.float32)
        for index, mip in enumerate(floor()):
            weight = np.clip(1 - np.abs(level - index), 0, 1)
            band = np.flatnonzero(weight > 0)
            if not len(band):
                continue
            part = slice(int(band[0]), int(band[-1]) + 1)
            u = (points[0][first:][part] + FLOOR_SIZE / 2) / np.float32(texel) - 0.5
            v = (points[2][first:][part] / np.float32(texel * 2**index)) - 0.5
            value = cv2.remap(mip, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
            found[part] += weight[part, None] * np.asarray(value, np.float32)
        tone[first:] = np.where(is_floor[first:], found, tone[first:])
        return tone

    def _paint(
        self,
        element: Element,
        view: View,
        time: float,
        light: Light,
        rgb: Values,
        foreground: Values,
        covers: Dict[str, Planes],
    ) -> None:
        """Lays one element over what lies behind it: colour, foreground and everyone's cover."""
        left, top, right, bottom = element.bounds(view, time)
        if right <= left or bottom <= top:
            return
        offsets = (np.arange(SAMPLES, dtype=np.float32) + 0.5) / SAMPLES - 0.5
        y = (np.arange(top, bottom)[:, None] + offsets).reshape(-1, 1).astype(np.float32)
        x = (np.arange(left, right)[:, None] + offsets).reshape(1, -1).astype(np.float32)
        surface = element.surface(view, time, x, y)
        colour = element.colour(view, time, x, y, surface, light)
        cover = _binned(surface.cover[None])
        premultiplied = _binned(colour * surface.cover)
        there = (slice(top, bottom), slice(left, right))
        rgb[(slice(None), *there)] = rgb[(slice(None), *there)] * (1 - cover) + premultiplied
        if not isinstance(element, Print):
            region = foreground[(slice(None), *there)]
            region *= 1 - cover
            region += np.concatenate([premultiplied, cover])
        for plane in covers.values():
            plane[there] *= 1 - cover[0]
        covers[element.name][there] += cover[0]

    def _seen(self, time: float) -> _Seen:
        view = self.view(time)
        x, y = view.pixels()
        depth, is_floor = self._floor_or_wall(view, x, y)
        label = np.where(is_floor, 0, 1).astype(np.int32)
        normal = np.stack([np.zeros_like(depth), is_floor.astype(np.float32), -(~is_floor).astype(np.float32)])
        for element in self._far_to_near(view, time):
            left, top, right, bottom = element.bounds(view, time)
            there = (slice(top, bottom), slice(left, right))
            surface = element.surface(view, time, x[:, left:right], y[top:bottom])
            front = surface.cover >= (0.4 if isinstance(element, Card) else 0.5)
            label[there] = np.where(front, self.names.index(element.name), label[there])
            depth[there] = np.where(front, surface.depth, depth[there])
            normal[(slice(None), *there)] = np.where(front, surface.normal, normal[(slice(None), *there)])
        return _Seen(view, time, label, depth.astype(np.float32), unit(normal))

    def _motion(self, seen: _Seen, time: float) -> Tuple[Planes, Values]:
        """(2, H, W) displacement until a time, and the depth there."""
        view = self.view(time)
        x, y = seen.view.pixels()
        there_x, there_y, depth = view.project(seen.view.points(x, y, seen.depth))
        for element in self._elements:
            mine = seen.label == self.names.index(element.name)
            if mine.any():
                rows, columns = (index.astype(np.float32) for index in np.nonzero(mine))
                views, times = (seen.view, view), (seen.time, time)
                found = element.carry(views, times, columns[None], rows[None], seen.depth[mine][None])
                for plane, values in zip((there_x, there_y, depth), found):
                    plane[mine] = values[0]
        return np.stack([there_x - x, there_y - y]).astype(np.float32), depth


def _binned(values: Values) -> Values:
    """(C, H, W) means of SAMPLES by SAMPLES blocks."""
    channels, height, width = values.shape
    blocks = values.reshape(channels, height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)
