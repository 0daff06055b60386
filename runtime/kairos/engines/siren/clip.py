"""A clip as a field is fitted to it: frames, the motion between them, and how far it is to be believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kairos.engines.base import Pair, Session, ShotView
from kairos.engines.siren.spline import coefficients
from kairos.engines.siren.tiles import Tile
from kairos.motion.compose import compose
from kairos.motion.cuts import is_cut
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos_nodes.layers import Policy

Told = Callable[[int], None]
"""Hears of a frame's position; may raise Cancelled."""

STEPS = 4
"""Moments of an interval at which what the motion's engine shows is kept."""

Positions = Tuple[int, ...]
"""Frames of a shot, ascending."""


@dataclass(frozen=True)
class Clip:
    """Consecutive frames of one scene, on one device.

    Attributes:
        frames: (T, 3, H, W) float32, proxies.
        ahead: (T - 1, 2, H, W) float16, pixels, x right, y down: from every frame but the last to the next.
        behind: the same from every frame but the first to the one before.
        sure_ahead, sure_behind: (T - 1, H, W) float16 in 0..1, how far that motion holds: 0 where the point is
            hidden in the other frame or outside it.
        base: (T - 1, STEPS, 3, H, W) float32 or None, spline coefficients of what the motion's engine shows from
            every frame but the last on, at ``1 / STEPS`` of the way to the next and so on.
    """

    frames: Tensor
    ahead: Tensor
    behind: Tensor
    sure_ahead: Tensor
    sure_behind: Tensor
    base: Optional[Tensor] = None

    @property
    def count(self) -> int:
        """Frames."""
        return len(self.frames)

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width, pixels."""
        return int(self.frames.shape[-2]), int(self.frames.shape[-1])

    @property
    def motion(self) -> float:
        """Length that nine tenths of the motion stays under, pixels, each vector counted as far as it is believed."""
        lengths = torch.cat([self.ahead, self.behind]).float().square().sum(1).sqrt().flatten()
        sure = torch.cat([self.sure_ahead, self.sure_behind]).float().flatten()
        lengths, order = lengths.sort()
        within = sure[order].double().cumsum(0)
        return float(lengths[torch.searchsorted(within, 0.9 * within[-1]).clamp(max=len(lengths) - 1)])

    @property
    def bytes(self) -> int:
        """Memory that the clip takes: 24 bytes per pixel and frame, less a frame's motion, and 48 with a base."""
        parts = (self.frames, self.ahead, self.behind, self.sure_ahead, self.sure_behind, self.base)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)


def look_at(
    shot: ShotView,
    moving: Session,
    positions: Positions,
    told: Told,
    based: bool = False,
    tile: Optional[Tile] = None,
) -> Clip:
    """Frames of a shot, and the motion between neighbours as an engine finds it.

    The motion is always that of whole frames; of a tile no more than its part is kept.

    Args:
        shot: with the frames.
        moving: the engine's session on it.
        positions: ascending, two at least.
        told: of every frame whose motion is found.
        based: with what that engine shows between the frames.
        tile: the part of the frames; None for all of them.
    """
    part = tile or Tile(0, 0, *shot.size)
    # One by one: views of a part would hold on to all the frames.
    frames = torch.empty(len(positions), 3, *part.size, device=shot.device)
    for index, position in enumerate(positions):
        frames[index] = part.of(shot.proxy(position))
    flows: Tuple[List[Tensor], List[Tensor]] = ([], [])
    sures: Tuple[List[Tensor], List[Tensor]] = ([], [])
    shown: List[Tensor] = []
    times = [step / STEPS for step in range(1, STEPS)] if based else []
    for before, first, second, after in zip((None, *positions), positions, positions[1:], (*positions[2:], None)):
        told(first)
        start, *middle, end = moving.at(Pair(first, second, before, after), [0.0, *times, 1.0])
        if based:
            ends = shot.proxy(first), shot.proxy(second)
            shown.append(torch.stack([coefficients(part.of(base_of(*ends, answer))) for answer in (start, *middle)]))
        for side, (flow, hidden, sure) in enumerate(
            (
                (start.flow_to_1, start.occlusion_1, start.confidence),
                (end.flow_to_0, end.occlusion_0, end.confidence),
            )
        ):
            # Copies: a part alone would hold on to the whole.
            flows[side].append(part.of(flow).half().contiguous())
            sures[side].append(part.of((sure * (1 - hidden))[0]).half().contiguous())
    (ahead, behind), (sure_ahead, sure_behind) = ([torch.stack(side) for side in both] for both in (flows, sures))
    return Clip(frames, ahead, behind, sure_ahead, sure_behind, torch.stack(shown) if based else None)


def base_of(first: Tensor, second: Tensor, answer: Inbetween) -> Tensor:
    """(3, H, W): what an engine shows between two proxies, as encoded as they are."""
    return compose(first, second, replace(answer, image=None), Policy.BLEND, codec=Codec())


def scenes(shot: ShotView, told: Told) -> List[Positions]:
    """The shot's positions scene by scene. ``told`` hears of every frame looked at."""
    found: List[List[int]] = [[]]
    for position in range(shot.count):
        told(position)
        found[-1].append(position)
        if position < shot.count - 1 and _is_cut(shot, position):
            found.append([])
    return [tuple(scene) for scene in found]


def windows(scenes: Sequence[Positions], most: int) -> List[Positions]:
    """Scenes in clips of up to ``most`` frames; neighbours share a frame.

    A single frame between two cuts is in none. The windows of a scene are about equally long.
    """
    found: List[Positions] = []
    for scene in scenes:
        steps = len(scene) - 1
        parts = -(-steps // (most - 1))
        bounds = [steps * part // parts for part in range(parts + 1)] if parts else []
        found += [scene[first : last + 1] for first, last in zip(bounds, bounds[1:])]
    return found


def _is_cut(shot: ShotView, position: int) -> bool:
    before = shot.proxy(position - 1) if position else None
    after = shot.proxy(position + 2) if position + 2 < shot.count else None
    return is_cut(shot.proxy(position), shot.proxy(position + 1), before, after)
