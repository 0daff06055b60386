"""How fast an engine is by itself, and how fast the machine could be. Needs torch and numpy alone."""

from __future__ import annotations

import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from kairos.allocator import keep_memory
from kairos.bench.arrays import ArrayShot
from kairos.bench.speed_report import Ceiling, EngineSpeed
from kairos.bench.texture import Texture, grid
from kairos.engines.base import EngineSettings, Pair
from kairos.engines.registry import engine
from kairos.errors import BadRequest
from kairos.frame import Planes
from kairos.motion.compose import compose
from kairos_nodes.layers import Policy

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_STATUS, _PROCESSORS = Path("/proc/self/status"), Path("/proc/cpuinfo")

TILE = 512
SHIFT = 9
"""How far the made frames pan from one to the next, pixels."""

TIMES = (0.2, 0.4, 0.6, 0.8)
PAIRS = 3
"""Pairs that are timed, after one that warms up; fewer where they take longer than ``ENOUGH``."""

ENOUGH = 20.0
"""Seconds after which no further pair is begun."""


def parse_size(text: str) -> Tuple[int, int]:
    """``1920x1080`` as width and height. Raises BadRequest."""
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) >= 64 and int(height) >= 64):
        raise BadRequest(f"--size {text!r} is no size.", "Write it as 1920x1080, at least 64x64.")
    return int(width), int(height)


def choose_device(text: str) -> torch.device:
    """``auto``, ``cuda``, ``cuda:1``, ``mps`` or ``cpu``. Raises BadRequest where it is not there."""
    if text == "auto":
        found = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(found)
    missing = (text.startswith("cuda") and not torch.cuda.is_available()) or (
        text == "mps" and not torch.backends.mps.is_available()
    )
    if missing or text.partition(":")[0] not in ("cuda", "mps", "cpu"):
        raise BadRequest(f"--device {text}: there is no such device here.", "Use auto or cpu.")
    return torch.device(text)


def made_frames(width: int, height: int, count: int) -> List[Planes]:
    """(3, H, W) frames of a texture that pans: cheap to make at any size."""
    texture = Texture(41, 0.4, 0.1, longest=TILE).at(*grid(TILE, TILE))
    # Mirrored tiles join without a step.
    texture = np.concatenate([texture, texture[:, :, ::-1]], axis=2)
    texture = np.concatenate([texture, texture[:, ::-1]], axis=1)
    rows, columns = np.arange(height) % (2 * TILE), np.arange(width)
    return [texture[:, rows][:, :, (columns + SHIFT * index) % (2 * TILE)].copy() for index in range(count)]


def measure_engine(id: str, width: int, height: int, device: str, weights: str = "") -> EngineSpeed:
    """Times one engine in this process, with the weights of that name, or with those it takes unasked.

    Raises:
        BadRequest: an unknown engine or device, or weights that are not there.
        EngineError: the engine cannot run.
    """
    where = choose_device(device)
    shot = ArrayShot(made_frames(width, height, PAIRS + 4), where)
    settings = EngineSettings(options={"weights": weights} if weights else {})
    session = engine(id).open(shot, settings, lambda event: None)
    plates = [torch.cat([shot.proxy(i), torch.ones_like(shot.proxy(i)[:1])]) for i in (1, 2)]
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    firsts, furthers, composes = [], [], []
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            next(iter(session.at(Pair(1, 2, before=0, after=3), TIMES[:1])))
        began = _now(where)
        for first in range(2, 2 + PAIRS):
            pair = Pair(first, first + 1, before=first - 1, after=first + 2)
            stamps = [_now(where)]
            for answer in session.at(pair, TIMES):
                stamps.append(_now(where))
                last = answer
            firsts.append(stamps[1] - stamps[0])
            furthers.append((stamps[-1] - stamps[1]) / (len(TIMES) - 1))
            started = _now(where)
            compose(plates[0], plates[1], last, Policy.BLEND)
            composes.append(_now(where) - started)
            if _now(where) - began > ENOUGH:
                break
    return EngineSpeed(
        f"{id} {weights}".strip(),
        width,
        height,
        statistics.median(firsts),
        statistics.median(furthers),
        statistics.median(composes),
        peak_memory(where),
        float(counter.get_total_flops()),
    )


def measure_engine_alone(id: str, width: int, height: int, device: str, weights: str = "") -> EngineSpeed:
    """:func:`measure_engine` in a fresh process, so that its peak memory is its own. Same errors."""
    with fresh_process() as pool:
        return pool.submit(measure_engine, id, width, height, device, weights).result()


def rough_seconds(id: str, width: int, height: int, device: str, weights: str = "") -> float:
    """About how long :func:`measure_engine` will take at that size, from one in-between at a quarter of both sides.

    Same errors.
    """
    where = choose_device(device)
    small_width, small_height = max(64, width // 4), max(64, height // 4)
    shot = ArrayShot(made_frames(small_width, small_height, 4), where)
    settings = EngineSettings(options={"weights": weights} if weights else {})
    session = engine(id).open(shot, settings, lambda event: None)
    with torch.inference_mode():
        next(iter(session.at(Pair(0, 1), (0.5,))))
        started = _now(where)
        next(iter(session.at(Pair(1, 2), (0.5,))))
        one = (_now(where) - started) * (width * height) / (small_width * small_height)
    each = len(TIMES) * one
    # The warm-up, and pairs until there are enough.
    return one + min(PAIRS, 1 + int(ENOUGH // each)) * each


def rough_seconds_alone(id: str, width: int, height: int, device: str, weights: str = "") -> float:
    """:func:`rough_seconds` in a fresh process. Same errors."""
    with fresh_process() as pool:
        return pool.submit(rough_seconds, id, width, height, device, weights).result()


def fresh_process() -> ProcessPoolExecutor:
    """One process that has done nothing yet, and gets its memory as the runtime does."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=keep_memory)


def device_name(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{_processor()}, {torch.get_num_threads()} threads"


def _processor() -> str:
    if _PROCESSORS.exists():
        for line in _PROCESSORS.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def measure_ceiling(device: torch.device) -> Optional[Ceiling]:
    """The card's own best, or None where there is no NVIDIA card to ask."""
    if device.type != "cuda":
        return None
    side = 8192
    one = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    two = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    product = _best(lambda: torch.mm(one, two), device)
    source = torch.empty(1 << 30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = _best(lambda: target.copy_(source), device)
    # A copy reads and writes every byte.
    return Ceiling(2.0 * side**3 / product, 2.0 * source.numel() / copied)


def _best(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of ten goes, after three that warm up."""
    times = []
    for go in range(13):
        started = _now(device)
        work()
        if go >= 3:
            times.append(_now(device) - started)
        else:
            _now(device)
    return min(times)


def _now(device: torch.device) -> float:
    """Seconds, once everything asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def peak_memory(device: torch.device) -> int:
    """Of the card, or of this process so far; bytes, 0 where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists():
        # Not ru_maxrss: Linux hands that on from the process that started this one.
        return int(_STATUS.read_text().split("VmHWM:")[1].split()[0]) * 1024
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, other systems kilobytes.
    return int(peak if peak > 1 << 32 else peak * 1024)
