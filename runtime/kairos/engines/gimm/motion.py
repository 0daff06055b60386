"""The motion at any time from any engine's flows: GIMM, official or Kairos' own, behind one door.

Planes are (C, H, W), flows in pixels of the frame, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Optional, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.gimm.anchored import Anchored
from kairos.engines.gimm.carried import Carried
from kairos.engines.gimm.ends import bends_at, ends_of, ways
from kairos.engines.gimm.evidence import Seen
from kairos.engines.gimm.network import GIMM, State

Network = Union[GIMM, Anchored]
"""The published network, or Kairos' own."""


@dataclass(frozen=True)
class Known:
    """What depends on the flows alone.

    Attributes:
        state: the published network's; None where it is Kairos' own that tells.
        seen, flows: of Kairos' own; None otherwise.
        size: the frame's height and width.
    """

    size: Tuple[int, int]
    state: Optional[State] = None
    seen: Optional[Seen] = None
    flows: Optional[Tuple[Tensor, Tensor]] = None

    @cached_property
    def carried(self) -> Carried:
        """Of Kairos' own: the flows on their way, for engines that do not say what arrives."""
        assert self.flows is not None and self.seen is not None
        return Carried(*self.flows, *self.seen.ends.bends())


class GimmMotion:
    """Paths through two frames.

    Args:
        network: for use, on the flows' device.
        cell: pixels per cell of the grid, along each side, on which the published network seeks motion: 1 is exact, 4
            takes a sixteenth of the time. Kairos' own is asked pixel by pixel, where there is something to ask.
    """

    def __init__(self, network: Network, cell: int = 1) -> None:
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
        pair = [torch.nan_to_num(flow, 0.0, 0.0, 0.0) for flow in (flow_01, flow_10)]
        if isinstance(self._network, Anchored):
            ends = ends_of(pair[0], pair[1], before, after)
            return Known(size, seen=self._network.seen(ends), flows=(pair[0], pair[1]))
        grids = (coarse(flow[None], self._cell) for flow in pair)
        return Known(size, state=self._network.encode(*grids))

    @torch.inference_mode()
    def at(
        self, known: Known, time: float, arrived: Optional[Tensor] = None, bend: Optional[Tensor] = None
    ) -> Tuple[Tensor, Tensor]:
        """The flows to frame 0 and to frame 1 from the pixels of a time in 0..1, (2, H, W) each.

        Args:
            known: of :meth:`know`.
            time: 0..1.
            arrived: (2, H, W) pixels per interval, the velocity that the engine itself sees at the time. Kairos' own
                network begins from it, or, without it, from the flows carried to the time. Of the published network,
                where its grid is coarser than the frame, edges stay as they are: what it makes of what arrives on the
                coarse grid is what is added.
            bend: (2, H, W) pixels, the same of how far paths bend (see :func:`kairos.engines.gimm.ends.ways`).
        """
        if arrived is not None:
            arrived = torch.nan_to_num(arrived, 0.0, 0.0, 0.0)
        if isinstance(self._network, Anchored):
            return self._chosen(self._network, known, time, arrived, bend)
        assert known.state is not None
        velocity = self._network.velocity(known.state, time)
        if self._cell > 1:
            if arrived is not None:
                velocity = velocity - coarse(arrived[None], self._cell)
            velocity = self._whole(velocity, known.size)
            velocity = velocity if arrived is None else velocity + arrived
        to_0, to_1 = ways(velocity[0], torch.zeros_like(velocity[0]) if bend is None else bend, time)
        return to_0, to_1

    def _chosen(
        self, network: Anchored, known: Known, time: float, arrived: Optional[Tensor], bend: Optional[Tensor]
    ) -> Tuple[Tensor, Tensor]:
        assert known.seen is not None
        if arrived is None:
            path = known.carried.path(time)
            arrived, bend = path[:2], path[2:]
        if bend is None:
            bend = bends_at(known.seen.ends, time, arrived)
        told = network.told(known.seen, time, torch.cat([arrived, bend]).float())
        return ways(told[:2], told[2:], time)

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
