"""What Kairos' own implicit motion learns, and from what: the paths of made scenes at many times, without pictures.

It sees the true flows as an estimator would have found them: told by what surrounds them where a point is hidden in
the other frame, and a little wrong everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.gimm.anchored import Anchored, Bends, bends_of, filled, ways
from kairos.engines.gimm.motion import coarse
from kairos.engines.gimm.network import State
from kairos.training.losses import robust
from kairos.training.scenes import VERSION, Paths, Scenes
from kairos.training.swift import turned_flow
from kairos.training.task import VALIDATION_SEED

BATCH = 4

SIZES: Mapping[str, Any] = {
    "latent": 8, "widths": [16, 16], "blocks": 1, "refined": [16, 24], "refiners": 1, "hidden": 48, "layers": 4,
}  # fmt: skip
"""Of the network that is trained: a hundredth of the published one's work on a grid of cells of four pixels."""

TIMES = tuple(number / 8 for number in range(1, 8))
"""At which it is judged."""

_LOOKS = 4
"""Every scene is looked at in this many steps in a row, at other times and turned over another way."""
_PER_LOOK = 2
"""Times per step."""
CELL = 4
"""Pixels per cell of the grid on which it learns."""

_UNSEEN = 0.1
"""Weight of points that neither frame shows."""
_FOUR = 0.6
"""Part of the steps that see the frame before the pair, and of those that see the frame after it."""
_EXACT = 0.2
"""Part of the steps that see the true flows as they are."""
_OFF, _PART = 0.3, 0.02
"""Error of the flows that it sees: most pixels, and most part of the longest motion besides."""
_PATCH = 16
"""Pixels over which the flows' error is the same way."""


@dataclass(frozen=True)
class GimmBatch:
    """B scenes on a grid of cells, in pixels of the frame; T times.

    Attributes:
        flow_01, flow_10, before, after: (B, 2, h, w), as they are seen, the last two to the frames around the pair, not
            a number where these are not shown.
        times: (T,).
        flow_t0, flow_t1: (T, B, 2, h, w), true; weight: (T, B, 1, h, w).
    """

    flow_01: Tensor
    flow_10: Tensor
    before: Tensor
    after: Tensor
    times: Tuple[float, ...]
    flow_t0: Tensor
    flow_t1: Tensor
    weight: Tensor


