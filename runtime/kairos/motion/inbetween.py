"""An engine's answer at one time between two frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from torch import Tensor


@dataclass(frozen=True)
class Inbetween:
    """Where an in-between frame's pixels come from. All tensors float32 on one device, full frame size.

    Attributes:
        time: 0..1, where between source 0 and source 1.
        flow_to_0, flow_to_1: (2, H, W) pixels, x right, y down, from the in-between's pixel to the source frame
            (backward-warp flows).
        blend: (1, H, W) in 0..1, weight of source 0 after occlusion.
        occlusion_0, occlusion_1: (1, H, W) in 0..1, 1 = not visible in that source.
        confidence: (1, H, W) in 0..1, forward-backward consistency of the motion.
        residual: (3, H, W) in encoded space or None; added only where neither source is trusted.
        image: (3, H, W) encoded, for engines that paint; None for those that answer with motion alone.
    """

    time: float
    flow_to_0: Tensor
    flow_to_1: Tensor
    blend: Tensor
    occlusion_0: Tensor
    occlusion_1: Tensor
    confidence: Tensor
    residual: Optional[Tensor] = None
    image: Optional[Tensor] = None

    def __post_init__(self) -> None:
        size = self.flow_to_0.shape[-2:]
        channels = {"flow_to_0": 2, "flow_to_1": 2, "blend": 1, "occlusion_0": 1, "occlusion_1": 1, "confidence": 1}
        channels.update({name: 3 for name in ("residual", "image") if getattr(self, name) is not None})
        for name, count in channels.items():
            shape = tuple(getattr(self, name).shape)
            if shape != (count, *size):
                raise ValueError(f"{name} is {shape}, expected {(count, *size)}")
        if not 0.0 <= self.time <= 1.0:
            raise ValueError(f"time {self.time} is outside 0..1")

    def __repr__(self) -> str:
        height, width = self.flow_to_0.shape[-2:]
        return f"<Inbetween t={self.time:.4f} {width}x{height} {self.flow_to_0.device}>"
