"""The engine ``siren``: fits a field to the shot, held to the optical flow of what it shows. Needs no weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

from kairos.engines.base import Engine, EngineCard, EngineSettings, Session, ShotView
from kairos.engines.gimm.option import MEANING as MOTION_MEANING
from kairos.engines.gimm.option import MOTION
from kairos.engines.raft.motion import FLOW, MEANING
from kairos.engines.siren.clip import scenes, windows
from kairos.engines.siren.fits import Fits, Looked, digest
from kairos.engines.siren.plan import MEANINGS, Plan
from kairos.engines.siren.session import SirenSession
from kairos.errors import BadRequest
from kairos.events import Listener


class SirenEngine:
    """A field held to the optical-flow constraint, at any time between the frames and not at these alone.

    After "Optical Flow Regularization of Implicit Neural Representations for Video Frame Interpolation".

    Args:
        find: answers with the engine of a name, for the motion.
    """

    card = EngineCard(
        id="siren",
        title="A field of colour fitted to the shot along its motion: for small motion, where time is no matter",
        paper="Optical Flow Regularization of Implicit Neural Representations for Video Frame Interpolation",
        code_licence="Apache-2.0",
        paints=True,
        clip=True,
        precisions=("fp32", "bf16"),
        parameters={"fit": "pairs NAME=VALUE of the following", **MEANINGS, FLOW: MEANING, MOTION: MOTION_MEANING},
    )

    def __init__(self, find: Callable[[str], Engine]) -> None:
        self._find = find

    def unavailable(self) -> str:
        """Always empty: what is fitted is the shot."""
        return ""

    def weights_hash(self, settings: EngineSettings = EngineSettings()) -> str:  # noqa: B008  immutable
        """SHA-256 of how the shot is fitted, and of the motion's weights. Raises KairosError for what is not there."""
        plan = _plan(settings)
        motion = self._moving(plan).weights_hash(self._inner(plan, settings))
        return digest({**plan.facts(), "weights": motion})

    def settle(self, shot: ShotView, settings: EngineSettings) -> EngineSettings:
        """The settings with the motion's scale made certain. Raises KairosError where that engine cannot run."""
        plan = _plan(settings)
        return replace(settings, scale=self._moving(plan).settle(shot, self._inner(plan, settings)).scale)

    def open(self, shot: ShotView, settings: EngineSettings, listener: Listener) -> Session:
        """A session on the shot, which fits a window's tiles, or finds them fitted, when it is first asked for it.

        The listener is told twice a second and may raise Cancelled: what is fitted so far is gone on with next time.

        Raises:
            BadRequest: an option that cannot be, or another precision.
            KairosError: the motion's engine cannot run, or the cache cannot be written.
        """
        if settings.precision not in self.card.precisions:
            raise BadRequest(f"siren cannot compute in {settings.precision}.", "Use --precision auto or bf16.")
        plan = _plan(settings)
        moving = self._moving(plan).open(shot, self._inner(plan, settings), listener)
        looked = Looked(listener, shot.count)
        known = scenes(shot, looked) if settings.scenes is None else settings.scenes
        how = self.weights_hash(settings)

        fits = Fits(shot, moving, plan, how, looked, listener)
        return SirenSession(shot, moving, windows(known, plan.window), fits.tiles, fits.window, looked.painting)

    def _moving(self, plan: Plan) -> Engine:
        """The engine of the motion. Raises BadRequest where it gives none."""
        engine = self._find(plan.motion)
        if not engine.card.gives_motion or engine.card.clip:
            raise BadRequest(f"siren cannot take its motion from {plan.motion}.", "Use --fit engine=classic.")
        return engine

    def _inner(self, plan: Plan, settings: EngineSettings) -> EngineSettings:
        """Settings of the engine of the motion: what it knows of the options, and none of a field's."""
        card = self._moving(plan).card
        known = card.parameters.keys() - MEANINGS.keys()
        options = {name: value for name, value in settings.options.items() if name in known}
        precision = settings.precision if settings.precision in card.precisions else "fp32"
        return replace(settings, options=options, precision=precision)


def _plan(settings: EngineSettings) -> Plan:
    return replace(Plan.of(settings.options), half=settings.precision == "bf16")
