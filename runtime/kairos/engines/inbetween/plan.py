"""What a generation takes of this machine, before anything is loaded: memory by switches, and time.

The plan is no formula: the generation itself is run once on tensors without values, by the very functions that run it
afterwards, and what is alive at once is counted (:mod:`kairos.engines.inbetween.counting`). What follows, on the plate,
is counted on a small one (:mod:`kairos.engines.inbetween.placing`).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch

from kairos.engines.inbetween.changes import Changes, tuned_keys
from kairos.engines.inbetween.counting import Count, Counter, Workspace, on_card, on_processor, size_of, tensors_of
from kairos.engines.inbetween.outline import META, outlined
from kairos.engines.inbetween.parts import Parts
from kairos.engines.inbetween.recipe import Conditions, Recipe
from kairos.engines.inbetween.sampling import conditions, decoded, run

MIB, GIB = 1 << 20, 1 << 30

SPARE_PART, SPARE = 0.08, 512 * MIB
"""What is left free for what is not counted: gaps of the allocator, and workspace of the libraries."""

CHUNKS = (8, 4, 2, 1)
"""Pictures that are decoded together, the quickest first."""

_STAGES = {"keys": ("vae", "image_encoder"), "generate": ("unet",), "decode": ("vae",)}
"""What a generation consists of, and the networks that work there."""

TITLES = {
    "keys": "reading the keys",
    "generate": "generating",
    "decode": "decoding",
    "match": "matching with the keys",
    "show": "placing on the plate",
}
"""Stages in words."""

PROGRAM = 24 * MIB
"""What a process takes on the host beside all tensors, whatever their size: pages of the libraries' code and of the
model's files that are read now (about 11 MiB), the networks' and the libraries' Python objects (8 to 12), and the
preview's picture (5). Counted by kinds of memory in Linux's smaps, with the tiny model.
"""


@dataclass(frozen=True)
class Switches:
    """How memory is saved.

    Attributes:
        maps: see :class:`kairos.engines.inbetween.recipe.Recipe`.
        split: guidance in two passes.
        offload: networks wait on the host.
        chunk: pictures decoded together.
    """

    maps: str = "full"
    split: bool = False
    offload: bool = False
    chunk: int = 8

    def as_text(self) -> Dict[str, str]:
        """By name, as the engine's options say it."""
        yes = {True: "yes", False: "no"}
        return {
            "maps": self.maps,
            "split": yes[self.split],
            "offload": yes[self.offload],
            "chunk": str(self.chunk),
        }


LADDER: Tuple[Switches, ...] = (
    Switches(),
    Switches(offload=True),
    Switches(offload=True, split=True),
    Switches(offload=True, split=True, maps="half"),
    Switches(offload=True, split=True, maps="host"),
)
"""What is tried, the quickest first. Queries and keys (``recompute``) take more room than the maps that are made of
them, so that nobody short of memory is given them.
"""


@dataclass(frozen=True)
class Stage:
    """One part of a generation.

    Attributes:
        name: of :data:`TITLES`.
        own: most bytes alive at once on the device, the working networks included.
        waiting: bytes of the other networks, which are there too where they do not wait on the host.
        host: most bytes alive at once of what it moves to the host.
        multiply_adds: of all of it; 0 of what the engine of the motion does.
    """

    name: str
    own: int
    waiting: int = 0
    host: int = 0
    multiply_adds: int = 0


