"""How far a generated picture shows what a key shows, moved to it: what tells whether the key may be pasted there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CEILING = 0.85
"""Shown value over which two highlights are alike: what the network makes of them is a guess."""

_NEAR, _WINDOW, _WIDE = 5, 11, 65
"""Sides of the windows in which pixels, structure and light are compared."""

_APART, _SHARE = 0.035, 0.35
"""Mean difference that counts as 1/e, shown, and the part of the surroundings' contrast that is added to it: at an
edge the least misplacement makes a difference.
"""

_LIGHT = 0.12
"""Difference in light over a wide area that is let pass: generated light is kept, the key's detail laid over it."""

_NOISE = 4e-4
"""Variance that tells nothing of structure, shown values squared."""

_NONE, _ALL = 0.3, 0.65
"""Likeness of structure that counts as none, and as full."""


def alike(generated: Tensor, moved: Tensor, trust: Tensor) -> Tensor:
    """How far a key, moved, shows what a generated picture shows.

    Generated pictures are soft and their finest texture is invented, so both are compared a little out of focus.

    Args:
        generated, moved: (3, h, w) shown.
        trust: (1, h, w) in 0..1, how far the motion is believed so far; light is compared over what is believed.

    Returns:
        (1, h, w) in 0..1.
    """
    one, two = (blurred(picture.float().clamp(0, CEILING)) for picture in (generated, moved))
    difference = two - one
    # What all believed pixels around differ by is light, or drift, and no other thing.
    say = trust.clamp(min=1e-3)
    light = _box((difference * say).clamp(-_LIGHT, _LIGHT), _WIDE) / _box(say, _WIDE)
    apart = (difference - light.clamp(-_LIGHT, _LIGHT)).abs().amax(0, keepdim=True)
    grey0, grey1 = one.mean(0, keepdim=True), two.mean(0, keepdim=True)
    mean0, mean1 = _box(grey0, _WINDOW), _box(grey1, _WINDOW)
    var0 = (_box(grey0 * grey0, _WINDOW) - mean0 * mean0).clamp(min=0)
    var1 = (_box(grey1 * grey1, _WINDOW) - mean1 * mean1).clamp(min=0)
    both = _box(grey0 * grey1, _WINDOW) - mean0 * mean1
    allowed = _APART + _SHARE * torch.minimum(var0, var1).sqrt()
    near = torch.exp(-(_box(apart, _NEAR) / allowed).square())
    structure = (2 * both + _NOISE) / (var0 + var1 + _NOISE)
    around = near * ((structure - _NONE) / (_ALL - _NONE)).clamp(0, 1)
    # Beside an edge the window that lies on the pixel's own side of it tells best; the pixel must bear it out itself.
    best = F.max_pool2d(around[None], _NEAR, 1, _NEAR // 2)[0]
    return torch.minimum(best, torch.exp(-(_box(apart, 3) / allowed).square()))


def blurred(planes: Tensor) -> Tensor:
    """(C, h, w) a little out of focus."""
    return _box(_box(planes, 3), 3)


def _box(planes: Tensor, side: int) -> Tensor:
    """(C, h, w) means over windows, border repeated."""
    reach = [min(side // 2, length - 1) for length in planes.shape[-2:]]
    padded = F.pad(planes[None], (reach[1], reach[1], reach[0], reach[0]), mode="replicate")
    across = F.avg_pool2d(padded, (1, 2 * reach[1] + 1), 1)
    return F.avg_pool2d(across, (2 * reach[0] + 1, 1), 1)[0]
