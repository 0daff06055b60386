"""What objects are looked for by, brought together by compiled loops over pixels.

Imported by :mod:`kairos.engines.classic.resemblance` alone. Label maps are int16, objects from 1 on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import PLANES, Planes, kernel

Labels = npt.NDArray[np.int16]
Flow = npt.NDArray[np.float32]
Picture = npt.NDArray[np.float64]
Sums = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
Known = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

u = np.uintp
_LABELS, _FLOW = "i2[:,::1]", "f4[:,:,::1]"
_0, _1 = np.float32(0), np.float32(1)


@kernel(f"void({_LABELS}, {_FLOW}, f4[:,::1], i8[::1])")
def sum_ways(labels: Labels, flow: Flow, sums: Sums, counts: Counts) -> None:
    """Adds up the motion (H, W, 2) of every object, pixel after pixel, to ``sums`` (N, 2) and its pixels to ``counts``
    (N,).
    """
    height, width = labels.shape
    last, many, way_x, way_y = u(0), 0, sums[u(0), u(0)], sums[u(0), u(1)]
    for y in range(height):
        for x in range(width):
            number = u(max(labels[u(y), u(x)], 0))
            # Neighbours are mostly of one object.
            if number != last:
                sums[last, u(0)], sums[last, u(1)] = way_x, way_y
                counts[last] += many
                last, many, way_x, way_y = number, 0, sums[number, u(0)], sums[number, u(1)]
            if number:
                way_x += flow[u(y), u(x), u(0)]
                way_y += flow[u(y), u(x), u(1)]
                many += 1
    sums[last, u(0)], sums[last, u(1)] = way_x, way_y
    counts[last] += many


@kernel(f"void({_LABELS}, f4[:,::1], u1[::1], {_FLOW})")
def tell_ways(labels: Labels, ways: Sums, known: Known, flow: Flow) -> None:
    """Gives the pixels of all objects whose way (N, 2) is known that motion."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            number = u(max(labels[u(y), u(x)], 0))
            if known[number]:
                flow[u(y), u(x), u(0)], flow[u(y), u(x), u(1)] = ways[number, u(0)], ways[number, u(1)]


@kernel(f"void(f8[:,:], b1[:,:], f8, {PLANES})")
def lay_object(picture: Picture, mask: Mask, middle: float, out: Planes) -> None:
    """Where an object is, what it shows and that squared, each a plane, and 0 wherever it is not.

    Args:
        picture, mask: (h, w), around it.
        middle: grey level that counts as 0.
        out: (3, H, W), not smaller.
    """
    height, width = mask.shape
    out[:] = _0
    for y in range(height):
        for x in range(width):
            if mask[u(y), u(x)]:
                shown = picture[y, x] - middle
                out[u(0), u(y), u(x)] = _1
                out[u(1), u(y), u(x)], out[u(2), u(y), u(x)] = np.float32(shown), np.float32(shown * shown)
