"""The engine ``classic``: dense inverse search both ways, consistency, splatting. Runs everywhere, needs no weights."""

from __future__ import annotations

from dataclasses import replace

from kairos.engines.base import EngineCard, EngineSettings, Session, ShotView
from kairos.engines.classic.flow import FlowEstimator
from kairos.engines.classic.motion import estimate_classic
from kairos.engines.classic.session import ClassicSession
from kairos.engines.gimm.option import MEANING as MOTION_MEANING
from kairos.engines.gimm.option import MOTION, gimm_motion, motion_hash, motion_source
from kairos.engines.raft.motion import FLOW, LARGE, MEANING, flow_hash, flow_record, raft_motion
from kairos.events import Listener


class ClassicEngine:
    """Kroeger et al., "Fast Optical Flow using Dense Inverse Search" (ECCV 2016), in OpenCV, made to interpolate.

    With ``flow`` RAFT finds the motion in place of the searches; what becomes of it is the same. With ``motion`` GIMM
    tells the paths between both frames.
    """

    card = EngineCard(
        id="classic",
        title="Optical flow without learning: runs everywhere, sharp, honest where it does not know",
        paper="Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search, ECCV 2016",
        code_licence="Apache-2.0 (OpenCV)",
        regions=True,
        parameters={FLOW: MEANING, MOTION: MOTION_MEANING},
    )

    def unavailable(self) -> str:
        """Always empty: OpenCV is part of every installation."""
        return ""

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """Of RAFT's and GIMM's weights, where they are used. Raises KairosError for weights not there."""
        return " ".join(filter(None, (flow_hash(settings.options), motion_hash(settings.options))))

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with RAFT's scale made certain; without RAFT nothing is left to be chosen."""
        motion_source(settings.options)
        if flow_record(settings.options) is None or settings.scale is not None:
            return settings
        return replace(settings, scale=0.5 if min(shot.size) >= LARGE else 1.0)

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot. Raises KairosError where RAFT or GIMM is wanted and cannot run."""
        record = flow_record(settings.options)
        mover = gimm_motion(settings.options, shot.device, settings.precision)
        if record is None:
            return ClassicSession(shot, estimate_classic, mover)
        scale = self.settle(shot, settings).scale or 1.0
        find = raft_motion(record, shot.device, settings.precision)
        return ClassicSession(shot, FlowEstimator(find, scale), mover)
