"""Shots made of numbers, for what only looks at proxies."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, List, Sequence

import torch
from torch import Tensor

from kairos.engines.base import ShotView
from kairos.engines.plain_shot import PlainFrames
from support.parity import drawn


class Made(PlainFrames):
    """A shot of given frames (3, H, W); see :class:`kairos.engines.base.ShotView`. It counts who looks."""

    def __init__(self, frames: Sequence[Tensor]) -> None:
        super().__init__(frames)
        self.looks = 0

    def proxy(self, position: int) -> Tensor:
        self.looks += 1
        return super().proxy(position)


class MadeSource:
    """Such a shot as a source of clips. It counts how often it is opened."""

    def __init__(self, name: str, frames: Sequence[Tensor]) -> None:
        self.name = self.identity = name
        self.view = Made(frames)
        self.times = 0

    @contextmanager
    def opened(self) -> Iterator[ShotView]:
        self.times += 1
        yield self.view


def panned(name: str, count: int, height: int = 64, width: int = 64, step: int = 2) -> List[Tensor]:
    """Frames (3, H, W) in 0..1 of a texture that moves to the left by so many pixels per frame."""
    wide = drawn(f"texture:{name}", torch.Size((3, height, width + step * count)))
    soft = torch.nn.functional.avg_pool2d(wide[None], 5, 1, 2)[0]
    texture = ((soft - soft.mean()) / soft.std() * 0.2 + 0.5).clamp(0, 1)
    return [texture[:, :, step * each : step * each + width].contiguous() for each in range(count)]