@dataclass(frozen=True)
class Plan:
    """What a generation takes.

    Attributes:
        switches: how memory is saved.
        dtype: of the networks.
        canvas: height and width, pixels.
        frames, evaluations: pictures, and how often both directions are predicted.
        stages: in order.
        weights: bytes of all networks.
        unified: the device computes in the host's own memory.
    """

    switches: Switches
    dtype: torch.dtype
    canvas: Tuple[int, int]
    frames: int
    evaluations: int
    stages: Tuple[Stage, ...]
    weights: int
    unified: bool = False

    def at(self, stage: Stage) -> int:
        """Bytes that a stage has alive on the device."""
        waiting = stage.waiting if self.unified or not self.switches.offload else 0
        return stage.own + waiting + (stage.host + PROGRAM if self.unified else 0)

    @property
    def peak(self) -> int:
        """Most bytes alive at once on the device, or in all where it computes in the host's memory."""
        return max(self.at(stage) for stage in self.stages)

    @property
    def host(self) -> int:
        """Most bytes on the host besides; 0 where that is the device's memory."""
        if self.unified:
            return 0
        return max(stage.host for stage in self.stages) + (self.weights if self.switches.offload else 0)

    @property
    def needed(self) -> int:
        """Bytes that have to be free for it: with what is not counted."""
        return int(self.peak * (1 + SPARE_PART)) + SPARE

    @property
    def multiply_adds(self) -> int:
        """Of all of it."""
        return sum(stage.multiply_adds for stage in self.stages)

    def seconds(self, rate: float) -> float:
        """How long it takes at ``rate`` multiply-adds per second."""
        return self.multiply_adds / rate

    def text(self, free: Optional[int] = None, rate: Optional[float] = None) -> str:
        """The plan in one line.

        Args:
            free: bytes on the device.
            rate: see :func:`measured_rate`.
        """
        where = "in memory" if self.unified else "on the card"
        stages = ", ".join(f"{TITLES[stage.name]} {gib(self.at(stage))}" for stage in self.stages)
        said = " ".join(f"{name}={value}" for name, value in self.switches.as_text().items())
        height, width = self.canvas
        line = f"{self.frames} frames of {width}x{height}, {self.evaluations} evaluations of both directions: "
        line += f"{gib(self.peak)} {where} ({stages})"
        line += f" of {gib(free)} free" if free is not None else ""
        line += f", {gib(self.host)} on the host" if not self.unified and self.host >= GIB // 20 else ""
        line += f"; {_duration(self.seconds(rate))} or more" if rate else ""
        return f"{line}; {said}"


class Planner:
    """Plans of one generation, by switches. What was counted once is remembered.

    Args:
        told: configurations of the model's parts, see :data:`kairos.engines.inbetween.outline.PUBLISHED`.
        recipe: of the generation.
        canvas: height and width, multiples of 64, pixels.
        dtype: of the networks.
        unified: the device computes in the host's own memory.
        later: stages that follow when the model is let go of.
    """

    def __init__(
        self,
        told: Mapping[str, Mapping[str, Any]],
        recipe: Recipe,
        canvas: Tuple[int, int],
        dtype: torch.dtype,
        unified: bool = False,
        later: Sequence[Stage] = (),
    ) -> None:
        text = json.dumps(told, sort_keys=True)
        self._parts = _outlined(text, dtype)
        self._recipe, self._canvas, self._dtype, self._unified = recipe, canvas, dtype, unified
        self._later = tuple(later)
        threads = torch.get_num_threads() if unified else 0
        self._workspace = on_processor(threads) if unified else on_card
        self._known = _counts(text, dtype, canvas, (recipe.frames, recipe.mode, recipe.layers), threads)
        self._sizes = {name: size_of(tensors_of(getattr(self._parts, name))) for name in _networks()}

    def plan(self, switches: Switches) -> Plan:
        """What the generation takes with these switches."""
        recipe = replace(self._recipe, maps=switches.maps, split=switches.split)
        stages = []
        for name, key in (
            ("keys", ()),
            ("generate", (switches.maps, switches.split)),
            ("decode", (switches.chunk,)),
        ):
            if (name, *key) not in self._known:
                self._known[(name, *key)] = rehearsed(
                    self._parts, recipe, self._canvas, name, switches.chunk, self._workspace
                )
            count = self._known[(name, *key)]
            waiting = sum(size for part, size in self._sizes.items() if part not in _STAGES[name])
            times = recipe.evaluations() if name == "generate" else 1
            stages.append(Stage(name, count.peak, waiting, count.host, count.multiply_adds * times))
        return Plan(
            switches,
            self._dtype,
            self._canvas,
            recipe.frames,
            recipe.evaluations(),
            (*stages, *self._later),
            sum(self._sizes.values()),
            self._unified,
        )

    def chosen(self, free: int, fixed: Optional[Mapping[str, Any]] = None) -> Tuple[Plan, bool]:
        """The quickest plan that fits into ``free`` bytes, and whether it does; the lightest where none does.

        Args:
            free: bytes on the device.
            fixed: switches by name that are not to be chosen.
        """
        best: Optional[Plan] = None
        for rung in _rungs(LADDER, fixed or {}):
            for chunk in [rung.chunk] if fixed and "chunk" in fixed else self._chunks():
                plan = self.plan(replace(rung, chunk=chunk))
                if plan.needed <= free:
                    return plan, True
                if best is None or plan.peak < best.peak:
                    best = plan
                if any(plan.at(each) < plan.peak for each in plan.stages if each.name == "decode"):
                    # Decoding is not what takes most: fewer at once help nobody.
                    break
        assert best is not None
        return best, False

    def _chunks(self) -> List[int]:
        return [each for each in CHUNKS if each <= self._recipe.frames] or [1]


