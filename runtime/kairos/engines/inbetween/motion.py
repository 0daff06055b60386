"""Motion between two pictures that belong to no shot, by any engine that gives motion."""

from __future__ import annotations

from torch import Tensor

from kairos.engines.base import Engine, EngineSettings, Pair, Session
from kairos.engines.classic.motion import Found, Look
from kairos.engines.plain_shot import PlainFrames
from kairos.errors import BadRequest
from kairos.events import Event


class Mover:
    """An engine that finds the motion between pictures: also a :class:`kairos.engines.classic.motion.Estimator`.

    Args:
        engine: that gives motion and fits no clip.
        settings: of that engine.

    Raises:
        BadRequest: the engine gives no motion of its own.
    """

    def __init__(self, engine: Engine, settings: EngineSettings) -> None:
        if not engine.card.gives_motion or engine.card.clip or engine.card.paints:
            raise BadRequest(
                f"inbetween cannot take its motion from {engine.card.id}.", "Use --generate engine=swift or classic."
            )
        self.engine, self.settings = engine, settings

    def between(self, first: Tensor, second: Tensor) -> Session:
        """A session between two pictures (3, H, W), which are the positions 0 and 1."""
        return self.engine.open(PlainFrames((first, second)), self.settings, _nobody)

    def __call__(self, first: Look, second: Look) -> Found:
        """The motion both ways."""
        start, end = self.between(first.proxy, second.proxy).at(Pair(0, 1), [0.0, 1.0])
        return Found(start.flow_to_1, end.flow_to_0, start.occlusion_1, end.occlusion_0)


def _nobody(event: Event) -> None:
    """Hears what the engine of the motion tells of two pictures: nothing that takes long."""
