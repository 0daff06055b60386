"""What hierarchical motion on ``swift`` learns, and from what: which object every pixel of a made scene shows.

The base stays as it is. The plug-in sees its features and the motion it has found so far, and regions that are the
scene's own objects, or have the faults that masks have, or are not there at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from kairos.engines.files import file_hash
from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.cells import both_at_cells
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy, level_of
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.engines.swift.motion import COARSE, Estimate, Features, Step, levels_of
from kairos.engines.swift.network import Swift
from kairos.training.corrupted import corrupted
from kairos.training.losses import robust
from kairos.training.scenes import VERSION, SceneBatch, Scenes
from kairos.training.swift import (
    SwiftBatch,
    SwiftTask,
    flow_weight,
    meeting_answers,
    motion_losses,
    priors,
    shrunk,
    weighted_mean,
)
from kairos.training.task import VALIDATION_SEED

BATCH = 4

MASKS = ("true", "harmed", "none")
"""What a scene's regions can be: its objects, those with the faults that masks have, and one region for all."""

_HARMED = 0.5
"""Part of the scenes whose masks have suffered: one in five of these has none left."""
_HALF = 0.5
"""Part of the steps that are looked at as the half-sized picture of a frame twice as large."""

_FAST, _OF = 12.0, 3
"""Scenes are those that move by so many pixels and more, of this many times as many: where little moves there is
nothing for regions to tell.
"""

_STEP, _MATCHED = 0.5, 0.1
"""Weights of the flow's error right after the plug-in, and of what regions alone tell of it."""

_LARGE = 20.0
"""Motion over this many pixels is judged by itself, too."""

Labels = Tuple[Tensor, Tensor]
"""Label maps (B, H, W) int16 of the first and of the second frame."""


@dataclass(frozen=True)
class HierarchicalBatch:
    """Scenes with the motion known beforehand, their label maps at pixels, and the size at which motion is found."""

    seen: SwiftBatch
    labels: Labels
    scale: float


@dataclass(frozen=True)
class Looked:
    """What the base sees of scenes, whatever the regions.

    Attributes:
        scenes: as they are.
        first, second: features of both frames.
        prior: (2B, 2, H, W) pixels, or None.
        scale: part of the frame's size that the picture is taken for.
    """

    scenes: SceneBatch
    first: Features
    second: Features
    prior: Optional[Tensor]
    scale: float = 1.0

    @property
    def level(self) -> int:
        """Number of the coarse level at which the plug-in stands."""
        return level_of(self.scale, len(self.first.coarse))

    def cells(self, labels: Labels) -> Labels:
        """Label maps of all scenes at the cells of that level."""
        size = self.first.coarse[self.level].shape[-2:]
        first, second = zip(*(both_at_cells(one, two, (size[0], size[1])) for one, two in zip(*labels)))
        return torch.cat(first), torch.cat(second)


@dataclass(frozen=True)
class Answered:
    """Estimates, the flow (2B, 2, H, W) of both ways, and pictures (B, 3, H, W) at the scenes' times."""

    estimates: List[Estimate]
    flow: Tensor
    pictures: Tensor


class _FastScenes(SwiftTask):
    """Scenes, their turns and their exposure as swift itself learns from them, but where much moves; with the objects
    that masks tell of, and what the search makes of them.
    """

    def _drawn(self, supply: Scenes, number: int) -> SceneBatch:
        made = supply.chosen(fast(supply, number * self._count * _OF, self._count))
        draw = np.random.default_rng((supply.seed, number, len(PARTS)))
        told = torch.stack(harmed(objects_of(made), draw, _HARMED), 1)[:, :, None]
        ids = torch.cat([told[:, :1], made.ids[:, 1:2], told[:, 1:]], 1)
        return replace(made, ids=ids.to(made.ids.dtype))

    def _known(self, made: SceneBatch) -> Tensor:
        return region_priors(made, objects_of(made))


