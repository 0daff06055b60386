"""What lies in front of layers, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.reach` alone. Planes of the frame are (1, H, W), those of the part of it in
which a layer can be seen, its box, (1, h, w). Rows from ``top`` to ``bottom`` are of the box.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Planes, kernel

Box = npt.NDArray[np.int64]
"""(2,): its first row and column."""

u = np.uintp
_ONE = np.float32(1.0)


@kernel(f"void({PLANES}, {PLANES}, i8[::1], {PLANES}, i8, i8)")
def above_rows(share: Planes, covered: Planes, box: Box, above: Planes, top: int, bottom: int) -> None:
    """What is in front of a layer, and, with the layer, of those behind it.

    Args:
        share: of the box, how much of every pixel is the layer's.
        covered: of the frame, how much of every pixel layers in front of it are; the layer is added.
        box: of the layer.
        above: of the box, for what they were before.
        top, bottom: rows.
    """
    wide = share.shape[2]
    for y in range(top, bottom):
        own, before, copied = share[0, y], covered[0, u(box[0] + y), box[1] : box[1] + wide], above[0, y]
        for x in range(wide):
            copied[u(x)] = before[u(x)]
        for x in range(wide):
            both = before[u(x)] + own[u(x)]
            before[u(x)] = both if both < _ONE else _ONE


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, i8, i8)")
def clear_rows(share: Planes, above: Planes, clear: Planes, top: int, bottom: int) -> None:
    """How much of every pixel is a layer's and lies nowhere within a pixel of what is in front of it.

    Args:
        share: of the box, how much of every pixel is the layer's.
        above: of the box, how much layers in front of it are.
        clear: of the box, for the answer.
        top, bottom: rows.
    """
    high, wide = above.shape[1:]
    near = np.empty(wide + 2, np.float32)
    for y in range(top, bottom):
        own, out = share[0, y], clear[0, y]
        one, two, three = above[0, max(y - 1, 0)], above[0, y], above[0, min(y + 1, high - 1)]
        for x in range(wide):
            most = one[u(x)] if one[u(x)] > two[u(x)] else two[u(x)]
            near[u(x + 1)] = most if most > three[u(x)] else three[u(x)]
        near[0], near[wide + 1] = near[1], near[wide]
        for x in range(wide):
            most = near[u(x)] if near[u(x)] > near[u(x + 1)] else near[u(x + 1)]
            most = most if most > near[u(x + 2)] else near[u(x + 2)]
            out[u(x)] = own[u(x)] * (_ONE - most)
