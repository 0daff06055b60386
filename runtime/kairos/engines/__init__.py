"""Engines: one folder per model, one explicit list of them."""

from kairos.engines.registry import best_available, engine, engines

__all__ = ["best_available", "engine", "engines"]
