"""What Kairos' own implicit motion learns, and from what: the paths of made scenes at many times.

It sees their flows as they are, as an estimator would have found them (told by what surrounds them where a point is
hidden in the other frame, a little wrong everywhere), or as ``swift``, or the quick search that it begins from, finds
them in the pictures. What it learns is whose motion a pixel follows, at pixels where neighbouring motions differ, and
how far to believe what the frames before and after the pair show of how paths bend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.gimm.anchored import Anchored, places
from kairos.engines.gimm.carried import Carried
from kairos.engines.gimm.ends import Ends, bend_of, bends_at, ends_of, ways
from kairos.engines.swift.prior import classical_prior
from kairos.motion.fill import fill_holes
from kairos.training.scenes import VERSION, Paths, Scenes, Switches
from kairos.training.searched import Find, searched_flows, swift_flows
from kairos.training.swift import turned_flow
from kairos.training.task import VALIDATION_SEED

BATCH = 4

SIZES: Mapping[str, Any] = {"latent": 8, "width": 24, "hidden": 48}
"""Of the network that is trained."""

TIMES = tuple(number / 8 for number in range(1, 8))
"""At which it is judged."""

SWITCHES = Switches(films=False, shadows=False, shutter=False, brightness=False)
"""What is on the pictures besides what moves is left out: a film or a shadow moves as nothing in the truth does."""

_LOOKS = 8
"""Every scene is looked at in this many steps in a row, at other times and turned over another way."""
_PER_LOOK = 1
"""Times per step."""
_PIXELS = 1024
"""Pixels per scene and time."""

_UNSEEN = 0.1
"""Weight of points that neither frame shows."""
_FOUR = 0.6
"""Part of the steps that see the frame before the pair, and of those that see the frame after it."""
_EXACT, _SEARCHED, _NETWORKS = 0.35, 0.2, 0.25
"""Part of the scenes whose true flows are seen, of those whose pictures are searched, and of those in which ``swift``
finds the motion.
"""
_OFF, _PART = 0.3, 0.02
"""Error of the flows that it sees: most pixels, and most part of the longest motion besides."""
_PATCH = 16
"""Pixels over which the flows' error is the same way."""
_SMEARED = 0.3
"""Part of what is asked for which what has arrived is smeared."""
_SQUARE, _BELIEF = 0.3, 0.3
"""Weights of the mean square error, and of the mean error of all motions, as much as each is believed, beside the mean
error of what is told.
"""
_SLIGHT = 0.02
"""An error that does not matter, pixels."""
_EASE = 0.25
"""An error of bends counts as its part of half of what straight paths have, and so many pixels."""


@dataclass(frozen=True)
class Asked:
    """Pixels of one scene at one time.

    Attributes:
        scene: whose.
        time: between 0 and 1.
        base: (2, H, W) velocity that has arrived.
        pixels: (N,), row by row, where neighbouring motions differ; others: (M,), anywhere.
        velocity, weight: (2, H, W) and (1, H, W), the truth, and how much it counts.
        away: (2, H, W), how far pixels truly lie from the straight line.
    """

    scene: int
    time: float
    base: Tensor
    pixels: Tensor
    others: Tensor
    velocity: Tensor
    weight: Tensor
    away: Tensor


@dataclass(frozen=True)
class GimmBatch:
    """What both frames of some scenes tell, and what they are asked."""

    ends: Tuple[Ends, ...]
    asked: Tuple[Asked, ...]


@dataclass(frozen=True)
class _Scene:
    """(2, H, W) flows as they are seen: there, back, to the frame before, to the frame after; and the truth."""

    flows: Tuple[Tensor, ...]
    paths: Paths


