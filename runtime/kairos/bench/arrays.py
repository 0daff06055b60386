"""A shot in memory, as an engine sees it: for benches and tests of engines."""

from __future__ import annotations

from typing import Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.frame import Planes
from kairos.motion.region_choice import RegionRule


class ArrayShot:
    """A :class:`kairos.engines.base.ShotView` over arrays.

    Args:
        frames: (3, H, W) float32 proxies, already encoded (about 0..1), all of one size.
        device: where proxies go.
        mattes: (1, H, W) or (H, W) in 0..1 by position.
        motions: (2, H, W) pixels, x right, y down, by (source, target) position.
        regions: (H, W) int16 label maps by position.
        rules: what is done with objects, by number.

    Raises:
        ValueError: no frames, or frames of different shapes.
    """

    def __init__(
        self,
        frames: Sequence[Planes],
        device: Optional[torch.device] = None,
        mattes: Optional[Mapping[int, Planes]] = None,
        motions: Optional[Mapping[Tuple[int, int], Planes]] = None,
        regions: Optional[Mapping[int, npt.NDArray[np.int16]]] = None,
        rules: Optional[Mapping[int, RegionRule]] = None,
    ) -> None:
        if not frames or any(frame.shape != frames[0].shape or frame.shape[0] != 3 for frame in frames):
            raise ValueError(f"frames must be (3, H, W) of one size, not {[frame.shape for frame in frames]}")
        self._frames, self._mattes, self._motions = frames, mattes or {}, motions or {}
        self._regions, self._rules = regions or {}, rules or {}
        self._device = device or torch.device("cpu")

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width."""
        height, width = self._frames[0].shape[1:]
        return int(height), int(width)

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self._frames)

    @property
    def device(self) -> torch.device:
        """Where proxies live."""
        return self._device

    def proxy(self, position: int) -> Tensor:
        """(3, H, W) float32."""
        return self._tensor(self._frames[position])

    def matte(self, position: int) -> Optional[Tensor]:
        """(1, H, W), or None where none was given."""
        matte = self._mattes.get(position)
        return None if matte is None else self._tensor(matte.reshape(1, *self.size))

    def given_motion(self, source: int, target: int) -> Optional[Tensor]:
        """(2, H, W), or None where none was given."""
        motion = self._motions.get((source, target))
        return None if motion is None else self._tensor(motion)

    def regions(self, position: int) -> Optional[Tensor]:
        """(H, W) int16, or None where none were given."""
        labels = self._regions.get(position)
        return None if labels is None else torch.from_numpy(np.ascontiguousarray(labels, np.int16)).to(self._device)

    def regions_found(self) -> bool:
        """They are given."""
        return False

    def region_rules(self) -> Mapping[int, RegionRule]:
        """As given."""
        return self._rules

    def _tensor(self, planes: Planes) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(planes, np.float32)).to(self._device)
