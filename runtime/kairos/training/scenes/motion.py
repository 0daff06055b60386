"""Where every layer is at any time: rigid and projective paths under one camera, and small smooth ripples.

A layer has its own plane, in pixels at half time, measured from the layer's centre. A point c of that plane is seen at
screen pixel x where ``c = y + D(y)`` and ``x = A y``: A a projective map and D a ripple, both of time. Time 0 and 1 are
the two frames; any other time, before and after as well, is as good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Callable, List, Tuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

Numbers = npt.NDArray[np.float64]

ROLL, ZOOM, TILT_X, TILT_Y, STRETCH, SHEAR = range(2, 8)
PARTS = 8
STEEPEST = 0.25
"""Largest slope of a ripple, which makes its inverse a contraction."""
CLOSE = 2e-4
"""Pixels by which a ripple's inverse may be wrong."""


@dataclass(frozen=True)
class Ripple:
    """The non-rigid part: a sum of K plane waves that swing slowly.

    Attributes:
        waves: (K, 2) radians per pixel; phases: (K,); sway: (K, 2) pixels; rates, starts: (K,) of the swing
            sin(rate (time - 1/2) + start), which stays within -1..1 at every time.
    """

    waves: Numbers
    phases: Numbers
    sway: Numbers
    rates: Numbers
    starts: Numbers

    def swing(self, time: float) -> Numbers:
        """(K,) how far each wave is out, -1..1."""
        answer: Numbers = np.sin(self.rates * (time - 0.5) + self.starts)
        return answer

    def scaled(self, factor: float) -> Ripple:
        """The same ripple with factor times the motion over the interval, as far as the steepest slope allows."""
        moved = np.abs(self.swing(1.0) - self.swing(0.0)) + 0.1
        length = np.linalg.norm(self.sway, axis=1) * factor / moved
        slope = length * np.linalg.norm(self.waves, axis=1)
        limit = STEEPEST / len(self.phases)
        share = np.minimum(1.0, limit / np.maximum(slope, 1e-9)) * factor / moved
        return Ripple(self.waves, self.phases, self.sway * share[:, None], self.rates, self.starts)

    def travel(self) -> float:
        """Upper bound of the motion over the interval, pixels."""
        change = np.abs(self.swing(1.0) - self.swing(0.0))
        return float((np.linalg.norm(self.sway, axis=1) * change).sum())

    def reach(self) -> float:
        """Largest displacement at any time, pixels."""
        return float(np.linalg.norm(self.sway, axis=1).sum())

    def steps(self) -> int:
        """Fixed-point steps that invert it: each shrinks the error by the slope."""
        slope = float((np.linalg.norm(self.sway, axis=1) * np.linalg.norm(self.waves, axis=1)).sum())
        return 1 + max(0, math.ceil(math.log(CLOSE / max(self.reach(), CLOSE)) / math.log(max(min(slope, 0.5), 1e-6))))

    def at(self, x: Tensor, y: Tensor, time: float) -> Tuple[Tensor, Tensor]:
        """D at points of the layer's plane."""
        dx, dy = None, None
        for wave, phase, sway, swing in zip(self.waves, self.phases, self.sway, self.swing(time)):
            value = (x * float(wave[0]) + (y * float(wave[1]) + float(phase))).sin_()
            if dx is None or dy is None:
                dx, dy = value * float(sway[0] * swing), value.mul_(float(sway[1] * swing))
            else:
                dx = dx.add_(value, alpha=float(sway[0] * swing))
                dy = dy.add_(value, alpha=float(sway[1] * swing))
        assert dx is not None and dy is not None
        return dx, dy


