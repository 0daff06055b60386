"""What a plate is made of: its views, its layers with their policies, and the canvas they are moved on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Sequence, Tuple

from kairos.errors import BadRequest, FrameError
from kairos.frame import Window
from kairos.images import Header, Layer, beauty, layers_of, parse_policies, views_of
from kairos_nodes.layers import Policy

from .footage import Footage, same_shape

CANVAS_MARGIN = 8
"""Pixels of black added around data windows smaller than the display window, so that motion sees their edges."""

HEADER_THREADS = 4


@dataclass(frozen=True)
class Layout:
    """A plate's layers by view.

    Attributes:
        views: at least one; a plate without views has the one view ``""``.
        layers: what the output holds, each with view and policy set.
        beauties: the layer that motion is found on, per view.
        canvases: per view the window that holds every data window of the whole shot.
        display: the display window of every frame.
    """

    views: Tuple[str, ...]
    layers: Tuple[Layer, ...]
    beauties: Mapping[str, Layer]
    canvases: Mapping[str, Window]
    display: Window

    def of(self, view: str, policy: Policy) -> List[Tuple[int, int]]:
        """(part, channel) indices of the layers of one view that move by one policy."""
        return [
            (layer.part, channel)
            for layer in self.layers
            if layer.view == view and layer.policy is policy
            for channel in layer.channels
        ]


def read_layout(shot: Footage, layer_policy: str, channels: str) -> Layout:
    """Looks at every frame's header (not its pixels) and settles what moves how.

    Args:
        shot: the plate.
        layer_policy: the artist's ``--layer-policy`` text, empty for none.
        channels: the artist's ``--channels``: ``all``, ``rgb``, ``rgba``, or layer and channel names by comma.

    Raises:
        FrameError: frames differ in resolution, parts or channels.
        BadRequest: a layer that the plate does not have is named.
    """
    first = shot.header(0)
    found = layers_of(first)
    if layer_policy:
        found = parse_policies(layer_policy, found)
    views = tuple(views_of(first)) or ("",)
    settled = [replace(layer, view=layer.view if layer.view in views else views[0]) for layer in found]
    beauties = {view: beauty(settled, view) for view in views}
    kept = [layer for layer in _chosen(settled, channels, first, beauties) if layer.policy is not Policy.DROP]
    return Layout(views, tuple(kept), beauties, _canvases(shot, settled, views), first.display)


def _chosen(layers: Sequence[Layer], channels: str, header: Header, beauties: Mapping[str, Layer]) -> List[Layer]:
    if channels == "all":
        return list(layers)
    if channels == "none":
        return []
    if channels in ("rgb", "rgba"):
        return [_only_colour(layer, header, alpha=channels == "rgba") for layer in beauties.values()]
    wanted = [name.strip() for name in channels.split(",") if name.strip()]
    kept = []
    met = set()
    for layer in layers:
        names = header.parts[layer.part].channels
        picked = tuple(index for index in layer.channels if layer.name in wanted or names[index] in wanted)
        met |= {name for name in wanted if name == layer.name or name in {names[index] for index in layer.channels}}
        if picked:
            kept.append(replace(layer, channels=picked))
    unknown = [name for name in wanted if name not in met]
    if unknown:
        known = ", ".join(sorted({layer.name for layer in layers}))
        raise BadRequest(f"--channels names {', '.join(unknown)}, which the plate does not have.", f"It has: {known}.")
    return kept


def _only_colour(layer: Layer, header: Header, alpha: bool) -> Layer:
    names = header.parts[layer.part].channels
    ends = tuple(
        index for index in layer.channels if alpha or names[index].rpartition(".")[2].lower() not in ("a", "alpha")
    )
    return replace(layer, channels=ends)


def _canvases(shot: Footage, layers: Sequence[Layer], views: Sequence[str]) -> Dict[str, Window]:
    view_of_part: Dict[int, set[str]] = {}
    for layer in layers:
        view_of_part.setdefault(layer.part, set()).add(layer.view)
    first = shot.header(0)
    canvases = {view: Window(0, 0, 0, 0) for view in views}
    with ThreadPoolExecutor(HEADER_THREADS, thread_name_prefix="kairos-header") as pool:
        headers = pool.map(shot.header, range(len(shot)))
        for position, header in enumerate(headers):
            same_shape(
                (f"Frame {shot.numbers[position]}", header),
                (f"frame {shot.numbers[0]}", first),
                "Reformat the sequence to one resolution, or retime the ranges apart with --range.",
                "Render all layers for every frame, or retime the ranges apart with --range.",
            )
            for index, part in enumerate(header.parts):
                for view in view_of_part.get(index, ()):
                    canvases[view] = canvases[view].union(part.window)
    for view, window in canvases.items():
        if window.empty:
            raise FrameError(f"Frames {shot.numbers[0]}-{shot.numbers[-1]} hold no pixels in view {view or 'main'}.")
        if not window.holds(first.display):
            canvases[view] = window.union(window.grown(CANVAS_MARGIN).intersection(first.display))
    return canvases
