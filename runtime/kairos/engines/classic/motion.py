"""What is known of the motion between two frames, before any time between them is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import ModuleType
from typing import NamedTuple, Optional, Protocol, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.base import ShotView
from kairos.engines.classic.flat import FLAT_REACH, Mask, settle
from kairos.engines.classic.fusion import fuse
from kairos.engines.classic.highlights import Highlights, highlights, move_whole
from kairos.engines.classic.reach import Front, Reach, fronts, reach_of
from kairos.engines.classic.regions import Labels, departed, labels_of
from kairos.engines.classic.search import Flow, prepare
from kairos.motion import fast, team
from kairos.motion.fill import fill_holes
from kairos.motion.occlusion import SHARE, confidence, consistency
from kairos.motion.splat import splat
from kairos.motion.tiling import half_of, resize, resize_flow, twice
from kairos.motion.warp import backward_warp


class Look(NamedTuple):
    """A frame as an estimator sees it."""

    proxy: Tensor
    """(3, H, W)."""
    position: Optional[int]
    """In the shot, where the proxy is the shot's own; None where parts of it were hidden by a matte."""
    regions: Optional[Tensor] = None
    """(H, W) int16 label map, where objects are told apart."""
    found: bool = False
    """Whether the label map was found in the shot itself rather than given."""


class Found(NamedTuple):
    """An estimator's answer."""

    there: Tensor
    back: Tensor
    """(2, H, W) pixels."""
    hidden0: Optional[Tensor] = None
    hidden1: Optional[Tensor] = None
    """(1, H, W) in 0..1, not visible in the other frame, from estimators that know."""
    scale: float = 1.0
    """Size at which it was found, part of the frame's: there is nothing finer to be learned from it."""


class Estimator(Protocol):
    """Finds the motion between two frames, both ways."""

    def __call__(self, first: Look, second: Look) -> Found: ...


def estimate_classic(first: Look, second: Look) -> Found:
    """Several searches and the best of them."""
    view, told = prepare(first.proxy, second.proxy), labels_of(first.regions, second.regions)

    def fused(regions: Optional[Tuple[Labels, Labels]]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.stack(fuse(view, regions)).transpose(0, 3, 1, 2)))

    flows = fused(told)
    if told is not None and first.found:
        flows = departed(fused(None), flows, (first.proxy, second.proxy), told)
    return Found(flows[0], flows[1])


_STILL_REACH = 2
"""Pixels around which both frames must be identical for a pixel to be still."""

LEAST_TRUST = 1e-3

SLACK = 0.5
"""Disagreement of both ways that is let pass, pixels; see :func:`kairos.motion.occlusion.confidence`."""

_ON_TOP = 200.0
"""How sharply likeness decides which of two pixels covers the other, per proxy unit."""

_FOREGROUND, _BACKGROUND = 0.5, 0.05
"""Matte over which a pixel shows the foreground, and under which it shows the background alone."""

_FLAT_CONTRAST = 2e-3
"""Spread of the proxy in a window under which it shows nothing to follow: half a level of 8 bits."""


