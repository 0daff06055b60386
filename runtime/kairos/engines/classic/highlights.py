"""Small bright things (lamps, sparks, glints) move whole: their motion is that of their light.

A search over windows smears the motion of something ten pixels wide into the ground around it. In ordinary pixels that
hardly shows; where the light is a thousand times the ground's, a stretched rim is visible light gained or lost.
"""

from __future__ import annotations

from typing import List, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from kairos.engines.classic.search import Flow

_BRIGHT = 1.0
"""Proxy value of a highlight: four stops over diffuse white. Display-referred pixels never get there by more than 0."""

_STOP = 0.09
"""One stop, in the proxy."""

_LEAST, _MOST = 9, 2500
"""Size of a highlight, pixels: smaller ones have no sure centre, larger ones the search follows well."""

_RIM = 3
"""Pixels around a highlight that are still its light: soft edges, defocus."""

_ALIKE = 1.3
"""Factor by which area and light may differ between the same highlight in two frames."""

_ASTRAY = 2.0
"""Pixels that the search may be off, beside a part of the highlight's own size."""


class Spot(NamedTuple):
    """One highlight: its centre of light (x, y), area in pixels, light (relative), and where it is: its label, and the
    rows and columns of the frame that hold it and its rim.
    """

    x: float
    y: float
    area: int
    light: float
    label: int
    rows: slice
    columns: slice


class Highlights(NamedTuple):
    """Of a frame: labels (H, W), and those among them that are small highlights."""

    labels: npt.NDArray[np.int32]
    spots: List[Spot]


def move_whole(flow: Flow, here: Highlights, there: Highlights) -> Flow:
    """The flow with every small highlight that both frames show moved by the way of its centre of light.

    Args:
        flow: (H, W, 2) pixels, from the first frame's pixels to the second.
        here, there: of the first and of the second frame.
    """
    if not here.spots or not there.spots:
        return flow
    out = flow.copy()
    rim = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    for spot in here.spots:
        place = spot.rows, spot.columns
        inside = here.labels[place] == spot.label
        guess = np.median(flow[place][inside], axis=0)
        astray = _ASTRAY + 0.5 * float(np.sqrt(spot.area))
        near = [other for other in there.spots if _same(spot, other, guess, astray)]
        if len(near) == 1:
            region = cv2.dilate(inside.astype(np.uint8), rim) > 0
            out[place][region] = (near[0].x - spot.x, near[0].y - spot.y)
    return out


def _same(spot: Spot, other: Spot, guess: npt.NDArray[np.float32], astray: float) -> bool:
    distance = np.hypot(other.x - spot.x - guess[0], other.y - spot.y - guess[1])
    alike = all(1 / _ALIKE <= a / b <= _ALIKE for a, b in ((spot.area, other.area), (spot.light, other.light)))
    return bool(distance <= astray) and alike


def highlights(proxy: Tensor) -> Highlights:
    """Those of a frame (3, H, W), log-encoded; none that touches its edge, where part of it is unseen."""
    level = proxy.amax(0).cpu().numpy()
    bright = level > _BRIGHT
    height, width = level.shape
    if not bright.any():
        return Highlights(np.zeros((height, width), np.int32), [])
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    spots = []
    for label, (left, top, across, down, area) in enumerate(stats.tolist()):
        cut = left < _RIM or top < _RIM or left + across > width - _RIM or top + down > height - _RIM
        if label == 0 or cut or not _LEAST <= area <= _MOST:
            continue
        rows, columns = slice(top - _RIM, top + down + _RIM), slice(left - _RIM, left + across + _RIM)
        # Back to light, so that a rim of little light does not count as much as the middle.
        light = np.exp2(np.minimum(level[rows, columns], _BRIGHT + 30 * _STOP) / _STOP - _BRIGHT / _STOP)
        total = float(light.sum())
        y, x = np.mgrid[rows, columns]
        middle = float((light * x).sum() / total), float((light * y).sum() / total)
        spots.append(Spot(*middle, area, total, label, rows, columns))
    return Highlights(labels.astype(np.int32, copy=False), spots)
