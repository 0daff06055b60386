"""What an engine has to beat: simple ways to rebuild a frame half-way, and a network before it is trained."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Callable, List, Mapping, Sequence

import torch
from safetensors.torch import save_file

from kairos.bench.metrics import Image
from kairos.engines.base import EngineSettings
from kairos.engines.swift.network import Swift
from kairos.engines.swift.prior import classical_prior
from kairos.motion.occlusion import consistency, occlusion
from kairos.motion.splat import splat
from kairos.motion.warp import backward_warp

UNTRAINED, AVERAGE = "swift untrained", "splat + warp"

_LIKENESS = 20.0
"""How sharply likeness decides what is on top where several pixels arrive, per unit of difference."""

Rebuild = Callable[[str, Sequence[Image], EngineSettings], List[Image]]
"""See :func:`kairos.bench.quality.rebuild`."""


def untrained(kept: Sequence[Image], rebuild: Rebuild) -> List[Image]:
    """What ``swift`` makes of it with fresh weights: its prior, and what it shares with ``classic``."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fresh.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in Swift().state_dict().items()}, path)
        return rebuild("swift", kept, EngineSettings(options={"weights": str(path)}))


def splat_and_warp(kept: Sequence[Image]) -> List[Image]:
    """The plain average of both frames splatted half-way and both fetched from half-way, by dense inverse search."""
    return [_average(*pair) for pair in zip(kept, kept[1:])]


def _average(first: Image, second: Image) -> Image:
    planes = [torch.from_numpy(frame).permute(2, 0, 1).float() / 255 for frame in (first, second)]
    flows = list(classical_prior(planes[0], planes[1]))
    arrived, shares, velocities = [], [], []
    for own, other, flow, back in ((0, 1, flows[0], flows[1]), (1, 0, flows[1], flows[0])):
        unlike = (backward_warp(planes[other], flow) - planes[own]).abs().mean(0, keepdim=True)
        hidden = occlusion(consistency(flow, back), flow)
        carried = torch.cat([planes[own], flow, hidden])
        moved, area = splat(carried, flow * 0.5, unlike * -_LIKENESS, "softmax")
        arrived.append(moved[:3])
        shares.append(area.clamp(max=1))
        velocities.append(moved[3:])
    total = (shares[0] + shares[1]).clamp(min=1e-3)
    splatted = (arrived[0] * shares[0] + arrived[1] * shares[1]) / total
    velocity = (velocities[0][:2] * shares[0] - velocities[1][:2] * shares[1]) / total
    fetched = [backward_warp(planes[0], velocity * -0.5, "cubic"), backward_warp(planes[1], velocity * 0.5, "cubic")]
    # What is hidden in the second frame was carried there by the first, and the reverse.
    seen = [1.05 - velocities[1][2:] * shares[1], 1.05 - velocities[0][2:] * shares[0]]
    warped = (fetched[0] * seen[0] + fetched[1] * seen[1]) / (seen[0] + seen[1])
    covered = (shares[0] + shares[1]) > 0.5
    picture = torch.where(covered, (splatted + warped) / 2, warped)
    found: Image = (picture * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return found


def baselines(engines: Sequence[str], rebuild: Rebuild) -> Mapping[str, Callable[[Sequence[Image]], List[Image]]]:
    """Columns that stand beside the engines asked for, by name."""
    if "swift" not in engines:
        return {}
    return {AVERAGE: splat_and_warp, UNTRAINED: lambda kept: untrained(kept, rebuild)}
