"""Small highlights (lamps, sparks, glints) among pictures that are cut off at white: they move whole, and are trusted
whole.

A search over windows smears the motion of something ten pixels wide into the ground around it. Where the light is a
hundred times the ground's, that is half a lamp. :mod:`kairos.engines.classic.highlights` does the same by their light,
which generated pictures do not know: here size and place must do.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.inbetween.likeness import blurred

_BRIGHT, _GROUND = 0.85, 0.8
"""Shown value over which a small thing is a highlight, and from which on what shows around it counts as its own."""

_LEAST, _MOST = 6, 2500
"""Size of a highlight, pixels: smaller ones have no sure middle, larger ones a search follows well."""

_RIM = 3
"""Pixels around a highlight that are still its light."""

_ALIKE = 2.5
"""Factor by which its area may differ between two pictures: focus and tone make it larger or smaller."""

_ASTRAY, _SIDE = 2.0, 0.75
"""Pixels that a search may be off, and the part of a highlight's own side that is added to them."""

_CLEARLY = 2.0
"""How much further another candidate must be."""


Mask = npt.NDArray[np.bool_]


class Spot(NamedTuple):
    """A highlight.

    Attributes:
        x, y: its middle, pixels.
        area: pixels.
        rows, columns: the box around it and its rim.
        core, whole: (rows, columns) of the box, without and with its rim.
        cut: the frame's edge cuts it off.
    """

    x: float
    y: float
    area: int
    rows: slice
    columns: slice
    core: Mask
    whole: Mask
    cut: bool


def moved_whole(flow: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """A flow with every small highlight that both pictures show moved by the way of its middle.

    Args:
        flow: (2, h, w) pixels, from the first picture to the second.
        first, second: (1, h, w) brightest channel of either, shown.
    """
    spots = _spots(first)
    if not spots:
        return flow
    others = np.array([(other.x, other.y, other.area) for other in _spots(second) if not other.cut]).reshape(-1, 3)
    found = np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy())
    out = found.copy()
    for spot in spots:
        here = spot.rows, spot.columns
        way = None if spot.cut else _way(spot, others, np.median(found[here][spot.core], axis=0))
        if way is not None:
            out[here][spot.whole] = way
    return torch.from_numpy(np.ascontiguousarray(out.transpose(2, 0, 1))).to(flow.device)


def trusted_whole(trust: Tensor, peak: Tensor) -> Tensor:
    """Trust (1, h, w) with one value for each small highlight of a picture's brightest channel (1, h, w)."""
    spots = _spots(peak)
    if not spots:
        return trust
    told = trust[0].cpu().numpy()
    plane = told.copy()
    for spot in spots:
        here = spot.rows, spot.columns
        plane[here][spot.whole] = float(np.median(told[here][spot.core]))
    return torch.from_numpy(plane)[None].to(trust.device)


def _way(spot: Spot, others: npt.NDArray[np.float64], guess: npt.NDArray[np.float32]) -> Optional[Tuple[float, float]]:
    """(x, y) pixels that a highlight has come; None where it is not sure which it is now.

    Args:
        spot: the highlight.
        others: (n, 3) middle and area of those that it may be.
        guess: (x, y) pixels by which it has come as the search has it.
    """
    size = others[:, 2] / spot.area
    alike = others[(size >= 1 / _ALIKE) & (size <= _ALIKE), :2] - (spot.x, spot.y)
    away = np.hypot(alike[:, 0] - guess[0], alike[:, 1] - guess[1])
    nearest = np.argsort(away, kind="stable")[:2]
    if not len(nearest) or away[nearest[0]] > _ASTRAY + _SIDE * spot.area**0.5:
        return None
    if len(nearest) > 1 and away[nearest[1]] < _CLEARLY * away[nearest[0]] + 1:
        return None
    x, y = alike[nearest[0]].tolist()
    return x, y


def _spots(peak: Tensor) -> List[Spot]:
    """The small highlights of a picture's brightest channel (1, h, w)."""
    level = blurred(peak.float())[0].cpu().numpy()
    bright = (level > _BRIGHT).astype(np.uint8)
    height, width = level.shape
    if not bright.any():
        return []
    _, labels, stats, _ = cv2.connectedComponentsWithStats(bright, connectivity=8)
    spots, rim = [], np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    for label, (left, top, across, down, area) in enumerate(stats.tolist()):
        if label == 0 or not _LEAST <= area <= _MOST:
            continue
        rows = slice(max(0, top - _RIM), top + down + _RIM)
        columns = slice(max(0, left - _RIM), left + across + _RIM)
        core = np.asarray(labels[rows, columns] == label)
        whole = np.asarray(cv2.dilate(core.astype(np.uint8), rim) > 0)
        # What is cut off at white is as bright throughout: its middle is that of its area.
        light = np.clip(level[rows, columns] - _GROUND, 0, 1 - _GROUND) * whole
        y, x = np.mgrid[: light.shape[0], : light.shape[1]]
        total = float(light.sum())
        middle = float((light * x).sum() / total) + columns.start, float((light * y).sum() / total) + rows.start
        cut = left == 0 or top == 0 or left + across == width or top + down == height
        spots.append(Spot(*middle, area, rows, columns, core, whole, cut))
    return spots
