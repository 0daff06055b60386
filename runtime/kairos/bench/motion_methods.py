"""Ways from the motion between two frames to the motion at any time between them: what an implicit model has to beat.

All are given the same flows. Planes are (C, H, W), flows in pixels, x right, y down.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.gimm.anchored import Anchored, ways
from kairos.engines.gimm.architecture import ARCHITECTURE
from kairos.engines.gimm.motion import GimmMotion
from kairos.engines.gimm.network import GIMM
from kairos.engines.stored import network_of, record_of, records_of
from kairos.engines.swift.prior import classical_prior
from kairos.motion.fill import fill_holes
from kairos.motion.occlusion import confidence, consistency, occlusion
from kairos.motion.splat import splat
from kairos.training.gimm import CELL
from kairos.weights.containers import open_container
from kairos.weights.recognise import recognised

LINEAR, FORWARD, QUADRATIC, GIMM_TWO, GIMM_FOUR = "linear", "forward warp", "quadratic, 4", "gimm, 2", "gimm, 4"
"""What they are called; the number tells the frames that are seen, two where there is none."""

SHIPPED = Path(__file__).parents[1] / "engines" / "gimm" / "weights" / "gimm.safetensors"
"""Weights that are taken unasked, where they are there."""

_SHARPNESS = 0.3
"""How sharply agreement of both flows decides what counts where several pixels arrive, per pixel of difference. Of 0.3,
1, 4 and 20 the best for both carried rows on ten of the bench's scenes: what is to be beaten is not made easy to beat.
"""

_HIDDEN = 0.05
"""Say of a pixel that the other frame hides: it counts where nothing else arrives."""

_LEAST = 1e-3
"""Of a pixel's worth; what gets less is a hole."""

_SURE = 0.5
"""Confidence from which on motion beyond the pair is believed."""

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

    network: GIMM
    name: str

    @property
    def sees_four(self) -> bool:
        """Frames around the pair change its answer: those of the published network do not."""
        return isinstance(self.network, Anchored)


def found_flows(before: Tensor, first: Tensor, second: Tensor, after: Tensor) -> Flows:
    """The flows of four frames (3, H, W), evenly apart, sides of at least 64, by the search that ``swift`` begins from.

    Where motion beyond the pair does not agree with the way back, the bend of its path is told by what surrounds it.
    """
    where = first.device
    there, back = classical_prior(first, second).to(where)
    beyond = []
    for own, other, frame, neighbour in ((there, back, first, before), (back, there, second, after)):
        out, home = classical_prior(frame, neighbour).to(where)
        sure = confidence(consistency(own, other), own) * confidence(consistency(out, home), out)
        beyond.append(fill_holes(own + out, sure > _SURE) - own)
    return Flows(there, back, *beyond)


def linear(flows: Flows) -> At:
    """Both flows mixed where they are, and scaled (Jiang et al., "Super SloMo", CVPR 2018, equation 4)."""

    def at(time: float) -> Ways:
        velocity = flows.flow_01 * (1 - time) - flows.flow_10 * time
        return ways(velocity, torch.zeros_like(velocity), time)

    return at


def forward_warp(flows: Flows) -> _Carried:
    """Both flows carried along themselves to the time, and scaled."""
    still = torch.zeros_like(flows.flow_01)
    return _Carried(flows, still, still)


def quadratic(flows: Flows) -> _Carried:
    """Both flows carried along the parabolas through three frames each (Xu et al., "Quadratic Video Interpolation",
    NeurIPS 2019, equation 4).
    """
    return _Carried(flows, -0.5 * (flows.flow_01 + flows.before), -0.5 * (flows.flow_10 + flows.after))


def gimm(weights: Weights, four: bool) -> Callable[[Flows], At]:
    """GIMM over these flows. As in an engine it stands on what is carried forward; it sees four frames, or two."""
    cell = CELL if weights.sees_four else 1
    motion = GimmMotion(weights.network, cell)

    def begun(flows: Flows) -> At:
        known = motion.know(flows.flow_01, flows.flow_10, *((flows.before, flows.after) if four else ()))
        carried = (quadratic if four else forward_warp)(flows)

        def at(time: float) -> Ways:
            if cell == 1:
                return motion.at(known, time)
            path = carried.path(time)
            return motion.at(known, time, path[:2], path[2:] if four else None)

        return at

    return begun


def methods(weights: Optional[Weights]) -> Dict[str, Callable[[Flows], At]]:
    """By name; without weights those that need none."""
    found: Dict[str, Callable[[Flows], At]] = {LINEAR: linear, FORWARD: forward_warp, QUADRATIC: quadratic}
    if weights is not None:
        found[GIMM_TWO] = gimm(weights, four=False)
        if weights.sees_four:
            found[GIMM_FOUR] = gimm(weights, four=True)
    return found


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
        network: GIMM = ARCHITECTURE.build(match.values)  # type: ignore[assignment]
        network.load_state_dict(match.tensors)
    return Weights(network.eval().requires_grad_(False).to(device), path.name)


class _Carried:
    """Pixels of both frames carried to a time with their motion; holes are filled from around them.

    Args:
        flows: of the pair.
        bend_0, bend_1: (2, H, W) at both frames' pixels: times t (1 - t) it is how far the path lies from the straight
            line.
    """

    def __init__(self, flows: Flows, bend_0: Tensor, bend_1: Tensor) -> None:
        self._sides = []
        for flow, back, bend, onward in (
            (flows.flow_01, flows.flow_10, bend_0, 1.0),
            (flows.flow_10, flows.flow_01, bend_1, -1.0),
        ):
            agreement = consistency(flow, back)
            seen = 1 - occlusion(agreement, flow) * (1 - _HIDDEN)
            self._sides.append((flow, bend, torch.cat([flow * onward, bend, seen]), agreement.error * -_SHARPNESS))

    def __call__(self, time: float) -> Ways:
        path = self.path(time)
        return ways(path[:2], path[2:], time)

    def path(self, time: float) -> Tensor:
        """Velocity and bend, (4, H, W)."""
        total = weight = torch.zeros_like(self._sides[0][3])
        for (flow, bend, planes, importance), part in zip(self._sides, (time, 1 - time)):
            arrived, area = splat(planes, flow * part + bend * (time * (1 - time)), importance, "softmax")
            say = area.clamp(max=1) * arrived[4:] * (1 - part)
            total, weight = total + arrived[:4] * say, weight + say
        known = weight > _LEAST * _HIDDEN
        return fill_holes(total / weight.clamp(min=_LEAST * _HIDDEN), known)
