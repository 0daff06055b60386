"""What ``swift`` learns, and from what."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines.classic.midway import paths
from kairos.engines.classic.motion import Found, PairMotion, layer_of
from kairos.engines.classic.regions import Labels
from kairos.engines.swift.estimator import hidden_of
from kairos.engines.swift.meeting import Told, arrival, base_logits, evidence, halved, told_hidden
from kairos.engines.swift.motion import Estimate, levels_of
from kairos.engines.swift.network import Decision, Swift
from kairos.engines.swift.prior import classical_prior
from kairos.training.losses import FilmLoss, laplacian, robust
from kairos.training.scenes import VERSION, SceneBatch, Scenes
from kairos.training.task import VALIDATION_SEED

BATCH = 4

_LOOKS = 4
"""Every scene is looked at in this many steps in a row, each time turned over another way: making it costs more than
looking at it.
"""

PARTS = ("both", "motion", "meeting")
"""What of the network a training is about."""

_MEETING_FROM = 0.7
"""Part of a training of both after which the meeting network learns, too: it learns from the motion's mistakes."""

_WITHOUT_PRIOR = 0.3
"""Part of the steps that see no prior: the network stands alone, too."""
_DIM = 0.3
"""Part of the scenes that are darkened or brightened as a whole, so that no exposure is the only one known."""

_UNSEEN = 0.25
"""Weight of the motion of points that are not seen in the other frame: it can only be guessed."""

_LEVEL, _FINE, _WHOLE = 0.1, 0.3, 1.0
"""Weights of the flow's errors at each coarse scale, on the fine grid, and at every pixel."""
_HIDDEN, _DOUBT = 0.2, 0.02
_PICTURE, _DETAIL, _PATH, _COVERED = 8.0, 4.0, 0.5, 0.2

_MISSED = 2.5
"""What is hidden at the time is little: to miss it weighs as much as saying it this many times in vain."""

_LARGE = 20.0
"""Motion over this many pixels is judged by itself, too."""


@dataclass(frozen=True)
class SwiftBatch:
    """Scenes, and the motion known beforehand: (2B, 2, H, W) pixels, first to second on second to first, or None."""

    scenes: SceneBatch
    prior: Optional[Tensor]


