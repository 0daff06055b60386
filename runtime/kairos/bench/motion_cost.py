"""What GIMM's paths cost: the time of a further in-between without and with them, in turn."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np

from kairos.bench.clips import CLIPS
from kairos.bench.metrics import Image
from kairos.bench.motion_clips import APART, IMPLICIT, OPTION, split_apart
from kairos.bench.quality import EncodedShot
from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine

TIMES = tuple(number / 10 for number in range(1, 10))
"""The first of a pair pays for all that its in-betweens share, and is not counted."""


@dataclass(frozen=True)
class Cost:
    """Seconds of every further in-between, by clip: without GIMM's paths, and with them right after."""

    width: int
    height: int
    seconds: Dict[str, List[Tuple[float, float]]]


def measure_cost(
    root: Path,
    names: Sequence[str],
    width: int,
    height: int,
    rounds: int,
    id: str = "swift",
    listener: Optional[Callable[[str], None]] = None,
) -> Cost:
    """Times an engine on clips brought to a size, as many threads as torch takes.

    Args:
        root: the folder of development data.
        names: clips.
        width, height: pixels.
        rounds: pairs per clip.
        id: of the engine.
        listener: told one line per clip.
    """
    seconds: Dict[str, List[Tuple[float, float]]] = {}
    for clip in (clip for clip in CLIPS if clip.name in names):
        kept, _ = split_apart(clip.load(root), APART)
        seconds[clip.name] = list(_timed([_sized(frame, width, height) for frame in kept], rounds, id))
        if listener is not None:
            listener(f"{clip.name}: {_told(seconds[clip.name])}")
    return Cost(width, height, seconds)


def render_cost(cost: Cost) -> str:
    """A line per clip."""
    lines = [f"A further in-between at {cost.width}x{cost.height}, without and with GIMM's paths in turn:"]
    return "\n".join([*lines, *(f"{clip}: {_told(found)}" for clip, found in cost.seconds.items())])


def _told(found: Sequence[Tuple[float, float]]) -> str:
    alone, led = ([pair[way] for pair in found] for way in (0, 1))
    ratios = sorted(one[1] / one[0] for one in found)
    middle, upper = statistics.median(ratios), ratios[(3 * len(ratios)) // 4]
    return (
        f"{statistics.median(alone):.3f} and {statistics.median(led):.3f} s; {100 * (middle - 1):+.0f} % (median of "
        f"{len(found)} ratios, a quarter of them over {100 * (upper - 1):+.0f} %), of the fastest "
        f"{100 * (min(led) / min(alone) - 1):+.0f} %"
    )


def _timed(frames: Sequence[Image], rounds: int, id: str) -> Iterator[Tuple[float, float]]:
    shot = EncodedShot(frames)
    sessions = [
        engine(id).open(shot, EngineSettings(options=options), lambda event: None)
        for options in ({}, {OPTION: IMPLICIT})
    ]
    last = len(frames) - 1
    for number in range(rounds):
        first = number % last
        pair = Pair(first, first + 1, first - 1 if first > 0 else None, first + 2 if first + 2 <= last else None)
        answers = [_asked(session, pair) for session in sessions]
        for turn in range(len(TIMES) - 1):
            took = {}
            # Neither has its turn always after the other.
            for way in (0, 1) if turn % 2 else (1, 0):
                began = time.perf_counter()
                next(answers[way])
                took[way] = time.perf_counter() - began
            yield took[0], took[1]


def _asked(session: Session, pair: Pair) -> Iterator[object]:
    answers = iter(session.at(pair, TIMES))
    next(answers)
    return answers


def _sized(frame: Image, width: int, height: int) -> Image:
    shrinks = width < frame.shape[1]
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))
