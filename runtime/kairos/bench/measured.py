"""What engines took on this machine, kept from one ``kairos engines --measure`` to the next.

A figure holds for one set of weights on one device, with one torch and one Kairos: any other is told as outdated.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch

from kairos import __version__
from kairos.bench.engine_speed import choose_device, device_name, measure_engine_alone, rough_seconds_alone
from kairos.bench.speed_report import EngineSpeed
from kairos.engines.base import EngineSettings
from kairos.engines.registry import engine
from kairos.errors import KairosError
from kairos.weights.store import written_whole

VARIABLE = "KAIROS_CACHE"
"""Names the cache's folder, in place of the user's own."""

_NAME = "engine_speed.json"
FORMAT = 1
SIZE = (1920, 1080)
"""Width and height that are measured."""

PRECISION = "fp32"

LIMIT = 5.0
"""Minutes that one engine may take unasked."""


@dataclass(frozen=True)
class Key:
    """What a figure holds for.

    Attributes:
        engine: id.
        weights_sha256: of its weights, empty without any.
        device: in words.
        torch, kairos: versions.
        width, height: pixels.
        precision: ``fp32`` and so on.
    """

    engine: str
    weights_sha256: str
    device: str
    torch: str
    kairos: str
    width: int
    height: int
    precision: str

    def outdates(self, other: Key) -> bool:
        """The other is of the same engine, weights, device and size, whatever the versions."""
        return (self.engine, self.weights_sha256, self.device, self.width, self.height, self.precision) == (
            other.engine, other.weights_sha256, other.device, other.width, other.height, other.precision,
        )  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """One engine's figures.

    Attributes:
        key: what they hold for.
        first, further: seconds for a pair's first in-between, and for each further one.
        memory: peak, bytes; 0 where unknown.
        when: UTC, ISO 8601.
    """

    key: Key
    first: float
    further: float
    memory: int
    when: str


@dataclass(frozen=True)
class Subject:
    """What is measured: an engine, with weights of that name, or without any."""

    engine: str
    weights: str = ""

    def __str__(self) -> str:
        return f"{self.engine} {self.weights}".strip()


class Cache:
    """A file of measurements. One that is missing or damaged is empty: everything in it can be measured again.

    Args:
        path: the file; the user's own by default.
    """

    def __init__(self, path: Optional[Path] = None) -> None:
        self.path = path or default_path()

    def all(self) -> List[Measurement]:
        """Every measurement that can be read."""
        try:
            told = json.loads(self.path.read_text(encoding="utf-8"))
            rows = told["rows"] if told["format"] == FORMAT else []
        except (OSError, ValueError, TypeError, KeyError):
            return []
        read = (_read(row) for row in rows)
        return [each for each in read if each is not None]

    def find(self, key: Key) -> Tuple[Optional[Measurement], str]:
        """The measurement for a key; None, and in a few words what else there is, where it does not hold any more."""
        outdated = ""
        for each in self.all():
            if each.key == key:
                return each, ""
            if key.outdates(each.key):
                other = f"torch {each.key.torch}" if each.key.torch != key.torch else f"Kairos {each.key.kairos}"
                outdated = f"measured with {other}"
        return None, outdated

    def put(self, measurement: Measurement) -> None:
        """Keeps a measurement in place of what it outdates. Raises KairosError where the folder cannot be written."""
        kept = [each for each in self.all() if not measurement.key.outdates(each.key)]
        rows = [asdict(each) for each in (*kept, measurement)]
        with written_whole(self.path) as temporary:
            temporary.write_text(json.dumps({"format": FORMAT, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def default_path() -> Path:
    """The user's cache, or the folder that ``$KAIROS_CACHE`` names."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser() / _NAME
    # A GPU machine on which one only trains and measures has no such library.
    try:
        import platformdirs
    except ImportError:
        return Path.home() / ".kairos" / "cache" / _NAME
    return Path(platformdirs.user_cache_dir("kairos", appauthor=False)) / _NAME


def key_of(subject: Subject, device: str = "auto") -> Key:
    """What a measurement of an engine here and now holds for. Raises KairosError where it has no such weights."""
    settings = EngineSettings(options={"weights": subject.weights} if subject.weights else {})
    return Key(
        subject.engine,
        engine(subject.engine).weights_hash(settings),
        device_name(choose_device(device)),
        torch.__version__,
        __version__,
        *SIZE,
        PRECISION,
    )


Estimate = Callable[[str, int, int, str, str], float]
Measure = Callable[[str, int, int, str, str], EngineSpeed]


def measure(
    subjects: Sequence[Subject],
    cache: Cache,
    told: Callable[[str], None],
    limit: Optional[float] = LIMIT,
    device: str = "auto",
    *,
    estimated: Estimate = rough_seconds_alone,
    measured: Measure = measure_engine_alone,
) -> List[Measurement]:
    """Measures engines, the quick ones first, and keeps each as soon as it is there: an interrupt loses one at most.

    Args:
        subjects: engines that can run here, with weights.
        cache: where measurements go.
        told: told a line at a time: how long it will take, what was measured, what was left out and why.
        limit: minutes that one may take; None for as long as it needs.
        device: ``auto``, ``cuda``, ``mps`` or ``cpu``.
        estimated, measured: how.

    Raises:
        KairosError: the cache cannot be written.
    """
    rough: Dict[Subject, float] = {}
    told(f"Looking how quick {', '.join(str(each) for each in subjects)} {'is' if len(subjects) == 1 else 'are'} ...")
    for subject in subjects:
        try:
            rough[subject] = estimated(subject.engine, *SIZE, device, subject.weights)
        except (KairosError, RuntimeError) as error:
            told(f"{subject}: cannot be measured: {_line(error)}")
    short = {subject: took for subject, took in rough.items() if limit is None or took <= 60 * limit}
    for subject in rough.keys() - short.keys():
        told(
            f"{subject}: left out, it would take about {_span(rough[subject])}. "
            f"kairos engines {subject.engine} --measure measures it all the same."
        )
    told(f"Measuring at {SIZE[0]}x{SIZE[1]} takes about {_span(sum(short.values()))}. Ctrl-C keeps what is there.")
    found = []
    for subject in sorted(short, key=lambda each: short[each]):
        told(f"{subject}: about {_span(short[subject])} ...")
        key = key_of(subject, device)
        try:
            speed = measured(subject.engine, *SIZE, device, subject.weights)
        except (KairosError, RuntimeError) as error:
            told(f"{subject}: cannot be measured: {_line(error)}")
            continue
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        found.append(Measurement(key, speed.first, speed.further, speed.memory, now))
        cache.put(found[-1])
        told(f"{subject}: {speed.first:.2f} s, {speed.further:.2f} s each further")
    return found


def _read(row: Any) -> Optional[Measurement]:
    try:
        known = {field.name for field in fields(Key)}
        key = Key(**{name: value for name, value in row["key"].items() if name in known})
        first, further, memory = float(row["first"]), float(row["further"]), int(row["memory"])
        return Measurement(key, first, further, memory, str(row["when"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _span(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