@lru_cache(maxsize=2)
def _outlined(text: str, dtype: torch.dtype) -> Parts:
    """The networks of a model that JSON describes, without values."""
    # Kept for any mode: what is made in inference mode can be changed nowhere else.
    with torch.inference_mode(False):
        return outlined(json.loads(text), dtype)


@lru_cache(maxsize=8)
def _counts(
    text: str, dtype: torch.dtype, canvas: Tuple[int, int], way: Tuple[int, str, str], threads: int
) -> Dict[Tuple[object, ...], Count]:
    """What was counted so far of a model's stages, by name and switches: a job with many generations counts once."""
    return {}


def rehearsed(
    parts: Parts, recipe: Recipe, canvas: Tuple[int, int], name: str, chunk: int, workspace: Optional[Workspace] = None
) -> Count:
    """What a stage takes: run on tensors without values.

    Args:
        parts: by :func:`kairos.engines.inbetween.outline.outlined`.
        recipe: of the generation; of its evaluations one is run.
        canvas: height and width.
        name: of :data:`TITLES`.
        chunk: pictures decoded together.
        workspace: of convolutions.
    """
    counter = Counter(META, tensors_of(*(getattr(parts, each) for each in _STAGES[name])), workspace)
    with counter.counting(), torch.no_grad():
        for _ in _rehearsal(parts, recipe, canvas, name, chunk):
            pass
    return counter.count()


def _rehearsal(parts: Parts, recipe: Recipe, canvas: Tuple[int, int], name: str, chunk: int) -> Iterator[object]:
    height, width = canvas
    small = (height // 8, width // 8)
    if name == "keys":
        first, second = (torch.zeros(3, height, width) for _ in range(2))
        yield conditions(parts, recipe, first, second)
    elif name == "generate":
        once = replace(recipe, steps=1, repeats=0)
        latents = tuple(torch.empty(1, 4, *small, device=META, dtype=parts.dtype) for _ in range(2))
        wide = int(parts.image_encoder.config.projection_dim)
        embeds = tuple(torch.empty(1, 1, wide, device=META, dtype=parts.dtype) for _ in range(2))
        ids = torch.empty(1, 3, device=META, dtype=parts.dtype)
        told = Conditions((latents[0], latents[1]), (embeds[0], embeds[1]), ids)
        yield from run(parts, _changes(parts, recipe), once, told, None, lambda done, total: None)
    else:
        kept = []
        for stack in decoded(parts, torch.empty(1, recipe.frames, 4, *small, device=META), chunk):
            kept.append(stack.half().cpu())
            yield kept


def _changes(parts: Parts, recipe: Recipe) -> Optional[Changes]:
    """Differences such as tuning makes, where a recipe takes any."""
    if recipe.mode == "trf":
        return None
    weights = parts.unet.state_dict()
    return Changes({key: torch.empty_like(weights[key]) for key in tuned_keys(weights)})


def _networks() -> List[str]:
    return sorted({part for parts in _STAGES.values() for part in parts})


def _rungs(ladder: Sequence[Switches], fixed: Mapping[str, Any]) -> List[Switches]:
    """The ladder with what is fixed, each once."""
    return list(dict.fromkeys(replace(rung, **fixed) for rung in ladder))


def measured_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Multiply-adds per second of one of the network's products here: (4096, 640) by (640, 2560), for a tenth of a
    second. Convolutions and what lies between come to less: a time planned with it is the least.
    """
    left = torch.ones(4096, 640, device=device, dtype=dtype)
    right = torch.ones(640, 2560, device=device, dtype=dtype)
    done, spent = 0, 0.0
    # The first wakes the device and its libraries.
    for number in range(1 << 12):
        began = time.monotonic()
        float((left @ right)[0, 0])
        if number:
            done, spent = done + 1, spent + time.monotonic() - began
        if spent >= 0.1:
            break
    return done * left.shape[0] * left.shape[1] * right.shape[1] / max(spent, 1e-9)


def gib(size: int) -> str:
    """Bytes in words."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.0f} MiB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
