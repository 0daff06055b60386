"""``kairos bench synthetic``: engines on made scenes, where everything is known: picture, motion and what is hidden.

The scenes are those of the validation seed: no network was ever trained on them. They are the ones by which the trainer
chooses among its checkpoints, at another size.
"""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Callable, Dict, List, Optional, Sequence

import torch
from torch import Tensor

from kairos.bench.arrays import ArrayShot
from kairos.bench.engine_speed import choose_device
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos.training.scenes import VERSION, SceneBatch, Scenes
from kairos.training.task import VALIDATION_SEED
from kairos_nodes.layers import Policy

BLEND = "blend"
"""The plain mean of the two frames by time: what there is to beat."""

STRAIGHT, TRUTH = "true, straight", "true, curved"
"""The in-between of true motion and true visibility: on straight paths at even speed, which is all that two frames can
tell, and on the paths as they are. What there is to be reached.
"""

_UNSEEN = 0.05
"""Say of a frame that does not show the point: where neither does, both are blended."""

LARGE = 20.0
"""Motion over the pair's interval above which an error also counts as one of large motion, pixels."""

_PORTION, _TOLD = 25, 100
"""Scenes that are measured at a time, and after which a line is told."""

_LEAST = 1e-7
"""Mean square error under which a frame counts as perfect: 70 dB."""


@dataclass
class Tally:
    """Sums over scenes for one engine; every figure is NaN where nothing was counted.

    Errors of motion are means over pixels of both flows of frame t, to frame 0 and to frame 1, where the truth is valid
    (no mixture of surfaces) and the point visible in the frame that the flow leads to. Occlusion is judged where the
    truth is valid.
    """

    scenes: int = 0
    decibels: float = 0.0
    error: float = 0.0
    pixels: float = 0.0
    error_large: float = 0.0
    pixels_large: float = 0.0
    hits: float = 0.0
    misses: float = 0.0
    false: float = 0.0
    gradient: float = 0.0
    gradient_true: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        """Of the scenes of both."""
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Tally)})

    @property
    def psnr(self) -> float:
        """Mean over scenes of the PSNR of frame t, both clipped to 0..1, dB."""
        return _ratio(self.decibels, self.scenes)

    @property
    def epe(self) -> float:
        """End-point error, pixels."""
        return _ratio(self.error, self.pixels)

    @property
    def epe_large(self) -> float:
        """End-point error where the surface moves by more than 20 pixels from frame 0 to frame 1, pixels."""
        return _ratio(self.error_large, self.pixels_large)

    @property
    def f1(self) -> float:
        """F1 of occlusion: hidden where the engine says more than 0.5, in truth where less than half is visible."""
        return _ratio(2 * self.hits, 2 * self.hits + self.misses + self.false)

    @property
    def sharpness(self) -> float:
        """Mean absolute gradient of frame t over that of the truth, on the scenes without grain."""
        return _ratio(self.gradient, self.gradient_true)


@dataclass(frozen=True)
class Report:
    """Figures by engine, in the order asked for, between the plain blend's and the truth's; and what they were measured
    on.
    """

    tallies: Dict[str, Tally]
    count: int
    width: int
    height: int
    frames: int = 2


