"""Places between pixels, for kernels that fetch from there: parts of theirs, which nobody else imports."""

from __future__ import annotations

import numpy as np

from kairos.motion.compiled import Plane, part

u = np.uintp
_0, _1 = np.float32(0), np.float32(1)


@part
def kept(place: np.float32, most: np.float32) -> np.float32:
    """Within 0 and the most; what is no number becomes 0."""
    place = place if place > _0 else _0
    return place if place < most else most


@part
def fetched(planes: Plane, i: u, right: u, below: u, b: np.float32, d: np.float32) -> np.float32:
    """Between four pixels, the first of which is number ``i``: ``b`` of the way right, ``d`` of that below."""
    upper = planes[i] * (_1 - b) + planes[i + right] * b
    lower = planes[i + below] * (_1 - b) + planes[i + below + right] * b
    between: np.float32 = upper * (_1 - d) + lower * d
    return between
