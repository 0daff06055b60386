"""The motion at any time from any engine's flows: GIMM, official or Kairos' own, behind one door.

Planes are (C, H, W), flows in pixels of the frame, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.gimm.anchored import Anchored, Bends, bends_of, ways
from kairos.engines.gimm.network import GIMM, State


@dataclass(frozen=True)
class Known:
    """What depends on the flows alone, and the frame's height and width."""

    state: State
    bends: Bends
    size: Tuple[int, int]


class GimmMotion:
    """Paths through two frames.

    Args:
        network: for use, on the flows' device.
        cell: pixels per cell of the grid, along each side, on which motion is sought: 1 is exact, 4 takes a sixteenth
            of the time.
    """

    def __init__(self, network: GIMM, cell: int = 1) -> None:
        if cell < 1:
            raise ValueError(f"a cell of {cell} pixels is none")
        self._network, self._cell = network, cell

    @torch.inference_mode()
    def know(
        self,
        flow_01: Tensor,
        flow_10: Tensor,
        before: Optional[Tensor] = None,
        after: Optional[Tensor] = None,
    ) -> Known:
        """What is shared by all times.

        Args:
            flow_01, flow_10: (2, H, W), from frame 0 to frame 1 and back. What is not finite counts as rest.
            before, after: (2, H, W), from frame 0 to the frame before it and from frame 1 to the frame after it, as far
                away as both are from each other; None where there is none. What is not finite is not known. Kairos' own
                network bends paths by them; the published one has no use for them.
        """
        size = int(flow_01.shape[-2]), int(flow_01.shape[-1])
        pair = [coarse(torch.nan_to_num(flow, 0.0, 0.0, 0.0)[None], self._cell) for flow in (flow_01, flow_10)]
        beyond = (None if flow is None else coarse(flow[None], self._cell) for flow in (before, after))
        return Known(self._network.encode(*pair), bends_of(*pair, *beyond), size)

    @torch.inference_mode()
    def at(
        self, known: Known, time: float, arrived: Optional[Tensor] = None, bend: Optional[Tensor] = None
    ) -> Tuple[Tensor, Tensor]:
        """The flows to frame 0 and to frame 1 from the pixels of a time in 0..1, (2, H, W) each.

        Args:
            known: of :meth:`know`.
            time: 0..1.
            arrived: (2, H, W) pixels per interval, the velocity that the engine itself sees at the time. Where given,
                and the grid is coarser than the frame, its edges stay as they are: what the network makes of what
                arrives on the coarse grid is what is added.
            bend: (2, H, W) pixels, the same of how far paths bend (see :class:`kairos.engines.gimm.anchored.Path`).
        """
        told, told_bend, base, base_bend = self._path(known, time)
        if self._cell == 1:
            to_0, to_1 = ways(told, told_bend, time)
            return to_0[0], to_1[0]
        if arrived is not None:
            arrived = torch.nan_to_num(arrived, 0.0, 0.0, 0.0)[None]
            told = told - (coarse(arrived, self._cell) if base is None else base)
        if bend is not None:
            told_bend = told_bend - base_bend
        whole = self._whole(torch.cat([told, told_bend], 1), known.size)
        velocity = whole[:, :2] if arrived is None else whole[:, :2] + arrived
        curve = whole[:, 2:] if bend is None else whole[:, 2:] + bend[None]
        to_0, to_1 = ways(velocity, curve, time)
        return to_0[0], to_1[0]

    def _path(self, known: Known, time: float) -> Tuple[Tensor, Tensor, Optional[Tensor], Tensor]:
        """Velocity and bend, (1, 2, h, w), and what both are made of: what arrives, and what the neighbours tell."""
        if isinstance(self._network, Anchored):
            path = self._network.path(known.state, time, known.bends)
            return path.velocity, path.bend, path.arrived, path.given
        velocity = self._network.velocity(known.state, time)
        none = torch.zeros_like(velocity)
        return velocity, none, None, none

    def _whole(self, planes: Tensor, size: Tuple[int, int]) -> Tensor:
        """Planes of the grid, in its pixels, at the frame's size and in the frame's."""
        fine = F.interpolate(planes, scale_factor=float(self._cell), mode="bilinear", align_corners=False)
        return fine[..., : size[0], : size[1]] * self._cell


def coarse(flow: Tensor, cell: int) -> Tensor:
    """A flow (B, 2, H, W) on a grid of cells, in its pixels; the border is repeated to whole cells."""
    if cell == 1:
        return flow
    padded = F.pad(flow, (0, -flow.shape[-1] % cell, 0, -flow.shape[-2] % cell), mode="replicate")
    return F.avg_pool2d(padded, cell) / cell
