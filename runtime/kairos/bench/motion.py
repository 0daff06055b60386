"""``kairos bench motion``: motion at any time between two frames, on made scenes whose paths curve.

The scenes are those of the validation seed, without what is on a picture besides what moves (films, shadows, motion
blur, grain, changes of brightness). Those count whose points lie, half-way, at least :data:`CURVED` pixels beside the
straight line between where they are in both frames, in the mean.
"""

from __future__ import annotations

import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from functools import lru_cache, partial
from itertools import count as numbers_from
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kairos.bench.engine_speed import choose_device
from kairos.bench.motion_methods import Flows, Ways, Weights, found_flows, gimm_weights, methods
from kairos.errors import BadRequest
from kairos.motion.compose import compose
from kairos.motion.encode import Codec
from kairos.motion.inbetween import Inbetween
from kairos.training.gimm import TIMES
from kairos.training.scenes import Paths, Scenes, Switches
from kairos.training.task import VALIDATION_SEED
from kairos_nodes.layers import Policy

TRUE, FOUND = "true", "found"
"""Flows that methods are given: the scene's own, of hidden points too, or those of a search in its pictures."""

TRUTH = "truth"
"""The row of the true motion: what there is to be reached."""

CURVED = 0.5
"""Mean distance from the straight line from which on a scene counts, pixels."""

EDGES = (0.25, 1.0, 4.0)
"""Distances from the straight line, half-way, at which pixels are told apart, pixels."""

_PLAIN = Switches(films=False, shadows=False, shutter=False, grain=False, brightness=False)

_LEAST_FLOW, _LEAST_PICTURE = 1e-10, 1e-7
"""Mean square errors under which all is perfect: 100 dB and 70 dB."""

_UNSEEN = 0.05
"""Say of a frame that does not show the point: where neither does, both are blended."""

_PORTION, _TOLD = 5, 25
"""Scenes that are measured at a time, and after which a line is told."""

_SCARCE = 400
"""Where fewer than one in so many scenes counts, the search for them ends."""

Sums = npt.NDArray[np.float64]


def _zeros(length: int) -> Sums:
    return np.zeros(length)


@dataclass
class Tally:
    """Sums over scenes for one method, by time or by quantity of curvature; figures are NaN where nothing was counted.

    Counted are pixels of a time where the truth is valid (no mixture of surfaces) and the point visible in either
    frame, for motion; all, for pictures.
    """

    scenes: int = 0
    flow_decibels: Sums = field(default_factory=partial(_zeros, len(TIMES)))
    picture_decibels: Sums = field(default_factory=partial(_zeros, len(TIMES)))
    velocity_error: Sums = field(default_factory=partial(_zeros, len(TIMES)))
    way_error: Sums = field(default_factory=partial(_zeros, len(TIMES)))
    pixels: Sums = field(default_factory=partial(_zeros, len(TIMES)))
    velocity_split: Sums = field(default_factory=partial(_zeros, len(EDGES) + 1))
    way_split: Sums = field(default_factory=partial(_zeros, len(EDGES) + 1))
    pixels_split: Sums = field(default_factory=partial(_zeros, len(EDGES) + 1))

    def __add__(self, other: Tally) -> Tally:
        """Of the scenes of both."""
        return Tally(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Tally)})

    @property
    def flow_psnr(self) -> Sums:
        """By time, mean over scenes of the PSNR of the normalised velocity, dB.

        Normalised as GIMM has it: by the pair's longest true component, to 0..1.
        """
        return _ratio(self.flow_decibels, self.scenes)

    @property
    def picture_psnr(self) -> Sums:
        """By time, mean over scenes of the PSNR of the picture rebuilt along the motion, dB."""
        return _ratio(self.picture_decibels, self.scenes)

    @property
    def velocity_epe(self) -> Sums:
        """By time, error of the velocity (the way to frame 1 less that to frame 0), pixels per interval."""
        return _ratio(self.velocity_error, self.pixels)

    @property
    def way_epe(self) -> Sums:
        """By time, error of the ways to both frames, the mean of both, pixels."""
        return _ratio(self.way_error, self.pixels)

    @property
    def curved_epe(self) -> Tuple[Sums, Sums]:
        """Velocity's and ways' errors by how far the true path lies from the straight line; see :data:`EDGES`."""
        return _ratio(self.velocity_split, self.pixels_split), _ratio(self.way_split, self.pixels_split)


@dataclass(frozen=True)
class Report:
    """Figures by method, and what they were measured on.

    Attributes:
        tallies: by method, the truth's last.
        chosen: numbers of the scenes, and their mean distance from the straight line, pixels.
        walked: scenes that were looked at to find them.
        width, height: pixels; flows: :data:`TRUE` or :data:`FOUND`.
        weights: name of GIMM's, empty where there are none; four: they know what to do with four frames.
    """

    tallies: Dict[str, Tally]
    chosen: Sequence[Tuple[int, float]]
    walked: int
    width: int
    height: int
    flows: str
    weights: str
    four: bool