def synthetic(
    engines: Sequence[str] = ("classic",),
    count: int = 1000,
    width: int = 448,
    height: int = 256,
    device: str = "auto",
    listener: Optional[Callable[[str], None]] = None,
    workers: int = 1,
    frames: int = 2,
) -> Report:
    """Runs the bench.

    Args:
        engines: ids to measure.
        count: scenes, from number 0.
        width, height: of the scenes, pixels.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        listener: told one line every hundred scenes.
        workers: processes among which the scenes are shared out, each on one thread of the CPU; 1 does all here.
        frames: that engines are given of every scene: 2, those at times 0 and 1, or 4, also those at -1 and 2, which
            tell of acceleration.

    Raises:
        BadRequest: an unknown engine or device, no scenes, no workers, scenes under 32 pixels, or another number of
            frames.
        EngineError: an engine cannot run here.
    """
    if count < 1 or min(width, height) < 32:
        raise BadRequest(f"{count} scenes of {width}x{height} measure nothing.", "Ask for 1 or more, at least 32x32.")
    if workers < 1:
        raise BadRequest(f"--workers {workers} is too small.", "Give 1 or more.")
    if frames not in (2, 4):
        raise BadRequest(f"--frames {frames} cannot be.", "Give 2 or 4.")
    # Asked for here first: an engine or a device that is not there is said at once.
    names = [engine(id).card.id for id in engines]
    where = str(choose_device(device))
    parts = [range(start, min(start + _PORTION, count)) for start in range(0, count, _PORTION)]
    total = Report({}, 0, width, height, frames)
    work = partial(_measured, names, width, height, where, frames == 4)
    with nullcontext() if workers == 1 else _pool(workers) as pool:
        for tallies in map(work, parts) if pool is None else pool.map(work, parts):
            total = _added(total, tallies)
            if listener is not None and total.count % _TOLD == 0:
                told = (f"{id} {tally.psnr:.2f} dB" for id, tally in total.tallies.items())
                listener(f"{total.count} of {count} scenes: {', '.join(told)}")
    return total


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,))


def _measured(
    engines: Sequence[str], width: int, height: int, device: str, neighbours: bool, numbers: Sequence[int]
) -> Dict[str, Tally]:
    """Tallies of some scenes, the plain blend's first."""
    where = torch.device(device)
    chosen = [engine(id) for id in engines]
    tallies = {name: Tally() for name in (BLEND, *engines, STRAIGHT, TRUTH)}
    supply = _scenes(width, height, device, neighbours)
    with torch.inference_mode():
        for index in numbers:
            scene = supply.batch(index, 1)
            sharp = supply.scene(index).finish.grain == 0.0
            time = float(scene.time[0])
            first, last = scene.frames[0, 0], scene.frames[0, 2]
            add_picture(tallies[BLEND], torch.lerp(first, last, time), scene, sharp)
            shown, pair = [first, last], Pair(0, 1)
            if scene.context is not None:
                shown, pair = [scene.context[0, 0], *shown, scene.context[0, 1]], Pair(1, 2, before=0, after=3)
            shot = ArrayShot([frame.cpu().numpy() for frame in shown], where)
            for each in chosen:
                session = each.open(shot, EngineSettings(), lambda event: None)
                (found,) = session.at(pair, [time])
                picture = compose(first, last, found, Policy.BLEND, codec=Codec())
                add_picture(tallies[each.card.id], picture, scene, sharp)
                add_motion(tallies[each.card.id], found, scene)
            for name, straight in ((STRAIGHT, True), (TRUTH, False)):
                answer = true_answer(scene, straight)
                picture = compose(first, last, answer, Policy.BLEND, codec=Codec())
                add_picture(tallies[name], picture, scene, sharp)
                add_motion(tallies[name], answer, scene)
    return tallies


@lru_cache(maxsize=1)
def _scenes(width: int, height: int, device: str, neighbours: bool) -> Scenes:
    return Scenes(VALIDATION_SEED, height, width, device=torch.device(device), context=neighbours)


def true_answer(scene: SceneBatch, straight: bool) -> Inbetween:
    """The in-between of one scene at its time from the truth; see :data:`STRAIGHT`."""
    time = float(scene.time[0])
    to_0, to_1 = scene.flow_t0[0], scene.flow_t1[0]
    if straight:
        way = to_1 - to_0
        to_0, to_1 = way * -time, way * (1 - time)
    say0 = (1 - time) * (scene.visible_t0[0] + _UNSEEN)
    say1 = time * (scene.visible_t1[0] + _UNSEEN)
    hidden0, hidden1 = 1 - scene.visible_t0[0], 1 - scene.visible_t1[0]
    return Inbetween(time, to_0, to_1, say0 / (say0 + say1), hidden0, hidden1, torch.ones_like(hidden0))


