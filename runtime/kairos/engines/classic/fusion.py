"""Several searches for the same motion, and the best of them at every pixel."""

from __future__ import annotations

from types import ModuleType
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt

from kairos.engines.classic.landmarks import landmark_motion
from kairos.engines.classic.regions import Labels, travelled
from kairos.engines.classic.resemblance import resembling
from kairos.engines.classic.search import Flow, Picture, Plane, View, fetch, median, round_trip, search
from kairos.motion import fast

Line = npt.NDArray[np.float32]
"""Numbers in a row."""

_LARGE = 1_000_000
"""Frames with more pixels compare candidates at half size, and search for all but the first at half size."""

_STRIDE, _LARGE_STRIDE = 3, 4
"""Distance of the search's patches, pixels, on ordinary and on large frames."""

_CUTOFF = 60.0
"""Difference after which colours are no more different, grey levels of the tone-mapped frame."""

_PER_PIXEL = 10.0
"""Grey levels one pixel of forward-backward disagreement is worth, up to :data:`_FURTHEST` pixels."""
_FURTHEST = 3.0

_FIRST_BONUS = 1.0
"""Grey levels by which another candidate must be better than the first: where they tie, patterns beat brightness."""

_RADIUS, _SOFTNESS = 9, 100.0
"""Window over which costs are gathered, pixels, and the contrast of an edge that they do not cross, levels squared."""

_FROM_START = 1
"""Pyramid level at which a search with a start begins: coarser ones would forget it."""

_CONSISTENT = 1.0
"""Round trip, pixels, that makes a vector good enough to speak for the camera's motion."""


def fuse(view: View, regions: Optional[Tuple[Labels, Labels]] = None) -> Tuple[Flow, Flow]:
    """Motion from the first frame to the second and back, each (H, W, 2).

    ``regions`` are both frames' label maps, where the artist told objects apart: one more search begins from how far
    each of these has come as a whole.
    """
    there, back = _candidates(view, regions)
    return choose(view, 0, there, back), choose(view, 1, back, there)


def _candidates(view: View, regions: Optional[Tuple[Labels, Labels]]) -> Tuple[List[Flow], List[Flow]]:
    """The same kinds of candidate both ways: by pattern, by brightness, and starting from the camera's motion and from
    that of landmarks.
    """
    first, second = view.picture
    coarse = 1 if first.size > _LARGE else 0
    stride = _LARGE_STRIDE if coarse else _STRIDE
    there, back = [search(first, second, stride=stride)], [search(second, first, stride=stride)]
    there.append(search(first, second, finest=coarse, by_brightness=True))
    back.append(search(second, first, finest=coarse, by_brightness=True))
    for flows, opposite, pictures in ((there, back, (first, second)), (back, there, (second, first))):
        camera = camera_motion(flows[0], opposite[0])
        if camera is not None:
            flows.append(search(*pictures, finest=coarse, start=camera, coarsest=_FROM_START))
    landmarks = landmark_motion(first, second)
    if landmarks is not None:
        there.append(search(first, second, finest=coarse, start=landmarks[0], coarsest=_FROM_START))
        back.append(search(second, first, finest=coarse, start=landmarks[1], coarsest=_FROM_START))
    if regions is not None:
        for flows, pictures, labels in ((there, (first, second), regions), (back, (second, first), regions[::-1])):
            start = resembling(travelled(*labels, flows[0]), pictures, labels[0], labels[1])
            flows.append(search(*pictures, finest=coarse, start=start, coarsest=_FROM_START))
            flows.append(start)
    return there, back


def camera_motion(flow: Flow, back: Flow) -> Optional[Flow]:
    """The homography that most consistent vectors agree on, as a flow; None where there is none."""
    height, width = flow.shape[:2]
    step = max(4, round((height * width / 4000) ** 0.5))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
    good = round_trip(flow, back)[rows, columns] < _CONSISTENT
    if int(good.sum()) < 16:
        return None
    points = np.stack([columns[good], rows[good]], 1).astype(np.float64)
    matrix, _ = cv2.findHomography(points, points + flow[rows[good], columns[good]], cv2.RANSAC, 2.0)
    if matrix is None or not np.isfinite(matrix).all():
        return None
    x, y = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    scale = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    if scale.min() < 0.5 or scale.max() > 2.0:
        return None
    moved_x = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / scale
    moved_y = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / scale
    return np.dstack([moved_x - x, moved_y - y]).astype(np.float32)


