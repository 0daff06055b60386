"""The engine ``hierarchical``: objects first, then pixels."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch

from kairos.engines.adapters.engine import LARGE, TRAITS, as_asked
from kairos.engines.adapters.matted import MattedSession
from kairos.engines.adapters.session import Way
from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.files import file_hash
from kairos.engines.gimm.option import MEANING as MOTION_MEANING
from kairos.engines.gimm.option import MOTION, gimm_motion, motion_hash, motion_source
from kairos.engines.hierarchical.loading import SHIPPED, load_hierarchy
from kairos.engines.hierarchical.on_swift import OnSwift
from kairos.engines.hierarchical.plugged import BASES
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.engines.hierarchical.session import RegionalSession
from kairos.engines.hierarchical.stored import base_of, plugged_of, record_of, records
from kairos.engines.raft.motion import FLOW, MEANING
from kairos.engines.stored import DTYPES
from kairos.engines.swift.engine import SwiftEngine
from kairos.engines.swift.layers import MULTIPLE
from kairos.errors import BadRequest, EngineError
from kairos.events import Listener
from kairos.weights.store import Record

SWIFT = "swift"
"""The base that is taken unasked."""

BASE = "base"
"""The option that says what regions are plugged into."""

_SWIFT_ALONE = ("prior", "tta", FLOW)


class HierarchicalEngine:
    """Regions of the shot, compared as wholes, make another network's motion better before it looks pixel by pixel.

    After "Aligning Anything: Hierarchical Motion Estimation for Video Frame Interpolation". The network is ``swift``,
    or a published one (``base``) with weights of the user's that hold a plug-in. ``swift`` keeps objects apart as it
    does by itself, too.
    """

    card = EngineCard(
        id="hierarchical",
        title="Objects first, then pixels: regions of the shot guide another network",
        paper="Aligning Anything: Hierarchical Motion Estimation for Video Frame Interpolation (anonymous submission)",
        code_licence="Apache-2.0",
        weights_licence="Apache-2.0 on swift; on another base those of its weights",
        multiple=MULTIPLE,
        precisions=tuple(DTYPES),
        tiles=True,
        regions=True,
        wants_regions=True,
        parameters={
            BASE: f"swift (default), {', '.join(BASES)}, or the name of weights: the network that regions guide",
            "weights": "swift: file of a plug-in that kairos train hierarchical made; other bases: name of "
            "weights with a plug-in, as kairos weights list shows it",
            "prior": "swift alone: classical (default) or none: what the network begins from",
            "tta": "swift alone, true: average over the flipped picture too",
            FLOW: f"swift alone: {MEANING}",
            MOTION: MOTION_MEANING,
        },
    )

    def __init__(self) -> None:
        self._swift = SwiftEngine()

    def records(self) -> List[Record]:
        """The weights of published networks with a plug-in that the user has, by name."""
        return records()

    def unavailable(self) -> str:
        """Why the engine cannot run on ``swift``, where weights are missing."""
        missing = self._swift.unavailable()
        if missing or SHIPPED.is_file():
            return missing
        return (
            "it has no plug-in for swift yet. Run kairos train hierarchical and give its weights with --weights FILE, "
            "or use --base with weights of yours."
        )

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of the weights in use, the plug-in's first, then the base's; empty where there are none.

        Behind them stand those of RAFT's and GIMM's weights where they are used. Raises KairosError for weights that
        the settings name and that are missing.
        """
        record = _record(settings)
        if record is not None:
            return " ".join(filter(None, (record.sha256, motion_hash(settings.options))))
        path = _plugin_file(settings)
        if path == SHIPPED and not path.is_file():
            return ""
        return f"{file_hash(path)} {self._swift.weights_hash(_of_swift(settings))}"

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the scale and the weights made certain.

        Raises:
            BadRequest: an option that the base does not have.
            KairosError: weights that are not there.
        """
        record = _record(settings)
        if record is None:
            if self.unavailable() and _plugin_file(settings) == SHIPPED:
                raise EngineError(f"hierarchical cannot run: {self.unavailable()}")
            return replace(settings, scale=self._swift.settle(shot, _of_swift(settings)).scale)
        _check(settings, base_of(record))
        motion_source(settings.options)
        scale = settings.scale
        if scale is None:
            large = min(shot.size) >= LARGE
            scale = 0.5 if large and plugged_of(record, shot.device, _precision(settings)).scales else 1.0
        return replace(
            settings, scale=scale, options={**settings.options, BASE: base_of(record), "weights": record.name}
        )

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot.

        Raises:
            BadRequest: a precision, a scale, an option or rules for regions that the base does not have, or weights
                that do not fit.
            KairosError: weights are missing or damaged, or RAFT or GIMM is wanted and cannot run.
        """
        precision, settings = _precision(settings), self.settle(shot, settings)
        record = _record(settings)
        if record is not None:
            return self._on_published(shot, settings, record)
        path = _plugin_file(settings)
        plugin = _plugin(path, file_hash(path), shot.device, DTYPES[precision])
        return self._swift.session(shot, _of_swift(settings), OnSwift(plugin))

    def _on_published(self, shot: ShotView, settings: EngineSettings, record: Record) -> Session:
        base, scale = base_of(record), settings.scale or 1.0
        traits = TRAITS[base]
        _check_rules(shot, base, traits.paints)
        network = as_asked(plugged_of(record, shot.device, settings.precision), base, scale, settings.tile)
        mover = gimm_motion(settings.options, shot.device, settings.precision)
        way = Way(traits.paints, traits.formula, scale, mover)
        return MattedSession(shot, network, way, lambda view, _, how: RegionalSession(view, network, how))


