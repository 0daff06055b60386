"""The size at which motion is found, where the artist leaves it to the engine (``--scale auto``).

Full size up to 2.5 megapixels, half size above: up there finer motion than that gains nothing and costs four times as
much. A smaller shot whose motion spans more than 15 % of the frame's width is looked at in half size, too. That is
measured by a coarse search on three pairs of frames, at a sixth, a half and five sixths of the shot, so that every part
of a shot that is rendered apart decides alike. The pixels are decided on at full size in any case.
"""

from __future__ import annotations

from typing import List

import numpy as np

from kairos.engines.base import ShotView
from kairos.engines.swift.prior import classical_prior
from kairos.motion.cuts import is_cut
from kairos.motion.tiling import resize

FULL, HALF = 1.0, 0.5

LARGEST = 2_500_000
"""Pixels of a frame above which motion is found at half size: between 2K (2.2 million) and 4K (8.8 million)."""

FAR = 0.15
"""Motion of more than this part of the frame's width is large."""

_REDUCED = 8
_LEAST = 64
"""Shorter side of the pictures that are searched, pixels, where the frame has them."""

_MOST = 0.95
"""Part of the frame that moves less far than what counts as the pair's motion."""

_SIXTHS = (1, 3, 5)


def automatic_scale(shot: ShotView) -> float:
    """Part of the frame's size at which its motion is found: the same whichever frames of the shot are asked for."""
    height, width = shot.size
    if height * width > LARGEST:
        return HALF
    if min(height, width) < _LEAST:
        return FULL
    return HALF if any(reach(shot, first) > FAR for first in sampled(shot.count)) else FULL


def sampled(count: int) -> List[int]:
    """Positions of the first frames of the pairs that are measured, in a shot of so many frames."""
    return sorted({(count - 2) * part // 6 for part in _SIXTHS}) if count > 1 else []


def reach(shot: ShotView, first: int) -> float:
    """How far a frame moves until the next, as part of its width; 0 where the next belongs to another scene."""
    one, two = shot.proxy(first), shot.proxy(first + 1)
    if is_cut(one, two):
        return 0.0
    height, width = shot.size
    factor = min(_REDUCED, min(height, width) / _LEAST)
    size = round(height / factor), round(width / factor)
    flow = classical_prior(resize(one, *size), resize(two, *size)).numpy()
    return float(np.quantile(np.hypot(flow[:, 0], flow[:, 1]), _MOST)) / size[1]
