"""Motion algebra: from an in-between's two flows to the motion between any two times."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kairos.motion.inbetween import Inbetween
from kairos.motion.warp import warp_unmixed

_BEND = 0.5
"""How far, as a part of the speed, both halves of a path may differ and still be one path."""


def between(inbetween: Inbetween, tau: float) -> Tensor:
    """Where the in-between's pixels are at another time of the same interval.

    The path is the parabola through the point in source 0, the pixel itself and the point in source 1. Where a source
    does not show the point, or both halves disagree, the visible half goes on straight.

    Args:
        inbetween: at time t.
        tau: the other time, 0..1 in the same interval.

    Returns:
        (2, H, W) pixels, x right, y down, from the in-between's pixels to where they are at ``tau``.
    """
    t = inbetween.time
    to_0, to_1 = inbetween.flow_to_0, inbetween.flow_to_1
    if tau == t:
        return torch.zeros_like(to_0)
    if t == 0.0:
        return to_1 * tau
    if t == 1.0:
        return to_0 * (1.0 - tau)
    velocity_0, velocity_1 = -to_0 / t, to_1 / (1.0 - t)
    # Newton's form of the parabola through (0, to_0), (t, 0), (1, to_1).
    bend = velocity_1 - velocity_0
    curved = {0.0: to_0, 1.0: to_1}.get(tau, (tau - t) * (velocity_0 + tau * bend))
    straight = (tau - t) * torch.where(inbetween.occlusion_0 <= inbetween.occlusion_1, velocity_0, velocity_1)
    speed = torch.maximum(velocity_0.square().sum(0, keepdim=True), velocity_1.square().sum(0, keepdim=True)).sqrt()
    one_path = bend.square().sum(0, keepdim=True).sqrt() <= _BEND * speed + 1.0
    visible = torch.maximum(inbetween.occlusion_0, inbetween.occlusion_1) < 0.5
    return torch.where(one_path & visible, curved, straight)


class Chained(NamedTuple):
    """Motion over two steps."""

    flow: Tensor
    """(2, H, W) pixels."""
    valid: Tensor
    """(1, H, W) bool: the first step ends inside the frame."""


def chain(flow_ab: Tensor, flow_bc: Tensor) -> Chained:
    """Motion from a to c by way of b, seen from a's pixels.

    Args:
        flow_ab: (2, H, W) pixels, from a's pixels to b.
        flow_bc: (2, H, W) pixels, from b's pixels to c.
    """
    height, width = flow_ab.shape[-2:]
    x = torch.arange(width, device=flow_ab.device) + flow_ab[0]
    y = torch.arange(height, device=flow_ab.device)[:, None] + flow_ab[1]
    valid = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    return Chained(flow_ab + warp_unmixed(flow_bc, flow_ab), valid[None])