class GimmTask:
    """See :class:`kairos.training.task.Task`. ``count``: scenes per step."""

    id = "gimm"

    def __init__(self, count: int = BATCH) -> None:
        self._count = count
        self._scenes: Dict[Tuple[int, int, str], Scenes] = {}
        self._last: Optional[Tuple[Tuple[int, int, int, str], List[_Scene], Tuple[float, ...]]] = None

    def __getstate__(self) -> Dict[str, Any]:
        """Another process makes its own scenes."""
        return {**self.__dict__, "_scenes": {}, "_last": None}

    def model(self) -> nn.Module:
        """A fresh network."""
        return Anchored(**SIZES)

    def samples(self, batch: GimmBatch) -> int:
        """Scenes in a batch."""
        return len(batch.ends)

    def provenance(self) -> Mapping[str, str]:
        """Version of the scenes, and how many are seen at once."""
        return {"scenes": str(VERSION), "scenes per step": str(self._count)}

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> GimmBatch:
        """Scenes number ``step / _LOOKS * count`` and following, at this step's times, turned over for it."""
        scenes, times = self._made(seed, step // _LOOKS, size, device)
        look = step % _LOOKS
        chosen = range(look * _PER_LOOK, (look + 1) * _PER_LOOK)
        draw = np.random.default_rng((seed, step))
        around = draw.random() < _FOUR, draw.random() < _FOUR
        picks = torch.Generator().manual_seed(int(draw.integers(1 << 62)))
        ends, asked = [], []
        for number, scene in enumerate(scenes):
            flows = [turned_flow(flow[None], step)[0] for flow in scene.flows]
            seen = _Seen.of(
                flows[0], flows[1], *(flow if is_seen else None for flow, is_seen in zip(flows[2:], around))
            )
            ends.append(seen.ends)
            asked += [_asked(number, seen, scene.paths, times[index], index, step, picks) for index in chosen]
        return GimmBatch(tuple(ends), tuple(asked))

    def loss(self, model: nn.Module, batch: GimmBatch, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        """Errors of the velocity and of its square, by how often they halve what arrives with; and of bends."""
        network: Any = model
        seen = [network.seen(ends) for ends in batch.ends]
        sums = {name: batch.asked[0].base.new_zeros(()) for name in ("velocity", "square", "believed", "bend")}
        for asked in batch.asked:
            pair = seen[asked.scene]
            with torch.no_grad():
                bend = bends_at(pair.ends, asked.time, asked.base)
            arrived = torch.cat([asked.base, bend]).flatten(1).T.contiguous()
            motions, says = network.weighed(pair, asked.time, arrived, asked.pixels)
            if len(asked.pixels):
                truth, weight = asked.velocity.flatten(1).T[asked.pixels], asked.weight.flatten()[asked.pixels]
                off = _long(motions[..., :2] - truth[:, None])
                told = _long((motions[..., :2] * says[..., None]).sum(1) - truth)
                sums["velocity"] = sums["velocity"] + _ratio(told * weight, off[:, 0] * weight)
                sums["square"] = sums["square"] + _ratio(told.square() * weight, off[:, 0].square() * weight)
                sums["believed"] = sums["believed"] + _ratio((off * says).sum(1) * weight, off[:, 0] * weight)
            if pair.ends.bent:
                some = asked.others
                velocity, begun, away, weight = (
                    planes.flatten(1).T[some] for planes in (asked.base, bend, asked.away, asked.weight)
                )
                place = (some % bend.shape[-1]).float(), (some // bend.shape[-1]).float()
                found = bend_of(pair.ends, asked.time, velocity, begun, place) * (asked.time * (1 - asked.time))
                part = _long(found - away) / (0.5 * _long(away) + _EASE) * weight[:, 0]
                sums["bend"] = sums["bend"] + part.sum() / weight.sum().clamp(min=64.0)
        parts = {name: value / len(batch.asked) for name, value in sums.items()}
        total = parts["velocity"] + _SQUARE * parts["square"] + _BELIEF * parts["believed"] + parts["bend"]
        return total, {name: float(part.detach()) for name, part in parts.items()}

    def validate(self, model: nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        """End-point errors in pixels, means over :data:`TIMES` and scenes of the validation seed.

        Of the velocity, first with true flows, then with those of the search: ``two`` frames seen and ``four``, beside
        what arrives from as many (``carried two`` and so on); ``way``: of the ways to both frames, four frames seen,
        beside those along what arrives. The score is the opposite of the sum of the logarithms of what each becomes.
        """
        network: Any = model
        sums: Dict[str, float] = {}
        supply = self._supply(VALIDATION_SEED, 256, device)
        with torch.no_grad():
            for number in range(count):
                paths = supply.paths(number, TIMES[::2])
                for kind, flows in (("", _true(paths)), ("searched ", _searched(supply, number))):
                    for frames, far in (("two", (None, None)), ("four", flows[2:])):
                        seen = _Seen.of(flows[0], flows[1], *far)
                        pair = network.seen(seen.ends)
                        for index, time in enumerate(TIMES[::2]):
                            base = seen.carried.path(time)
                            begun = torch.cat([base[:2], bends_at(pair.ends, time, base[:2])])
                            told = network.told(pair, time, begun)
                            for name, found in ((f"{kind}{frames}", told), (f"{kind}carried {frames}", base)):
                                velocity, way = (
                                    each / (count * len(TIMES[::2])) for each in _errors(found, paths, index)
                                )
                                sums[name] = sums.get(name, 0.0) + velocity
                                if frames == "four":
                                    sums[f"{name} way"] = sums.get(f"{name} way", 0.0) + way
        own = ("two", "four", "searched two", "searched four", "four way", "searched four way")
        score = -sum(float(np.log(max(sums[name], 1e-6))) for name in own)
        return {**sums, "score": score}

    def _made(self, seed: int, number: int, size: int, device: torch.device) -> Tuple[List[_Scene], Tuple[float, ...]]:
        """Scenes, and the times at which they are known."""
        key = (seed, number, size, str(device))
        if self._last is None or self._last[0] != key:
            supply = self._supply(seed, size, device)
            draw = np.random.default_rng((seed, number, len(TIMES)))
            times = tuple(map(float, draw.uniform(0.02, 0.98, _LOOKS * _PER_LOOK)))
            first = number * self._count
            scenes = [_seen_scene(supply, index, times, draw) for index in range(first, first + self._count)]
            self._last = (key, scenes, times)
        return self._last[1:]

    def _supply(self, seed: int, size: int, device: torch.device) -> Scenes:
        key = (seed, size, str(device))
        if key not in self._scenes:
            self._scenes[key] = Scenes(seed, size, size, device=device, switches=SWITCHES)
        return self._scenes[key]


@dataclass(frozen=True)
class _Seen:
    """A pair's flows made ready."""

    ends: Ends
    carried: Carried

    @staticmethod
    def of(there: Tensor, back: Tensor, before: Optional[Tensor], after: Optional[Tensor]) -> _Seen:
        ends = ends_of(there, back, before, after)
        return _Seen(ends, Carried(there, back, *ends.bends()))


def _seen_scene(supply: Scenes, index: int, times: Sequence[float], draw: np.random.Generator) -> _Scene:
    paths = supply.paths(index, times)
    kind, noise = draw.random(), torch.Generator().manual_seed(int(draw.integers(1 << 62)))
    if kind < _EXACT:
        return _Scene(_true(paths), paths)
    if kind < _EXACT + _SEARCHED:
        return _Scene(_searched(supply, index), paths)
    if kind < _EXACT + _SEARCHED + _NETWORKS:
        return _Scene(_searched(supply, index, swift_flows), paths)
    there, back, before, after = (
        _estimated(getattr(paths, f"flow_{way}"), getattr(paths, f"visible_{way}"), noise)
        for way in ("01", "10", "0_before", "1_after")
    )
    return _Scene((there, back, before, after), paths)


def _true(paths: Paths) -> Tuple[Tensor, ...]:
    return paths.flow_01, paths.flow_10, paths.flow_0_before, paths.flow_1_after


def _searched(supply: Scenes, index: int, find: Find = classical_prior) -> Tuple[Tensor, ...]:
    before, first, second, after = supply.render(index, (-1.0, 0.0, 1.0, 2.0))
    return searched_flows(before, first, second, after, find)


def _asked(scene: int, seen: _Seen, paths: Paths, time: float, index: int, turn: int, picks: torch.Generator) -> Asked:
    base = seen.carried.path(time)[:2]
    if float(torch.rand((), generator=picks)) < _SMEARED:
        # As an engine's own motion may be that is found on a coarser grid.
        side = 3 + 2 * int(torch.randint(3, (), generator=picks))
        base = F.avg_pool2d(base[None], side, 1, side // 2, count_include_pad=False)[0]
    pixels = places(base)
    if len(pixels) > _PIXELS:
        pixels = pixels[torch.randperm(len(pixels), generator=picks)[:_PIXELS].to(pixels.device)]
    others = torch.randint(base[0].numel(), (_PIXELS,), generator=picks).to(base.device)
    to_0, to_1 = (turned_flow(way[index][None], turn)[0] for way in (paths.flow_t0, paths.flow_t1))
    shown = torch.maximum(paths.visible_t0[index], paths.visible_t1[index])
    weight = turned_plane(paths.valid_t[index] * (_UNSEEN + (1 - _UNSEEN) * shown), turn)
    away = -to_0 * (1 - time) - to_1 * time
    return Asked(scene, time, base, pixels, others, to_1 - to_0, weight, away)


def turned_plane(planes: Tensor, step: int) -> Tensor:
    """Planes without a direction, turned as flows are in that step."""
    axes = [axis for bit, axis in ((1, -1), (2, -2)) if step & bit]
    return planes.flip(axes) if axes else planes


def _estimated(flow: Tensor, visible: Tensor, noise: torch.Generator) -> Tensor:
    """A true flow (2, H, W) as an estimator would find it."""
    guessed = fill_holes(flow, visible > 0.5)
    height, width = flow.shape[-2:]
    off = torch.randn(1, 2, height // _PATCH + 2, width // _PATCH + 2, generator=noise)
    off = F.interpolate(off, (height, width), mode="bicubic", align_corners=False)[0].to(flow.device)
    most = float(torch.rand((), generator=noise))
    return guessed + off * most * (_OFF + _PART * float(flow.abs().max()) * (most > 0.5))


def _errors(found: Tensor, paths: Paths, index: int) -> Tuple[float, float]:
    """Mean errors of the velocity and of the ways to both frames, (4, H, W) of velocity and bend, in pixels, where the
    truth is valid and either frame shows the point.
    """
    to_0, to_1 = paths.flow_t0[index], paths.flow_t1[index]
    here = (paths.valid_t[index] > 0.5) & (torch.maximum(paths.visible_t0[index], paths.visible_t1[index]) > 0.5)
    time = TIMES[::2][index]

    def mean(off: Tensor) -> float:
        return float((_long(off.permute(1, 2, 0)) * here[0]).sum() / here.sum().clamp(min=1))

    ours = ways(found[:2], found[2:], time)
    return mean(found[:2] - (to_1 - to_0)), 0.5 * (mean(ours[0] - to_0) + mean(ours[1] - to_1))


def _ratio(found: Tensor, begun: Tensor) -> Tensor:
    """How often a mean error is doubled."""
    return ((found.mean() + _SLIGHT) / (begun.mean() + _SLIGHT)).log2()


def _long(vectors: Tensor) -> Tensor:
    # Smooth at nothing: its slope there is none.
    return (vectors.square().sum(-1) + 1e-6).sqrt()
