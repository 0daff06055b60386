"""How a layer moves when time is bent."""

from __future__ import annotations

from enum import Enum


class Policy(str, Enum):
    """What happens to a layer's pixels in an in-between frame (``--layer-policy LAYER=...``)."""

    BLEND = "blend"
    """Colour and alpha: filtered along the motion, both sources blended."""
    DEPTH = "depth"
    """Depth and position: moved without mixing values across a disocclusion or an edge."""
    NORMAL = "normal"
    """Unit vectors: moved as colour, then renormalised."""
    VECTOR = "vector"
    """Motion: moved without mixing across edges, then rescaled to the new frame spacing."""
    ID = "id"
    """Cryptomatte and other identifiers: the nearest source pixel, never a mixture."""
    NEAREST = "nearest"
    """Any other data that must not be filtered: the nearest source pixel."""
    HOLD = "hold"
    """Not moved: the earlier source frame's pixels."""
    DROP = "drop"
    """Left out of the output."""
