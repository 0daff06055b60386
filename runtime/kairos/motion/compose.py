"""Composition: an in-between frame from the original planes of the two source frames, layer by layer.

The engine says where pixels come from; here the plate's own values move, at full precision and range. Every formula is
exact where both sources agree: a still plate comes back bit by bit.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional

import torch
from torch import Tensor

from kairos.motion import fast
from kairos.motion.coarse import Grid, common_grid, from_coarse, to_coarse
from kairos.motion.encode import Codec, repair
from kairos.motion.inbetween import Inbetween
from kairos.motion.warp import backward_warp, nearest_warp, warp_unmixed
from kairos_nodes.layers import Policy

_UNIT = 0.02
"""How far from length 1 a vector may be and still count as a normal."""

_WHITE, _FADE = 0.65, 0.09
"""Proxy value of the exposure, and of one stop, over which an engine's residual fades out."""


def compose(
    source0: Tensor,
    source1: Tensor,
    inbetween: Inbetween,
    policy: Policy,
    filter: str = "cubic",
    codec: Optional[Codec] = None,
) -> Tensor:
    """Moves one layer to the in-between's time.

    Args:
        source0, source1: (C, H, W) float32, the layer in the two source frames, original values. NaN and Inf come
            through only where the nearest pixel of the source with the greater weight is one.
        inbetween: the engine's answer, of the same height and width.
        policy: how the layer moves. Every policy but ``blend`` and ``normal`` takes each pixel from one source alone,
            the one with the greater weight. ``vector`` does not rescale: that is the caller's, who knows the spacing.
        filter: resampling of ``blend`` and ``normal``, see :func:`kairos.motion.warp.backward_warp`.
        codec: given for the colour the engine itself saw (first three channels): what the engine painted, or invented
            where it trusted neither source, is brought in through it.

    Returns:
        (C, H, W) float32.

    Raises:
        ValueError: sizes differ, or the policy is ``drop``.
    """
    if source0.shape != source1.shape or source0.shape[-2:] != inbetween.blend.shape[-2:]:
        raise ValueError(
            f"source planes {tuple(source0.shape)}, {tuple(source1.shape)} and the in-between's "
            f"{tuple(inbetween.blend.shape)} do not fit together"
        )
    if policy is Policy.HOLD:
        return source0
    if policy is Policy.BLEND:
        return _blend(source0, source1, inbetween, filter, codec)
    if policy is Policy.NORMAL:
        return _normal(source0, source1, inbetween, filter)
    if policy in _SINGLE:
        return _single(source0, source1, inbetween, _SINGLE[policy])
    raise ValueError(f"a layer with policy {policy.value!r} is not composed")


def first_dominates(inbetween: Inbetween) -> Tensor:
    """(1, H, W) bool: source 0 has the greater weight (or both the same)."""
    return inbetween.blend >= 0.5


_SINGLE: Mapping[Policy, Callable[[Tensor, Tensor], Tensor]] = {
    Policy.DEPTH: warp_unmixed,
    Policy.VECTOR: warp_unmixed,
    Policy.ID: nearest_warp,
    Policy.NEAREST: nearest_warp,
}


