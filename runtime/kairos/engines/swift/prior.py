"""Motion known before the network looks: a quick classical search for several kinds of motion.

Most of it happens at half the size: searches by pattern, by brightness, from the camera's motion, and from landmarks.
Of their answers the best is taken at every pixel, and one last search at full size begins there.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, List, Optional, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor

from kairos.engines.classic.fusion import camera_motion, choose
from kairos.engines.classic.inverse_search import Effort, inverse_search
from kairos.engines.classic.landmarks import landmark_motion
from kairos.engines.classic.regions import Labels, travelled_both
from kairos.engines.classic.resemblance import resembling_both
from kairos.engines.classic.search import Flow, Picture, View, fetch, median, prepare, round_trip
from kairos.motion import team

_AT_HALF, _AT_FULL = Effort(3, 12, 5), Effort(4, 6, 5)

_FROM_START = 0
"""Pyramid level at which a search with a start begins."""

_LEAST = 64
"""Side of the smallest picture that can be searched, pixels."""

_SIDES = 2

_AGREES, _ALIKE, _NEARLY_ALL = 0.5, 12.0, 0.97
"""A pixel's motion is found where the way there and back ends so near to it, pixels, and looks so much alike, grey
levels; a frame's, where so many of its pixels' are. On made scenes, other starts then change the error of the motion by
0.1 %.
"""


def classical_prior(first: Tensor, second: Tensor, regions: Optional[Tuple[Labels, Labels]] = None) -> Tensor:
    """Motion both ways by dense inverse search (Kroeger et al., ECCV 2016) from several starts.

    Args:
        first, second: proxies (3, H, W), sides of at least 64.
        regions: label maps of both, where the artist told objects apart: one search more begins from how far each has
            come as a whole.

    Returns:
        (2, 2, H, W) pixels, on the CPU: first to second, then second to first.
    """
    whole = prepare(first, second)
    view = _half(whole) if min(whole.picture[0].shape) >= 2 * _LEAST else whole
    small = None if regions is None else (_to_size(regions[0], view), _to_size(regions[1], view))
    with team.side_by_side(_SIDES) as both:
        plain = list(both.map(lambda side: _search(_from(view, side), _AT_HALF), range(_SIDES)))
        found = _candidates(both, view, plain, small)
        flows = list(both.map(lambda side: _finished(whole, view, side, found), range(_SIDES)))
    return torch.from_numpy(np.ascontiguousarray(np.stack(flows).transpose(0, 3, 1, 2)))


def _half(view: View) -> View:
    height, width = view.picture[0].shape
    size = ((width + 1) // 2, (height + 1) // 2)

    def reduced(plane: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))

    colours, pictures = [reduced(each) for each in view.colour], [reduced(each) for each in view.picture]
    return View((colours[0], colours[1]), (pictures[0], pictures[1]))


def _to_size(labels: Labels, view: View) -> Labels:
    height, width = view.picture[0].shape
    return np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), np.int16)


def _solved(view: View, side: int, plain: List[Flow]) -> bool:
    """Whether the plain search has found the way from one frame nearly everywhere: other starts find it no better."""
    there, back = plain[side], plain[1 - side]
    apart = np.abs(view.colour[side] - fetch(view.colour[1 - side], there)).mean(-1)
    return float(((round_trip(there, back) < _AGREES) & (apart < _ALIKE)).mean()) >= _NEARLY_ALL


def _candidates(
    both: ThreadPoolExecutor, view: View, plain: List[Flow], regions: Optional[Tuple[Labels, Labels]]
) -> List[List[Flow]]:
    """All answers for the way from either frame, the plain search's first."""
    searches: List[List[Future[List[Flow]]]] = []

    def begin(work: Callable[[int], List[Flow]]) -> None:
        searches.append([both.submit(work, side) for side in range(_SIDES)])

    landmarks = None
    if not all(both.map(lambda side: _solved(view, side, plain), range(_SIDES))):
        # What takes longest first; all others are short.
        landmarks = both.submit(landmark_motion, *view.picture)
        begin(lambda side: [_search(_from(view, side), _AT_HALF, by_brightness=True)])
        begin(lambda side: _by_camera(view, side, plain))
    if regions is not None:
        with team.beside(_SIDES):
            starts = resembling_both(travelled_both(regions, plain), view.picture, regions, both.map)
        begin(lambda side: [_search(_from(view, side), _AT_HALF, starts[side]), starts[side]])
    shared = None if landmarks is None else landmarks.result()
    if shared is not None:
        begin(lambda side: [_search(_from(view, side), _AT_HALF, shared[side])])
    return [[plain[side], *(flow for each in searches for flow in each[side].result())] for side in range(_SIDES)]


def _by_camera(view: View, side: int, plain: List[Flow]) -> List[Flow]:
    """The answer for the way from one frame that begins from the camera's motion; none where there is none."""
    camera = camera_motion(plain[side], plain[1 - side])
    return [] if camera is None else [_search(_from(view, side), _AT_HALF, camera)]


def _from(view: View, side: int) -> Tuple[Picture, Picture]:
    return view.picture[side], view.picture[1 - side]


def _search(
    pictures: Tuple[Picture, Picture], effort: Effort, start: Optional[Flow] = None, by_brightness: bool = False
) -> Flow:
    coarsest = None if start is None else _FROM_START
    return inverse_search(*pictures, effort, by_brightness=by_brightness, start=start, coarsest=coarsest)


def _finished(whole: View, view: View, side: int, found: List[List[Flow]]) -> Flow:
    """The best of all answers, searched on from there at full size."""
    best = choose(view, side, found[side], found[1 - side])
    if view is whole:
        return best
    height, width = whole.picture[side].shape
    scale = np.array([width / best.shape[1], height / best.shape[0]], np.float32)
    start = np.asarray(cv2.resize(best, (width, height), interpolation=cv2.INTER_LINEAR) * scale, np.float32)
    return median(_search(_from(whole, side), _AT_FULL, start))
