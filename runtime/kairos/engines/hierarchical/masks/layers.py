"""Label maps from what compositors have: ID layers, mattes and Cryptomatte. Pixels are picked, never mixed.

A label map is (H, W) int16, 0 for the rest; see :mod:`kairos.motion.regions`.
"""

from __future__ import annotations

from typing import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch

from kairos.frame import Planes
from kairos.motion.regions import MOST, partition

Labels = npt.NDArray[np.int16]
"""(H, W) label map."""
Ids = npt.NDArray[np.float64]
"""(H, W) IDs as numbers: 32-bit integers, floats and codes alike are exact; 0 is no object."""

CODE_BITS = {"uint8": 8, "uint10": 10, "uint12": 12, "uint16": 16}
"""Sample types that hold codes, which a plane carries as code / (2^bits - 1)."""

OBJECT = 0.5
"""Coverage from which on a pixel shows a matte's object."""

MANY = 1000
"""Different IDs of one frame over which a layer holds a picture, or IDs that were filtered, rather than IDs."""

_TIE = 1e-6
"""Coverage by which an object and the rest are level."""

_MOSTLY = 0.9
"""Part of a layer's pixels that hold whole numbers, from which on its other values are filtered edges."""


def ids_of(plane: Planes, depth: str) -> Ids:
    """The IDs of a plane (H, W).

    Args:
        plane: as in :class:`kairos.frame.Part`.
        depth: its sample type. 32-bit integers are read from their bit patterns, codes as whole numbers. NaN and
            infinity are no object.
    """
    if depth == "uint":
        return np.ascontiguousarray(plane).view(np.uint32).astype(np.float64)
    if depth in CODE_BITS:
        return np.asarray(np.rint(plane.astype(np.float64) * (2 ** CODE_BITS[depth] - 1)), np.float64)
    return np.asarray(np.where(np.isfinite(plane), plane, 0), np.float64)


def holds_ids(plane: Planes, depth: str) -> bool:
    """True where a plane that nothing else tells about holds IDs rather than a matte.

    Integers, values over 1, or codes of which the highest is under half of what the file can hold.
    """
    if depth == "uint":
        return True
    highest = float(np.nan_to_num(plane, nan=0.0, posinf=0.0).max(initial=0.0))
    return 0 < highest < OBJECT if depth in CODE_BITS else highest > 1.001


def are_numbers(ids: Ids) -> bool:
    """True where (nearly) all IDs are whole numbers that a label map can hold as they are."""
    lit = ids[ids != 0]
    return not lit.size or float(_numbers(lit).mean()) >= _MOSTLY


def _numbers(ids: Ids) -> npt.NDArray[np.bool_]:
    return np.asarray((ids >= 0) & (ids <= MOST) & (ids == np.rint(ids)), np.bool_)


def by_number(ids: Ids) -> Labels:
    """Labels of IDs that are whole numbers: each its own. What is none, at a filtered edge, takes the nearest one."""
    known = _numbers(ids)
    if not known.all():
        if not known.any():
            return np.zeros(ids.shape, np.int16)
        _, nearest = cv2.distanceTransformWithLabels(
            (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        values = np.zeros(int(nearest.max()) + 1)
        values[nearest[known]] = ids[known]
        ids = values[nearest]
    return ids.astype(np.int16)


def by_list(ids: Ids, known: Sequence[float]) -> Labels:
    """Labels of any IDs: label i + 1 is ``known[i]``, which ascend; every other ID is the rest."""
    table = np.asarray(known, np.float64)
    if not table.size:
        return np.zeros(ids.shape, np.int16)
    places = np.searchsorted(table, ids).clip(max=len(table) - 1)
    return np.where(table[places] == ids, places + 1, 0).astype(np.int16)


def from_mattes(mattes: Planes) -> Labels:
    """Labels of mattes (N, H, W), coverage in 0..1: matte i is label i + 1; overlaps go to the smaller."""
    shown = np.nan_to_num(mattes, nan=0.0, posinf=1.0, neginf=0.0) >= OBJECT
    return np.asarray(partition(torch.from_numpy(shown)).numpy())


def from_cryptomatte(ids: Planes, coverage: Planes, known: Sequence[int], labels: Sequence[int]) -> Labels:
    """Labels of a Cryptomatte: what covers most of a pixel, with the coverage of an object's IDs added up.

    Args:
        ids: (R, H, W), one plane for each rank.
        coverage: (R, H, W) in 0..1, of each rank.
        known: 32 bits of every ID that belongs to an object, ascending.
        labels: of what object each is, 1 or more.
    """
    if not len(known):
        return np.zeros(ids.shape[1:], np.int16)
    table, numbers = np.asarray(known, np.uint32), np.asarray(labels, np.int32)
    bits = np.ascontiguousarray(ids).view(np.uint32)
    places = np.searchsorted(table, bits).clip(max=len(table) - 1)
    ranks = np.where(table[places] == bits, numbers[places], 0)
    share = np.nan_to_num(coverage, nan=0.0, posinf=1.0, neginf=0.0).clip(0, 1)
    # Half a pixel is enough, as for a matte; what covers nothing at all is not.
    most = (1 - np.where(ranks > 0, share, 0).sum(0) - np.float32(_TIE)).clip(min=_TIE)
    best = np.zeros(ids.shape[1:], np.int32)
    for rank in ranks:
        whole = np.where(ranks == rank, share, 0).sum(0)
        wins = (rank > 0) & (whole > most)
        most, best = np.where(wins, whole, most), np.where(wins, rank, best)
    return best.astype(np.int16)
