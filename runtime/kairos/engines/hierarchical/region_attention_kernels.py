"""Attention within regions both ways at once, compiled for the CPU: cells are compared once, a few at a time.

Imported by :mod:`kairos.engines.hierarchical.attention` alone, when a pair first needs it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.engines.product_kernel import BROAD, TOGETHER, add_across, add_broad, multiply_broad
from kairos.engines.vector_kernel import LANES, load, spread, store, sums
from kairos.motion.compiled import kernel

Line = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]

SOME = 64
"""Cells of the first grid that are compared at once, with :data:`BROAD` of the second."""

u = np.uintp
_0, _1, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_C1, _C2, _C3 = np.float32(0.6931471805599453), np.float32(0.2402265069591007), np.float32(0.05550410866482158)
_C4, _C5 = np.float32(0.009618129107628477), np.float32(0.0013333558146428443)
_C6 = np.float32(0.0001540353039338161)
_LINE = "f4[::1]"


@kernel(f"void({', '.join([_LINE] * 10)}, i8[:,::1], i8[::1], i8, i8, i8, i8, i8)", contract=True)
def both_ways(
    keys0: Line, keys1: Line, told0: Line, told1: Line, lines0: Line, lines1: Line, found0: Line, found1: Line,
    sums0: Line, sums1: Line, tiles: Counts, edges: Counts, width: int, blocks: int, lines: int, first: int, last: int,
) -> None:  # fmt: skip
    """Some parts of the work.

    Cells stand region by region, of the first grid from multiples of 4 on, of the second from multiples of
    :data:`BROAD`. Between regions everything is 0.

    Args:
        keys0: (cells of the first grid, width), to be multiplied so that the products are powers of 2.
        keys1: (cells of the second grid / BROAD, width, BROAD).
        told0, told1: (blocks, cells, BROAD) of either grid.
        lines0, lines1: (lines, cells), more of the same.
        found0, sums0: (blocks, cells, BROAD) and (lines, cells), 0 at first: what the first grid is told, not yet
            divided by the sum of its shares.
        found1, sums1: of every part (blocks, cells, BROAD) and (lines, cells), the same for the second grid.
        tiles: (N, 4): the first cell of the first grid and the one behind the last, :data:`SOME` at most, and those of
            the second grid that they are compared with.
        edges: the first tile of every part, and where all end.
        first, last: parts from one to the other.
    """
    shares, powers = np.empty(SOME * BROAD, np.float32), np.empty(SOME * BROAD, np.int32)
    lifted = powers.view(np.float32)
    many0, many1 = u(len(keys0) // width), u(len(keys1) // width)
    for part in range(first, last):
        wide1, long1 = u(part * blocks) * many1 * u(BROAD), u(part * lines) * many1
        for tile in range(edges[part], edges[part + 1]):
            begin, some = u(tiles[tile, 0]), tiles[tile, 1] - tiles[tile, 0]
            for group in range(tiles[tile, 2], tiles[tile, 3], BROAD):
                for row in range(0, some, TOGETHER):
                    at = (begin + u(row)) * u(width)
                    to = u(row * BROAD)
                    multiply_broad(keys0, keys1, shares, at, u(width), u(group * width), u(BROAD), to, u(width))
                for place in range(some * BROAD):
                    power = shares[u(place)]
                    floor = np.floor(power + _HALF)
                    rest = power - floor
                    powers[u(place)] = (np.int32(floor) + np.int32(127)) << np.int32(23)
                    higher = _C4 + rest * (_C5 + rest * _C6)
                    shares[u(place)] = _1 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * higher)))
                for place in range(some * BROAD):
                    shares[u(place)] *= lifted[u(place)]
                for line in range(lines):
                    here, there = u(line) * many0 + begin, u(line) * many1 + u(group)
                    for row in range(0, some, 4):
                        one, two = spread(lines0[here + u(row)]), spread(lines0[here + u(row + 1)])
                        three, four = spread(lines0[here + u(row + 2)]), spread(lines0[here + u(row + 3)])
                        a = b = c = d = spread(_0)
                        for lane in range(0, BROAD, LANES):
                            at = u(row * BROAD + lane)
                            known, to = load(lines1, there + u(lane)), long1 + there + u(lane)
                            w, x = load(shares, at), load(shares, at + u(BROAD))
                            y, z = load(shares, at + u(2 * BROAD)), load(shares, at + u(3 * BROAD))
                            a, b, c, d = a + w * known, b + x * known, c + y * known, d + z * known
                            store(sums1, to, load(sums1, to) + (w * one + x * two) + (y * three + z * four))
                        whole = sums(a, b, c, d)
                        for each in range(4):
                            sums0[here + u(row + each)] += whole[each]
                for block in range(blocks):
                    here = (u(block) * many0 + begin) * u(BROAD)
                    there = (u(block) * many1 + u(group)) * u(BROAD)
                    for row in range(0, some, TOGETHER):
                        at = u(row * BROAD)
                        add_broad(shares, told1, found0, at, u(BROAD), there, u(BROAD), here + at, u(BROAD))
                    for cell in range(0, BROAD, TOGETHER):
                        to = wide1 + there + u(cell * BROAD)
                        add_across(shares, told0, found1, u(cell), u(BROAD), here, u(BROAD), to, u(some))
