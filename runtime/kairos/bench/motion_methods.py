"""Ways from the motion between two frames to the motion at any time between them: what an implicit model has to beat.

All are given the same flows. Planes are (C, H, W), flows in pixels, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.gimm.anchored import Anchored
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.carried import Carried
from kairos.engines.gimm.ends import ends_of, ways
from kairos.engines.gimm.loading import SHIPPED
from kairos.engines.gimm.motion import GimmMotion, Network
from kairos.engines.gimm.splatting import deposited
from kairos.engines.stored import network_of, record_of, records_of
from kairos.motion.occlusion import consistency
from kairos.training.searched import searched_flows
from kairos.weights.containers import open_container
from kairos.weights.recognise import recognised

LINEAR, FORWARD, CARRIED, QUADRATIC = "linear", "forward warp", "carried, 2", "quadratic, 4"
GIMM_TWO, GIMM_FOUR = "gimm, 2", "gimm, 4"
"""What they are called; the number tells the frames that are seen, two where there is none."""

Ways = Tuple[Tensor, Tensor]
"""From a time's pixels to frame 0 and to frame 1, (2, H, W) pixels each."""

At = Callable[[float], Ways]
"""The motion of one pair at any time from 0 to 1."""


@dataclass(frozen=True)
class Flows:
    """What every method is given of a pair, (2, H, W) pixels each.

    Attributes:
        flow_01, flow_10: from frame 0 to frame 1, and back.
        before, after: from frame 0 to the frame before it, and from frame 1 to the frame after it, evenly apart.
    """

    flow_01: Tensor
    flow_10: Tensor
    before: Tensor
    after: Tensor


class Weights(NamedTuple):
    """Of GIMM, and their name."""

    network: Network
    name: str

    @property
    def sees_four(self) -> bool:
        """Frames around the pair change its answer: those of the published network do not."""
        return isinstance(self.network, Anchored)


def found_flows(before: Tensor, first: Tensor, second: Tensor, after: Tensor) -> Flows:
    """Those of four frames (3, H, W); see :func:`kairos.training.searched.searched_flows`."""
    return Flows(*searched_flows(before, first, second, after))


def linear(flows: Flows) -> At:
    """Both flows mixed where they are, and scaled (Jiang et al., "Super SloMo", CVPR 2018, equation 4)."""

    def at(time: float) -> Ways:
        velocity = flows.flow_01 * (1 - time) - flows.flow_10 * time
        return ways(velocity, torch.zeros_like(velocity), time)

    return at


def forward_warp(flows: Flows) -> At:
    """Both flows carried along themselves to the time, and scaled: what arrives at a pixel is mixed (Niklaus and Liu,
    "Softmax Splatting", CVPR 2020, by how well both flows agree), and where nothing arrives nothing moves.
    """
    ends = []
    for flow, back, sign in ((flows.flow_01, flows.flow_10, 1.0), (flows.flow_10, flows.flow_01, -1.0)):
        ends.append((flow[None], flow[None] * sign, (-consistency(flow, back).error[None]).exp().clamp(min=1e-6)))

    def at(time: float) -> Ways:
        total = torch.zeros_like(ends[0][1][:, :1])
        for (flow, velocity, sure), part in zip(ends, (time, 1 - time)):
            # Nearer in time counts more.
            sure = sure * (1 - part)
            total = total + deposited(torch.cat([velocity * sure, sure], 1), flow * part)
        velocity = total[0, :2] / torch.where(total[0, 2:] == 0, 1.0, total[0, 2:])
        return ways(velocity, torch.zeros_like(velocity), time)

    return at


def carried(flows: Flows) -> Carried:
    """The same as Kairos carries motion: points that the other frame hides count where nothing else arrives, and what
    nothing arrives at is filled from around it.
    """
    still = torch.zeros_like(flows.flow_01)
    return Carried(flows.flow_01, flows.flow_10, still, still)


def quadratic(flows: Flows) -> Carried:
    """Both flows carried so along the parabolas through three frames each (Xu et al., "Quadratic Video Interpolation",
    NeurIPS 2019, equation 4).
    """
    bends = ends_of(flows.flow_01, flows.flow_10, flows.before, flows.after).bends()
    return Carried(flows.flow_01, flows.flow_10, *bends)


def gimm(weights: Weights, four: bool) -> Callable[[Flows], At]:
    """GIMM over these flows; it sees four frames, or two."""
    motion = GimmMotion(weights.network)

    def begun(flows: Flows) -> At:
        known = motion.know(flows.flow_01, flows.flow_10, *((flows.before, flows.after) if four else ()))
        return lambda time: motion.at(known, time)

    return begun


def methods(weights: Optional[Weights]) -> Dict[str, Callable[[Flows], At]]:
    """By name; without weights those that need none."""
    found: Dict[str, Callable[[Flows], At]] = {
        LINEAR: linear,
        FORWARD: forward_warp,
        CARRIED: lambda flows: _of_path(carried(flows)),
        QUADRATIC: lambda flows: _of_path(quadratic(flows)),
    }
    if weights is not None:
        found[GIMM_TWO] = gimm(weights, four=False)
        if weights.sees_four:
            found[GIMM_FOUR] = gimm(weights, four=True)
    return found


def _of_path(each: Carried) -> At:
    def at(time: float) -> Ways:
        path = each.path(time)
        return ways(path[:2], path[2:], time)

    return at


def gimm_weights(told: str, device: torch.device) -> Optional[Weights]:
    """GIMM's weights: of a file, of a name in the store, or unasked; None where there are none to be taken unasked.

    Raises:
        BadRequest: no such name, or a file that holds other weights or none.
        KairosError: the weights are damaged.
    """
    if not told and SHIPPED.is_file():
        return _of_file(SHIPPED, device)
    if told and Path(told).is_file():
        return _of_file(Path(told), device)
    if not told and not records_of(ARCHITECTURE.id):
        return None
    record = record_of(ARCHITECTURE.id, told)
    return Weights(network_of(record, ARCHITECTURE, device, "fp32"), record.name)


def _of_file(path: Path, device: torch.device) -> Weights:
    with open_container(path) as container:
        match = recognised(container, [ARCHITECTURE]).match
        network: Network = ARCHITECTURE.build(match.values)  # type: ignore[assignment]
        network.load_state_dict(match.tensors)
    return Weights(network.eval().requires_grad_(False).to(device), path.name)
