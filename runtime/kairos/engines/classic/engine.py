"""The engine ``classic``: dense inverse search both ways, consistency, splatting. Runs everywhere, needs no weights."""

from __future__ import annotations

from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.classic.session import ClassicSession
from kairos.events import Listener


class ClassicEngine:
    """Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016), in OpenCV, made to interpolate."""

    card = EngineCard(
        id="classic",
        title="Optical flow without learning: runs everywhere, sharp, honest where it does not know",
        paper="Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search, ECCV 2016",
        code_licence="Apache-2.0 (OpenCV)",
    )

    def unavailable(self) -> str:
        """Always empty: OpenCV is part of every installation."""
        return ""

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """Empty: there are no weights."""
        return ""

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings as they are: nothing is left to be chosen."""
        return settings

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot."""
        return ClassicSession(shot)