def motion(
    count: int = 500,
    weights: str = "",
    width: int = 448,
    height: int = 256,
    flows: str = TRUE,
    device: str = "auto",
    workers: int = 1,
    listener: Optional[Callable[[str], None]] = None,
) -> Report:
    """Runs the bench on made scenes.

    Args:
        count: scenes that curve, the first ones of the validation seed.
        weights: GIMM's, a file or a name; where empty, those that come with Kairos or that the user has, if any.
        width, height: of the scenes, pixels.
        flows: :data:`TRUE` or :data:`FOUND`.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        workers: processes among which the scenes are shared out, each on one thread of the CPU; 1 does all here.
        listener: told one line after every few scenes.

    Raises:
        BadRequest: no scenes, no workers, scenes under 64 pixels, too few that curve, other flows, or weights that are
            not there.
    """
    if count < 1 or min(width, height) < 64:
        raise BadRequest(f"{count} scenes of {width}x{height} measure nothing.", "Ask for 1 or more, at least 64x64.")
    if workers < 1:
        raise BadRequest(f"--workers {workers} is too small.", "Give 1 or more.")
    if flows not in (TRUE, FOUND):
        raise BadRequest(f"--flows: there is no {flows!r}.", f"Use {TRUE} or {FOUND}.")
    where = str(choose_device(device))
    network = gimm_weights(weights, torch.device(where))
    with nullcontext() if workers == 1 else _pool(workers) as pool:
        spread = map if pool is None else pool.map
        portions = _portions(numbers_from(), workers)
        chosen, walked = _chosen(count, partial(_curved, width, height, where), spread, portions)
        measure = partial(_measured, weights, width, height, where, flows)
        wanted = [number for number, _ in chosen]
        tallies: Dict[str, Tally] = {}
        for more in spread(measure, [wanted[start : start + _PORTION] for start in range(0, count, _PORTION)]):
            tallies = {name: tallies.get(name, Tally()) + tally for name, tally in more.items()}
            done = tallies[TRUTH].scenes
            if listener is not None and (done % _TOLD == 0 or done == count):
                listener(f"{done} of {count} scenes")
    name, four = ("", False) if network is None else (network.name, network.sees_four)
    return Report(tallies, chosen, walked, width, height, flows, name, four)


def curvature(paths: Paths, number: int) -> Tensor:
    """(1, H, W): how far half-way the pixels of time ``number`` of :data:`TIMES` lie from the straight line, pixels, if
    paths are parabolas.
    """
    time = TIMES[number]
    away = paths.flow_t0[number] * (1 - time) + paths.flow_t1[number] * time
    return _length(away) / (4 * time * (1 - time))


def counted(paths: Paths, number: int) -> Tensor:
    """(1, H, W) bool: the truth is valid there, and the point visible in either frame."""
    return (paths.valid_t[number] > 0.5) & (torch.maximum(paths.visible_t0[number], paths.visible_t1[number]) > 0.5)


def add_motion(tally: Tally, ways: Ways, paths: Paths, number: int) -> None:
    """Counts the motion that a method tells at a time, given by its number in :data:`TIMES`."""
    here, truth = counted(paths, number), (paths.flow_t0[number], paths.flow_t1[number])
    off = (ways[1] - ways[0]) - (truth[1] - truth[0])
    velocity = _length(off)
    way = 0.5 * (_length(ways[0] - truth[0]) + _length(ways[1] - truth[1]))
    tally.velocity_error[number] += float(velocity[here].double().sum())
    tally.way_error[number] += float(way[here].double().sum())
    tally.pixels[number] += float(here.sum())
    longest = float(torch.stack([paths.flow_01, paths.flow_10]).abs().max())
    # Halved: 0..1 has room for both directions.
    square = float(off.square().mean(0, keepdim=True)[here].double().mean()) / (2 * longest) ** 2
    tally.flow_decibels[number] += -10 * math.log10(max(square, _LEAST_FLOW))
    bins = torch.bucketize(curvature(paths, number), torch.tensor(EDGES, device=off.device))
    for index in range(len(EDGES) + 1):
        part = here & (bins == index)
        tally.velocity_split[index] += float(velocity[part].double().sum())
        tally.way_split[index] += float(way[part].double().sum())
        tally.pixels_split[index] += float(part.sum())


