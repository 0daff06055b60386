"""Scene cuts and repeated frames, decided on small proxies of a few frames.

A cut lies between two frames when hardly any part of the one can be found again in the other, wherever it may have
moved, and their colours differ. Parts are compared by normalised correlation of their detail: a change of exposure or a
fade does not matter. What shows nothing of its neighbours is no cut as long as the frames on either side of it match (a
flash, a dropout).
"""

from __future__ import annotations

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

HEIGHT = 64
"""Frames are compared at this height, pixels."""

CUT = 0.55
"""Score over which a cut lies between two frames."""

_BLOCK, _STRIDE = 16, 8
_REACH = 24
"""Furthest motion looked for, pixels at :data:`HEIGHT`: three eighths of the frame's height."""

_FLAT = 1e-5
"""Variance of detail under which a block shows nothing, proxy units squared."""

_PALETTE_WEIGHT, _PALETTE_LIMIT = 0.25, 0.5
"""Colours speak with this weight and no further than this difference: a flash changes all of them."""

_REPEAT_MEAN, _REPEAT_PEAK = 0.002, 0.02
"""Mean and largest difference of a repeated frame, proxy units: half a level of 8 bits, and what coding leaves."""


class _Look(NamedTuple):
    """What of a frame is compared."""

    detail: Tensor
    """(H, W) brightness less its surroundings."""
    palette: Tensor
    """(512,) share of the frame in every colour."""


def cut_score(first: Tensor, second: Tensor, before: Optional[Tensor] = None, after: Optional[Tensor] = None) -> float:
    """How much it looks as though a cut lies between two consecutive frames.

    Args:
        first, second: proxies (3, H, W), any size.
        before, after: the frame before ``first`` and the one after ``second``, where the shot has them.

    Returns:
        About 0..1; over :data:`CUT` a cut.
    """
    left = [_look(each) for each in (first, before) if each is not None]
    right = [_look(each) for each in (second, after) if each is not None]
    least = float("inf")
    for a in left:
        for b in right:
            least = min(least, _difference(a, b))
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
    difference = first - second
    if not bool(difference.any()):
        return True
    # Means over 4 by 4 pixels: what coding leaves cancels out there, what moves does not.
    local = F.avg_pool2d(difference[None], 4, ceil_mode=True).abs()
    return float(difference.abs().mean()) <= _REPEAT_MEAN and float(local.max()) <= _REPEAT_PEAK


def _look(proxy: Tensor) -> _Look:
    height, width = proxy.shape[-2:]
    size = (HEIGHT, max(_BLOCK, round(width * HEIGHT / height)))
    small = F.interpolate(proxy.float()[None], size, mode="area")[0]
    gray = small.mean(0)
    taps = torch.arange(-6, 7, device=proxy.device, dtype=torch.float32)
    bell = torch.exp(-(taps**2) / 8.0)
    bell = bell / bell.sum()
    soft = F.pad(gray[None, None], (6, 6, 6, 6), mode="replicate")
    soft = F.conv2d(F.conv2d(soft, bell.reshape(1, 1, 1, -1)), bell.reshape(1, 1, -1, 1))[0, 0]
    level = (gray * 8).clamp(0, 7).long()
    red, blue = (((small[channel] - gray + 0.25) * 16).clamp(0, 7).long() for channel in (0, 2))
    palette = torch.bincount(((level * 8 + red) * 8 + blue).reshape(-1), minlength=512).float()
    return _Look(gray - soft, palette / palette.sum())


def _difference(a: _Look, b: _Look) -> float:
    palette = float((a.palette - b.palette).abs().sum()) / 2
    lost = max(_lost(a.detail, b.detail), _lost(b.detail, a.detail))
    return lost + _PALETTE_WEIGHT * min(palette, _PALETTE_LIMIT)


def _lost(a: Tensor, b: Tensor) -> float:
    """How little of the blocks of ``a`` is found in ``b``, 0..1: one less the best correlation, by their contrast."""
    size = max(a.shape[1], b.shape[1])
    a, b = (F.pad(each, (0, size - each.shape[1])) for each in (a, b))
    blocks = _patches(a, _BLOCK)
    # (N, w, w): of every block, the part of the other frame it may have moved to.
    reached = F.pad(b, (_REACH,) * 4)
    windows = _patches(reached, _BLOCK + 2 * _REACH)
    energy = blocks.square().sum((1, 2))
    told = energy > _FLAT * _BLOCK * _BLOCK
    if not bool(told.any()):
        # A frame without detail is like another without detail, and says nothing of any other.
        return 0.0 if float(b.square().mean()) < _FLAT else 1.0
    blocks, windows, energy = blocks[told], windows[told], energy[told]
    product = F.conv2d(windows[None], blocks[:, None], groups=len(blocks))[0]
    # Summed up once for the whole frame: the windows overlap.
    sums = F.avg_pool2d(reached.square()[None], _BLOCK, 1)[0] * (_BLOCK * _BLOCK)
    other = _patches(sums, 2 * _REACH + 1)[told]
    scale = (energy[:, None, None] * other).sqrt().clamp(min=_FLAT * _BLOCK * _BLOCK)
    best = (product / scale).amax((1, 2)).clamp(0, 1)
    weight = energy.sqrt()
    return float(((1 - best) * weight).sum() / weight.sum())


def _patches(image: Tensor, size: int) -> Tensor:
    """(N, size, size) patches every stride, of an image (H, W)."""
    return image.unfold(0, size, _STRIDE).unfold(1, size, _STRIDE).flatten(0, 1)