@dataclass(frozen=True)
class Layer:
    """One thing that moves: everything, or what a matte or a label map tells apart.

    Attributes:
        there, back: (2, h, w) pixels, from source 0's pixels to source 1 and the reverse.
        trust0, trust1: (1, h, w) in 0..1, how far they agree, never 0.
        front0, front1: (1, h, w) in 0..1, the pixel hides another on its way, so it is in front wherever both meet.
        share0, share1: (1, h, w) in 0..1, how much of source 0's and source 1's pixel this layer is.
        given: the motion came with the plate: it holds where nothing in the other frame bears it out, too.
        hidden0, hidden1: (1, h, w) in 0..1, not visible in the other frame, where the estimator knows.
        reach: the part of the frame in which it can be seen, and that its planes are of; None: all of it.
    """

    there: Tensor
    back: Tensor
    trust0: Tensor
    trust1: Tensor
    front0: Tensor
    front1: Tensor
    share0: Tensor
    share1: Tensor
    given: bool = False
    hidden0: Optional[Tensor] = None
    hidden1: Optional[Tensor] = None
    reach: Optional[Reach] = None

    def in_frame(self) -> Layer:
        """The same with planes of the whole frame. Where it cannot be seen, it stands still and covers nothing."""
        if self.reach is None:
            return self
        whole = self.reach.around(self)
        trust0, trust1 = (trust.clamp(min=LEAST_TRUST) for trust in (whole.trust0, whole.trust1))
        return replace(whole, trust0=trust0, trust1=trust1, reach=None)

    def halved(self) -> Layer:
        """The same on a grid of half the size, in its pixels."""
        return Layer(
            there=half_of(self.there) / 2,
            back=half_of(self.back) / 2,
            trust0=half_of(self.trust0),
            trust1=half_of(self.trust1),
            front0=half_of(self.front0),
            front1=half_of(self.front1),
            share0=half_of(self.share0),
            share1=half_of(self.share1),
            given=self.given,
            reach=None if self.reach is None else self.reach.halved(),
        )


class Rest(NamedTuple):
    """The furthest of several layers on half the grid, in its pixels.

    Attributes:
        layer: the layer.
        above: (1, h, w) each, how much of either source's pixels is in front of it.
    """

    layer: Layer
    above: Tuple[Tensor, Tensor]

    def grown(self, velocity: Tensor, trust: Tensor, cover: Tensor, like: Layer) -> Tuple[Tensor, Tensor, Tensor]:
        """What arrives of it, for the grid of the layer it was made of."""
        planes = twice(torch.cat([velocity * 2, trust, cover]), *like.trust0.shape[-2:])
        return planes[:2], planes[2:3], planes[3:]


@dataclass(frozen=True)
class PairMotion:
    """Motion between two frames.

    Attributes:
        layers: furthest first.
        still: (1, H, W) bool, both frames are identical around the pixel.
        rest_at_half: of several layers the furthest has no outlines of its own: what of it arrives is told on half the
            grid.
    """

    layers: Tuple[Layer, ...]
    still: Tensor
    rest_at_half: bool = False

    @property
    def reaches(self) -> Tuple[Optional[Reach], ...]:
        """Where each layer can be seen."""
        return tuple(layer.reach for layer in self.layers)

    @cached_property
    def fronts(self) -> Tuple[Optional[Front], ...]:
        """What lies in front of each layer where it can be seen."""
        return fronts([(layer.share0, layer.share1) for layer in self.layers], self.reaches)

    @cached_property
    def rest(self) -> Optional[Rest]:
        """The furthest layer on half the grid, where that is how it is told."""
        front = self.fronts[0]
        if not self.rest_at_half or front is None:
            return None
        return Rest(self.layers[0].halved(), (half_of(front.above0), half_of(front.above1)))

    def reversed(self) -> PairMotion:
        """The same seen from the second frame."""
        turned = (
            Layer(
                *(a.back, a.there, a.trust1, a.trust0, a.front1, a.front0, a.share1, a.share0, a.given),
                *(a.hidden1, a.hidden0, a.reach),
            )
            for a in self.layers
        )
        return PairMotion(tuple(turned), self.still, self.rest_at_half)


