"""A start for large motion: points found again by their looks, wherever they went."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from kairos.engines.classic.inverse_search import in_levels
from kairos.engines.classic.search import Flow, Picture
from kairos.motion.fill import fill_holes

_SIDE = 800
"""Points are looked for at this size of the longer side at most, pixels."""

_POINTS = 2000
_CONTRAST = 0.02
_RATIO = 0.8
"""A match counts where the second best is this much worse (Lowe, "Distinctive Image Features", IJCV 2004)."""

_FEWEST = 8


def landmark_motion(first: Picture, second: Picture) -> Optional[Tuple[Flow, Flow]]:
    """Motion both ways, smooth between the points found again; None where there are too few.

    Args:
        first, second: pictures (H, W), grey levels.
    """
    height, width = first.shape
    shrink = max(1.0, max(height, width) / _SIDE)
    size = (round(width / shrink), round(height / shrink))
    pictures = [first, second]
    if shrink > 1:
        pictures = [np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float32) for each in pictures]
    matches = _matches(pictures[0], pictures[1])
    if len(matches) < _FEWEST:
        return None
    scale = np.array([width / size[0], height / size[1]], np.float32)
    start, end = matches[:, :2], matches[:, 2:]
    return _spread(start, end - start, size, first.shape, scale), _spread(end, start - end, size, first.shape, scale)


def _matches(first: Picture, second: Picture) -> npt.NDArray[np.float32]:
    """(N, 4): x, y in the first picture and in the second."""
    (points0, looks0), (points1, looks1) = _seen(first), _seen(second)
    if looks0 is None or looks1 is None or min(len(points0), len(points1)) < _FEWEST:
        return np.zeros((0, 4), np.float32)
    # Looks are whole numbers up to 255, 128 of them: their products' sums are exact.
    one, two = torch.from_numpy(looks0), torch.from_numpy(looks1)
    apart = one.square().sum(1)[:, None] + two.square().sum(1) - 2 * (one @ two.T)
    nearest, which = apart.topk(2, largest=False)
    best = which[:, 0]
    alike = nearest[:, 0].clamp(min=0).sqrt() <= _RATIO * nearest[:, 1].clamp(min=0).sqrt()
    kept = alike & (apart.argmin(0)[best] == torch.arange(len(one)))
    places = [np.asarray(cv2.KeyPoint.convert(points), np.float32) for points in (points0, points1)]
    return np.concatenate([places[0][kept.numpy()], places[1][best[kept].numpy()]], 1)


def _seen(picture: Picture) -> Tuple[Sequence[cv2.KeyPoint], Optional[npt.NDArray[np.float32]]]:
    """A picture's points and how each looks."""
    sift = cv2.SIFT.create(nfeatures=_POINTS, contrastThreshold=_CONTRAST)
    points, looks = sift.detectAndCompute(in_levels(picture), None)
    return points, None if looks is None else np.asarray(looks, np.float32)


def _spread(
    points: npt.NDArray[np.float32],
    motion: npt.NDArray[np.float32],
    size: Tuple[int, int],
    shape: Tuple[int, ...],
    scale: npt.NDArray[np.float32],
) -> Flow:
    width, height = size
    columns = points[:, 0].astype(int).clip(0, width - 1)
    rows = points[:, 1].astype(int).clip(0, height - 1)
    sparse = np.zeros((2, height, width), np.float32)
    known = np.zeros((1, height, width), np.bool_)
    sparse[:, rows, columns] = motion.T
    known[:, rows, columns] = True
    flow = fill_holes(torch.from_numpy(sparse), torch.from_numpy(known)).numpy().transpose(1, 2, 0) * scale
    if flow.shape[:2] != shape:
        flow = np.asarray(cv2.resize(flow, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.ascontiguousarray(flow)
