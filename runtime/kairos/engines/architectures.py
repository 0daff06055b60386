"""The explicit list of published networks that Kairos can build."""

from __future__ import annotations

from typing import Tuple

from kairos.engines.architecture import Architecture

ARCHITECTURES: Tuple[Architecture, ...] = ()
"""In the order in which a state dict is tried on them."""
