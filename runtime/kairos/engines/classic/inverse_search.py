"""Dense inverse search (Kroeger et al., ECCV 2016), several times as fast as OpenCV's, which takes its place where
compiled kernels cannot run.
"""

from __future__ import annotations

from types import ModuleType
from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from kairos.motion import fast

Picture = npt.NDArray[np.float32]
"""(H, W) brightness, grey levels of 0..255 and what lies between them."""
Flow = npt.NDArray[np.float32]
"""(H, W, 2) float32, pixels, x right, y down."""
_Line = npt.NDArray[np.float32]

_PATCH = 8
_SMALLEST = 4.0
"""The coarsest pictures are so many patches long, or fewer than twice as many."""


class Effort(NamedTuple):
    """Of a search: distance of its patches, pixels, and how often patches and field are improved."""

    stride: int
    iterations: int
    refinements: int


class _Framed(NamedTuple):
    """A picture of a pyramid with its border."""

    line: _Line
    height: int
    width: int


def inverse_search(
    first: Picture,
    second: Picture,
    effort: Effort,
    *,
    finest: int = 0,
    by_brightness: bool = False,
    start: Optional[Flow] = None,
    coarsest: Optional[int] = None,
) -> Flow:
    """Motion from the first picture to the second, (H, W, 2) pixels.

    One call works on one thread, without the GIL, and answers the same bits whenever it is asked. What OpenCV answers
    in its place, where the kernels cannot run, is as good, and differs by a little.

    Args:
        first, second: pictures of one size.
        effort: how much work it may be.
        finest: pyramid level at which the search ends, halves of the size.
        by_brightness: patches are compared with their brightness, not only their pattern.
        start: (H, W, 2) motion to begin from.
        coarsest: pyramid level to begin at; the whole pyramid when not given.
    """
    levels = coarsest_level(*first.shape) if coarsest is None else max(coarsest, finest)
    kernels, refining = _kernels()
    if kernels is None or refining is None:
        return _by_opencv(first, second, effort, finest, by_brightness, start, coarsest)
    levels = max(finest, min(levels, int(np.log2(max(1, min(first.shape))))))
    pyramids = [_pyramid(kernels, picture, levels) for picture in (first, second)]
    field, scale = np.zeros((1, 1, 2), np.float32) if start is None else start, 0.5**levels
    if start is None:
        scale = 1.0
    for level in range(levels, finest - 1, -1):
        field = _level(kernels, refining, pyramids[0][level], pyramids[1][level], effort, field, scale, by_brightness)
        scale = 2.0
    if finest:
        size = (first.shape[1], first.shape[0])
        field = np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR) * np.float32(2**finest), np.float32)
    return field


def coarsest_level(height: int, width: int) -> int:
    """Pyramid level at which a search without a start begins."""
    along = int(np.log2(max(height, width) / (_SMALLEST * _PATCH)) + 0.5) if max(height, width) > 0 else 0
    return max(0, min(along, int(np.log2(max(1.0, min(height, width) / _PATCH)))))


def in_levels(picture: Picture) -> npt.NDArray[np.uint8]:
    """A picture of whole grey levels, for those who know no others."""
    return np.asarray(np.rint(picture).clip(0, 255), np.uint8)


def _pyramid(kernels: ModuleType, picture: Picture, levels: int) -> List[_Framed]:
    height, width = picture.shape
    found = [_Framed(_empty(kernels, height, width), height, width)]
    kernels.frame_picture(np.ascontiguousarray(picture, np.float32), found[0].line, kernels.pitch_of(width))
    for _ in range(levels):
        fine = found[-1]
        height, width = fine.height // 2, fine.width // 2
        line = _empty(kernels, height, width)
        kernels.halve_picture(fine.line, kernels.pitch_of(fine.width), line, kernels.pitch_of(width), height, width)
        found.append(_Framed(line, height, width))
    return found


def _empty(kernels: ModuleType, height: int, width: int) -> _Line:
    return np.empty((height + 2 * kernels.EDGE) * kernels.pitch_of(width) + kernels.EDGE, np.float32)


def _level(
    kernels: ModuleType,
    refining: ModuleType,
    first: _Framed,
    second: _Framed,
    effort: Effort,
    start: Flow,
    scale: float,
    by_brightness: bool,
) -> Flow:
    """One level of the search: patches, the field that they make, and that refined."""
    height, width, pitch = first.height, first.width, kernels.pitch_of(first.width)
    slopes = np.zeros((2, len(first.line)), np.float32)
    kernels.find_slopes(first.line, *slopes, pitch, height, width)
    tops, lefts = _places(height, effort.stride), _places(width, effort.stride)
    flows = np.empty(len(tops) * len(lefts) * 2, np.float32)
    states = np.empty(len(tops) * len(lefts) * kernels.STATE, np.float32)
    share = np.float32(0.0 if by_brightness else 1.0 / _PATCH**2)
    begin = np.ascontiguousarray(start, np.float32)
    kernels.match_patches(
        *(first.line, *slopes, second.line, pitch, height, width, tops, lefts),
        *(begin.reshape(-1), *begin.shape[:2], np.float32(scale), states, flows, share, effort.iterations),
    )
    sums = np.empty((3, len(first.line)), np.float32)
    kernels.spread_patches(first.line, second.line, pitch, height, width, tops, lefts, flows, *sums)
    field = np.empty((height, width, 2), np.float32)
    if not effort.refinements:
        kernels.mean_field(*sums, pitch, height, width, field.reshape(-1))
        return field
    row = refining.row_of(width)
    work = np.zeros(refining.PLANES * (height + 2) * row, np.float32)
    kept, inside = np.zeros(refining.KEPT * refining.ROWS * row, np.float32), np.zeros(row, np.float32)
    refining.refine_field(
        *(first.line, second.line, *sums, pitch, height, width),
        *(effort.refinements, work, kept, inside, field.reshape(-1)),
    )
    return field


def _places(length: int, stride: int) -> npt.NDArray[np.int64]:
    """Where patches begin along a side: every so many pixels, and where the last one ends with it."""
    last = max(0, length - _PATCH)
    return np.unique(np.append(np.arange(0, last + 1, stride), last)).astype(np.int64)


def _by_opencv(
    first: Picture,
    second: Picture,
    effort: Effort,
    finest: int,
    by_brightness: bool,
    start: Optional[Flow],
    coarsest: Optional[int],
) -> Flow:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(finest)
    dis.setPatchSize(_PATCH)
    dis.setPatchStride(effort.stride)
    dis.setGradientDescentIterations(effort.iterations)
    dis.setVariationalRefinementIterations(effort.refinements)
    dis.setUseMeanNormalization(not by_brightness)
    if coarsest is not None:
        dis.setCoarsestScale(max(coarsest, finest))
    begin = np.zeros((*first.shape, 2), np.float32) if start is None else np.ascontiguousarray(start)
    return np.asarray(dis.calc(in_levels(first), in_levels(second), begin), np.float32)


def _kernels() -> Tuple[Optional[ModuleType], Optional[ModuleType]]:
    folder = "kairos.engines.classic"
    return fast.compiled(f"{folder}.inverse_kernels"), fast.compiled(f"{folder}.refining_kernels")
