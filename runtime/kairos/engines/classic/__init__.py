"""``classic``: optical flow without learning."""

from kairos.engines.classic.engine import ClassicEngine

__all__ = ["ClassicEngine"]
