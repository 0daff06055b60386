"""The engine contract: what a model says about itself, what it sees, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Optional, Protocol, Sequence, Tuple, runtime_checkable

import torch
from torch import Tensor

from kairos.events import Listener
from kairos.motion.inbetween import Inbetween
from kairos.motion.region_choice import RegionRule


@dataclass(frozen=True)
class EngineCard:
    """What an engine is and can do.

    Attributes:
        id: name on the command line.
        title: one line for people.
        paper: where the method is published.
        code_licence, weights_licence: SPDX names or a sentence; ``weights_licence`` is empty without weights.
        any_time: answers at any time (False: 0.5 and its recursion only).
        gives_motion: answers with usable flows.
        paints: answers with an image of its own.
        clip: fits the clip, in windows of many frames, instead of looking at a pair.
        generates: makes movement up, which takes minutes per pair.
        multiple: frame sides are padded to a multiple of this inside the engine.
        precisions: of ``fp32``, ``fp16``, ``bf16``.
        on_gpu: the one of them that ``auto`` takes on a GPU.
        tiles: works in tiles that leave no trace (``EngineSettings.tile``).
        regions: keeps the shot's objects apart (:meth:`ShotView.regions`).
        wants_regions: where the artist names no objects, it wants those that are found by what moves apart.
        commercial: weights and code may be used commercially (``--engine auto`` takes no other).
        parameters: names and meanings of the engine's own options.
    """

    id: str
    title: str
    paper: str
    code_licence: str
    weights_licence: str = ""
    any_time: bool = True
    gives_motion: bool = True
    paints: bool = False
    clip: bool = False
    generates: bool = False
    multiple: int = 1
    precisions: Tuple[str, ...] = ("fp32",)
    on_gpu: str = "fp32"
    tiles: bool = False
    regions: bool = False
    wants_regions: bool = False
    commercial: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Two source frames to go between, with their neighbours where the shot has them.

    The job leaves ``before`` and ``after`` None at a sequence's ends and where a scene cut lies between, so an engine
    never has to know about cuts. Positions count the shot's frames from 0.

    Attributes:
        first, second: positions of source 0 and source 1.
        before, after: positions of the frames before ``first`` and after ``second``, or None.
        before_time, after_time: their times in units of the pair's interval (first = 0, second = 1): -1 and 2 on
            evenly spaced frames, others where repeated or missing frames were passed over.
    """

    first: int
    second: int
    before: Optional[int] = None
    after: Optional[int] = None
    before_time: float = -1.0
    after_time: float = 2.0


class ShotView(Protocol):
    """What an engine sees of a shot: encoded proxies, never the plate itself."""

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width of every proxy, pixels."""

    @property
    def count(self) -> int:
        """How many frames the shot has; positions are 0 to one less."""

    @property
    def device(self) -> torch.device:
        """Where proxies live and answers are expected."""

    def proxy(self, position: int) -> Tensor:
        """(3, H, W) float32, log-encoded (or display-referred), about 0..1, not clamped, finite everywhere."""

    def matte(self, position: int) -> Optional[Tensor]:
        """(1, H, W) in 0..1: 1 = foreground, to be moved as a layer of its own; None where the artist gave none."""

    def given_motion(self, source: int, target: int) -> Optional[Tensor]:
        """(2, H, W) pixels, x right, y down, from ``source``'s pixels to ``target``; None where the plate has none.

        Where it answers, an engine uses it in place of its own estimate.
        """

    def regions(self, position: int) -> Optional[Tensor]:
        """(H, W) int16 label map on the shot's device; None where nobody gave regions.

        0 is the rest, 1 to n are objects, and a number is the same object in every frame. Numbers may have gaps.
        """

    def regions_found(self) -> bool:
        """Whether regions were found in the shot itself rather than given: their edges are guesses, and cut nothing."""

    def region_rules(self) -> Mapping[int, RegionRule]:
        """What the artist wants done with objects, by their number (0 is the rest); others are retimed like any."""


@dataclass(frozen=True)
class EngineSettings:
    """How to run an engine.

    Attributes:
        precision: one that the card names.
        scale: size at which motion is found; None chooses.
        tile: side of tiles, pixels; None works on whole frames.
        options: the engine's own parameters by name.
        scenes: for engines that fit the clip, the positions that show anything new, scene by scene: no cut lies in a
            scene, and single repeats inside a movement are left out. None: the engine looks for cuts itself.
    """

    precision: str = "fp32"
    scale: Optional[float] = None
    tile: Optional[int] = None
    options: Mapping[str, Any] = field(default_factory=dict)
    scenes: Optional[Tuple[Tuple[int, ...], ...]] = None


class Session(Protocol):
    """An engine at work on one view of one shot."""

    def at(self, pair: Pair, times: Sequence[float]) -> Iterator[Inbetween]:
        """Yields one :class:`Inbetween` per time, in order.

        Times lie in 0..1. At 0 the in-between's pixels are source 0's: ``flow_to_0`` is 0 and ``flow_to_1`` is the
        motion to source 1 (so a motion-vector job needs no second interface); at 1 the reverse.
        Whatever does not depend on the time is computed once per pair, and what neighbouring pairs share, once per
        frame.
        """


@runtime_checkable
class TellsMotion(Protocol):
    """A session that knows the motion between two times better than by paths through both sources."""

    def motion(self, pair: Pair, start: float, end: float) -> Optional[Tensor]:
        """(2, H, W) pixels, x right, y down, from what is shown at ``start`` to what is shown at ``end``.

        Both are 0..1 between the sources. None where :meth:`Session.at` tells all there is.
        """


class Engine(Protocol):
    """A model that can go between frames."""

    card: EngineCard

    def unavailable(self) -> str:
        """Why the engine cannot run here, in one line with the remedy; empty where it can."""

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:
        """SHA-256 of the weights in use with these settings, empty without weights: part of every frame's fingerprint.

        Raises BadRequest where the settings name weights that are not there.
        """

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with every automatic choice made, from the whole shot: part of every frame's fingerprint.

        The same whichever frames of the shot are asked for. ``open`` chooses likewise where it was not called.
        """

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot. Raises EngineError where it cannot run.

        An engine that fits the clip does so here or when its session is first asked for a part of it. It tells its
        listener of progress twice a second (``stage`` is ``fit``), and passes on the Cancelled that a listener raises.
        """


@runtime_checkable
class Notes(Protocol):
    """An engine that can run and could do more."""

    def notes(self) -> Sequence[str]:
        """What it lacks for that, a line each with the remedy."""
