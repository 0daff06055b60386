"""Engines: one folder per model; :mod:`kairos.engines.registry` is the one explicit list of them."""
