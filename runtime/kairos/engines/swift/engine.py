"""The engine ``swift``: Kairos' own network, trained on scenes that Kairos makes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Optional

import torch

from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.files import file_hash
from kairos.engines.gimm.option import CELL, MOTION, gimm_motion, motion_hash, motion_source
from kairos.engines.gimm.option import MEANING as MOTION_MEANING
from kairos.engines.raft.motion import FLOW, MEANING, flow_hash, flow_record, raft_motion
from kairos.engines.swift.ensemble import TURNS
from kairos.engines.swift.estimator import Hierarchy, classical
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.engines.swift.network import Swift
from kairos.engines.swift.scale import automatic_scale
from kairos.engines.swift.session import SwiftSession
from kairos.errors import BadRequest
from kairos.events import Listener

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class SwiftEngine:
    """A compact network, coarse to fine, that begins from a quick classical search and decides at any time.

    Motion is found at full size, or at a part of it (``scale``; :mod:`kairos.engines.swift.scale` says what ``auto``
    takes); what becomes of it at a time is decided at full size. With ``tta`` both are the mean of the answers on the
    picture as it is and turned over left to right, top to bottom and both ways. With ``flow`` RAFT takes the search's
    place, at the size at which the network looks. With ``motion`` GIMM tells the paths that the network then corrects.
    """

    card = EngineCard(
        id="swift",
        title="Kairos' own network: large and complicated motion, any time",
        paper="Kairos; trained by kairos train on made scenes with exact motion",
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        multiple=MULTIPLE,
        precisions=("fp32", "fp16", "bf16"),
        tiles=True,
        regions=True,
        parameters={
            "prior": "classical (default) or none: what the network begins from",
            "weights": "file of weights in place of those that come with Kairos",
            "tta": "true: average over the flipped picture too",
            FLOW: MEANING,
            MOTION: MOTION_MEANING,
        },
    )

    def unavailable(self) -> str:
        """Why the engine cannot run, where its weights are missing."""
        return "" if SHIPPED.is_file() else f"its weights {SHIPPED.name} are missing. Install Kairos again."

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of the file of weights: those that come with Kairos, or those that the settings name.

        Behind it stand those of RAFT's and GIMM's weights where they are used.

        Raises:
            BadRequest: weights that the settings name are missing.
            EngineError: RAFT or GIMM is wanted and has no weights.
        """
        path = _weights(settings)
        own = file_hash(path) if path.is_file() or path != SHIPPED else ""
        return " ".join(filter(None, (own, flow_hash(settings.options), motion_hash(settings.options))))

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the scale made certain. Raises KairosError for RAFT or GIMM without weights."""
        flow_record(settings.options)
        motion_source(settings.options)
        return settings if settings.scale is not None else replace(settings, scale=automatic_scale(shot))

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot.

        Raises:
            BadRequest: a precision or an option that the engine does not know, or weights that do not fit.
            KairosError: RAFT or GIMM is wanted and cannot run.
        """
        return self.session(shot, settings)

    def session(self, shot: ShotView, settings: EngineSettings, hierarchy: Optional[Hierarchy] = None) -> SwiftSession:
        """The same, where something else may know more of the motion by the shot's objects. Same errors."""
        if settings.precision not in _DTYPES:
            raise BadRequest(f"swift cannot compute in {settings.precision}.", "Use --precision auto.")
        prior, record = settings.options.get("prior", "classical"), flow_record(settings.options)
        if prior not in ("classical", "none"):
            raise BadRequest(f"swift knows no prior {prior!r}.", "Use classical or none.")
        if prior == "none" and record is not None:
            raise BadRequest("swift cannot begin from RAFT and from nothing.", "Leave out prior, or --flow.")
        dtype, path = _DTYPES[settings.precision], _weights(settings)
        network = _network(path, file_hash(path), shot.device, dtype)
        scale = self.settle(shot, settings).scale or 1.0
        turns = TURNS if settings.options.get("tta") else TURNS[:1]
        find = classical if record is None else raft_motion(record, shot.device, settings.precision, len(turns))
        # It tells the paths on half the frame's grid.
        mover = gimm_motion(settings.options, shot.device, settings.precision, CELL // 2)
        return SwiftSession(
            shot, network, dtype, prior == "classical", scale, turns, settings.tile, find, mover, hierarchy
        )


def _weights(settings: EngineSettings) -> Path:
    return Path(settings.options.get("weights") or SHIPPED)


@lru_cache(maxsize=2)
def _network(path: Path, digest: str, device: torch.device, dtype: torch.dtype) -> Swift:
    """Loaded once for all views of a shot; ``digest`` tells when the file has become another."""
    return load_network(path, device).to(dtype)
