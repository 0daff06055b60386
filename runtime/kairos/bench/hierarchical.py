"""What regions are worth on made scenes with large motion: each part of the hierarchy, with masks of three kinds."""

from __future__ import annotations

import itertools
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, Deque, Dict, Hashable, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.bench.arrays import ArrayShot
from kairos.engines.base import Pair
from kairos.engines.classic.flow import Finder
from kairos.engines.classic.regions import Labels as LabelArray
from kairos.engines.hierarchical.on_swift import OnSwift
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.engines.swift.estimator import classical
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.engines.swift.session import SwiftSession
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos.training.hierarchical import MASKS, Labels, harmed, objects_of
from kairos.training.rows import UNPLUGGED, load_rows, pool_of
from kairos.training.scenes import SceneBatch, Scenes, Switches
from kairos.training.task import VALIDATION_SEED
from kairos_nodes.layers import Policy

SWITCHES = Switches(acceleration=False, films=False, shadows=False, shutter=False, grain=False, brightness=False)
"""What two frames cannot show, and what moves as nothing in the truth does, is left out."""

LARGE, HIDDEN = 20.0, 0.02
"""A scene counts from this motion, pixels, and from this part of its pixels hidden in the other frame or outside."""

EDGES = (40.0,)
"""Motion over which scenes are judged by themselves, too, pixels."""

_MOST = 0.98
"""Part of the pixels that move less than what counts as a scene's motion."""

BASE, REGIONS = UNPLUGGED, "swift, regions"
"""Without a plug-in: as it is, and with what it makes of regions by itself."""

PAIR = Pair(0, 1)

_PORTION = 5
_TOLD = 25


@dataclass
class Row:
    """Figures of one row with one kind of masks, scene by scene.

    Attributes:
        psnr: of the picture at the scene's time, dB.
        epe: mean end-point error of the motion both ways where it is known, pixels.
    """

    psnr: List[float] = field(default_factory=list)
    epe: List[float] = field(default_factory=list)


@dataclass
class Report:
    """Figures of all rows.

    Attributes:
        motion: of the scenes, pixels.
        rows: by name and masks.
        looked: scenes looked at up to the last of those that count.
    """

    motion: List[float] = field(default_factory=list)
    rows: Dict[Tuple[str, str], Row] = field(default_factory=dict)
    looked: int = 0

    def mean(self, name: str, masks: str, figure: str = "psnr", over: float = 0.0) -> float:
        """Over the scenes whose motion is larger."""
        values = getattr(self.rows[name, masks], figure)
        return float(np.mean([value for value, moved in zip(values, self.motion) if moved > over]))

    def count(self, over: float = 0.0) -> int:
        """Scenes whose motion is larger."""
        return sum(moved > over for moved in self.motion)


def judge(
    folder: Optional[Path],
    count: int,
    width: int = 448,
    height: int = 256,
    workers: int = 1,
    listener: Optional[Callable[[str], None]] = None,
) -> Report:
    """Judges the rows of a folder on the first scenes of the validation seed that count.

    Args:
        folder: of :func:`kairos.training.rows.save_rows`; None: the rows without a plug-in alone.
        count: scenes.
        width, height: of the scenes, pixels.
        workers: processes that share scenes out.
        listener: told a line every few scenes.

    Raises:
        BadRequest: the folder holds no rows.
    """
    if folder is not None:
        load_rows(folder)
    report = Report()
    work = partial(_measured, folder, width, height)
    with nullcontext() if workers == 1 else pool_of(workers) as pool:
        for found in _portions(work, pool, workers):
            for index, moved, figures in found:
                if len(report.motion) < count:
                    _add(report, index, moved, figures)
                    if listener is not None and len(report.motion) % _TOLD == 0:
                        listener(f"{len(report.motion)} of {count} scenes")
            if len(report.motion) >= count:
                break
    return report


Figures = Dict[Tuple[str, str], Tuple[float, float]]
"""PSNR and end-point error by row and masks."""


Portion = List[Tuple[int, float, Figures]]
"""Of scenes that count: their number, motion and figures."""