def _added(report: Report, more: Dict[str, Tally]) -> Report:
    tallies = {id: report.tallies.get(id, Tally()) + tally for id, tally in more.items()}
    return replace(report, tallies=tallies, count=next(iter(tallies.values())).scenes)


def add_picture(tally: Tally, picture: Tensor, scene: SceneBatch, sharp: bool) -> None:
    """Counts a frame t.

    Args:
        tally: counts it.
        picture: (3, H, W) encoded.
        scene: one scene.
        sharp: the scene has no grain, so that its gradients are those of its surfaces.
    """
    made, truth = picture.clamp(0, 1), scene.frames[0, 1].clamp(0, 1)
    error = float((made - truth).square().mean())
    tally.scenes += 1
    tally.decibels += -10 * math.log10(max(error, _LEAST))
    if sharp:
        tally.gradient += _gradient(made)
        tally.gradient_true += _gradient(truth)


def add_motion(tally: Tally, found: Inbetween, scene: SceneBatch) -> None:
    """Counts the motion and the occlusion of an answer at the time of one scene."""
    valid = scene.valid[0, 1] > 0.5
    large = _length(scene.flow_t1[0] - scene.flow_t0[0]) > LARGE
    for flow, hidden, true, visible in (
        (found.flow_to_0, found.occlusion_0, scene.flow_t0[0], scene.visible_t0[0]),
        (found.flow_to_1, found.occlusion_1, scene.flow_t1[0], scene.visible_t1[0]),
    ):
        error = _length(flow - true)
        counted = valid & (visible > 0.5)
        tally.error += float(error[counted].double().sum())
        tally.pixels += float(counted.sum())
        tally.error_large += float(error[counted & large].double().sum())
        tally.pixels_large += float((counted & large).sum())
        said, so = hidden > 0.5, visible < 0.5
        tally.hits += float((said & so & valid).sum())
        tally.misses += float((~said & so & valid).sum())
        tally.false += float((said & ~so & valid).sum())


def render(report: Report) -> str:
    """The table."""
    columns = ("engine", "PSNR", "EPE", f"EPE >{LARGE:.0f}px", "occl. F1", "gradient")
    rows: List[Sequence[str]] = [columns]
    for id, tally in report.tallies.items():
        figures = (tally.psnr, tally.epe, tally.epe_large, tally.f1, tally.sharpness)
        places = (2, 2, 2, 3, 3)
        rows.append([id, *("-" if math.isnan(f) else f"{f:.{p}f}" for f, p in zip(figures, places))])
    width = max(len(row[0]) for row in rows)
    lines = [" ".join([f"{row[0]:<{width}}", *(f"{cell:>10}" for cell in row[1:])]) for row in rows]
    some = report.tallies[BLEND]
    lines.append(
        f"{report.count} made scenes of {report.width}x{report.height}, version {VERSION}, validation seed; never "
        "trained on. PSNR of frame t in dB, clipped to 0..1."
    )
    lines.append(
        "EPE of frame t's flows to both frames in pixels, where the truth is valid and the point visible there; over "
        f"{LARGE:.0f} px: motion from frame 0 to 1. F1 where the truth is valid."
    )
    if some.gradient_true:
        lines.append("Gradient: mean absolute gradient over the truth's, on the scenes without grain.")
    return "\n".join(lines)


def _gradient(planes: Tensor) -> float:
    """Mean absolute difference of neighbours, across and down."""
    across = (planes[..., 1:] - planes[..., :-1]).abs().mean()
    down = (planes[..., 1:, :] - planes[..., :-1, :]).abs().mean()
    return float(across + down)


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(0, keepdim=True).sqrt()


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
