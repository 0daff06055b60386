"""The size at which motion is found, where the artist leaves it to the engine (``--scale auto``).

Full size up to 0.7 megapixels, half size above: up there finer motion gains next to nothing and costs four times as
much. A smaller shot a quarter of which moves by more than 15 % of the width is looked at in half size, too. That
is measured by matching blocks of three pairs of frames, at a sixth, a half and five sixths of the shot, so that every
part of a shot that is rendered apart decides alike. The pixels are decided on at full size in any case.
"""

from __future__ import annotations

from typing import List

import cv2
import numpy as np
from torch import Tensor

from kairos.engines.base import ShotView
from kairos.engines.classic.search import Plane
from kairos.motion.tiling import resize

FULL, HALF = 1.0, 0.5

LARGEST = 700_000
"""Pixels of a frame above which motion is found at half size: between 960x540 and 1280x720. On a 2K plate half size
lost nothing; on frames of 0.45 and 0.5 megapixels, up to a tenth of a decibel.
"""
SMALLEST = 200_000
"""Pixels of a frame below which there is nothing to be taken away."""

FAR = 0.15
"""Motion of more than this part of the frame's width is large."""

_SHARE = 0.75
"""Part of what was found again that moves less far than what counts as the pair's motion."""

_HEIGHT = 64
"""Frames are compared at this height, pixels."""
_BLOCK, _STRIDE = 16, 8
_FURTHEST = 4
"""Blocks are looked for within this part of the width: a quarter."""

_FLAT = 0.01
"""Spread of the proxy under which a block shows nothing."""
_ALIKE, _AS_GOOD = 0.8, 0.02
"""Correlation from which a block counts as found, and how much better another place must be than staying."""
_FOUND = 0.25
"""Part of the blocks that must be found: across a cut hardly any is."""

_SIXTHS = (1, 3, 5)


def automatic_scale(shot: ShotView) -> float:
    """Part of the frame's size at which its motion is found: the same whichever frames of the shot are asked for."""
    height, width = shot.size
    if height * width > LARGEST:
        return HALF
    if height * width < SMALLEST:
        return FULL
    return HALF if any(reach(shot, first) > FAR for first in sampled(shot.count)) else FULL


def sampled(count: int) -> List[int]:
    """Positions of the first frames of the pairs that are measured, in a shot of so many frames."""
    return sorted({(count - 2) * part // 6 for part in _SIXTHS}) if count > 1 else []


def reach(shot: ShotView, first: int) -> float:
    """How far a frame moves until the next, as part of its width; 0 where hardly anything is found again."""
    one, two = _small(shot.proxy(first)), _small(shot.proxy(first + 1))
    rows, columns = one.shape
    furthest, looked, found = columns // _FURTHEST, 0, []
    for top in range(0, rows - _BLOCK + 1, _STRIDE):
        for left in range(0, columns - _BLOCK + 1, _STRIDE):
            block = one[top : top + _BLOCK, left : left + _BLOCK]
            if float(block.std()) < _FLAT:
                continue
            looked += 1
            above, before = max(0, top - furthest), max(0, left - furthest)
            around = two[above : top + _BLOCK + furthest, before : left + _BLOCK + furthest]
            alike = cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED)
            best, (x, y) = cv2.minMaxLoc(alike)[1::2]
            if best >= _ALIKE:
                stays = float(alike[top - above, left - before]) >= best - _AS_GOOD
                found.append(0.0 if stays else float(np.hypot(before + x - left, above + y - top)))
    return float(np.quantile(found, _SHARE)) / columns if found and len(found) >= _FOUND * looked else 0.0


def _small(proxy: Tensor) -> Plane:
    """(h, w) brightness, reduced."""
    height, width = proxy.shape[-2:]
    rows = min(_HEIGHT, height)
    small = resize(proxy, rows, max(1, round(width * rows / height)))
    return np.ascontiguousarray(small.mean(0).float().cpu().numpy())