def measure(shot: ShotView, first: int, second: int, estimate: Estimator = estimate_classic) -> PairMotion:
    """Motion between two frames of a shot: given, or estimated; with a matte on both, in two layers."""
    proxy0, proxy1 = shot.proxy(first), shot.proxy(second)
    matte0, matte1 = shot.matte(first), shot.matte(second)
    given = shot.given_motion(first, second), shot.given_motion(second, first)
    still = still_ground(proxy0, proxy1)
    whole = torch.ones_like(still, dtype=torch.float32)
    found = shot.regions_found()
    everything = Look(proxy0, first, shot.regions(first), found), Look(proxy1, second, shot.regions(second), found)
    if matte0 is None or matte1 is None:
        return _one_layer(*everything, whole, given, still, estimate)
    layers = []
    for is_foreground in (False, True):
        share0, share1 = ((matte if is_foreground else 1 - matte).float() for matte in (matte0, matte1))
        known0, known1 = shows(matte0, is_foreground), shows(matte1, is_foreground)
        if not (bool(known0.any()) and bool(known1.any())):
            continue
        # What belongs to the other layer is replaced by what surrounds it: nothing there to follow.
        alone0, alone1 = fill_holes(proxy0, known0), fill_holes(proxy1, known1)
        kept = _known_of(given[0], known0), _known_of(given[1], known1)
        looks = Look(alone0, None), Look(alone1, None)
        layers.append(_layer(*looks, share0, share1, kept, still & known0 & known1, estimate))
    if not layers:
        return _one_layer(*everything, whole, given, still, estimate)
    return PairMotion(tuple(map(_in_part, layers)) if len(layers) > 1 else tuple(layers), still)


def _in_part(layer: Layer) -> Layer:
    """A layer of the whole frame with planes of the part alone in which it can be seen."""
    reach = reach_of(layer.share0, layer.share1)
    return layer if reach is None else replace(reach.within(layer), reach=reach)


def shows(matte: Tensor, is_foreground: bool) -> Tensor:
    """(1, H, W) bool: where a frame shows the layer in front, or the one behind and nothing of that in front."""
    return matte >= _FOREGROUND if is_foreground else matte <= _BACKGROUND


def _one_layer(
    first: Look,
    second: Look,
    whole: Tensor,
    given: Tuple[Optional[Tensor], Optional[Tensor]],
    still: Tensor,
    estimate: Estimator,
) -> PairMotion:
    return PairMotion((_layer(first, second, whole, whole, given, still, estimate),), still)


def _known_of(flow: Optional[Tensor], known: Tensor) -> Optional[Tensor]:
    return None if flow is None else fill_holes(flow, known)


def _layer(
    first: Look,
    second: Look,
    share0: Tensor,
    share1: Tensor,
    given: Tuple[Optional[Tensor], Optional[Tensor]],
    still: Tensor,
    estimate: Estimator,
) -> Layer:
    found = _flows(first, second, given, still, estimate)
    is_given = given[0] is not None or given[1] is not None
    return layer_of(found, share0, share1, is_given)


def layer_of(found: Found, share0: Tensor, share1: Tensor, given: bool = False) -> Layer:
    """A layer from its motion: how far both ways agree, and what is in front."""
    there, back = found.there, found.back
    height, width = there.shape[-2:]
    if found.scale < 1:
        rows, columns = (max(1, round(side * found.scale)) for side in (height, width))
        agreed = _agreement(resize_flow(there, rows, columns), resize_flow(back, rows, columns), 1 / found.scale)
    else:
        agreed = _agreement(there, back, 1.0)
    (trust0, front0), (trust1, front1) = (
        (side[:1], side[1:]) for side in (resize(each, height, width) for each in agreed)
    )
    if found.hidden0 is not None and found.hidden1 is not None:
        trust0, trust1 = trust0 * (1 - found.hidden0), trust1 * (1 - found.hidden1)
    trust0, trust1 = trust0.clamp(min=LEAST_TRUST), trust1.clamp(min=LEAST_TRUST)
    sides = (trust0, trust1, front0 * trust0, front1 * trust1, share0, share1)
    return Layer(there, back, *sides, given, found.hidden0, found.hidden1)


def _agreement(there: Tensor, back: Tensor, pixel: float) -> Tuple[Tensor, Tensor]:
    """(2, h, w) of either side: how far both ways agree, and what is in front. A pixel of theirs is ``pixel`` wide."""
    slack = SLACK / pixel
    sides = []
    kernels = _kernels() if there.numel() and fast.usable(there, back) else None
    for flow, other in ((there, back), (back, there)):
        if kernels is not None:
            sides.append(_agreed(kernels, flow, other, slack))
            continue
        trust = confidence(consistency(flow, other), flow, slack)
        sides.append(torch.cat([trust, _front(flow, other)]))
    return sides[0], sides[1]


