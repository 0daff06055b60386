"""A published network by itself, without the engine around it: what can be compared with the official code.

Timed is what the official code does from two frames to the frame between: margins, what depends on each of both
frames, on the pair and on the time. In the same run, turn by turn, ffmpeg's ``minterpolate`` makes the same: on a
machine that others use too, the ratio of both is worth more than either. Both go on for about as long in a turn, and
it is the mean that counts: the first frame after a rest takes longest.
"""

from __future__ import annotations

import json
import statistics
import time
from functools import lru_cache
from typing import Any, List, Mapping, Optional, Tuple

import numpy as np
import torch

from kairos.bench.engine_speed import ENOUGH, choose_device, fresh_process, made_frames, peak_memory
from kairos.bench.speed_report import EngineSpeed, NetworkSpeed
from kairos.bench.untrained import SEED
from kairos.engines.architectures import ARCHITECTURES
from kairos.engines.architectures import variant as known_variant
from kairos.weights.store import Store

OFFICIAL: Mapping[str, float] = {
    "rife-4.6": 0.84,
    "rife-4.25": 1.5,
    "rife-paper": 2.5,
    "ifrnet-s": 2.5,
    "ifrnet": 3.2,
    "ema-vfi-small": 6.3,
    "amt-s": 8.9,
    "ifrnet-l": 10.6,
    "amt-g": 37.0,
    "film": 40.0,
}
"""What the official code took for one in-between at 1280x720, in multiples of minterpolate (0.62 s) on the same frames.

Measured with the official repositories on two idle CPU cores, quickest first.
"""

OFFICIAL_PEAK: Mapping[str, float] = {"film": 7.1}
"""The official code's peak memory in the same measurement, GiB."""

ROUNDS = 5
"""Turns that are timed, after one that warms up; fewer where they take long."""

KEYS = 8
"""Frames that minterpolate goes between in a turn. A call begins and ends with frames that it answers nothing for, so
what one in-between takes is told twice: a part of the whole call, and one in-between more.
"""


def measure_network(
    variant: str,
    width: int,
    height: int,
    weights: str = "",
    engine: Optional[EngineSpeed] = None,
) -> NetworkSpeed:
    """Times a network on the CPU, turn by turn with minterpolate.

    Args:
        variant: which network; with random numbers where ``weights`` is empty.
        width, height: pixels.
        weights: name of the user's weights.
        engine: the engine's own figures, to be told beside these.

    Raises:
        BadRequest: an unknown variant or weights.
        EngineError: PyAV has no minterpolate.
    """
    # Needs PyAV, which a bare GPU machine lacks.
    from kairos.bench.minterpolate import minterpolate

    keys = [_eight_bits(frame) for frame in made_frames(width, height, KEYS)]
    values, architecture = _values(variant, weights)
    seconds, yardstick = [], []
    with fresh_process() as pool:
        began = time.perf_counter()
        for turn in range(1 + ROUNDS):
            started = time.perf_counter()
            yardstick.append(_filtered(minterpolate, keys))
            rest = time.perf_counter() - started
            took, peak = pool.submit(_some, architecture, values, weights, width, height, rest).result()
            seconds.append(took)
            if turn and time.perf_counter() - began > ENOUGH:
                break
    wholes, mores = zip(*yardstick[1:])
    ratios = [[took / step for took, step in zip(seconds[1:], steps)] for steps in (wholes, mores)]
    return NetworkSpeed(
        variant,
        width,
        height,
        not weights,
        statistics.median(seconds[1:]),
        (statistics.median(wholes), statistics.median(mores)),
        (statistics.median(ratios[0]), statistics.median(ratios[1])),
        peak,
        OFFICIAL.get(variant) if (width, height) == (1280, 720) else None,
        OFFICIAL_PEAK.get(variant) if (width, height) == (1280, 720) else None,
        engine,
    )


def _values(variant: str, weights: str) -> Tuple[str, str]:
    """The network's hyper-parameters as JSON, and its architecture's id."""
    if weights:
        record = Store().get(weights)
        return json.dumps(record.values), record.architecture
    architecture, values = known_variant(variant)
    return json.dumps(values), architecture.id


def _filtered(minterpolate: Any, keys: List[Any]) -> Tuple[float, float]:
    """Seconds that minterpolate takes for one in-between: of a whole call, and for one more."""
    started = time.perf_counter()
    minterpolate(keys[:2])
    middle = time.perf_counter()
    minterpolate(keys)
    whole = time.perf_counter() - middle
    return whole / (len(keys) - 1), max(1e-9, whole - (middle - started)) / (len(keys) - 2)


def _some(architecture: str, values: str, weights: str, width: int, height: int, seconds: float) -> Tuple[float, int]:
    """Seconds for one in-between from two frames, the mean of as many as ``seconds`` are enough for (of one at least,
    and of no more than minterpolate makes), and the process's peak memory so far."""
    network, frames = _made(architecture, values, weights), _frames(width, height)
    started = time.perf_counter()
    count = 0
    while not count or (count < KEYS - 1 and time.perf_counter() - started < seconds):
        _between(network, frames)
        count += 1
    return (time.perf_counter() - started) / count, peak_memory(choose_device("cpu"))


@torch.inference_mode()
def _between(network: Any, frames: List[torch.Tensor]) -> None:
    first, second = (network.look(network.padding.pad(frame)) for frame in frames)
    if hasattr(network, "prepare"):
        found = network.at(network.prepare(first, second), 0.5).image
    else:
        found = network.flow(first, second)
    network.padding.crop(found, frames[0].shape[-2], frames[0].shape[-1])


@lru_cache(maxsize=1)
def _made(architecture: str, values: str, weights: str) -> Any:
    known = next(each for each in ARCHITECTURES if each.id == architecture)
    torch.manual_seed(SEED)
    network = known.build(json.loads(values))
    if weights:
        network.load_state_dict(Store().load(weights)[1], strict=True)
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def _frames(width: int, height: int) -> List[torch.Tensor]:
    return [torch.from_numpy(frame)[None] for frame in made_frames(width, height, 2)]


def _eight_bits(frame: Any) -> Any:
    return np.ascontiguousarray((frame.transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8))
