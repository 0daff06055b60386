"""What regions cost over the same engine without: the time of a pair's in-betweens, in turn."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count as counting
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch

from kairos.allocator import keep_memory
from kairos.bench.arrays import ArrayShot
from kairos.bench.engine_speed import choose_device
from kairos.bench.hierarchical import SWITCHES
from kairos.bench.untrained import keep, keep_tensors, kept_in
from kairos.engines.architectures import variant
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.hierarchical.architecture import build, plugged_values
from kairos.engines.hierarchical.masks.moving import MovingObjects
from kairos.engines.hierarchical.masks.store import Kept, Store
from kairos.engines.hierarchical.plugged import BASES
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.training.hierarchical import objects_of
from kairos.training.scenes import Scenes
from kairos.training.task import VALIDATION_SEED
from kairos.weights.store import Store as Weights

TIMES = (0.3, 0.6, 0.8)
ROUNDS = 9
"""How often every pair is timed, each way in turn, after once to warm up."""

OBJECTS = 3, 5
"""Fewest and most objects of a made pair."""

_LOOKED = 400
"""Made scenes that are looked at to find these."""


@dataclass(frozen=True)
class Way:
    """An engine with its options, with or without regions.

    Attributes:
        title: for the report.
        engine: its id.
        regions: whether it is told the objects.
        options: of the engine.
    """

    title: str
    engine: str
    regions: bool
    options: Mapping[str, str]


@dataclass(frozen=True)
class Cost:
    """Seconds of one pair: (rounds, times) for either way, taken in turn.

    Attributes:
        without, with_regions: of the pair's in-betweens, the first of which pays for what all share.
    """

    without: List[List[float]]
    with_regions: List[List[float]]

    def ratios(self) -> Tuple[float, float]:
        """How many times as long the first in-between takes with regions, and a further one; medians of the rounds."""
        pairs = list(zip(self.without, self.with_regions))
        first = statistics.median(one[0] / own[0] for own, one in pairs)
        further = statistics.median(sum(one[1:]) / sum(own[1:]) for own, one in pairs)
        return first, further

    def seconds(self) -> Tuple[float, float]:
        """Of the first in-between without and with regions; medians."""
        first, second = ([each[0] for each in way] for way in (self.without, self.with_regions))
        return statistics.median(first), statistics.median(second)


@dataclass(frozen=True)
class Report:
    """Figures of all ways and pairs.

    Attributes:
        width, height: of the pairs, pixels.
        threads: that torch takes.
        objects: of every pair, and the part of the frame that they cover.
        costs: by way, of every pair.
        masks: seconds in which ``auto`` finds the objects of a frame, for every pair.
    """

    width: int
    height: int
    threads: int
    objects: List[Tuple[int, float]]
    costs: Dict[str, List[Cost]]
    masks: List[float]


@dataclass(frozen=True)
class _Told:
    """A made pair: (3, H, W) proxies, and both label maps."""

    frames: List[np.ndarray]
    regions: Dict[int, np.ndarray]


def region_cost(
    width: int = 1280,
    height: int = 720,
    pairs: int = 6,
    networks: Sequence[str] = (),
    device: str = "auto",
    listener: Optional[Callable[[str], None]] = None,
) -> Report:
    """Times ``swift`` without regions, with, and ``hierarchical``, on made pairs with a few objects each.

    Args:
        width, height: pixels.
        pairs: the first so many scenes of the validation seed that have :data:`OBJECTS` objects.
        networks: variants of published networks, measured too, with random weights and plug-in.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        listener: told one line per pair and way.

    Raises:
        BadRequest: an unknown device or variant, or a network that nothing can be plugged into.
    """
    # As the engine's own process does.
    keep_memory()
    where, told = choose_device(device), listener or (lambda line: None)
    report = Report(width, height, torch.get_num_threads(), [], {}, [])
    with _plugged(networks) as ways:
        for number, pair in enumerate(_made(width, height, pairs)):
            labels = pair.regions[0]
            report.objects.append((len(np.unique(labels[labels > 0])), float((labels > 0).mean())))
            report.masks.append(_masked(pair, where))
            for without, with_regions in ways:
                cost = _timed(pair, without, with_regions, where)
                report.costs.setdefault(with_regions.title, []).append(cost)
                first, further = cost.ratios()
                told(f"pair {number + 1}, {with_regions.title}: first x{first:.2f}, further x{further:.2f}")
    return report


def render(report: Report) -> str:
    """A line per way: medians over the pairs, and the dearest pair."""
    many = ", ".join(f"{objects} ({100 * part:.0f} %)" for objects, part in report.objects)
    lines = [
        f"{len(report.objects)} made pairs of {report.width}x{report.height}, {report.threads} threads; objects (part "
        f"of the frame): {many}",
        "Time with regions, of that of the same without, in turn:",
        f"{'':<34} {'first':>6} {'dearest':>8} {'further':>8} {'dearest':>8}   seconds of the first",
    ]
    for title, costs in report.costs.items():
        firsts, furthers = zip(*(cost.ratios() for cost in costs))
        without, with_regions = (statistics.median(each) for each in zip(*(cost.seconds() for cost in costs)))
        lines.append(
            f"{title:<34} {statistics.median(firsts):6.2f} {max(firsts):8.2f} {statistics.median(furthers):8.2f} "
            f"{max(furthers):8.2f}   {without:.3f} -> {with_regions:.3f}"
        )
    found = statistics.median(report.masks)
    return "\n".join(
        [*lines, f"The masks' own cost: auto finds a frame's objects in {found:.2f} s; given ones are read."]
    )


@contextmanager
def _plugged(networks: Sequence[str]) -> Iterator[List[Tuple[Way, Way]]]:
    """What is compared: every engine without and with regions. Weights of published networks are random ones."""
    swift = Way("swift", "swift", False, {})
    ways = [
        (swift, Way("swift, regions", "swift", True, {})),
        (swift, Way("hierarchical on swift", "hierarchical", True, {})),
    ]
    with tempfile.TemporaryDirectory(prefix="kairos-untrained-") as folder, kept_in(Path(folder)):
        store = Weights(Path(folder))
        for name in networks:
            architecture, values = variant(name)
            if architecture.id not in BASES:
                raise BadRequest(f"Regions cannot guide {name}.", f"Choose networks of {', '.join(BASES)}.")
            keep(store, architecture.id, values, name)
            plugged = plugged_values(architecture.id, values)
            keep_tensors(store, "hierarchical", plugged, build(plugged).state_dict(), f"{name}-plugged")
            ways.append(
                (
                    Way(name, architecture.id, False, {"weights": name}),
                    Way(f"hierarchical on {name}", "hierarchical", True, {"base": f"{name}-plugged"}),
                )
            )
        yield ways


def _made(width: int, height: int, pairs: int) -> Iterator[_Told]:
    """Raises BadRequest where too few scenes have objects, as tiny ones do."""
    scenes, found = Scenes(VALIDATION_SEED, height, width, switches=SWITCHES), 0
    for number in counting():
        if found == pairs:
            return
        if number == _LOOKED:
            raise BadRequest(f"Made scenes of {width}x{height} have too few objects.", "Ask for fewer or larger pairs.")
        batch = scenes.batch(number, 1)
        labels = [each[0].numpy() for each in objects_of(batch)]
        if OBJECTS[0] <= len(np.unique(labels[0][labels[0] > 0])) <= OBJECTS[1]:
            found += 1
            yield _Told([batch.frames[0, time].numpy() for time in (0, 2)], dict(enumerate(labels)))


def _timed(pair: _Told, without: Way, with_regions: Way, device: torch.device) -> Cost:
    cost = Cost([], [])
    for turn in range(1 + ROUNDS):
        one, two = _seconds(pair, without, device), _seconds(pair, with_regions, device)
        if turn:
            cost.without.append(one)
            cost.with_regions.append(two)
    return cost


def _seconds(pair: _Told, way: Way, device: torch.device) -> List[float]:
    """Of every in-between, by a session of its own, as if the pair were new."""
    shot = ArrayShot(pair.frames, device, regions=pair.regions if way.regions else None)
    session = engine(way.engine).open(shot, EngineSettings(options=way.options), lambda event: None)
    taken, began = [], _now(device)
    for _ in session.at(Pair(0, 1), TIMES):
        taken.append(_now(device) - began)
        began = _now(device)
    return taken


def _masked(pair: _Told, device: torch.device) -> float:
    """Seconds in which the objects of a frame are found, of two that are."""
    found = MovingObjects(ArrayShot(pair.frames, device), _Nowhere("made"))
    began = _now(device)
    for position in range(len(pair.frames)):
        found.labels(position)
    return (_now(device) - began) / len(pair.frames)


class _Nowhere(Store):
    """Nothing is kept: everything is found anew."""

    def get(self, position: int) -> Optional[Kept]:
        """Nothing."""

    def keep(self, position: int, found: Kept) -> None:
        """Does not."""


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
