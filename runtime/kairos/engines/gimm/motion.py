"""The motion at any time from any engine's flows: GIMM, official or Kairos' own, behind one door.

Planes are (C, H, W), flows in pixels of the frame, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.gimm.anchored import Anchored, Path, ways
from kairos.engines.gimm.network import GIMM, State


@dataclass(frozen=True)
class Known:
    """What depends on the flows alone, and the frame's height and width."""

    state: State
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
    def know(self, flow_01: Tensor, flow_10: Tensor) -> Known:
        """What is shared by all times.

        Args:
            flow_01, flow_10: (2, H, W), from frame 0 to frame 1 and back. What is not finite counts as rest.
        """
        size = int(flow_01.shape[-2]), int(flow_01.shape[-1])
        flows = (coarse(torch.nan_to_num(flow, 0.0, 0.0, 0.0)[None], self._cell) for flow in (flow_01, flow_10))
        return Known(self._network.encode(*flows), size)

    @torch.inference_mode()
    def at(self, known: Known, time: float, arrived: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """The flows to frame 0 and to frame 1 from the pixels of a time in 0..1, (2, H, W) each.

        Args:
            known: of :meth:`know`.
            time: 0..1.
            arrived: (2, H, W) pixels per interval, the velocity that the engine itself sees at the time. Where given,
                and the grid is coarser than the frame, its edges stay as they are: the network's difference from it,
                as the coarse grid shows both, is what is added.
        """
        path = self._path(known, time)
        if self._cell == 1:
            to_0, to_1 = ways(path, time)
            return to_0[0], to_1[0]
        velocity, base = path.velocity, None
        if arrived is not None:
            base = torch.nan_to_num(arrived, 0.0, 0.0, 0.0)[None]
            velocity = velocity - coarse(base, self._cell)
        whole = self._whole(torch.cat([velocity, path.bend], 1), known.size)
        velocity = whole[:, :2] if base is None else whole[:, :2] + base
        to_0, to_1 = ways(Path(velocity, whole[:, 2:], velocity), time)
        return to_0[0], to_1[0]

    def _path(self, known: Known, time: float) -> Path:
        if isinstance(self._network, Anchored):
            return self._network.path(known.state, time)
        velocity = self._network.velocity(known.state, time)
        return Path(velocity, torch.zeros_like(velocity), velocity)

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
