"""Layers of motion at one time between two frames, by compiled kernels: the same that
:mod:`kairos.engines.classic.midway` works out in torch where these cannot run, but for rounding.

Every function here is to be called only where :func:`usable` says so.
"""

from __future__ import annotations

from functools import cache, partial
from types import ModuleType
from typing import NamedTuple, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.engines.classic.motion import Layer, PairMotion
from kairos.engines.classic.reach import Reach
from kairos.motion import fast
from kairos.motion.fill import fill_unknown, fill_weighted
from kairos.motion.occlusion import clean_mask
from kairos.motion.splat import TINY_SHARE

_STRIP = 1 << 16
"""Pixels of a layer that are worked on at once: what arrives there stays in a core's cache."""


class Arriving(NamedTuple):
    """Constants of what arrives, see :mod:`kairos.engines.classic.midway`.

    Attributes:
        in_front: how much more a pixel says that is known to hide others.
        reached: part of a pixel that must arrive for its motion to count.
        known: say of both sources over which it is known what a layer covers.
        floor: least say of a motion nobody vouches for, against what surrounds it.
    """

    in_front: float
    reached: float
    known: float
    floor: float


def usable(motion: PairMotion, *planes: Tensor) -> bool:
    """Whether the kernels can take the layers, and these planes."""
    layers = [each for layer in motion.layers for each in (layer.there, layer.back, layer.trust0, layer.trust1)]
    return fast.usable(*layers, *planes) and _kernels() is not None


def seen_at(motion: PairMotion, time: float, how: Arriving) -> Tuple[Tensor, Tensor, Tensor]:
    """What is seen at a time between both frames: velocity (2, H, W) in pixels over the whole interval, trust
    (1, H, W), and index of the layer (1, H, W).
    """
    kernels = _loaded()
    size = motion.still.shape[-2:]
    velocity, trust, level, top = (torch.zeros(count, *size) for count in (2, 1, 1, 1))
    for index, (layer, front) in enumerate(zip(motion.layers, motion.fronts)):
        assert front is not None, "there are several layers"
        rest = motion.rest if index == 0 else None
        if rest is None:
            moved = _arrived(layer, (front.above0, front.above1), time, how)
        else:
            moved = rest.grown(*_arrived(*rest, time, how), layer)
        box = _box(layer.reach, size)
        planes = (fast.array(each) for each in (*moved, velocity, trust, level, top))
        own = [next(planes) for _ in range(3)]
        work = partial(kernels.layers.cover_rows, index, *own, box, *planes)
        fast.in_bands(work, *_sides(box))
    return velocity, trust, top


