"""Made scenes with exact truth, and a shot view over frames in memory."""

from __future__ import annotations

from typing import Callable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine
from kairos.motion.encode import encode, measure_exposure
from kairos.motion.inbetween import Inbetween
from kairos.motion.region_choice import RegionRule

HEIGHT, WIDTH = 120, 176


class MemoryShot:
    """A shot view over scene-linear frames (3, H, W)."""

    def __init__(
        self,
        frames: Sequence[Tensor],
        mattes: Optional[Sequence[Tensor]] = None,
        motion: Optional[Callable[[int, int], Optional[Tensor]]] = None,
        regions: Optional[Sequence[Tensor]] = None,
        rules: Optional[Mapping[int, RegionRule]] = None,
    ) -> None:
        self.frames, self._mattes, self._motion = frames, mattes, motion
        self._regions, self._rules = regions, rules or {}
        self.found = False
        self.exposure = measure_exposure(frames)
        self.size = (int(frames[0].shape[1]), int(frames[0].shape[2]))
        self.count = len(frames)
        self.device = torch.device("cpu")

    def proxy(self, position: int) -> Tensor:
        return encode(self.frames[position], self.exposure)

    def matte(self, position: int) -> Optional[Tensor]:
        return None if self._mattes is None else self._mattes[position]

    def given_motion(self, source: int, target: int) -> Optional[Tensor]:
        return None if self._motion is None else self._motion(source, target)

    def regions(self, position: int) -> Optional[Tensor]:
        return None if self._regions is None else self._regions[position]

    def regions_found(self) -> bool:
        return self.found

    def region_rules(self) -> Mapping[int, RegionRule]:
        return self._rules


def session(shot: MemoryShot, id: str = "classic") -> Session:
    return engine(id).open(shot, EngineSettings(), lambda event: None)


def inbetweens(shot: MemoryShot, times: Sequence[float], pair: Pair = Pair(0, 1)) -> List[Inbetween]:  # noqa: B008
    return list(session(shot).at(pair, times))


def texture(seed: int, scale: float = 1.0) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A smooth random function of the plane, 0.05..0.7, wavelengths from 5 to 40 px (times ``scale``): exact at any
    fraction of a pixel.
    """
    random = np.random.default_rng(seed)
    waves = [
        (2 * np.pi / (scale * length) * np.array([np.cos(angle), np.sin(angle)]), phase, length**0.5)
        for length, angle, phase in zip(
            np.geomspace(5, 40, 24), random.uniform(0, np.pi, 24), random.uniform(0, 2 * np.pi, 24)
        )
    ]
    norm = sum(weight**2 / 2 for _, _, weight in waves) ** 0.5

    def at(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        value = sum(weight * np.sin(k[0] * x + k[1] * y + phase) for k, phase, weight in waves)
        return np.asarray(0.2 * 2.0 ** (0.8 * value / norm))

    return at


def grid(height: int = HEIGHT, width: int = WIDTH) -> Tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    return columns, rows


def plate(*channels: np.ndarray) -> Tensor:
    """(3, H, W) float32 of one or three planes."""
    planes = channels if len(channels) == 3 else channels * 3
    return torch.from_numpy(np.stack(planes).astype(np.float32))


def pan(x: float, y: float, seed: int = 1) -> Callable[[float], Tensor]:
    """A picture that moves by (x, y) pixels per frame: the frame at any time."""
    red, green, blue = (texture(seed + channel) for channel in range(3))
    columns, rows = grid()
    return lambda time: plate(
        *(each(columns - x * time, rows - y * time) for each in (red, green, blue)),
    )


def cover(centre: Tuple[float, float], half: Tuple[float, float]) -> np.ndarray:
    """(H, W) exact coverage of an upright rectangle, ``half`` its half width and height."""
    columns, rows = grid()
    across = np.clip(
        np.minimum(columns + 0.5, centre[0] + half[0]) - np.maximum(columns - 0.5, centre[0] - half[0]), 0, 1
    )
    down = np.clip(np.minimum(rows + 0.5, centre[1] + half[1]) - np.maximum(rows - 0.5, centre[1] - half[1]), 0, 1)
    return np.asarray(across * down)


def mse(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean())
