"""How far the vectors of some objects are believed, compiled for the CPU.

Imported by :mod:`kairos.engines.classic.counted` alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.classic.even_kernels import eights, row_ended, row_fetched, span
from kairos.motion.compiled import PLANES, Planes, kernel
from kairos.motion.plane_kernels import halve_rows

Box = npt.NDArray[np.int64]
"""(2,): top, left."""

u = np.uintp
_ZERO, _ONE, _THREE = np.float32(0.0), np.float32(1.0), np.float32(3.0)
_NO, _YES = np.uint8(0), np.uint8(1)
_AT_HAND = 8
"""Rows of a smaller picture that a core's cache holds with all that they are made of."""


@kernel(f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, i8[::1], f4, f4, f4, {PLANES}, {PLANES}, i8, i8)")
def believe_rows(
    flow: Planes,
    trust: Planes,
    share: Planes,
    other: Planes,
    box: Box,
    astray: np.float32,
    doubted: np.float32,
    least: np.float32,
    out: Planes,
    weight: Planes,
    top: int,
    bottom: int,
) -> None:
    """Trust in the vectors of some objects, and how far each is believed when what is not is filled in.

    Args:
        flow: (2, H, W) pixels; fewer than 2**31 in all.
        trust: (1, H, W) in 0..1.
        share, other: (1, h, w), how much of the pixels of the frame that vectors begin in, and end in, is theirs, in
            their box.
        box: (2,), its first row and column.
        astray: what is left of the trust in a vector that ends on another object.
        doubted: trust up to which a vector says nothing, and from its opposite on it is not changed.
        least: of trust.
        out, weight: (1, h, w), for trust, and for how far vectors are believed.
        top, bottom: rows of the box.
    """
    size, width, wide, pitch = u(trust.size), trust.shape[2], share.shape[2], u(share.shape[2])
    moves, trusts, shares = flow.reshape(flow.size), trust.reshape(trust.size), share.reshape(share.size)
    ends, trusted, weights = other.reshape(other.size), out.reshape(out.size), weight.reshape(weight.size)
    here, scale = np.array([0, share.shape[1], 0, wide]), _ONE / (_ONE - np.float32(2.0) * doubted)
    # Of each vector's end: the pixel before it, twice, and 1 more where there is another behind; how far it is from it.
    columns, across = np.empty(wide, np.int32), np.empty(wide, np.float32)
    rows, down = np.empty(wide, np.int32), np.empty(wide, np.float32)
    lands, believed = np.zeros(8 * eights(wide), np.float32), np.empty(wide, np.float32)
    apart, theirs = np.ones(8 * eights(wide), np.uint8), np.zeros(8 * eights(wide), np.uint8)
    order, some = np.empty(eights(wide), np.int32), theirs.view(np.uint64)
    for line in range(top, bottom):
        at, to = u((box[0] + line) * width + box[1]), u(line) * u(wide)
        for i in range(wide):
            theirs[u(i)] = _YES if shares[to + u(i)] > _ZERO else _NO
        # Elsewhere in the row nothing is theirs.
        begin, end = span(some)
        first, last = 8 * begin, min(8 * end, wide)
        for i in range(wide):
            trusted[to + u(i)] = least
        for i in range(wide):
            weights[to + u(i)] = _ZERO
        if begin == end:
            continue
        many, others = row_ended(
            moves, size, at, line, begin, end, here, some, columns, across, rows, down, apart, order
        )
        row_fetched(ends, u(0), pitch, order, many, others, columns, across, rows, down, lands)
        # One array to a loop: with more the compiler does not find the processor's vectors in them.
        for i in range(first, last):
            part = astray + (_ONE - astray) * lands[u(i)]
            believed[u(i)] = trusts[at + u(i)] * part * shares[to + u(i)]
        for i in range(first, last):
            trusted[to + u(i)] = believed[u(i)] if believed[u(i)] > least else least
        for i in range(first, last):
            known = (believed[u(i)] - doubted) * scale
            known = known if known > _ZERO else _ZERO
            known = known if known < _ONE else _ONE
            sure, little = known * known * (_THREE - np.float32(2.0) * known), least * believed[u(i)]
            weights[to + u(i)] = sure if sure > little else little


@kernel(
    f"void({PLANES}, {PLANES}, {PLANES}, {PLANES}, i8[::1], f4, f4, f4, {PLANES}, {PLANES}, "
    f"{PLANES}, f4, {PLANES}, {PLANES}, i8, i8)"
)
def believe_and_halve_rows(
    flow: Planes,
    trust: Planes,
    share: Planes,
    other: Planes,
    box: Box,
    astray: np.float32,
    doubted: np.float32,
    least: np.float32,
    out: Planes,
    weight: Planes,
    values: Planes,
    least_weight: np.float32,
    coarse: Planes,
    kept: Planes,
    top: int,
    bottom: int,
) -> None:
    """:func:`believe_rows`, and what is believed at half the size, while it is at hand.

    Args:
        values: (2, h, w), the flow in the box.
        least_weight, coarse, kept: see :func:`kairos.motion.plane_kernels.halve_rows`.
        top, bottom: rows of ``coarse``.
    """
    for first in range(top, bottom, _AT_HAND):
        last = min(first + _AT_HAND, bottom)
        high = min(2 * last, weight.shape[1])
        believe_rows(flow, trust, share, other, box, astray, doubted, least, out, weight, 2 * first, high)
        halve_rows(values, weight, least_weight, coarse, kept, first, last)
