"""Dense inverse search on pictures of brightness made from the proxies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from kairos.engines.classic.inverse_search import Effort, inverse_search
from kairos.engines.classic.inverse_search import Flow as Flow
from kairos.engines.classic.inverse_search import Picture as Picture
from kairos.motion.coarse import smooth_coarse

Plane = npt.NDArray[np.float32]
"""(H, W) float32."""

MAX_GAIN = 16.0
"""Dark or flat plates are brought up by this much at most: beyond it, grain is all there is."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LOW, _HIGH = 0.005, 0.995
_SHOULDER = 0.08


@dataclass(frozen=True)
class View:
    """Two frames made ready for the search: the same tone mapping for both.

    Attributes:
        colour: (H, W, 3) of either frame, in grey levels of 0..255 (float, values beyond are kept).
        picture: brightness of either frame, in grey levels of 0..255, unrounded: rounded, a picture of a hair's breadth
            another exposure would move differently.
    """

    colour: Tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    picture: Tuple[Picture, Picture]


def prepare(first: Tensor, second: Tensor) -> View:
    """Tone-maps two proxies (3, H, W) so that grey levels of 0..255 hold what matters of both.

    Ordinary plates pass through; dark ones and those of little contrast are stretched by what both have in common;
    what lies outside is rolled off instead of clipped.
    """
    frames = [
        np.ascontiguousarray(smooth_coarse(frame).permute(1, 2, 0).float().cpu().numpy()) for frame in (first, second)
    ]
    grays = [frame @ _LUMA for frame in frames]
    sample = np.concatenate([gray[::4, ::4].ravel() for gray in grays])
    low, high = (float(np.quantile(sample, part)) for part in (_LOW, _HIGH))
    gain = min(0.9 / max(high - low, 1e-6), MAX_GAIN)
    if low < 0 or high > 1:
        black = low - 0.05 / gain
    else:
        gain = max(gain, 1.0)
        # Only as much is moved as is needed to fit: an ordinary plate keeps its black where it is.
        black = 0.0 if gain == 1.0 else min(max(0.0, high - 0.95 / gain), low - 0.05 / gain)
    colour = [((frame - black) * (gain * 255.0)).astype(np.float32) for frame in frames]
    pictures = [_picture(((gray - black) * gain).astype(np.float32)) for gray in grays]
    return View((colour[0], colour[1]), (pictures[0], pictures[1]))


def _picture(gray: Plane) -> Picture:
    """0..1 to grey levels, with a shoulder at either end for what lies beyond."""
    if gray.min() < 0 or gray.max() > 1:
        over, under = gray - (1 - _SHOULDER), _SHOULDER - gray
        gray = np.where(over > 0, 1 - _SHOULDER + _SHOULDER * np.tanh(over / _SHOULDER), gray)
        gray = np.where(under > 0, _SHOULDER - _SHOULDER * np.tanh(under / _SHOULDER), gray)
    return np.asarray(gray * np.float32(255), np.float32)


def search(
    first: Picture,
    second: Picture,
    *,
    finest: int = 0,
    stride: int = 3,
    by_brightness: bool = False,
    start: Optional[Flow] = None,
    coarsest: Optional[int] = None,
) -> Flow:
    """Dense inverse search (Kroeger et al., ECCV 2016) with variational refinement.

    Args:
        first, second: the flow goes from the one to the other.
        finest: pyramid level at which the search ends; 1 is four times as fast and a little less precise.
        stride: distance of patches, pixels.
        by_brightness: patches are compared with their brightness, not only their pattern: right for smooth things
            that keep their shade, wrong where light changes.
        start: flow to start from.
        coarsest: pyramid level to start at; the whole pyramid when not given.
    """
    effort = Effort(stride, iterations=16, refinements=5)
    return inverse_search(
        *(first, second, effort), finest=finest, by_brightness=by_brightness, start=start, coarsest=coarsest
    )


def fetch(planes: npt.NDArray[np.float32], flow: Flow) -> npt.NDArray[np.float32]:
    """Planes (H, W) or (H, W, C) at where a flow points, bilinear, border repeated. For costs alone: 1/32 pixel."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(planes, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def round_trip(flow: Flow, back: Flow) -> Plane:
    """Distance between a pixel and where the way there and back ends, pixels."""
    away = flow + fetch(back, flow)
    return np.asarray(cv2.magnitude(away[..., 0], away[..., 1]), np.float32)


def median(flow: Flow, size: int = 5) -> Flow:
    """A flow without its specks."""
    return np.dstack([cv2.medianBlur(np.ascontiguousarray(flow[..., axis]), size) for axis in (0, 1)])