def choose(view: View, side: int, flows: Sequence[Flow], opposite: Sequence[Flow]) -> Flow:
    """The best of several motions (H, W, 2) at every pixel.

    Args:
        view: both frames.
        side: the frame that they begin in.
        flows: one or more; of those that are as good as one another the first.
        opposite: of the way back.
    """
    if len(flows) == 1:
        return median(flows[0])
    colour, other = view.colour[side], view.colour[1 - side]
    picture = view.picture[side]
    shrink = 2 if picture.size > _LARGE else 1
    size = (picture.shape[1] // shrink, picture.shape[0] // shrink)
    if shrink > 1:
        colour, other = (
            np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float32) for each in (colour, other)
        )
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    small, small_opposite = ([_shrunk(each, size) for each in group] for group in (flows, opposite))
    costs = _costs((colour, other), small, small_opposite, shrink)
    costs = _gather(picture, costs, _RADIUS // shrink)
    costs[0] -= _FIRST_BONUS
    if shrink > 1:
        whole = (flows[0].shape[1], flows[0].shape[0])
        costs = [np.asarray(cv2.resize(cost, whole, interpolation=cv2.INTER_LINEAR), np.float32) for cost in costs]
    return median(_best(flows, costs))


def _best(flows: Sequence[Flow], costs: Sequence[Plane]) -> Flow:
    """Of every pixel the motion that costs least, the first of those that cost the same."""
    best, least = np.ascontiguousarray(flows[0]).copy(), np.ascontiguousarray(costs[0]).copy()
    kernels = _kernels()
    for flow, cost in zip(flows[1:], costs[1:]):
        if kernels is not None:
            kernels.take_better(*(np.ascontiguousarray(each).reshape(-1) for each in (flow, cost, best, least)))
            continue
        better = cost < least
        best[better] = flow[better]
        least = np.minimum(least, cost)
    return best


def _costs(colours: Tuple[Plane, Plane], flows: Sequence[Flow], opposite: Sequence[Flow], shrink: int) -> List[Plane]:
    """What speaks against each motion at every pixel, (H, W) grey levels."""
    here, there = (np.ascontiguousarray(each, np.float32) for each in colours)
    kernels = _kernels()
    costs = []
    if kernels is None or len(opposite) > kernels.MOST:
        for flow in flows:
            difference = np.abs(here - fetch(there, flow)).mean(-1)
            trip = np.min([round_trip(flow, back) for back in opposite], axis=0) * shrink
            costs.append(np.minimum(difference, _CUTOFF) + _PER_PIXEL * np.minimum(trip, _FURTHEST))
        return costs
    backs = [np.ascontiguousarray(back, np.float32).reshape(-1) for back in opposite]
    height, width = here.shape[:2]
    records = np.empty((height + 1) * (width + 1) * kernels.RECORD, np.float32)
    kernels.gather_records(there, *_filled(backs, kernels.MOST), records)
    own = np.empty(height * width * kernels.OWN, np.float32)
    kernels.lay_colours(here, own)
    limits = [np.float32(each) for each in (_CUTOFF, _FURTHEST, _PER_PIXEL, shrink)]
    for flow in flows:
        cost = np.empty((height, width), np.float32)
        line = np.ascontiguousarray(flow, np.float32).reshape(-1)
        kernels.find_costs(own, line, records, height, width, *limits, cost.reshape(-1))
        costs.append(cost)
    return costs


def _filled(some: Sequence[Line], many: int) -> List[Line]:
    """So many of them, the last one over again."""
    return [*some, *[some[-1]] * (many - len(some))]


def _shrunk(flow: Flow, size: Tuple[int, int]) -> Flow:
    width, height = size
    if flow.shape[:2] == (height, width):
        return flow
    scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_AREA) * scale, np.float32)


def _gather(image: Picture, costs: Sequence[Plane], radius: int) -> List[Plane]:
    """Costs averaged over a window that keeps to one side of an edge: the guided filter (He, Sun and Tang, ECCV 2010),
    as Hosni et al., "Fast Cost-Volume Filtering" (CVPR 2011), use it.
    """
    window = (2 * radius + 1, 2 * radius + 1)
    mean = np.asarray(cv2.blur(image, window), np.float32)
    variance = np.asarray(cv2.blur(image * image, window) - mean * mean + _SOFTNESS, np.float32)
    found = []
    kernels = _kernels()
    if kernels is not None:
        return _gathered(kernels, image, (mean, variance), costs, window)
    for cost in costs:
        cost_mean = cv2.blur(cost, window)
        slope = (cv2.blur(image * cost, window) - mean * cost_mean) / variance
        level = cost_mean - slope * mean
        found.append(np.asarray(cv2.blur(slope, window) * image + cv2.blur(level, window), np.float32))
    return found


def _gathered(
    kernels: ModuleType, image: Picture, told: Tuple[Plane, Plane], costs: Sequence[Plane], window: Tuple[int, int]
) -> List[Plane]:
    """The same to the bit: of four planes that lie side by side means take half the time."""
    picture, mean, variance = (np.ascontiguousarray(each, np.float32).reshape(-1) for each in (image, *told))
    found = [np.empty(image.shape, np.float32) for _ in costs]
    for first in range(0, len(costs), kernels.SIDE // 2):
        some = range(first, min(first + kernels.SIDE // 2, len(costs)))
        laid = np.zeros((*image.shape, kernels.SIDE), np.float32)
        for number in some:
            line = np.ascontiguousarray(costs[number], np.float32).reshape(-1)
            kernels.lay_costs(line, picture, 2 * (number - first), laid.reshape(-1))
        laid = np.asarray(cv2.blur(laid, window), np.float32)
        kernels.fit_lines(mean, variance, laid.reshape(-1))
        laid = np.asarray(cv2.blur(laid, window), np.float32)
        for number in some:
            kernels.read_lines(laid.reshape(-1), picture, 2 * (number - first), found[number].reshape(-1))
    return found


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.choosing_kernels")