def _single(source0: Tensor, source1: Tensor, inbetween: Inbetween, move: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    first = first_dominates(inbetween)
    if move is warp_unmixed and not (_finite(source0) and _finite(source1)):
        whole = _single(repair(source0), repair(source1), inbetween, move)
        return _keep_broken(whole, source0, source1, inbetween)
    moved0, moved1 = move(source0, inbetween.flow_to_0), move(source1, inbetween.flow_to_1)
    return torch.where(first, moved0.view(torch.int32), moved1.view(torch.int32)).view(torch.float32)


def _blend(
    source0: Tensor, source1: Tensor, inbetween: Inbetween, filter: str, codec: Optional[Codec] = None
) -> Tensor:
    if not (_finite(source0) and _finite(source1)):
        whole = _blend(repair(source0), repair(source1), inbetween, filter, codec)
        return _keep_broken(whole, source0, source1, inbetween)
    mixed = _mixed(source0, source1, inbetween, filter)
    for channel, planes in enumerate(zip(source0, source1)):
        grid = common_grid(*planes)
        if grid is not None:
            mixed[channel] = _blend_coarse(mixed[channel], planes[0], planes[1], grid, inbetween, filter)
    if codec is not None:
        _paint(mixed[:3], inbetween, codec)
    return mixed


def _mixed(source0: Tensor, source1: Tensor, inbetween: Inbetween, filter: str) -> Tensor:
    flows = inbetween.flow_to_0, inbetween.flow_to_1
    if filter != "nearest" and fast.usable(source0, source1, *flows, inbetween.blend):
        return fast.blend(source0, source1, flows, inbetween.blend, filter)
    moved0, moved1 = backward_warp(source0, flows[0], filter), backward_warp(source1, flows[1], filter)
    # lerp stays within both ends; where they are equal the value is passed on, the sign of zero included.
    return torch.where(moved0 == moved1, moved0, torch.lerp(moved1, moved0, inbetween.blend))


def _blend_coarse(
    mixed: Tensor, source0: Tensor, source1: Tensor, grid: Grid, inbetween: Inbetween, filter: str
) -> Tensor:
    """A plane (H, W) whose samples are repeated over 2 by 2 pixels moves on the grid it was sampled on."""
    size = (mixed.shape[0], mixed.shape[1])
    small0, small1 = (to_coarse(source[None], grid) for source in (source0, source1))
    moved0 = backward_warp(small0, to_coarse(inbetween.flow_to_0, grid) / 2, filter)
    moved1 = backward_warp(small1, to_coarse(inbetween.flow_to_1, grid) / 2, filter)
    blend = to_coarse(inbetween.blend, grid)
    coarse = from_coarse(torch.lerp(moved1, moved0, blend), grid, size)[0]
    still = (inbetween.flow_to_0 == 0).all(0) & (inbetween.flow_to_1 == 0).all(0) & (source0 == source1)
    return torch.where(still, mixed, coarse)


def _paint(mixed: Tensor, inbetween: Inbetween, codec: Codec) -> None:
    """Brings into colour (3, H, W) what the engine painted or invented."""
    if inbetween.image is not None:
        mixed.copy_(codec.decode(inbetween.image))
    if inbetween.image is not None or inbetween.residual is None:
        return
    # Both sources hide little of most frames: the curve is computed for that alone.
    everywhere = torch.minimum(inbetween.occlusion_0, inbetween.occlusion_1).reshape(1, -1)
    places = everywhere[0].nonzero()[:, 0]
    colour = mixed.reshape(3, -1)
    own, residual, distrust = (
        each.index_select(1, places)[:, None] for each in (colour, inbetween.residual.reshape(3, -1), everywhere)
    )
    encoded = codec.encode(own)
    # A small error in log is a large one in light: nothing is invented above diffuse white.
    fade = (1.0 - (encoded.amax(0, keepdim=True) - _WHITE) / _FADE).clamp(0, 1)
    amount = distrust * fade
    painted = torch.where(amount > 0, codec.decode(encoded + amount * residual), own)
    colour.index_copy_(1, places, painted[:, 0])


def _normal(source0: Tensor, source1: Tensor, inbetween: Inbetween, filter: str) -> Tensor:
    mixed = _blend(source0, source1, inbetween, filter)
    nearest = _single(source0, source1, inbetween, nearest_warp)
    out = mixed.clone()
    for start in range(0, len(mixed) - 2, 3):
        vector, whole = mixed[start : start + 3], nearest[start : start + 3]
        length = vector.square().sum(0, keepdim=True).sqrt()
        own = whole.square().sum(0, keepdim=True).sqrt()
        is_unit = (own - 1).abs() <= _UNIT
        # Opposite vectors cancel out: there the nearer one alone says where the surface faces.
        turned = torch.where(length > 0.1, vector / length.clamp(min=1e-6), whole / own.clamp(min=1e-6))
        exact = (vector == whole).all(0, keepdim=True)
        out[start : start + 3] = torch.where(is_unit & ~exact, turned, vector)
    return out


def _finite(planes: Tensor) -> bool:
    # One pass without a plane of answers: NaN is passed on by both extremes, and Inf is one of them.
    return planes.numel() == 0 or all(bool(extreme.isfinite()) for extreme in planes.aminmax())


def _keep_broken(whole: Tensor, source0: Tensor, source1: Tensor, inbetween: Inbetween) -> Tensor:
    nearest = _single(source0, source1, inbetween, nearest_warp)
    return torch.where(nearest.isfinite(), whole, nearest)
