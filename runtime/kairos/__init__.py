"""Kairos' runtime: reads plates, finds motion, writes retimed frames, vectors and masks."""

from kairos_nodes import __version__

__all__ = ["__version__"]
