"""Areas that show nothing to follow: their motion is that of what is around them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from kairos.engines.classic.search import Flow
from kairos.motion.fill import fill_holes

Mask = npt.NDArray[np.bool_]
"""(H, W) bool."""

FLAT_REACH = 4
"""A pixel is flat where nothing is to be seen this far around it, pixels: about what the search looks at."""

_LEAST_AREA = 64
_AGREE = 0.6
"""Part of an area's outline that must move as one."""


def settle(flow: Flow, flat: Mask, still: Mask) -> Flow:
    """Gives still pixels no motion, and flat ones that of their surroundings.

    A flat area moves as its outline does where that is long for the area's size and moves as one (a plain object, a
    sky); a small thing that moves over a plain ground does not take the ground with it.

    Args:
        flow: (H, W, 2) as measured.
        flat: nothing to follow there.
        still: both frames are identical there.
    """
    out = flow.copy()
    out[still & ~flat] = 0
    if not flat.any():
        return out
    count, labels, stats, _ = cv2.connectedComponentsWithStats(flat.astype(np.uint8), connectivity=4)
    inherits = np.zeros_like(flat)
    reach = np.ones((2 * FLAT_REACH + 1, 2 * FLAT_REACH + 1), np.uint8)
    for label in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[label])
        if area < _LEAST_AREA:
            continue
        rows = slice(max(0, top - FLAT_REACH), top + height + FLAT_REACH)
        columns = slice(max(0, left - FLAT_REACH), left + width + FLAT_REACH)
        inside = labels[rows, columns] == label
        outline = (cv2.dilate(inside.astype(np.uint8), reach) > 0) & ~flat[rows, columns]
        if moves_as_one(out[rows, columns][outline], area):
            inherits[rows, columns] |= inside
        elif still[rows, columns][inside].all():
            out[rows, columns][inside] = 0
    if inherits.any():
        planes = torch.from_numpy(np.ascontiguousarray(out.transpose(2, 0, 1)))
        filled = fill_holes(planes, torch.from_numpy(~inherits)[None])
        out = np.ascontiguousarray(filled.numpy().transpose(1, 2, 0))
    return out


def moves_as_one(outline: npt.NDArray[np.float32], area: int) -> bool:
    """Whether an area's outline, (N, 2) vectors, is long for the area's size and moves as one."""
    length = len(outline) / FLAT_REACH
    if length < area**0.5:
        return False
    middle = np.median(outline, axis=0)
    allowed = 1.0 + 0.1 * float(np.hypot(*middle))
    return float((np.hypot(*(outline - middle).T) < allowed).mean()) >= _AGREE
