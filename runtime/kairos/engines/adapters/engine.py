"""The engine of a published network: its card, its weights from the user's store, its sessions."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import List, Mapping, Optional, Tuple, TypeVar

import torch

from kairos.engines.adapters.matted import MattedSession
from kairos.engines.adapters.session import Way
from kairos.engines.architecture import Architecture
from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.gimm.option import MEANING, MOTION, gimm_motion, motion_hash, motion_source
from kairos.engines.published import PublishedNetwork
from kairos.engines.stored import DTYPES, network_of, none_yet, record_of, records_of
from kairos.errors import BadRequest
from kairos.events import Listener
from kairos.weights.store import Record

LARGE = 1440
"""Rows or columns of the shorter side from which on ``--scale auto`` seeks motion at half the size."""

Asked = TypeVar("Asked", bound=PublishedNetwork)


@dataclass(frozen=True)
class Traits:
    """How a network is made an engine of.

    Attributes:
        paints: its picture is the answer, and its motion moves the other layers; else its motion moves the plate too.
        formula: see :class:`kairos.engines.adapters.session.Way`.
    """

    paints: bool = False
    formula: bool = False


TRAITS: Mapping[str, Traits] = {
    "film": Traits(paints=True, formula=True),
    "rife": Traits(),
    "ifrnet": Traits(),
    "amt": Traits(paints=True),
    "ema": Traits(),
    "gimm-vfi": Traits(paints=True),
}
"""Of the architectures that go between frames; the others serve these."""


class PublishedEngine:
    """An architecture with whatever weights of it the user has.

    Args:
        architecture: of the network.
        traits: how it is used.
    """

    def __init__(self, architecture: Architecture, traits: Traits) -> None:
        self._architecture, self.traits = architecture, traits
        parameters = {"weights": "name of weights of this network, as kairos weights list shows it"}
        if not traits.paints:
            parameters[MOTION] = MEANING
        self.card = EngineCard(
            id=architecture.id,
            title=architecture.title,
            paper=architecture.paper,
            code_licence=architecture.code_licence,
            weights_licence=architecture.weights_licence,
            paints=traits.paints,
            precisions=tuple(DTYPES),
            tiles=True,
            commercial=not architecture.non_commercial,
            parameters=parameters,
        )

    def records(self) -> List[Record]:
        """The weights of this network that the user has, what is taken unasked first."""
        return records_of(self.card.id)

    def unavailable(self) -> str:
        """Why the engine cannot run: it has no weights yet."""
        return "" if self.records() else none_yet(self.card.id)

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of the weights in use; empty where there are none. Raises KairosError for weights not there.

        Behind it stands that of GIMM's weights where they are used.
        """
        moved = motion_hash(settings.options)
        if not settings.options.get("weights") and not self.records():
            return moved
        return " ".join(filter(None, (self._record(settings).sha256, moved)))

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the scale and the weights made certain. Raises KairosError for weights not there."""
        record = self._record(settings)
        motion_source(settings.options)
        options = {**settings.options, "weights": record.name}
        scale = settings.scale
        if scale is None:
            scale = 0.5 if min(shot.size) >= LARGE and self._scales(record) else 1.0
        return replace(settings, scale=scale, options=options)

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot.

        Raises:
            BadRequest: a precision, a scale or weights that this network does not have.
            EngineError: there are no weights, or GIMM is wanted and has none.
            KairosError: the weights are damaged.
        """
        if settings.precision not in DTYPES:
            raise BadRequest(f"{self.card.id} cannot compute in {settings.precision}.", "Use --precision auto.")
        settings = self.settle(shot, settings)
        record, scale = self._record(settings), settings.scale or 1.0
        network = network_of(record, self._architecture, shot.device, settings.precision)
        network = as_asked(network, self.card.id, scale, settings.tile)
        mover = gimm_motion(settings.options, shot.device, settings.precision)
        return MattedSession(shot, network, Way(self.traits.paints, self.traits.formula, scale, mover))

    def _scales(self, record: Record) -> bool:
        # On this device a network is built without numbers.
        with torch.device("meta"):
            return bool(getattr(self._architecture.build(record.values), "scales", False))

    def _record(self, settings: EngineSettings) -> Record:
        """The weights that the settings name, or those that are taken unasked."""
        return record_of(self.card.id, settings.options.get("weights") or "")


def as_asked(network: Asked, name: str, scale: float, tile: Optional[int]) -> Asked:
    """The network at that scale, in tiles of that side, pixels; other views of its weights stay as they are.

    Raises BadRequest where it cannot look at a smaller picture.
    """
    if scale != 1.0 and not network.scales:
        raise BadRequest(f"{name} seeks motion at full size alone.", "Use --scale 1.")
    if tile is None:
        return network
    network = copy.copy(network)
    network.tile = tile
    return network


def published(architectures: Tuple[Architecture, ...]) -> Tuple[PublishedEngine, ...]:
    """The engines of those architectures that go between frames."""
    return tuple(PublishedEngine(each, TRAITS[each.id]) for each in architectures if each.id in TRAITS)
