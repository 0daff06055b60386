"""The engine ``swift``: Kairos' own network, trained on scenes that Kairos makes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.swift.loading import SHIPPED, file_hash, load_network
from kairos.engines.swift.network import MULTIPLE, Swift
from kairos.engines.swift.session import SwiftSession
from kairos.errors import BadRequest
from kairos.events import Listener

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class SwiftEngine:
    """A compact network, coarse to fine, that begins from a quick classical search and decides at any time."""

    card = EngineCard(
        id="swift",
        title="Kairos' own network: large and complicated motion, any time",
        paper="Kairos; trained by kairos train on made scenes with exact motion",
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0",
        multiple=MULTIPLE,
        precisions=("fp32", "fp16", "bf16"),
        parameters={
            "prior": "classical (default) or none: what the network begins from",
            "weights": "file of weights in place of those that come with Kairos",
        },
    )

    def unavailable(self) -> str:
        """Why the engine cannot run, where its weights are missing."""
        return "" if SHIPPED.is_file() else f"its weights {SHIPPED.name} are missing. Install Kairos again."

    def weights_hash(self) -> str:
        """SHA-256 of the weights that come with Kairos."""
        return file_hash(SHIPPED) if SHIPPED.is_file() else ""

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot.

        Raises:
            BadRequest: a precision or an option that the engine does not know, or weights that do not fit.
        """
        if settings.precision not in _DTYPES:
            raise BadRequest(f"swift cannot compute in {settings.precision}.", "Use --precision auto.")
        prior = settings.options.get("prior", "classical")
        if prior not in ("classical", "none"):
            raise BadRequest(f"swift knows no prior {prior!r}.", "Use classical or none.")
        path = Path(settings.options.get("weights") or SHIPPED)
        dtype = _DTYPES[settings.precision]
        network = _network(path, file_hash(path) if path.is_file() else "", shot.device, dtype)
        scale = 1.0 if settings.scale is None else settings.scale
        return SwiftSession(shot, network, dtype, prior == "classical", scale)


@lru_cache(maxsize=2)
def _network(path: Path, digest: str, device: torch.device, dtype: torch.dtype) -> Swift:
    """Loaded once for all views of a shot; ``digest`` tells when the file has become another."""
    return load_network(path, device).to(dtype)
