"""Shots that bring nothing but their frames: no artist has said anything about them."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.motion.region_choice import RegionRule


class PlainShot:
    """What a :class:`kairos.engines.base.ShotView` answers where nothing is known; who builds on it adds the frames."""

    def matte(self, position: int) -> Optional[Tensor]:
        """None."""
        return None

    def given_motion(self, source: int, target: int) -> Optional[Tensor]:
        """None."""
        return None

    def regions(self, position: int) -> Optional[Tensor]:
        """None."""
        return None

    def regions_found(self) -> bool:
        """There are none."""
        return False

    def region_rules(self) -> Mapping[int, RegionRule]:
        """None given."""
        return {}


class PlainFrames(PlainShot):
    """Pictures as a shot of their own.

    Args:
        frames: (3, H, W) float32 proxies, already encoded (about 0..1), all of one size and on one device.
    """

    def __init__(self, frames: Sequence[Tensor]) -> None:
        self._frames = frames
        self.size: Tuple[int, int] = (int(frames[0].shape[1]), int(frames[0].shape[2]))
        self.count = len(frames)
        self.device: torch.device = frames[0].device

    def proxy(self, position: int) -> Tensor:
        """One of the pictures."""
        return self._frames[position]
