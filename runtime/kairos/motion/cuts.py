"""Scene cuts and repeated frames, decided on small proxies of a few frames.

A cut lies between two frames when hardly any part of the one can be found again in the other, wherever it may have
moved. Parts are compared by normalised correlation: a change of exposure, a flash or a fade does not matter. A frame
that shows nothing of its neighbours is no cut as long as the frames on either side of it match (a flash, a dropout).
"""

from __future__ import annotations

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

HEIGHT = 64
"""Proxies are brought to this height, pixels."""

_BLOCK = 13
_REACH = 24
"""Furthest motion looked for, pixels at :data:`HEIGHT`: three eighths of the frame's height."""

CUT = 0.5
"""Score over which two frames lie on either side of a cut."""

_FLAT = 0.01
"""Contrast under which a block shows nothing, in proxy units."""

_REPEAT_MEAN, _REPEAT_PEAK = 0.002, 0.02
"""Mean and largest difference of a repeated frame, proxy units: half a level of 8 bits, and what coding leaves."""


def cut_score(first: Tensor, second: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None) -> float:
    """How much it looks as though a cut lies between two consecutive frames.

    Args:
        first, second: proxies (3, H, W), any size.
        before, after: the frame before ``first`` and the one after ``second``, where the shot has them.

    Returns:
        0..1; over :data:`CUT` a cut.
    """
    left = [_small(first)] + ([_small(before)] if before is not None else [])
    right = [_small(second)] + ([_small(after)] if after is not None else [])
    least = 1.0
    for a in left:
        for b in right:
            least = min(least, _mismatch(a, b))
            if least <= CUT:
                return least
    return least


def is_cut(first: Tensor, second: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None) -> bool:
    """True where a scene cut lies between two consecutive frames; see :func:`cut_score`."""
    return cut_score(first, second, before, after) > CUT


def is_repeat(first: Tensor, second: Tensor) -> bool:
    """True where two proxies (3, H, W) of full size show the same frame: bit-identical, or equal up to coding noise."""
    if first.shape != second.shape:
        return False
    difference = (first - second).abs()
    if not bool(difference.any()):
        return True
    # Means over 4 by 4 pixels: what coding leaves cancels out there, what moves does not.
    local = F.avg_pool2d((first - second)[None], 4, ceil_mode=True).abs()
    return float(difference.mean()) <= _REPEAT_MEAN and float(local.max()) <= _REPEAT_PEAK


def _small(proxy: Tensor) -> Tensor:
    """(H, W) brightness at the working height."""
    gray = proxy.float().mean(0)
    height, width = gray.shape
    size = (HEIGHT, max(_BLOCK, round(width * HEIGHT / height)))
    return F.interpolate(gray[None, None], size, mode="area")[0, 0]


def _mismatch(a: Tensor, b: Tensor) -> float:
    """The part of the textured blocks of either frame that is nowhere to be found in the other, 0..1."""
    return min(_unmatched(a, b), _unmatched(b, a))


def _unmatched(a: Tensor, b: Tensor) -> float:
    mean_a, deviation_a = _moments(a)
    textured = deviation_a > _FLAT
    if float(textured.float().mean()) < 0.02:
        # A frame that shows nothing: no telling from the picture, so the level decides.
        return 1.0 if float((a.mean() - b.mean()).abs()) > 0.1 or float(_moments(b)[1].mean()) > 2 * _FLAT else 0.0
    height, width = a.shape
    span = 2 * _REACH + 1
    padded = _framed(b)
    mean_b, deviation_b = (_framed(each) for each in _moments(b))
    best = torch.full_like(a, -1.0)
    for down in range(span):
        rows = slice(down, down + height)
        # (H, span, W): every sideways shift at once.
        moved, mean, deviation = (each[rows].unfold(1, width, 1) for each in (padded, mean_b, deviation_b))
        covariance = _box(a[:, None] * moved) - mean_a[:, None] * mean
        found = covariance / (deviation_a[:, None] * deviation).clamp(min=_FLAT * _FLAT)
        best = torch.maximum(best, found.amax(1))
    weight = torch.where(textured, deviation_a, 0.0)
    return float(((1.0 - best).clamp(0, 1) * 2.0).clamp(0, 1).mul(weight).sum() / weight.sum())


def _framed(image: Tensor) -> Tensor:
    return F.pad(image[None, None], (_REACH,) * 4, mode="replicate")[0, 0]


def _moments(image: Tensor) -> Tuple[Tensor, Tensor]:
    """Mean and standard deviation over blocks, (H, W) each."""
    mean = _box(image[:, None])[:, 0]
    square = _box((image * image)[:, None])[:, 0]
    return mean, (square - mean * mean).clamp(min=0).sqrt()


def _box(images: Tensor) -> Tensor:
    """Mean over blocks of images (H, N, W), inside the frame alone."""
    for axis in (0, 2):
        size = images.shape[axis]
        place = torch.arange(size, device=images.device)
        low, high = (place - _BLOCK // 2).clamp(min=0), (place + _BLOCK // 2 + 1).clamp(max=size)
        start = torch.zeros_like(images.narrow(axis, 0, 1))
        total = torch.cat([start, images.cumsum(axis)], axis)
        shape = [1, 1, 1]
        shape[axis] = size
        images = (total.index_select(axis, high) - total.index_select(axis, low)) / (high - low).reshape(shape)
    return images
