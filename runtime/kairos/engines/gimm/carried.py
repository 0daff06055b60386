"""Motion carried along itself to a time between two frames: what implicit motion begins from.

Planes are (C, H, W), flows in pixels, x right, y down.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kairos.motion.fill import fill_holes
from kairos.motion.occlusion import consistency, occlusion
from kairos.motion.splat import splat

_SHARPNESS = 0.3
"""How sharply agreement of both flows decides what counts where several pixels arrive, per pixel of difference. Of 0.3,
1, 4 and 20 the best for both carried rows on ten of the motion bench's scenes.
"""

_HIDDEN = 0.05
"""Say of a pixel that the other frame hides: it counts where nothing else arrives."""

_LEAST = 1e-3
"""Of a pixel's worth; what gets less is a hole."""


class Carried:
    """Pixels of both frames carried to a time with their motion; holes are filled from around them.

    Args:
        flow_01, flow_10: (2, H, W), from frame 0 to frame 1 and back, finite.
        bend_0, bend_1: (2, H, W) at both frames' pixels: times t (1 - t) it is how far the path lies from the straight
            line.
    """

    def __init__(self, flow_01: Tensor, flow_10: Tensor, bend_0: Tensor, bend_1: Tensor) -> None:
        self._sides = []
        for flow, back, bend, onward in ((flow_01, flow_10, bend_0, 1.0), (flow_10, flow_01, bend_1, -1.0)):
            agreement = consistency(flow, back)
            seen = 1 - occlusion(agreement, flow) * (1 - _HIDDEN)
            self._sides.append((flow, bend, torch.cat([flow * onward, bend, seen]), agreement.error * -_SHARPNESS))

    def path(self, time: float) -> Tensor:
        """Velocity and bend, (4, H, W), of the pixels of a time in 0..1."""
        total = weight = torch.zeros_like(self._sides[0][3])
        for (flow, bend, planes, importance), part in zip(self._sides, (time, 1 - time)):
            arrived, area = splat(planes, flow * part + bend * (time * (1 - time)), importance, "softmax")
            say = area.clamp(max=1) * arrived[4:] * (1 - part)
            total, weight = total + arrived[:4] * say, weight + say
        known = weight > _LEAST * _HIDDEN
        return fill_holes(total / weight.clamp(min=_LEAST * _HIDDEN), known)