@dataclass(frozen=True)
class Paths:
    """Motion of L layers and their camera, before it is scaled to a speed.

    Attributes:
        place: (L, 2) screen pixel of each layer's centre at half time; pivot: (L, 2) point, from the centre, that it
            turns about; half: (L, 2) half extent of each layer in pixels; points: (L, N, 2) points of each layer, not a
            number where its motion does not count.
        own: (L, 8) x, y, roll, zoom, tilt x, tilt y, stretch, shear per interval; bend: (L, 8) acceleration, where
            displacement is f(t) = t + bend (t^2 - t), so that half way it lags by a quarter of bend.
        parents: per layer the one that carries it, as an arm carries a hand; -1 for none.
        camera: (4,) x, y, roll, zoom; camera_bend: (4,); parallax: (L,) share of the camera's pan and zoom.
        shake: (4,) amplitude of a fast swing of the camera; shake_rate, shake_start: (4,).
        centre: screen centre; ripples: per layer or None.
    """

    place: Numbers
    pivot: Numbers
    half: Numbers
    points: Numbers
    own: Numbers
    bend: Numbers
    parents: Tuple[int, ...]
    camera: Numbers
    camera_bend: Numbers
    parallax: Numbers
    shake: Numbers
    shake_rate: Numbers
    shake_start: Numbers
    centre: Tuple[float, float]
    ripples: Tuple[Ripple | None, ...]

    def __len__(self) -> int:
        return len(self.place)

    def evened(self) -> Paths:
        """The same paths without acceleration and without the camera's shake."""
        return replace(self, bend=self.bend * 0, camera_bend=self.camera_bend * 0, shake=self.shake * 0)

    def scaled(self, factor: float) -> Paths:
        """The same paths at factor times the speed; turning, zooming and tilting stay within what a lens can follow."""
        size = np.linalg.norm(self.half, axis=1)
        own = self.own * factor
        own[:, ROLL] = _limited(own[:, ROLL], 1.0)
        own[:, ZOOM] = _limited(own[:, ZOOM], 0.3)
        for tilt in (TILT_X, TILT_Y):
            own[:, tilt] = _limited(own[:, tilt] * size, 0.07) / size
        own[:, STRETCH], own[:, SHEAR] = _limited(own[:, STRETCH], 0.15), _limited(own[:, SHEAR], 0.2)
        camera, shake = self.camera * factor, self.shake * factor
        camera[ROLL], camera[ZOOM] = _limited(camera[ROLL], 0.5), _limited(camera[ZOOM], 0.3)
        shake[ROLL], shake[ZOOM] = _limited(shake[ROLL], 0.05), _limited(shake[ZOOM], 0.03)
        ripples = tuple(ripple.scaled(factor) if ripple is not None else None for ripple in self.ripples)
        return Paths(
            self.place, self.pivot, self.half, self.points, own, self.bend, self.parents, camera,
            self.camera_bend, self.parallax,            shake, self.shake_rate, self.shake_start, self.centre, ripples,
        )  # fmt: skip

    def matrices(self, time: float) -> Numbers:
        """(L, 3, 3): each layer's plane to the screen at a time. At half time it is a shift to the layer's place."""
        moved = self.own * _progress(time, self.bend)
        count = len(self)
        local = _similarity(moved[:, ROLL], moved[:, ZOOM])
        tilt = _identity(count)
        tilt[:, 2, 0], tilt[:, 2, 1] = moved[:, TILT_X], moved[:, TILT_Y]
        skew = _identity(count)
        skew[:, 0, 0], skew[:, 1, 1] = np.exp(moved[:, STRETCH]), np.exp(-moved[:, STRETCH])
        skew[:, 0, 1] = moved[:, SHEAR]
        turned = _shift(self.pivot + moved[:, :2]) @ local @ skew @ tilt @ _shift(-self.pivot)
        there = _shift(self.place) @ turned
        placed = {-1}
        while len(placed) <= count:
            for k, parent in enumerate(self.parents):
                if k not in placed and parent in placed:
                    if parent >= 0:
                        there[k] = there[parent] @ _shift((self.place[k] - self.place[parent])[None])[0] @ turned[k]
                    placed.add(k)

        swing = np.sin(self.shake_rate * (time - 0.5) + self.shake_start) - np.sin(self.shake_start)
        lens = self.camera * _progress(time, self.camera_bend) + self.shake * swing
        pan = lens[None, :2] * self.parallax[:, None]
        view = _similarity(np.full(count, lens[ROLL]), lens[ZOOM] * self.parallax)
        middle = np.tile(np.array(self.centre), (count, 1))
        answer: Numbers = _shift(middle + pan) @ view @ _shift(-middle) @ there
        return answer

    def largest_motion(self, height: int, width: int) -> float:
        """Largest displacement from time 0 to 1, in pixels, of what lies inside the frame at either."""
        ends = [_project(matrix, self.points) for matrix in (self.matrices(0.0), self.matrices(1.0))]
        counts = ~np.isnan(self.points[..., 0])
        inside = np.zeros_like(counts)
        for end in ends:
            inside |= counts & ((end > -1.0) & (end < np.array([width, height]))).all(-1)
        length = np.linalg.norm(ends[1] - ends[0], axis=-1)
        length = length + np.array([0.0 if r is None else r.travel() for r in self.ripples])[:, None]
        return float(length[inside if inside.any() else counts].max())

    def at_speed(self, pixels: float, height: int, width: int) -> Paths:
        """The same paths scaled so that the largest motion over the interval is as asked, at most."""
        if pixels <= 0.0:
            return self.scaled(0.0)
        factor = 1.0
        best = 0.0
        for _ in range(7):
            largest = self.scaled(factor).largest_motion(height, width)
            if largest <= pixels * 1.005:
                best = max(best, factor)
                if largest > 0.97 * pixels:
                    break
            factor *= float(np.clip(pixels / max(largest, 1e-6), 0.02, 50.0)) * 0.998
        return self.scaled(best if best > 0.0 else factor * 0.5)