def _portions(
    work: Callable[[Sequence[int]], Portion], pool: Optional[ProcessPoolExecutor], workers: int
) -> Iterator[Portion]:
    """Scene after scene without end, in order; as some take longer than others, a few more are begun than awaited."""
    begun: Deque[Future[Portion]] = deque()
    try:
        for first in itertools.count(0, _PORTION):
            numbers = range(first, first + _PORTION)
            if pool is None:
                yield work(numbers)
                continue
            begun.append(pool.submit(work, numbers))
            if len(begun) > 3 * workers:
                yield begun.popleft().result()
    finally:
        for each in begun:
            each.cancel()


def _add(report: Report, index: int, moved: float, figures: Figures) -> None:
    report.motion.append(moved)
    report.looked = index + 1
    for key, (psnr, epe) in figures.items():
        row = report.rows.setdefault(key, Row())
        row.psnr.append(psnr)
        row.epe.append(epe)


_supplies: Dict[Tuple[int, int], Scenes] = {}


def _supply(width: int, height: int) -> Scenes:
    """Kept between portions: textures take seconds."""
    if (width, height) not in _supplies:
        _supplies[width, height] = Scenes(VALIDATION_SEED, height, width, switches=SWITCHES)
    return _supplies[width, height]


def _measured(folder: Optional[Path], width: int, height: int, numbers: Sequence[int]) -> Portion:
    plugins = {} if folder is None else load_rows(folder)
    supply, found = _supply(width, height), []
    for index in numbers:
        scene = supply.batch(index, 1)
        moved = float(_length(torch.cat([scene.flow_01, scene.flow_10])).flatten().quantile(_MOST))
        hidden = 1 - float(torch.cat([scene.visible_01, scene.visible_10]).mean())
        if moved >= LARGE and hidden >= HIDDEN:
            found.append((index, moved, judged(scene, plugins, index)))
    return found


def judged(scene: SceneBatch, plugins: Mapping[str, SwiftHierarchy], number: int) -> Figures:
    """PSNR and end-point error of one scene by row and masks.

    Args:
        scene: one.
        plugins: by row.
        number: of the scene, which decides how its masks suffer.
    """
    true = objects_of(scene)
    suffered = harmed(true, np.random.default_rng((VALIDATION_SEED, number)), 1.0)
    masks: Dict[str, Optional[Labels]] = dict(zip(MASKS, (true, suffered, None)))
    network = load_network(SHIPPED, torch.device("cpu"))
    found = {}
    for kind, labels in masks.items():
        regions = None if labels is None else {place: labels[place][0].numpy() for place in (0, 1)}
        shot = ArrayShot([scene.frames[0, frame].numpy() for frame in (0, 2)], regions=regions)
        prior = _once(classical)
        for name, plugin in ((REGIONS if regions else BASE, None), *plugins.items()):
            hierarchy = None if plugin is None else OnSwift(plugin)
            session = SwiftSession(shot, network, torch.float32, True, 1.0, prior=prior, hierarchy=hierarchy)
            (middle,) = session.at(PAIR, [float(scene.time[0])])
            found[name, kind] = _figures(scene, middle, *session.flows(PAIR))
    return found


def _once(finder: Finder) -> Finder:
    """The same for one pair of pictures, that all rows begin from."""
    kept: List[Tensor] = []

    def find(
        first: Tensor,
        second: Tensor,
        keys: Tuple[Hashable, Hashable] = (None, None),
        regions: Optional[Tuple[LabelArray, LabelArray]] = None,
    ) -> Tensor:
        if not kept:
            kept.append(finder(first, second, keys, regions))
        return kept[0]

    return find


def _figures(scene: SceneBatch, middle: Inbetween, there: Tensor, back: Tensor) -> Tuple[float, float]:
    picture = compose(scene.frames[0, 0], scene.frames[0, 2], middle, Policy.BLEND, codec=Codec())
    error = (picture.clamp(0, 1) - scene.frames[0, 1].clamp(0, 1)).square().mean().clamp(min=1e-7)
    apart = []
    for flow, truth, valid, visible in (
        (there, scene.flow_01, scene.valid[:, 0], scene.visible_01),
        (back, scene.flow_10, scene.valid[:, 2], scene.visible_10),
    ):
        known = valid * visible > 0.5
        apart.append(float(_length(flow[None] - truth)[known].mean()) if bool(known.any()) else 0.0)
    return float(-10 * error.log10()), sum(apart) / 2


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(1, keepdim=True).sqrt()