def _agreed(kernels: ModuleType, flow: Tensor, other: Tensor, slack: float) -> Tensor:
    """The same for one side in one pass."""
    height, width = flow.shape[-2:]
    out, (_, arrived) = torch.empty_like(flow, memory_format=torch.contiguous_format), splat(flow[:0], flow)
    lines = [each.detach().contiguous().view(-1).numpy() for each in (flow, other, arrived, out)]
    agree = partial(kernels.agree_rows, *lines, np.float32(slack), np.float32(SHARE), height, width)
    fast.in_bands(agree, height, width)
    return out


def _kernels() -> Optional[ModuleType]:
    return fast.compiled("kairos.engines.classic.trust_kernels")


def _flows(
    first: Look,
    second: Look,
    given: Tuple[Optional[Tensor], Optional[Tensor]],
    still: Tensor,
    estimate: Estimator,
) -> Found:
    there, back = given
    if there is not None and back is not None:
        return Found(there, back)
    if bool(still.all()):
        zero = torch.zeros(2, *still.shape[-2:], device=still.device)
        return Found(zero, zero)
    found = estimate(first, second)
    still_plane = still[0].cpu().numpy()

    def settled(flow: Tensor, proxy: Tensor) -> Tuple[Flow, Highlights]:
        plane = np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy())
        return settle(plane, _flat(proxy), still_plane), highlights(proxy)

    with team.side_by_side(2) as both:
        sides = list(both.map(settled, (found.there, found.back), (first.proxy, second.proxy)))
    measured = []
    for (flow, here), (_, there_too) in zip(sides, sides[::-1]):
        planes = np.ascontiguousarray(move_whole(flow, here, there_too).transpose(2, 0, 1))
        measured.append(torch.from_numpy(planes).to(first.proxy.device))
    if there is not None:
        return Found(there, _inverse(there, measured[1], first.proxy, second.proxy))
    if back is not None:
        return Found(_inverse(back, measured[0], second.proxy, first.proxy), back)
    return found._replace(there=measured[0], back=measured[1])


def _front(flow: Tensor, back: Tensor) -> Tensor:
    """(1, H, W) in 0..1: where a pixel goes, others arrive too."""
    _, arrived = splat(flow[:0], flow)
    return backward_warp((arrived - 1.0).clamp(0, 1), flow)


def _inverse(flow: Tensor, otherwise: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """The motion of a given flow seen from where it ends; what it does not reach is taken from an estimate.

    Where several pixels arrive, the one that looks like what is there is on top (``source``, ``target``: proxies).
    """
    unlike = (backward_warp(target, flow) - source).abs().mean(0, keepdim=True)
    carried, area = splat(-flow, flow, unlike * -_ON_TOP, "softmax")
    return torch.where(area > 0.5, carried, otherwise)


def still_ground(proxy0: Tensor, proxy1: Tensor) -> Tensor:
    """(1, H, W) bool, both frames are identical around the pixel."""
    differs = (proxy0 != proxy1).any(0)
    size = 2 * _STILL_REACH + 1
    if differs.device.type == "cpu":
        near = cv2.dilate(differs.numpy().view(np.uint8), np.ones((size, size), np.uint8))
        return torch.from_numpy(near == 0)[None]
    around = differs.float()[None, None]
    for window, padding in (((size, 1), (_STILL_REACH, 0)), ((1, size), (0, _STILL_REACH))):
        around = F.max_pool2d(around, window, 1, padding)
    return around[0] == 0


def _flat(proxy: Tensor) -> Mask:
    """(H, W) bool: nothing to follow in the pixel's window."""
    window = np.ones((2 * FLAT_REACH + 1, 2 * FLAT_REACH + 1), np.uint8)
    flat = np.ones(proxy.shape[-2:], np.bool_)
    for plane in proxy.float().cpu().numpy():
        flat &= cv2.dilate(plane, window) - cv2.erode(plane, window) <= _FLAT_CONTRAST
        if not flat.any():
            break
    return flat
