"""A clip as a field is fitted to it: frames, the motion between them, and how far it is to be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, List, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, ShotView
from kairos.motion.cuts import is_cut

Told = Callable[[int], None]
"""Hears of a frame's position; may raise Cancelled."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one scene, on one device.

    Attributes:
        frames: (T, 3, H, W) float32, proxies.
        ahead: (T - 1, 2, H, W) float16, pixels, x right, y down: from every frame but the last to the next.
        behind: the same from every frame but the first to the one before.
        sure_ahead, sure_behind: (T - 1, H, W) float16 in 0..1, how far that motion holds: 0 where the point is
            hidden in the other frame or outside it.
    """

    frames: Tensor
    ahead: Tensor
    behind: Tensor
    sure_ahead: Tensor
    sure_behind: Tensor

    @property
    def count(self) -> int:
        """Frames."""
        return len(self.frames)

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width, pixels."""
        return int(self.frames.shape[-2]), int(self.frames.shape[-1])

    @property
    def bytes(self) -> int:
        """Memory that the clip takes: 24 bytes per pixel and frame, less a frame's motion."""
        parts = (self.frames, self.ahead, self.behind, self.sure_ahead, self.sure_behind)
        return sum(part.numel() * part.element_size() for part in parts)


def look_at(shot: ShotView, moving: Session, positions: range, told: Told) -> Clip:
    """Frames of a shot, and the motion between neighbours as an engine finds it.

    Args:
        shot: with the frames.
        moving: the engine's session on it.
        positions: consecutive, two at least.
        told: of every frame whose motion is found.
    """
    frames = torch.stack([shot.proxy(position) for position in positions]).float()
    flows: Tuple[List[Tensor], List[Tensor]] = ([], [])
    sures: Tuple[List[Tensor], List[Tensor]] = ([], [])
    for first in positions[:-1]:
        told(first)
        start, end = moving.at(Pair(first, first + 1), [0.0, 1.0])
        for side, (flow, hidden, sure) in enumerate(
            (
                (start.flow_to_1, start.occlusion_1, start.confidence),
                (end.flow_to_0, end.occlusion_0, end.confidence),
            )
        ):
            flows[side].append(flow.half())
            sures[side].append((sure * (1 - hidden))[0].half())
    return Clip(frames, *(torch.stack(side) for side in (*flows, *sures)))


def windows(shot: ShotView, most: int, told: Told) -> List[range]:
    """The shot's positions in clips of up to ``most`` frames, no cut inside; neighbours share a frame.

    A single frame between two cuts is in none. The windows of a scene are about equally long. ``told`` hears of every
    frame looked at.
    """
    found: List[range] = []
    start = 0
    for position in range(shot.count):
        told(position)
        last = position == shot.count - 1
        if last or _is_cut(shot, position):
            found += _split(start, position, most)
            start = position + 1
    return found


def _is_cut(shot: ShotView, position: int) -> bool:
    before = shot.proxy(position - 1) if position else None
    after = shot.proxy(position + 2) if position + 2 < shot.count else None
    return is_cut(shot.proxy(position), shot.proxy(position + 1), before, after)


def _split(first: int, last: int, most: int) -> List[range]:
    steps = last - first
    if steps < 1:
        return []
    parts = -(-steps // (most - 1))
    bounds = [first + steps * part // parts for part in range(parts + 1)]
    return [range(a, b + 1) for a, b in zip(bounds, bounds[1:])]