def rebuilt(first: Tensor, last: Tensor, ways: Ways, paths: Paths, number: int) -> Tensor:
    """(3, H, W): the picture at a time along a motion; what either frame shows is the truth's, whatever the motion."""
    time = TIMES[number]
    seen_0, seen_1 = paths.visible_t0[number], paths.visible_t1[number]
    say_0, say_1 = (1 - time) * (seen_0 + _UNSEEN), time * (seen_1 + _UNSEEN)
    found = Inbetween(time, *ways, say_0 / (say_0 + say_1), 1 - seen_0, 1 - seen_1, torch.ones_like(seen_0))
    return compose(first, last, found, Policy.BLEND, codec=Codec())


def add_picture(tally: Tally, picture: Tensor, truth: Tensor, number: int) -> None:
    """Counts a rebuilt picture (3, H, W), both clipped to 0..1."""
    error = float((picture.clamp(0, 1) - truth.clamp(0, 1)).square().mean())
    tally.picture_decibels[number] += -10 * math.log10(max(error, _LEAST_PICTURE))


def scene_flows(supply: Scenes, index: int, paths: Paths, flows: str) -> Flows:
    """What methods are given of a scene."""
    if flows == TRUE:
        return Flows(paths.flow_01, paths.flow_10, paths.flow_0_before, paths.flow_1_after)
    before, first, last, after = supply.render(index, (-1.0, 0.0, 1.0, 2.0))
    return found_flows(before, first, last, after)


@lru_cache(maxsize=1)
def plain_scenes(width: int, height: int, device: str) -> Scenes:
    """The scenes of the bench."""
    return Scenes(VALIDATION_SEED, height, width, device=torch.device(device), switches=_PLAIN)


@lru_cache(maxsize=1)
def _network(weights: str, device: str) -> Optional[Weights]:
    return gimm_weights(weights, torch.device(device))


def _measured(
    weights: str, width: int, height: int, device: str, flows: str, numbers: Sequence[int]
) -> Dict[str, Tally]:
    """Tallies of some scenes."""
    supply, ways = plain_scenes(width, height, device), methods(_network(weights, device))
    tallies = {name: Tally() for name in (*ways, TRUTH)}
    with torch.inference_mode():
        for index in numbers:
            paths = supply.paths(index, TIMES)
            first, last, *between = supply.render(index, (0.0, 1.0, *TIMES))
            given = scene_flows(supply, index, paths, flows)
            answers = {name: way(given) for name, way in ways.items()}
            for name, tally in tallies.items():
                tally.scenes += 1
                for number, time in enumerate(TIMES):
                    truth = paths.flow_t0[number], paths.flow_t1[number]
                    found = answers[name](time) if name in answers else truth
                    add_motion(tally, found, paths, number)
                    add_picture(tally, rebuilt(first, last, found, paths, number), between[number], number)
    return tallies


def _curved(width: int, height: int, device: str, numbers: Sequence[int]) -> List[Tuple[int, float]]:
    """Scenes with their mean distance from the straight line half-way, pixels."""
    supply, found = plain_scenes(width, height, device), []
    for index in numbers:
        paths = supply.paths(index, (0.5,))
        here = counted(paths, 0)
        away = _length(0.5 * (paths.flow_t0[0] + paths.flow_t1[0]))[here]
        found.append((index, float(away.double().mean()) if bool(here.any()) else 0.0))
    return found


Spread = Callable[..., Iterator[List[Tuple[int, float]]]]


def _chosen(
    count: int, look: Callable[[Sequence[int]], List[Tuple[int, float]]], spread: Spread, lots: Iterator[List[range]]
) -> Tuple[List[Tuple[int, float]], int]:
    """The first scenes that curve, and how many were looked at up to the last of them."""
    chosen: List[Tuple[int, float]] = []
    for lot in lots:
        for found in spread(look, lot):
            for index, away in found:
                if away >= CURVED:
                    chosen.append((index, away))
                    if len(chosen) == count:
                        return chosen, index + 1
                if index >= _SCARCE * (len(chosen) + 1):
                    raise BadRequest(
                        f"Of {index} scenes only {len(chosen)} curve by {CURVED:g} pixels.", "Give a larger --size."
                    )
    raise AssertionError("scenes never end")


def _portions(numbers: Iterator[int], workers: int) -> Iterator[List[range]]:
    """Lots of as many portions as there are workers."""
    for lot in numbers:
        first = lot * workers * _PORTION
        yield [range(first + k * _PORTION, first + (k + 1) * _PORTION) for k in range(workers)]


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,))


def _length(flow: Tensor) -> Tensor:
    return flow.square().sum(0, keepdim=True).sqrt()


def _ratio(part: Sums, whole: Sums | float) -> Sums:
    with np.errstate(divide="ignore", invalid="ignore"):
        answer: Sums = np.where(np.asarray(whole) > 0, part / whole, np.nan)
    return answer