class Course:
    """One layer's motion at one speed: screen to plane and back, at any time."""

    def __init__(self, matrices: Callable[[float], Numbers], layer: int, ripple: Ripple | None) -> None:
        self._matrices = matrices
        self._layer = layer
        self.ripple = ripple
        self._known: dict[float, Tuple[Numbers, Numbers]] = {}

    def matrix(self, time: float) -> Tuple[Numbers, Numbers]:
        """The plane-to-screen map and its inverse, (3, 3) each."""
        if time not in self._known:
            forth = self._matrices(time)[self._layer]
            self._known[time] = (forth, np.linalg.inv(forth))
        return self._known[time]

    def to_plane(self, x: Tensor, y: Tensor, time: float) -> Tuple[Tensor, Tensor]:
        """Points of the layer's plane seen at screen pixels; x and y broadcast against each other."""
        px, py = _mapped(self.matrix(time)[1], x, y)
        if self.ripple is not None:
            dx, dy = self.ripple.at(px, py, time)
            px, py = px + dx, py + dy
        return px, py

    def to_screen(self, x: Tensor, y: Tensor, time: float) -> Tuple[Tensor, Tensor]:
        """Screen pixels where points of the layer's plane are seen; the ripple is inverted by fixed point."""
        px, py = x, y
        if self.ripple is not None:
            for _ in range(self.ripple.steps()):
                dx, dy = self.ripple.at(px, py, time)
                px, py = x - dx, y - dy
        return _mapped(self.matrix(time)[0], px, py)


def courses(paths: Paths) -> List[Course]:
    """Of every layer."""
    matrices = lru_cache(maxsize=64)(paths.matrices)
    return [Course(matrices, layer, ripple) for layer, ripple in enumerate(paths.ripples)]


def _mapped(matrix: Numbers, x: Tensor, y: Tensor) -> Tuple[Tensor, Tensor]:
    m = (matrix / matrix[2, 2]).tolist()
    px = x * m[0][0] + (y * m[0][1] + m[0][2])
    py = x * m[1][0] + (y * m[1][1] + m[1][2])
    if abs(m[2][0]) + abs(m[2][1]) < 1e-12:
        return px, py
    depth = x * m[2][0] + (y * m[2][1] + 1.0)
    return px / depth, py / depth


def _progress(time: float, bend: Numbers) -> Numbers:
    """How far along its way from half time: 0 at 1/2, and 1 more at time 1 than at 0 whatever the bend."""
    answer: Numbers = (time - 0.5) + bend * ((time * time - time) + 0.25)
    return answer


def _limited(value: Numbers, most: float) -> Numbers:
    """Within -most..most, nearly unchanged when small."""
    return np.asarray(most * np.tanh(np.asarray(value) / most))


def _similarity(roll: Numbers, zoom: Numbers) -> Numbers:
    answer = np.zeros((len(roll), 3, 3))
    scale = np.exp(zoom)
    answer[:, 0, 0] = answer[:, 1, 1] = scale * np.cos(roll)
    answer[:, 1, 0] = scale * np.sin(roll)
    answer[:, 0, 1] = -answer[:, 1, 0]
    answer[:, 2, 2] = 1.0
    return answer


def _identity(count: int) -> Numbers:
    answer = np.zeros((count, 3, 3))
    answer[:, 0, 0] = answer[:, 1, 1] = answer[:, 2, 2] = 1.0
    return answer


def _shift(offset: Numbers) -> Numbers:
    answer = _identity(len(offset))
    answer[:, :2, 2] = offset
    return answer


def _project(matrices: Numbers, points: Numbers) -> Numbers:
    """(L, N, 2) screen pixels of (L, N, 2) points."""
    wide = np.concatenate([points, np.ones((*points.shape[:2], 1))], -1) @ matrices.transpose(0, 2, 1)
    answer: Numbers = wide[..., :2] / wide[..., 2:]
    return answer
