"""Kairos' runtime: reads plates, finds motion, writes retimed frames, vectors and masks."""

import os

from kairos_nodes import __version__

# Reading, computing and writing overlap in threads. OpenMP's workers, which spin while they wait, would take the cores
# from them: a render on two cores then takes ten times as long. Read when torch loads, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__all__ = ["__version__"]