class HierarchicalTask:
    """See :class:`kairos.training.task.Task`.

    Args:
        count: scenes per step.
        parts: of the hierarchy; the rest is left out.
    """

    id = "hierarchical"

    def __init__(self, count: int = BATCH, parts: Tuple[str, ...] = PARTS) -> None:
        self._count, self._parts = count, parts
        self._seen = _FastScenes(count, "motion")
        self._bases: Dict[str, Swift] = {}

    def __getstate__(self) -> Dict[str, Any]:
        """Another process makes scenes, and judges nothing."""
        return {**self.__dict__, "_bases": {}}

    def model(self) -> nn.Module:
        """A fresh plug-in, which answers nothing."""
        return SwiftHierarchy(self._parts)

    def samples(self, batch: HierarchicalBatch) -> int:
        """Scenes in a batch."""
        return len(batch.seen.scenes.time)

    def provenance(self) -> Mapping[str, str]:
        """Version of the scenes, how many are seen at once, the parts, and which base it was made for."""
        told = {"scenes": str(VERSION), "scenes per step": str(self._count), "parts": " ".join(self._parts)}
        return {**told, "base": "swift", "base sha256": file_hash(SHIPPED)}

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> HierarchicalBatch:
        """Swift's scenes of that step, and what masks tell of their objects."""
        seen = self._seen.batch(seed, step, size, device)
        draw = np.random.default_rng((seed, step, len(PARTS)))
        return HierarchicalBatch(seen, objects_of(seen.scenes), 0.5 if draw.random() < _HALF else 1.0)

    def loss(self, model: nn.Module, batch: HierarchicalBatch, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        """Errors of what regions tell, of the motion right after it, and of the motion at every finer scale."""
        seen = looked(self.base(batch.seen.scenes.frames.device), batch.seen.scenes, batch.seen.prior, batch.scale)
        parts = losses(self.base(batch.seen.scenes.frames.device), model, seen, batch.labels)
        total = torch.stack(list(parts.values())).sum()
        return total, {name: float(part.detach()) for name, part in parts.items()}

    def validate(self, model: nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        """PSNR at t and end-point errors over scenes of the validation seed where much moves, with each of
        :data:`MASKS`, and of the base (``base true`` and so on), whose search knows the same masks. The score is the
        gain over the base in PSNR less a fifth of the end-point error, that with true masks counting half.
        """
        plugin: Any = model
        supply = Scenes(VALIDATION_SEED, 256, 256, device=device)
        base = self.base(device)
        sums: Dict[str, float] = {}
        with torch.no_grad():
            for first in range(0, count, BATCH):
                scenes = supply.chosen(fast(supply, first * _OF, min(BATCH, count - first)))
                for name, figures in _judged(base, plugin, scenes, first).items():
                    for figure, value in figures.items():
                        sums[f"{figure} {name}"] = sums.get(f"{figure} {name}", 0.0) + value
        found = {name: value / count for name, value in sums.items()}
        gains = [found[f"psnr {name}"] - found[f"psnr base {name}"] for name in MASKS]
        less = [found[f"epe base {name}"] - found[f"epe {name}"] for name in MASKS]
        found["score"] = sum(part * (gain + 0.2 * drop) for part, gain, drop in zip((0.5, 0.25, 0.25), gains, less))
        return found

    def base(self, device: torch.device) -> Swift:
        """The network that is plugged into, as it comes with Kairos."""
        if str(device) not in self._bases:
            self._bases[str(device)] = load_network(SHIPPED, device)
        return self._bases[str(device)]


def fast(supply: Scenes, first: int, count: int) -> List[int]:
    """Numbers of the first so many scenes from a number on that move by :data:`_FAST` pixels; of ``_OF`` times as many
    scenes the fastest where there are fewer.
    """
    speeds = {number: supply.scene(number).speed for number in range(first, first + count * _OF)}
    found = [number for number, speed in speeds.items() if speed >= _FAST][:count]
    slower = sorted(set(speeds) - set(found), key=lambda number: (-speeds[number], number))
    return sorted(found + slower[: count - len(found)])


def objects_of(scenes: SceneBatch) -> Labels:
    """The objects of all scenes as label maps."""
    return scenes.ids[:, 0, 0].to(torch.int16), scenes.ids[:, 2, 0].to(torch.int16)


def region_priors(scenes: SceneBatch, labels: Optional[Labels]) -> Tensor:
    """(2B, 2, H, W): what the search finds that is told objects; of a scene with one region it is told nothing."""
    if labels is None:
        return priors(scenes)
    told = [(one.cpu().numpy(), two.cpu().numpy()) for one, two in zip(*labels)]
    return priors(scenes, [each if each[0].any() and each[1].any() else None for each in told])


def harmed(labels: Labels, draw: np.random.Generator, share: float) -> Labels:
    """Label maps of which that share of the scenes has suffered, each frame by itself."""
    dice = torch.Generator().manual_seed(int(draw.integers(1 << 62)))
    suffers = (draw.random(len(labels[0])) < share).tolist()
    first, second = (
        torch.stack([corrupted(each, dice) if bad else each for each, bad in zip(frame, suffers)]) for frame in labels
    )
    return first, second


def looked(base: Swift, scenes: SceneBatch, prior: Optional[Tensor], scale: float = 1.0) -> Looked:
    """What the base sees of scenes, learning nothing."""
    levels = levels_of(scenes.frames.shape[-2], scenes.frames.shape[-1])
    with torch.no_grad():
        first, second = (base.motion.encoder(scenes.frames[:, number], levels) for number in (0, 2))
    return Looked(scenes, first, second, prior, scale)


def losses(base: Swift, model: nn.Module, seen: Looked, labels: Labels) -> Dict[str, Tensor]:
    """What a plug-in's motion is wrong by.

    Args:
        base: learns nothing.
        model: a :class:`kairos.engines.hierarchical.plugged_swift.SwiftHierarchy`.
        seen: of the base.
        labels: (B, H, W) of both frames.
    """
    plugin: Any = model
    level, stride = seen.level, COARSE << seen.level
    after: List[Tensor] = []
    cells = seen.cells(labels)
    met = plugin.meet(seen.first.coarse[level], seen.second.coarse[level], *cells)

    def moved(flow: Tensor, prior: Optional[Tensor]) -> Tuple[Tensor, Optional[Tensor]]:
        found: Tuple[Tensor, Optional[Tensor]] = plugin.bettered(
            met, flow, prior, stride, (torch.cat(cells), torch.cat(labels))
        )
        after.append(found[0])
        return found

    estimates, flow = base.motion(seen.first, seen.second, seen.prior, step=Step(level, moved))
    all_parts = motion_losses(seen.scenes, estimates, flow)
    parts = {name: all_parts[name] for name in ("flow", "scales")}
    truth, weight = flow_weight(seen.scenes)
    target, share = (shrunk(planes, stride, after[0]) for planes in (truth, weight))
    parts["step"] = _STEP * weighted_mean(robust(after[0] * stride - target), share)
    if met.motion is not None:
        parts["matched"] = _MATCHED * weighted_mean(robust(met.motion * stride - target), share)
    return parts


def answered(base: Swift, plugin: Optional[SwiftHierarchy], seen: Looked, labels: Optional[Labels]) -> Answered:
    """Motion and picture of scenes, by the base alone where there is no plug-in."""
    step = None
    if plugin is not None:
        cells = None if labels is None else seen.cells(labels)
        step = plugin.step(seen.first, seen.second, seen.scale, cells, labels)
    estimates, flow = base.motion(seen.first, seen.second, seen.prior, step=step)
    pictures = torch.stack([each.picture for each in meeting_answers(base, seen.scenes, estimates[-1], flow)])
    return Answered(estimates, flow, pictures)


def picture_psnr(scenes: SceneBatch, pictures: Tensor) -> Tensor:
    """(B,) dB, of pictures (B, 3, H, W) at the scenes' times, clamped to 0..1."""
    error = (pictures.clamp(0, 1) - scenes.frames[:, 1].clamp(0, 1)).square().mean((1, 2, 3))
    return -10 * error.clamp(min=1e-7).log10()


def _judged(base: Swift, plugin: SwiftHierarchy, scenes: SceneBatch, number: int) -> Dict[str, Dict[str, float]]:
    """Sums over scenes, by masks, without and with the plug-in."""
    true = objects_of(scenes)
    draw = np.random.default_rng((VALIDATION_SEED, number))
    masks = {"true": true, "harmed": harmed(true, draw, 1.0), "none": None}
    truth, weight = flow_weight(scenes)
    known = (weight > 0.9).float()
    large = known * (truth.square().sum(1, keepdim=True) > _LARGE**2)
    found = {}
    for name, labels in masks.items():
        seen = looked(base, scenes, region_priors(scenes, labels))
        for title, part in ((f"base {name}", None), (name, plugin)):
            answer = answered(base, part, seen, labels)
            apart = (answer.flow - truth).square().sum(1, keepdim=True).sqrt()
            found[title] = {
                "psnr": float(picture_psnr(scenes, answer.pictures).sum()),
                "epe": _per_scene(apart, known),
                "epe large": _per_scene(apart, large),
            }
    return found


def _per_scene(values: Tensor, mask: Tensor) -> float:
    """Sum over the scenes of the mean of both ways."""
    return float(((values * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)).sum()) / 2
