"""Which label a cell's pixels show, counted by compiled loops.

Imported by :mod:`kairos.engines.hierarchical.cells` alone. Label maps are (H, W) int16, from 0 on.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kairos.motion.compiled import kernel

Labels = npt.NDArray[np.int16]
Numbers = npt.NDArray[np.int32]
Edges = npt.NDArray[np.int64]

u = np.uintp
_LABELS = "i2[:,::1]"


@kernel(f"void({_LABELS}, u1[::1])")
def mark(labels: Labels, seen: npt.NDArray[np.uint8]) -> None:
    """Marks in ``seen`` (N,) the labels that are there."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            seen[u(labels[u(y), u(x)])] = 1


@kernel(f"void({_LABELS}, i4[::1], i8, i8[::1], i8[::1], i4[:,::1], i8, i8)")
def vote_rows(
    labels: Labels, ranks: Numbers, kinds: int, rows: Edges, columns: Edges, found: Numbers, top: int, bottom: int
) -> None:
    """Which rank most pixels of every cell have, of several the first.

    Args:
        labels: see above.
        ranks: of every label, below ``kinds``.
        rows, columns: of the cells, the first pixel of each and the one behind the last.
        found: (h, w), for the answer.
        top, bottom: rows of cells.
    """
    votes = np.zeros(kinds, np.int32)
    for row in range(top, bottom):
        for column in range(len(columns) - 1):
            for kind in range(kinds):
                votes[u(kind)] = 0
            for y in range(rows[u(row)], rows[u(row + 1)]):
                for x in range(columns[u(column)], columns[u(column + 1)]):
                    votes[u(ranks[u(labels[u(y), u(x)])])] += 1
            best = 0
            for kind in range(1, kinds):
                best = kind if votes[u(kind)] > votes[u(best)] else best
            found[u(row), u(column)] = best
