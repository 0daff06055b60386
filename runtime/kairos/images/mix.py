"""One frame between two, by plain mixing: what stands in for a missing frame with ``--on-missing blend``."""

from __future__ import annotations

from dataclasses import replace
from typing import List

import numpy as np

from kairos.errors import FrameError
from kairos.frame import Frame, Part, Planes, Window
from kairos_nodes.layers import Policy

from .layers import layers_of

_MIXED = (Policy.BLEND, Policy.DEPTH, Policy.NORMAL, Policy.VECTOR)


def mixed(main: Frame, other: Frame, weight: float) -> Frame:
    """``main`` mixed with ``other`` at ``weight``: identifiers and integers are ``main``'s (the nearer frame's).

    Data windows become the union of both; outside its own, a frame is black.

    Raises:
        FrameError: the two differ in parts or channels.
    """
    if [part.channels for part in main.parts] != [part.channels for part in other.parts]:
        raise FrameError(
            f"Frames {main.number} and {other.number} hold different layers and cannot be blended.",
            "Pass --on-missing hold, or render the missing frame.",
        )
    smooth: List[List[int]] = [[] for _ in main.parts]
    for layer in layers_of(main):
        if layer.policy in _MIXED:
            smooth[layer.part] += layer.channels
    parts = (
        _mixed_part(mine, theirs, channels, weight) for mine, theirs, channels in zip(main.parts, other.parts, smooth)
    )
    return replace(main, parts=tuple(parts))


def _mixed_part(main: Part, other: Part, channels: List[int], weight: float) -> Part:
    window = main.window.union(other.window)
    planes, theirs = _placed(main, window), _placed(other, window)
    share = np.float32(weight)
    planes[channels] = planes[channels] * (np.float32(1) - share) + theirs[channels] * share
    return replace(main, planes=planes, window=window)


def _placed(part: Part, window: Window) -> Planes:
    """A copy of the part's planes over a larger window, black around them."""
    planes = np.zeros((len(part.channels), window.height, window.width), np.float32)
    if not part.window.empty:
        planes[(slice(None), *window.slices(part.window))] = part.planes
    return planes