class GimmTask:
    """See :class:`kairos.training.task.Task`. ``count``: scenes per step."""

    id = "gimm"

    def __init__(self, count: int = BATCH) -> None:
        self._count = count
        self._scenes: Dict[Tuple[int, int, str], Scenes] = {}
        self._last: Optional[Tuple[Tuple[int, int, int, str], List[Paths], Tuple[float, ...]]] = None

    def __getstate__(self) -> Dict[str, Any]:
        """Another process makes its own scenes."""
        return {**self.__dict__, "_scenes": {}, "_last": None}

    def model(self) -> nn.Module:
        """A fresh network."""
        return Anchored(**SIZES)

    def samples(self, batch: GimmBatch) -> int:
        """Scenes in a batch."""
        return len(batch.flow_01)

    def provenance(self) -> Mapping[str, str]:
        """Version of the scenes, and how many are seen at once."""
        return {"scenes": str(VERSION), "scenes per step": str(self._count)}

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> GimmBatch:
        """Scenes number ``step / _LOOKS * count`` and following, at this step's times, turned over for it."""
        paths, times = self._made(seed, step // _LOOKS, size, device)
        look = step % _LOOKS
        chosen = range(look * _PER_LOOK, (look + 1) * _PER_LOOK)
        draw = np.random.default_rng((seed, step))
        exact = draw.random() < _EXACT
        noise = torch.Generator().manual_seed(int(draw.integers(1 << 62)))
        around = draw.random() < _FOUR, draw.random() < _FOUR
        return _batch(paths, times, list(chosen), step, None if exact else noise, around)

    def loss(self, model: nn.Module, batch: GimmBatch, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        """Errors of the velocity and of the distance from the straight line at every time."""
        network, state, bends = _begun(model, batch)
        parts = {"velocity": batch.weight.new_zeros(()), "bend": batch.weight.new_zeros(())}
        for number, time in enumerate(batch.times):
            path = network.path(state, time, bends)
            velocity, away = _truth(batch, number)
            found = path.velocity * CELL - velocity, path.bend * (CELL * time * (1 - time)) - away
            for name, off in zip(parts, found):
                parts[name] = parts[name] + _mean(robust(off), batch.weight[number])
        total = torch.stack(list(parts.values())).sum() / len(batch.times)
        return total, {name: float(part.detach()) / len(batch.times) for name, part in parts.items()}

    def validate(self, model: nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        """End-point errors in pixels, means over :data:`TIMES` and scenes of the validation seed.

        Of the velocity: ``velocity``, and beside it what arrives uncorrected (``forward``) and motion that stays where
        it is (``linear``). Of the ways to both frames: ``two`` frames seen, ``straight`` what arrives uncorrected,
        ``four`` frames seen, and ``quadratic`` what arrives on the parabola through four. The score is the opposite of
        the first and of both own ways.
        """
        supply = self._supply(VALIDATION_SEED, 256, device)
        sums: Dict[str, float] = {}
        with torch.no_grad():
            for number in range(count):
                noise = torch.Generator().manual_seed(number)
                paths = [supply.paths(number, TIMES)]
                batch = _batch(paths, TIMES, list(range(len(TIMES))), 0, noise, (True, True))
                for name, value in _errors(model, batch).items():
                    sums[name] = sums.get(name, 0.0) + value / count
        return {**sums, "score": -sums["velocity"] - sums["two"] - sums["four"]}

    def _made(self, seed: int, number: int, size: int, device: torch.device) -> Tuple[List[Paths], Tuple[float, ...]]:
        """Scenes, and the times at which they are known."""
        key = (seed, number, size, str(device))
        if self._last is None or self._last[0] != key:
            supply = self._supply(seed, size, device)
            draw = np.random.default_rng((seed, number, len(TIMES)))
            times = tuple(map(float, draw.uniform(0.02, 0.98, _LOOKS * _PER_LOOK)))
            first = number * self._count
            self._last = (key, [supply.paths(index, times) for index in range(first, first + self._count)], times)
        return self._last[1:]

    def _supply(self, seed: int, size: int, device: torch.device) -> Scenes:
        key = (seed, size, str(device))
        if key not in self._scenes:
            self._scenes[key] = Scenes(seed, size, size, device=device)
        return self._scenes[key]


def _batch(
    paths: List[Paths],
    times: Tuple[float, ...],
    chosen: List[int],
    turn: int,
    noise: Optional[torch.Generator],
    around: Tuple[bool, bool],
) -> GimmBatch:
    flows = []
    for way in ("01", "10", "0_before", "1_after"):
        flow = turned_flow(torch.stack([getattr(each, f"flow_{way}") for each in paths]), turn)
        visible = turned_plane(torch.stack([getattr(each, f"visible_{way}") for each in paths]), turn)
        flows.append(flow if noise is None else _estimated(flow, visible, noise))
    there, back, *beyond = flows
    before, after = (flow if seen else torch.full_like(flow, torch.nan) for flow, seen in zip(beyond, around))
    to_0, to_1 = (
        turned_flow(torch.stack([getattr(each, name)[chosen] for each in paths], 1), turn)
        for name in ("flow_t0", "flow_t1")
    )
    seen = torch.stack([torch.maximum(each.visible_t0, each.visible_t1)[chosen] for each in paths], 1)
    valid = torch.stack([each.valid_t[chosen] for each in paths], 1)
    weight = turned_plane(valid * (_UNSEEN + (1 - _UNSEEN) * seen), turn)
    return GimmBatch(
        _shrunk(there),
        _shrunk(back),
        _shrunk(before),
        _shrunk(after),
        tuple(times[number] for number in chosen),
        _shrunk(to_0),
        _shrunk(to_1),
        _shrunk(weight),
    )


def turned_plane(planes: Tensor, step: int) -> Tensor:
    """Planes without a direction, turned as flows are in that step."""
    axes = [axis for bit, axis in ((1, -1), (2, -2)) if step & bit]
    return planes.flip(axes) if axes else planes


def _estimated(flow: Tensor, visible: Tensor, noise: torch.Generator) -> Tensor:
    """A true flow as an estimator would find it."""
    guessed = filled(flow, (visible > 0.5).to(flow.dtype))
    batch, _, height, width = flow.shape
    off = torch.randn(batch, 2, height // _PATCH + 2, width // _PATCH + 2, generator=noise)
    off = F.interpolate(off, (height, width), mode="bicubic", align_corners=False).to(flow.device)
    most = torch.rand(batch, 1, 1, 1, generator=noise).to(flow.device)
    longest = flow.abs().amax((1, 2, 3), keepdim=True)
    return guessed + off * most * (_OFF + _PART * longest * (most > 0.5))


def _begun(model: nn.Module, batch: GimmBatch) -> Tuple[Anchored, State, Bends]:
    network: Any = model
    flows = [flow / CELL for flow in (batch.flow_01, batch.flow_10, batch.before, batch.after)]
    return network, network.encode(*flows[:2]), bends_of(*flows)


def _truth(batch: GimmBatch, number: int) -> Tuple[Tensor, Tensor]:
    """Velocity at a time, and how far what is seen there lies from the straight line; both (B, 2, h, w) pixels."""
    to_0, to_1, time = batch.flow_t0[number], batch.flow_t1[number], batch.times[number]
    return to_1 - to_0, -to_0 * (1 - time) - to_1 * time


def _errors(model: nn.Module, batch: GimmBatch) -> Dict[str, float]:
    network, state, bends = _begun(model, batch)
    sums: Dict[str, float] = {}

    def count(name: str, found: Tensor, truth: Tensor, number: int) -> None:
        off = (found * CELL - truth).square().sum(1, keepdim=True).sqrt()
        weight = batch.weight[number].repeat(1, 1, 1, truth.shape[-1] // batch.weight.shape[-1])
        sums[name] = sums.get(name, 0.0) + float(_mean(off, weight)) / len(batch.times)

    for number, time in enumerate(batch.times):
        two, four = network.path(state, time), network.path(state, time, bends)
        staying = (batch.flow_01 * (1 - time) - batch.flow_10 * time) / CELL
        for name, found in (("velocity", two.velocity), ("forward", two.arrived), ("linear", staying)):
            count(name, found, _truth(batch, number)[0], number)
        for name, velocity, bend in (
            ("two", two.velocity, two.bend),
            ("straight", two.arrived, torch.zeros_like(two.bend)),
            ("four", four.velocity, four.bend),
            ("quadratic", two.arrived, four.given),
        ):
            # Both ways side by side: the mean over both.
            found = torch.cat(ways(velocity, bend, time), -1)
            count(name, found, torch.cat([batch.flow_t0[number], batch.flow_t1[number]], -1), number)
    return sums


def _shrunk(planes: Tensor) -> Tensor:
    """Means over cells, in the frame's pixels still."""
    flat = planes.reshape(-1, *planes.shape[-3:])
    return (coarse(flat, CELL) * CELL).reshape(*planes.shape[:-2], -(-planes.shape[-2] // CELL), -1)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1.0)
