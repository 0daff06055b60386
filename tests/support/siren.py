"""Small clips with their exact motion, for fits of the engine ``siren``, and what fits show of them."""

from __future__ import annotations

from typing import Callable, List, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.engines.siren.clip import Clip
from kairos.engines.siren.fit import Fitted
from kairos.engines.siren.session import Window
from kairos.events import Event
from support.scenes import grid, texture


def scene(height: int, width: int, speed: Tuple[float, float]) -> Callable[[float], Tensor]:
    """A proxy (3, H, W) at any time: a smooth texture that moves by ``speed`` pixels per frame."""
    columns, rows = grid(height, width)
    looks = [texture(seed, 1.2) for seed in (1, 2, 3)]

    def at(moment: float) -> Tensor:
        planes = [look(columns - speed[0] * moment, rows - speed[1] * moment) for look in looks]
        return torch.from_numpy(np.stack(planes).astype(np.float32)) * 1.5

    return at


def moving(height: int, width: int, frames: int, speed: Tuple[float, float]) -> Clip:
    """A clip of that scene with its exact motion."""
    at = scene(height, width, speed)
    flow = torch.tensor(speed)[None, :, None, None].expand(frames - 1, 2, height, width).half()
    columns, rows = grid(height, width)
    sures = []
    for sign in (1, -1):
        x, y = columns + sign * speed[0], rows + sign * speed[1]
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        sures.append(torch.from_numpy(inside)[None].expand(frames - 1, -1, -1).half())
    return Clip(torch.stack([at(index) for index in range(frames)]), flow, -flow, *sures)


def silent(event: Event) -> None:
    """Nobody listens."""


def decibels(one: Tensor, two: Tensor) -> float:
    return float(-10 * torch.log10((one - two).square().mean()))


def picture(fitted: Fitted, clip: Clip, moment: float) -> Tensor:
    with torch.no_grad():
        window = Window(fitted.field, fitted.pace, clip.count)
        return window.picture(clip.size, moment, torch.device("cpu"))


def observed_score(fitted: Fitted, clip: Clip) -> float:
    made_again = torch.stack([picture(fitted, clip, index) for index in range(clip.count)])
    return decibels(made_again, clip.frames)


def weights_of(fitted: Fitted) -> List[Tensor]:
    return list(fitted.field.state_dict().values())