class SwiftTask:
    """See :class:`kairos.training.task.Task`.

    Args:
        count: scenes per step.
        part: one of :data:`PARTS`: both, the motion alone, or the meeting alone, for which the motion stays as it is.
        film: judges the meeting's picture in place of pixels and detail in bands.
    """

    id = "swift"

    def __init__(self, count: int = BATCH, part: str = "both", film: Optional[FilmLoss] = None) -> None:
        self._count, self._part, self._film = count, part, film
        self._scenes: Dict[Tuple[int, int, str], Scenes] = {}
        self._last: Optional[Tuple[Tuple[int, int, int, str], SceneBatch, Tensor]] = None

    def __getstate__(self) -> Dict[str, Any]:
        """Another process makes its own scenes, and judges nothing."""
        return {**self.__dict__, "_scenes": {}, "_last": None, "_film": None}

    def model(self) -> nn.Module:
        """A fresh network."""
        return Swift()

    def samples(self, batch: SwiftBatch) -> int:
        """Scenes in a batch."""
        return len(batch.scenes.time)

    def provenance(self) -> Mapping[str, str]:
        """Version of the scenes, how many are seen at once, and what judges the picture where it is not Kairos' own."""
        own = {"scenes": str(VERSION), "scenes per step": str(self._count), "part": self._part}
        return own if self._film is None else {**own, **self._film.provenance()}

    def conditions(self) -> str:
        """See :class:`kairos.training.task.Conditioned`."""
        return "" if self._film is None else self._film.conditions()

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> SwiftBatch:
        """Scenes number ``step / _LOOKS * count`` and following, turned over for this step."""
        made, known = self._made(seed, step // _LOOKS, size, device)
        scenes = turned(made, step)
        draw = np.random.default_rng((seed, step))
        gain = np.where(draw.random(self._count) < _DIM, draw.uniform(0.25, 1.3, self._count), 1.0)
        gains = torch.as_tensor(gain, dtype=torch.float32, device=device).reshape(-1, 1, 1, 1, 1)
        scenes = replace(scenes, frames=scenes.frames * gains)
        prior = None if draw.random() < _WITHOUT_PRIOR else turned_flow(known, step)
        return SwiftBatch(scenes, prior)

    def loss(self, model: nn.Module, batch: SwiftBatch, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        """Motion at every scale; later in the training also the picture at the scene's time."""
        scenes = batch.scenes
        learns_motion = self._part != "meeting"
        with torch.set_grad_enabled(learns_motion):
            estimates, flow = _motion(model, scenes, batch.prior)
        parts = motion_losses(scenes, estimates, flow) if learns_motion else {}
        if not learns_motion or (self._part == "both" and progress >= _MEETING_FROM):
            begun = 0.0 if self._part == "meeting" else _MEETING_FROM
            spent = (progress - begun) / (1 - begun)
            parts.update(meeting_losses(model, scenes, estimates[-1], flow, self._film, spent))
        total = torch.stack(list(parts.values())).sum()
        return total, {name: float(part.detach()) for name, part in parts.items()}

    def validate(self, model: nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        """PSNR at t, end-point errors, and F1 of occlusion over scenes of the validation seed. The score is the PSNR
        less a fifth of the end-point error.
        """
        supply = self._supply(VALIDATION_SEED, 256, device)
        sums: Dict[str, float] = {}
        hits = misses = false = 0.0
        done = 0
        with torch.no_grad():
            while done < count:
                part = min(BATCH, count - done)
                scenes = supply.batch(done, part)
                estimates, flow = _motion(model, scenes, priors(scenes))
                alone = _motion(model, scenes, None)[1]
                answers = meeting_answers(model, scenes, estimates[-1], flow)
                for name, value in _figures(scenes, flow, alone, answers).items():
                    sums[name] = sums.get(name, 0.0) + value
                covered = torch.stack([torch.sigmoid(answer.covered) for answer in answers]) > 0.5
                truth = torch.cat([scenes.visible_t0, scenes.visible_t1], 1) < 0.5
                hits += float((covered & truth).sum())
                misses += float((~covered & truth).sum())
                false += float((covered & ~truth).sum())
                done += part
        large = max(1.0, sums.pop("large pixels"))
        found = {
            "psnr": sums["psnr"] / count,
            "epe": sums["epe"] / count,
            "epe prior": sums["epe prior"] / count,
            "epe alone": sums["epe alone"] / count,
            "epe large": sums["epe large"] / large,
            "f1": 2 * hits / max(1.0, 2 * hits + misses + false),
        }
        found["score"] = found["psnr"] - 0.2 * found["epe"]
        return found

    def _made(self, seed: int, number: int, size: int, device: torch.device) -> Tuple[SceneBatch, Tensor]:
        """Scenes and their prior."""
        key = (seed, number, size, str(device))
        if self._last is None or self._last[0] != key:
            made = self._drawn(self._supply(seed, size, device), number)
            self._last = (key, made, self._known(made))
        return self._last[1:]

    def _known(self, made: SceneBatch) -> Tensor:
        return priors(made)

    def _drawn(self, supply: Scenes, number: int) -> SceneBatch:
        return supply.batch(number * self._count, self._count)

    def _supply(self, seed: int, size: int, device: torch.device) -> Scenes:
        key = (seed, size, str(device))
        if key not in self._scenes:
            self._scenes[key] = Scenes(seed, size, size, device=device)
        return self._scenes[key]


@dataclass(frozen=True)
class Answer:
    """One scene at its time: the picture (3, H, W), flows (2, H, W) to both frames, logits (2, H, W) of being hidden in
    them.
    """

    picture: Tensor
    to_0: Tensor
    to_1: Tensor
    covered: Tensor


def turned(scenes: SceneBatch, step: int) -> SceneBatch:
    """Scenes as they are, left to right, top to bottom, or both, by the step: flows turn with the picture."""
    axes = _axes(step)
    if not axes:
        return scenes
    names = [each.name for each in fields(scenes) if each.name not in ("time", "context")]
    over = {
        name: turned_flow(getattr(scenes, name), step) if name.startswith("flow") else getattr(scenes, name).flip(axes)
        for name in names
    }
    context = None if scenes.context is None else scenes.context.flip(axes)
    return replace(scenes, context=context, **over)


def turned_flow(flow: Tensor, step: int) -> Tensor:
    """Flows (B, 2, H, W), turned as :func:`turned` does."""
    axes = _axes(step)
    signs = torch.tensor([-1.0 if axis in axes else 1.0 for axis in (-1, -2)], device=flow.device)
    return flow.flip(axes) * signs[:, None, None]


def _axes(step: int) -> List[int]:
    return [axis for bit, axis in ((1, -1), (2, -2)) if step & bit]


def priors(scenes: SceneBatch, regions: Optional[Sequence[Optional[Tuple[Labels, Labels]]]] = None) -> Tensor:
    """(2B, 2, H, W): first to second of every scene, then second to first.

    Args:
        scenes: that are searched.
        regions: label maps of both frames of every scene, or None for one whose objects nobody has told apart.
    """
    told = regions if regions is not None else [None] * len(scenes.frames)
    found = [classical_prior(frames[0], frames[2], each) for frames, each in zip(scenes.frames, told)]
    both = torch.stack(found).to(scenes.frames.device)
    return torch.cat([both[:, 0], both[:, 1]])


def flow_weight(scenes: SceneBatch) -> Tuple[Tensor, Tensor]:
    """True motion (2B, 2, H, W) of both ways, first to second on second to first, and how much its errors count
    (2B, 1, H, W): 1 where it is valid and seen in the other frame.
    """
    visible = torch.cat([scenes.visible_01, scenes.visible_10])
    valid = torch.cat([scenes.valid[:, 0], scenes.valid[:, 2]])
    return torch.cat([scenes.flow_01, scenes.flow_10]), valid * (_UNSEEN + (1 - _UNSEEN) * visible)


def motion_losses(scenes: SceneBatch, estimates: List[Estimate], flow: Tensor) -> Dict[str, Tensor]:
    """Errors of the motion of both ways at every scale; of what is hidden; of how well it knows its own error."""
    truth, weight = flow_weight(scenes)
    visible = torch.cat([scenes.visible_01, scenes.visible_10])
    parts = {"flow": _WHOLE * weighted_mean(robust(flow - truth), weight)}
    width = truth.shape[-1]
    doubt = coarse = hidden = truth.new_zeros(())
    for index, estimate in enumerate(estimates):
        # The scale of this estimate: the frame's width is a whole number of cells, or nearly.
        stride = 2 ** round(float(np.log2(width / estimate.flow.shape[-1])))
        target = shrunk(truth, stride, estimate.flow)
        share = shrunk(weight, stride, estimate.flow)
        apart = estimate.flow * stride - target
        last = index == len(estimates) - 1
        coarse = coarse + (_FINE if last else _LEVEL) * weighted_mean(robust(apart), share)
        length = apart.detach().square().sum(1, keepdim=True).sqrt() / stride
        log = estimate.doubt.clamp(-6, 6)
        doubt = doubt + _DOUBT * weighted_mean(length * torch.exp(-log) + log, share)
        unseen = 1 - shrunk(visible, stride, estimate.flow)
        wrong = F.binary_cross_entropy_with_logits(estimate.hidden, unseen, reduction="none")
        hidden = hidden + _HIDDEN * (1.0 if last else 0.3) * wrong.mean()
    parts.update({"scales": coarse, "hidden": hidden, "doubt": doubt})
    return parts


def meeting_losses(
    model: nn.Module,
    scenes: SceneBatch,
    estimate: Estimate,
    flow: Tensor,
    film: Optional[FilmLoss] = None,
    progress: float = 0.0,
) -> Dict[str, Tensor]:
    """Errors of the picture at the scene's time, of the paths to it, and of what is hidden there.

    ``film`` judges the picture where it is given, after that part of the meeting's training. Its frames are what swift
    sees: encoded proxies, about 0..1, much like a display's pictures; what is brighter than 1.5 counts as 1.5.
    """
    answers = meeting_answers(model, scenes, estimate, flow)
    truth = scenes.frames[:, 1].clamp(max=1.5)
    picture = torch.stack([answer.picture for answer in answers]).clamp(max=1.5)
    covered = torch.stack([answer.covered for answer in answers])
    visible = torch.cat([scenes.visible_t0, scenes.visible_t1], 1)
    valid = scenes.valid[:, 1]
    wrong = F.binary_cross_entropy_with_logits(covered, 1 - visible, pos_weight=covered.new_tensor(_MISSED))
    paths_apart = [
        weighted_mean(robust(torch.stack([getattr(answer, name) for answer in answers]) - true), valid * seen)
        for name, true, seen in (
            ("to_0", scenes.flow_t0, scenes.visible_t0),
            ("to_1", scenes.flow_t1, scenes.visible_t1),
        )
    ]
    if film is None:
        judged = {
            "picture": _PICTURE * ((picture - truth).square() + 1e-6).sqrt().mean(),
            "detail": _DETAIL * laplacian(picture, truth),
        }
    else:
        judged = {name: _PICTURE * part for name, part in film.parts(picture, truth, progress).items()}
    return {
        **judged,
        "path": _PATH * (paths_apart[0] + paths_apart[1]),
        "covered": _COVERED * wrong,
    }


def _motion(model: nn.Module, scenes: SceneBatch, prior: Optional[Tensor]) -> Tuple[List[Estimate], Tensor]:
    swift: Any = model
    first, second = scenes.frames[:, 0], scenes.frames[:, 2]
    levels = levels_of(first.shape[-2], first.shape[-1])
    both = swift.motion.encoder(torch.cat([first, second]), levels)
    one = type(both)(both.fine.chunk(2)[0], [planes.chunk(2)[0] for planes in both.coarse])
    two = type(both)(both.fine.chunk(2)[1], [planes.chunk(2)[1] for planes in both.coarse])
    found: Tuple[List[Estimate], Tensor] = swift.motion(one, two, prior)
    return found


def meeting_answers(model: nn.Module, scenes: SceneBatch, estimate: Estimate, flow: Tensor) -> List[Answer]:
    """What the meeting network makes of the motion; the motion itself learns nothing from it."""
    swift: Any = model
    count = len(scenes.time)
    with torch.no_grad():
        hidden = hidden_of(estimate)
        told = [_told(scenes, flow, hidden, index, count) for index in range(count)]
    decision = swift.meeting(torch.cat([each.moved for each in told]), torch.cat([each.known for each in told]))
    return [_answer(scenes, told[index], decision, index) for index in range(count)]


def _told(scenes: SceneBatch, flow: Tensor, hidden: Tensor, index: int, count: int) -> Told:
    there, back = flow[index].float(), flow[index + count].float()
    whole = torch.ones_like(there[:1])
    layer = layer_of(Found(there, back, hidden[index], hidden[index + count]), whole, whole)
    motion = halved(PairMotion((layer,), torch.zeros_like(whole, dtype=torch.bool)))
    here = arrival(motion, float(scenes.time[index]), there.shape[-2], there.shape[-1])
    to_0, to_1 = paths(here, None)
    first, second = scenes.frames[index, 0], scenes.frames[index, 2]
    return Told(here, to_0, to_1, told_hidden(layer, to_0, to_1), *evidence(here, layer, to_0, to_1, first, second))


def _answer(scenes: SceneBatch, told: Told, decision: Decision, index: int) -> Answer:
    to_0, to_1 = told.to_0, told.to_1
    height, width = to_0.shape[-2:]
    weight, covered = base_logits(told.here, told.hidden)
    flows = decision.flows[index, :, :height, :width]
    to_0, to_1 = to_0 + flows[:2], to_1 + flows[2:]
    weight = torch.sigmoid(weight + decision.weight[index, :, :height, :width])
    covered = covered + decision.hidden[index, :, :height, :width]
    moved0, moved1 = _cubic(scenes.frames[index, 0], to_0), _cubic(scenes.frames[index, 2], to_1)
    unknown = torch.sigmoid(covered).amin(0, keepdim=True)
    picture = torch.lerp(moved1, moved0, weight) + unknown * decision.residual[index, :, :height, :width]
    return Answer(picture, to_0, to_1, covered)


def _cubic(planes: Tensor, flow: Tensor) -> Tensor:
    """Much like what composition does with the plate."""
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device) + flow[0]
    y = torch.arange(height, device=flow.device)[:, None] + flow[1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)[None]
    return F.grid_sample(planes[None], grid, "bicubic", "border", align_corners=False)[0]


def _figures(scenes: SceneBatch, flow: Tensor, alone: Tensor, answers: List[Answer]) -> Dict[str, float]:
    """Sums over the scenes of a batch."""
    truth = scenes.frames[:, 1].clamp(0, 1)
    picture = torch.stack([answer.picture for answer in answers]).clamp(0, 1)
    error = (picture - truth).square().mean((1, 2, 3)).clamp(min=1e-7)
    true = torch.cat([scenes.flow_01, scenes.flow_10])
    known = torch.cat([scenes.valid[:, 0] * scenes.visible_01, scenes.valid[:, 2] * scenes.visible_10]) > 0.5
    apart = _length(flow - true)
    large = known & (_length(true) > _LARGE)
    return {
        "psnr": float((-10 * error.log10()).sum()),
        "epe": _sum_of_means(apart, known) / 2,
        "epe prior": _sum_of_means(_length(priors(scenes) - true), known) / 2,
        "epe alone": _sum_of_means(_length(alone - true), known) / 2,
        "epe large": float(apart[large].sum()),
        "large pixels": float(large.sum()),
    }


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(1, keepdim=True).sqrt()


def _sum_of_means(values: Tensor, mask: Tensor) -> float:
    return float(((values * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3)).clamp(min=1)).sum())


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """The mean of all values, weighted; of weights under 1 in all, part of it."""
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def shrunk(planes: Tensor, stride: int, like: Tensor) -> Tensor:
    """Means (B, C, h, w) over cells so many pixels wide, of the grid of ``like``; what cells reach beyond the frame
    repeats its border.
    """
    height, width = planes.shape[-2:]
    down, across = like.shape[-2] * stride - height, like.shape[-1] * stride - width
    if down or across:
        planes = F.pad(planes, (0, across, 0, down), mode="replicate")
    return F.avg_pool2d(planes, stride)
