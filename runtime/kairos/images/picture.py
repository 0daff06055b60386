"""The one picture of a frame that simple formats hold: the first view's beauty over the display window."""

from __future__ import annotations

from typing import List, Tuple

import numpy as np

from kairos.frame import Frame, Part, Planes

from .conversion import straightened
from .layers import beauty, is_alpha, layers_of


def picture(
    frame: Frame, title: str, alpha: bool, straight: bool, warnings: List[str]
) -> Tuple[Planes, Part, Tuple[int, ...]]:
    """Picks what a simple format holds.

    Args:
        frame: all layers.
        title: the format's name, for warnings.
        alpha: the format holds one.
        straight: its alpha is beside the colour, not multiplied into it.
        warnings: what is left out is added here.

    Returns:
        (C, H, W) planes over the display window: grey or RGB, with alpha where held; the part they come from; and the
        channels' indices in it.
    """
    layers = layers_of(frame)
    first = beauty(layers, layers[0].view)
    part = frame.parts[first.part]
    alphas = [channel for channel in first.channels if is_alpha(part.channels[channel])]
    colour = [channel for channel in first.channels if channel not in alphas]
    colour = colour[:3] if len(colour) >= 3 else colour[:1]
    chosen = (colour + (alphas[:1] if alpha else [])) or alphas[:1]
    left_out = [layer.name for layer in layers if layer is not first]
    left_out += ["alpha"] if alphas and colour and not alpha else []
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        warnings.append(f"{title} holds one picture: {names} left out. Write EXR to keep all layers.")
    if straight and alphas:
        part = straightened(part)
    planes = part.planes[chosen]
    if part.window == frame.display:
        return planes, part, tuple(chosen)
    warnings.append(f"{title} has no data window: {part.window} was fitted to the frame's {frame.display}.")
    fitted = np.zeros((len(chosen), frame.display.height, frame.display.width), np.float32)
    inside = part.window.intersection(frame.display)
    if not inside.empty:
        fitted[(slice(None), *frame.display.slices(inside))] = planes[(slice(None), *part.window.slices(inside))]
    return fitted, part, tuple(chosen)
