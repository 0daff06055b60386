"""The explicit list of engines, and which one ``auto`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

from kairos.engines.adapters.engine import published
from kairos.engines.architectures import ARCHITECTURES
from kairos.engines.base import Engine
from kairos.engines.classic.engine import ClassicEngine
from kairos.engines.hierarchical.engine import HierarchicalEngine
from kairos.engines.inbetween.engine import InbetweenEngine
from kairos.engines.onnx import PREFIX, OnnxEngine
from kairos.engines.siren import SirenEngine
from kairos.engines.swift import SwiftEngine
from kairos.errors import BadRequest, EngineError

_ENGINES: Tuple[Engine, ...] = (
    ClassicEngine(),
    SwiftEngine(),
    HierarchicalEngine(),
    *published(ARCHITECTURES),
    SirenEngine(lambda id: engine(id)),
    InbetweenEngine(lambda id: engine(id)),
)

MEASURED: Tuple[Tuple[str, float], ...] = (("swift", 31.4), ("classic", 31.2))
"""Engine and its mean PSNR over the clips of ``kairos bench quality``, dB, best first: the order ``auto`` tries."""


def engines() -> Tuple[Engine, ...]:
    """Every engine Kairos knows, whether it can run here or not."""
    return _ENGINES


def engine(id: str) -> Engine:
    """The engine of that name; ``auto`` is :func:`best_available`, ``onnx:FILE`` the network in that file.

    Raises:
        BadRequest: an unknown name, or a file that holds no network of the documented signature.
        EngineError: the package that runs such files is missing.
    """
    if id == "auto":
        return best_available()
    if id.startswith(PREFIX):
        return OnnxEngine(Path(id[len(PREFIX) :]))
    for candidate in _ENGINES:
        if candidate.card.id == id:
            return candidate
    known = ", ".join(each.card.id for each in _ENGINES)
    raise BadRequest(f"There is no engine {id!r}.", f"Choose one of: auto, {known}, {PREFIX}FILE.")


def best_available() -> Engine:
    """The best measured engine that can run here, gives motion, does not paint and may be used commercially.

    Raises EngineError where none can run.
    """
    reasons = []
    for id, _ in MEASURED:
        candidate = engine(id)
        reason = candidate.unavailable()
        if reason:
            reasons.append(f"{id}: {reason}")
        elif candidate.card.commercial and candidate.card.gives_motion and not candidate.card.paints:
            return candidate
    raise EngineError("No engine can run here.", " ".join(reasons))
