"""A field of colour fitted to the shot itself, held to the motion of what it shows."""

from kairos.engines.siren.engine import SirenEngine

__all__ = ["SirenEngine"]
