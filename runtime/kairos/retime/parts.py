"""Output parts: the plate's own, moved or copied, and the layers that Kairos adds."""

from __future__ import annotations

from dataclasses import replace
from typing import AbstractSet, Dict, List, Mapping, Sequence, Tuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from kairos.frame import Frame, Part, Window
from kairos.images import premultiplied, straightened
from kairos_nodes.channels import plate_layer_name
from kairos_nodes.layers import Policy

from .layout import Layout
from .plate import Source

Pixels = npt.NDArray[np.float32]


def copied(frame: Frame, layout: Layout, speed: float) -> List[Part]:
    """A source frame's own parts with the chosen channels; only motion layers are touched: they are rescaled."""
    motion = {
        (layer.part, channel) for layer in layout.layers if layer.policy is Policy.VECTOR for channel in layer.channels
    }
    parts = []
    for index, part in enumerate(frame.parts):
        kept = _kept_channels(layout, index)
        if not kept:
            continue
        planes = part.planes if len(kept) == len(part.channels) else part.planes[kept]
        scaled = [row for row, channel in enumerate(kept) if (index, channel) in motion]
        if scaled and speed != 1:
            planes = planes.copy()
            planes[scaled] *= np.float32(speed)
        parts.append(_with_channels(part, kept, planes, part.window))
    return parts


def assembled(layout: Layout, planes: Mapping[Tuple[str, Policy], Tensor], sources: Sequence[Source]) -> List[Part]:
    """Moved planes put back into the plate's parts, each cropped to the union of its sources' data windows.

    Colour that is not premultiplied in the file was so while it moved, and is divided again.
    """
    place: Dict[Tuple[int, int], Tuple[str, Pixels]] = {}
    for (view, policy), moved in planes.items():
        pixels = moved.cpu().numpy()
        for row, key in enumerate(layout.of(view, policy)):
            place[key] = (view, pixels[row])
    parts = []
    for index, part in enumerate(sources[0].frame.parts):
        kept = _kept_channels(layout, index)
        if not kept:
            continue
        window = part.window
        for source in sources[1:]:
            window = window.union(source.frame.parts[index].window)
        rows = []
        for channel in kept:
            view, pixels = place[index, channel]
            rows.append(pixels[layout.canvases[view].slices(window)])
        straight = sources[0].straight[index]
        moved_part = _with_channels(premultiplied(part) if straight else part, kept, np.stack(rows), window)
        parts.append(straightened(moved_part) if straight else moved_part)
    return parts


def _kept_channels(layout: Layout, part: int) -> List[int]:
    return sorted(channel for layer in layout.layers if layer.part == part for channel in layer.channels)


def _with_channels(part: Part, kept: Sequence[int], planes: Pixels, window: Window) -> Part:
    return replace(
        part,
        channels=tuple(part.channels[channel] for channel in kept),
        depths=tuple(part.depths[channel] for channel in kept),
        planes=planes,
        window=window,
    )


def renamed(parts: Sequence[Part], claimed: AbstractSet[str]) -> List[Part]:
    """Plate layers whose name the extra layers need become ``source_<name>``, a view's prefix apart."""
    names = [channel.rpartition(".")[0].rpartition(".") for part in parts for channel in part.channels]
    taken = {name for _, _, name in names}

    def renamed(channel: str) -> str:
        layer, dot, end = channel.rpartition(".")
        view, view_dot, name = layer.rpartition(".")
        return f"{view}{view_dot}{plate_layer_name(name, claimed, taken)}{dot}{end}"

    return [replace(part, channels=tuple(renamed(channel) for channel in part.channels)) for part in parts]


def joined(parts: Sequence[Part], extra: Sequence[Part], views: Sequence[str], single: bool) -> List[Part]:
    """The plate's parts with the extra layers.

    A one-part plate takes them into its part (behind their view's name for all views but the first); a multi-part plate
    gets one more part per view. ``single`` puts everything into one part whatever the plate has: what Blender reads.
    It has no name, since Blender takes a named part for a layer of the same name and loses the channels' own.
    """
    if not extra:
        return list(parts)
    if len(parts) > 1 and not single:
        return [*parts, *(replace(part, name=f"motion_{part.view}" if part.view else "motion") for part in extra)]
    named = [_inside_view(part, part.view if part.view != views[0] else "") for part in extra]
    merged = _merged([*parts, *named])
    return [replace(merged, name="") if single else merged]


def _inside_view(part: Part, view: str) -> Part:
    return replace(part, channels=tuple(f"{view}.{channel}" if view else channel for channel in part.channels))


def _merged(parts: Sequence[Part]) -> Part:
    """All channels in the first part, over the union of the data windows, 0 where a part had no pixels."""
    window = parts[0].window
    for part in parts[1:]:
        window = window.union(part.window)
    names: List[str] = []
    depths: List[str] = []
    planes = np.zeros((sum(len(part.channels) for part in parts), window.height, window.width), np.float32)
    for part in parts:
        rows = slice(len(names), len(names) + len(part.channels))
        planes[(rows, *window.slices(part.window))] = part.planes
        names += [channel if channel not in names else f"{part.name}.{channel}" for channel in part.channels]
        depths += part.depths
    lossless = all(part.compression in ("", "none", "rle", "zip", "zips", "piz") for part in parts)
    compression = parts[0].compression if lossless else "zip"
    return replace(
        parts[0],
        channels=tuple(names),
        depths=tuple(depths),
        planes=planes,
        window=window,
        compression=compression,
        view=parts[0].view if len(parts) == 1 else "",
    )
