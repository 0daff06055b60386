"""RAFT as a finder of motion for engines that have one of their own (``--flow raft``)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Hashable, Mapping, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.classic.regions import Labels
from kairos.engines.published import FlowNetwork
from kairos.engines.raft.architecture import ARCHITECTURE
from kairos.engines.stored import DTYPES, network_of, none_yet, record_of, records_of
from kairos.errors import BadRequest, EngineError
from kairos.weights.store import Record

FLOW, MEANING = "flow", "raft, or raft:NAME: RAFT's motion, with those of your weights, in place of the engine's own"
"""The option of engines that take motion from here, and what it means."""

ROUNDS = 20
"""Refinements, as in the authors' demonstration. Training saw 12, the published scores took 24 and 32: time grows with
their number, what the last ones change shrinks.
"""

LARGE = 1440
"""Rows or columns of the shorter side from which on ``--scale auto`` seeks motion at half the size: all pairs of places
are compared, so that the work grows with the square of the area."""

_KEPT = 4
"""Frames whose features are kept: those of the pair at work and of its neighbours."""


class RaftMotion:
    """Motion both ways between two pictures of one size.

    Args:
        network: in evaluation mode, on the device of the pictures.
        ways: of turning a frame over that pictures are shown in; so many times are features kept.
    """

    def __init__(self, network: FlowNetwork, ways: int = 1) -> None:
        self._network, self._most = network, _KEPT * ways
        self._seen: OrderedDict[Hashable, Any] = OrderedDict()

    @torch.inference_mode()
    def __call__(
        self,
        first: Tensor,
        second: Tensor,
        keys: Tuple[Hashable, Hashable] = (None, None),
        regions: Optional[Tuple[Labels, Labels]] = None,
    ) -> Tensor:
        """(2, 2, H, W) pixels, float32: from the first picture's pixels to the second, and the reverse.

        Args:
            first, second: proxies (3, H, W) of any size; small ones are padded as the network wants them.
            keys: what the pictures are known by: features of a picture with a key are kept, None has none.
            regions: not looked at: the network begins from nothing.
        """
        height, width = first.shape[-2:]
        one, two = self._look(first, keys[0]), self._look(second, keys[1])
        crop = self._network.padding.crop
        ways = [self._network.flow(*pair, ROUNDS).float() for pair in ((one, two), (two, one))]
        return torch.cat([crop(flow, height, width) for flow in ways])

    def _look(self, picture: Tensor, key: Hashable) -> Any:
        if key is not None and key in self._seen:
            self._seen.move_to_end(key)
            return self._seen[key]
        seen = self._network.look(self._network.padding.pad(picture[None].float()))
        if key is not None:
            self._seen[key] = seen
            while len(self._seen) > self._most:
                self._seen.popitem(last=False)
        return seen


def flow_record(options: Mapping[str, Any]) -> Optional[Record]:
    """RAFT's weights that an engine's options ask for; None where they leave the motion to the engine.

    Raises:
        BadRequest: another estimator, or weights that are not there.
        EngineError: there are no weights of RAFT.
    """
    told = str(options.get(FLOW) or "own")
    if told == "own":
        return None
    kind, _, name = told.partition(":")
    if kind != ARCHITECTURE.id:
        raise BadRequest(f"--flow: there is no {told!r}.", "Use own, raft or raft:NAME.")
    if not records_of(kind):
        raise EngineError(f"--flow {told} cannot be: {none_yet(kind)}")
    return record_of(kind, name)


def flow_hash(options: Mapping[str, Any]) -> str:
    """SHA-256 of RAFT's weights that an engine's options ask for; empty where they ask for none."""
    record = flow_record(options)
    return "" if record is None else record.sha256


def raft_motion(record: Record, device: torch.device, precision: str, ways: int = 1) -> RaftMotion:
    """RAFT with these weights.

    Raises:
        BadRequest: an unknown precision.
        KairosError: the weights are damaged.
    """
    if precision not in DTYPES:
        raise BadRequest(f"RAFT cannot compute in {precision}.", "Use --precision auto.")
    return RaftMotion(network_of(record, ARCHITECTURE, device, precision), ways)