def _record(settings: EngineSettings) -> Optional[Record]:
    """The user's weights that the settings mean; None for ``swift``."""
    base, name = (str(settings.options.get(option) or "") for option in (BASE, "weights"))
    if base in ("", SWIFT):
        # A name alone says what it belongs to, as for other engines.
        known = [] if base or not name or Path(name).is_file() else records()
        return next((record for record in known if record.name == name), None)
    return record_of(base, name)


def _plugin_file(settings: EngineSettings) -> Path:
    return Path(settings.options.get("weights") or SHIPPED)


def _of_swift(settings: EngineSettings) -> EngineSettings:
    """Settings as ``swift`` takes them, with its own weights."""
    options: Dict[str, Any] = {name: value for name, value in settings.options.items() if name not in (BASE, "weights")}
    return replace(settings, options=options)


def _precision(settings: EngineSettings) -> str:
    if settings.precision not in DTYPES:
        raise BadRequest(f"hierarchical cannot compute in {settings.precision}.", "Use --precision auto.")
    return settings.precision


def _check(settings: EngineSettings, base: str) -> None:
    """Raises BadRequest for options that a published base does not have."""
    options = {name: value for name, value in settings.options.items() if value not in ("", "own", False, None)}
    for name in _SWIFT_ALONE:
        if name in options:
            raise BadRequest(f"hierarchical on {base} has no {name}: --{name} is for --base swift.", "Leave it out.")
    if MOTION in options and TRAITS[base].paints:
        raise BadRequest(f"{base} decides on its paths itself: --motion is for other bases.", "Leave it out.")


def _check_rules(shot: ShotView, base: str, paints: bool) -> None:
    """Raises BadRequest for what the artist wants done with objects and this base does not do."""
    rules = shot.region_rules().values()
    if any(rule.order for rule in rules):
        raise BadRequest(
            f"--region-rules: on {base} objects are no layers, so none can be in front or behind.",
            "Use --base swift, or leave out front, back and numbers.",
        )
    if paints and any(rule.hold for rule in rules):
        raise BadRequest(f"--region-rules: {base} paints, so nothing can be held.", "Use --base swift, or no hold.")


@lru_cache(maxsize=2)
def _plugin(path: Path, digest: str, device: torch.device, dtype: torch.dtype) -> SwiftHierarchy:
    """Loaded once for all views of a shot; ``digest`` tells when the file has become another."""
    return load_hierarchy(path, device).to(dtype)