def _arrived(layer: Layer, above: Tuple[Tensor, Tensor], time: float, how: Arriving) -> Tuple[Tensor, Tensor, Tensor]:
    """A layer's velocity, trust, and how much of each pixel is its, where it can be seen.

    Args:
        layer: the layer.
        above: (1, h, w) each, how much of either source's pixels is in front of it.
        time: 0..1.
        how: what arrives counts.
    """
    kernels = _loaded()
    height, width = layer.trust0.shape[-2:]
    sides = []
    for flow, trust, hides, share, over, share_of_way in (
        (layer.there, layer.trust0, layer.front0, layer.share0, above[0], time),
        (layer.back, layer.trust1, layer.front1, layer.share1, above[1], 1 - time),
    ):
        planes = [fast.array(each) for each in (flow, trust, hides, share, over)]
        spans = np.empty((height, 2), np.int64)
        fast.in_bands(partial(kernels.layers.span_rows, planes[0], np.float32(share_of_way), spans), height, width)
        numbers = [np.float32(each) for each in (how.in_front, share_of_way, TINY_SHARE)]
        sides.append(partial(kernels.layers.arrive_rows, *planes, *numbers, spans))
    found = torch.empty(6, height, width)
    out, numbers = found.numpy(), [np.float32(each) for each in (time, how.reached, how.known)]

    def rows(top: int, bottom: int) -> None:
        first, second = (np.empty((bottom - top) * width * kernels.layers.LANES, np.float32) for _ in sides)
        for side, arrived in zip(sides, (first, second)):
            side(arrived, top, bottom)
        kernels.layers.meet_rows(first, second, *numbers, out, top, bottom)

    fast.in_parts(rows, height, max(1, height * width // _STRIP))
    velocity, trust = fill_unknown(found[:2], found[2:3]), found[3:4]
    if not layer.given:
        velocity = fill_weighted(clean_mask(velocity), fast.mean(trust, how.floor))
    return velocity, trust, fill_unknown(found[4:5], found[5:])


def reached(motion: PairMotion, time: float, trusted: float) -> Tensor:
    """(1, H, W) bool: something that moves, and is trusted more than this, comes to the pixel at a time. Only of pixels
    within two of those that are still.
    """
    kernels = _loaded()
    size = motion.still.shape[-2:]
    found, still = np.zeros((size[0], size[1]), np.uint8), motion.still.contiguous().numpy()
    # A vector comes to four pixels: any of them may be two before something still, or behind it.
    asked = cv2.dilate(still[0].view(np.uint8), np.ones((6, 6), np.uint8), anchor=(2, 2))
    for layer in motion.layers:
        box = _box(layer.reach, size)
        for flow, trust, share in ((layer.there, layer.trust0, time), (layer.back, layer.trust1, 1 - time)):
            numbers = np.float32(share), np.float32(trusted)
            planes = fast.array(flow), fast.array(trust), still, asked
            fast.in_bands(partial(kernels.shown.near_rows, *planes, *numbers, box, found), *_sides(box))
    return torch.from_numpy(found)[None] > 0


def visible(
    motion: PairMotion, top: Tensor, velocity: Tensor, way: Tensor, first: bool, slack: Tuple[float, float]
) -> Tensor:
    """(1, H, W) in 0..1: how far the source pixel that a vector comes from moves the same way and belongs to the layer
    seen; 0 outside the frame.

    Args:
        motion: of the pair.
        top: (1, H, W), index of the layer seen.
        velocity: (2, H, W) pixels.
        way: (2, H, W) pixels, to the source.
        first: which one it is.
        slack: disagreement that halves the answer, pixels and part of the speed.
    """
    kernels = _loaded()
    seen = torch.zeros(top.shape)
    planes = [fast.array(each) for each in (top, velocity, way)]
    for index, layer in enumerate(motion.layers):
        flow, share, sign = (layer.there, layer.share0, 1.0) if first else (layer.back, layer.share1, -1.0)
        box = _box(layer.reach, top.shape[-2:])
        numbers = [np.float32(each) for each in (sign, *slack)]
        source = fast.array(flow), fast.array(share)
        several = len(motion.layers) > 1
        work = partial(kernels.shown.visible_rows, index, several, *numbers, *source, *planes, box, seen.numpy())
        fast.in_bands(work, *_sides(box))
    return seen


def softened(mask: Tensor, taps: Tensor, quiet: Tensor) -> Tensor:
    """A mask (1, H, W) weighted by ``taps`` (2 radius + 1,) along rows and columns at half size; 1 where ``quiet``
    (1, H, W) bool.
    """
    kernels = _loaded()
    height, width = mask.shape[-2:]
    half = np.empty((1, (height + 1) // 2, (width + 1) // 2), np.float32)
    out, weights = torch.empty(mask.shape), fast.array(taps)
    fast.in_bands(partial(kernels.seen.across_rows, fast.array(mask), weights, half), *half.shape[1:])
    still = quiet.contiguous().numpy()
    fast.in_bands(partial(kernels.seen.down_rows, half, weights, still, out.numpy()), height, width)
    return out


def shown(motion: PairMotion, top: Tensor, ways: Tuple[Tensor, Tensor]) -> Tuple[Tensor, Tensor]:
    """(1, H, W) each: how much of the source pixel that a vector comes from clearly belongs to the layer seen."""
    kernels = _loaded()
    found = torch.zeros(top.shape), torch.zeros(top.shape)
    for index, (front, reach) in enumerate(zip(motion.fronts, motion.reaches)):
        assert front is not None, "there are several layers"
        box = _box(reach, top.shape[-2:])
        for clear, way, out in zip((front.clear0, front.clear1), ways, found):
            planes = [fast.array(each) for each in (clear, top, way)]
            fast.in_bands(partial(kernels.shown.fetch_rows, index, *planes, box, out.numpy()), *_sides(box))
    return found


def told(seen: Tuple[Tensor, Tensor], trust: Tensor, quiet: Tensor, time: float, doubt: float) -> Tensor:
    """(4, H, W): weight of the first source, what either hides, and confidence, from how far either source shows each
    pixel; a source that does not has the weight ``doubt``.
    """
    out = torch.empty(4, *trust.shape[-2:])
    planes = [fast.array(each) for each in (*seen, trust)]
    numbers = np.float32(time), np.float32(doubt)
    work = partial(_loaded().seen.told_rows, *planes, quiet.contiguous().numpy(), *numbers, out.numpy())
    fast.in_bands(work, *trust.shape[-2:])
    return out


def apart(
    blend: Tensor, hidden: Tuple[Tensor, Tensor], own: Tuple[Tensor, Tensor], quiet: Tensor, alien: float
) -> Tensor:
    """(3, H, W): weight of the first source and what either hides, once each counts as far as it shows the layer seen
    (``own``), and by ``alien`` more; where ``quiet`` the weight stays.
    """
    out = torch.empty(3, *blend.shape[-2:])
    planes = [fast.array(each) for each in (blend, *hidden, *own)]
    work = partial(_loaded().seen.apart_rows, *planes, quiet.contiguous().numpy(), np.float32(alien), out.numpy())
    fast.in_bands(work, *blend.shape[-2:])
    return out


def _box(reach: Optional[Reach], size: Tuple[int, ...]) -> npt.NDArray[np.int64]:
    height, width = size
    sides = (0, height, 0, width) if reach is None else (reach.top, reach.bottom, reach.left, reach.right)
    return np.array(sides, np.int64)


def _sides(box: npt.NDArray[np.int64]) -> Tuple[int, int]:
    return int(box[1] - box[0]), int(box[3] - box[2])


class _Kernels(NamedTuple):
    layers: ModuleType
    shown: ModuleType
    seen: ModuleType


def _loaded() -> _Kernels:
    kernels = _kernels()
    assert kernels is not None, "only after usable()"
    return kernels


@cache
def _kernels() -> Optional[_Kernels]:
    layers, shown, seen = (
        fast.compiled(f"kairos.engines.classic.{name}_kernels") for name in ("layer", "shown", "seen")
    )
    return None if layers is None or shown is None or seen is None else _Kernels(layers, shown, seen)
