"""What the artist knows about the motion: a matte of the foreground, vectors that came with the plate, and objects."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from kairos.color import ColorConfig
from kairos.errors import BadRequest, FrameError
from kairos.images import Header, Layer, layers_of, open_shot
from kairos.motion.region_choice import RegionRule
from kairos_nodes.channels import VectorChannel, parse_vectors_in, reading_channels
from kairos_nodes.jobs import RetimeJob

from .footage import Footage, Reduced
from .layout import Layout
from .plate import Hints, Plate, on_canvas
from .region_found import FoundRegions
from .regions import Regions, open_regions


def open_hints(job: RetimeJob, shot: Footage, layout: Layout, config: ColorConfig) -> Hints:
    """The job's matte, vectors and regions, looked up in the plate or opened from their own files.

    Raises:
        BadRequest: the plate has no such layer and there is no such file, or channels do not fit the convention.
        FrameError: a sequence of mattes or regions does not cover the plate's frames.
    """
    if not (job.matte or job.vectors_in or job.regions or job.region_rules):
        return Hints()
    if job.matte and job.regions:
        raise BadRequest("A shot is told apart by --matte or by --regions.", "Make the matte one of the regions.")
    vectors = _open_vectors(job.vectors_in, shot.header(0), layout) if job.vectors_in else {}
    matte = _open_matte(job.matte, shot, config, int(job.proxy)) if job.matte else None
    try:
        return PlateHints(matte, vectors, open_regions(job.regions, job.region_rules, shot, layout, config))
    except BaseException:
        if matte is not None:
            matte.close()
        raise


VectorKey = Tuple[VectorChannel, int, int]
"""A channel's meaning, and where it is in the plate: part and channel index."""


class Matte:
    """A foreground matte: one channel of the plate, or of a sequence of its own."""

    def __init__(self, shot: Optional[Footage], part: int, channel: int, offset: int = 0) -> None:
        self._shot, self._key, self._offset = shot, (part, channel), offset

    def plane(self, plate: Plate, view: str, position: int) -> Tensor:
        """(1, H, W) in 0..1 on the view's canvas."""
        own = self._shot
        frame = plate.source(position).raw if own is None else own.read(position + self._offset)
        plane = on_canvas(frame.parts, [self._key], plate.layout.canvases[view])
        return torch.nan_to_num(plane, nan=0.0, posinf=1.0, neginf=0.0).clamp(0, 1).to(plate.device)

    def identity(self, position: int) -> str:
        """What the matte's pixels at one position come from."""
        return "" if self._shot is None else self._shot.identity(position + self._offset)

    def close(self) -> None:
        """Lets go of the matte's own files."""
        if self._shot is not None:
            self._shot.close()


class PlateHints(Hints):
    """A matte, vectors and regions, where given.

    Args:
        matte: or None.
        vectors: per view, how the plate's channels say where pixels go.
        regions: or None.
    """

    def __init__(
        self, matte: Optional[Matte], vectors: Mapping[str, List[VectorKey]], regions: Optional[Regions] = None
    ) -> None:
        self._matte, self._vectors, self._regions = matte, vectors, regions

    def matte(self, plate: Plate, view: str, position: int) -> Optional[Tensor]:
        """(1, H, W) in 0..1 or None."""
        return None if self._matte is None else self._matte.plane(plate, view, position)

    def motion(self, plate: Plate, view: str, source: int, target: int) -> Optional[Tensor]:
        """(2, H, W) pixels between neighbouring frames; None further apart, or where the layer says nothing."""
        wanted = {1: "forward", -1: "backward"}.get(target - source)
        rules = [entry for entry in self._vectors.get(view, []) if entry[0].source == wanted]
        if len(rules) != 2:
            return None
        frame = plate.source(source).raw
        keys = [(part, channel) for _, part, channel in rules]
        planes = torch.nan_to_num(on_canvas(frame.parts, keys, plate.layout.canvases[view])).to(plate.device)
        flow = torch.empty_like(planes)
        for row, (rule, _, _) in enumerate(rules):
            flow["xy".index(rule.axis)] = planes[row] / rule.factor(frame.display.width, frame.display.height)
        return flow

    def regions(self, plate: Plate, view: str, position: int) -> Optional[Tensor]:
        """(H, W) int16 label map or None."""
        return None if self._regions is None else self._regions.labels(plate, view, position)

    def regions_found(self) -> bool:
        """Whether regions are what moves apart in the shot."""
        return isinstance(self._regions, FoundRegions) and self._regions.by_motion

    def region_rules(self) -> Mapping[int, RegionRule]:
        """What is done with objects, by number."""
        return {} if self._regions is None else self._regions.rules

    def identity(self, position: int) -> str:
        """Of the files that mattes and regions have of their own; vectors are part of the plate."""
        known = (each.identity(position) for each in (self._matte, self._regions) if each is not None)
        return " ".join(filter(None, known))

    def close(self) -> None:
        """Lets go of all files."""
        for each in (self._matte, self._regions):
            if each is not None:
                each.close()


def _open_matte(text: str, shot: Footage, config: ColorConfig, reduction: int) -> Matte:
    header = shot.header(0)
    inside = _matte_channel(text, header)
    if inside is not None:
        return Matte(None, *inside)
    if not Path(text).suffix and not Path(text).exists():
        raise BadRequest(
            f"--matte {text}: the plate has no such layer and there is no such file.",
            f"The plate's layers are {_names(layers_of(header))}.",
        )
    own = open_shot(text, config=config)
    offset = shot.numbers[0] - own.numbers[0] if shot.numbers[0] in own.numbers else 0
    if len(own) - offset < len(shot):
        covered = f"{own.numbers[0]}-{own.numbers[-1]}"
        own.close()
        raise FrameError(
            f"The matte {text} has frames {covered}, the plate {shot.numbers[0]}-{shot.numbers[-1]}.",
            "Render the matte for every frame of the plate, or narrow --range.",
        )
    part, channel = _strongest(own.header(0))
    return Matte(own if reduction == 1 else Reduced(own, reduction), part, channel, offset)


def _matte_channel(text: str, header: Header) -> Optional[Tuple[int, int]]:
    """A channel by its full name, or a layer's alpha (its first channel where it has none)."""
    for number, part in enumerate(header.parts):
        if text in part.channels:
            return number, part.channels.index(text)
    for layer in layers_of(header):
        if layer.name == text:
            return layer.part, _alpha_or_first(layer, header)
    return None


def _alpha_or_first(layer: Layer, header: Header) -> int:
    names = header.parts[layer.part].channels
    alphas = [channel for channel in layer.channels if names[channel].rpartition(".")[2].lower() in ("a", "alpha")]
    return (alphas or list(layer.channels))[0]


def _strongest(header: Header) -> Tuple[int, int]:
    """Of a matte file: its alpha, or its first channel."""
    layer = layers_of(header)[0]
    return layer.part, _alpha_or_first(layer, header)


def _open_vectors(text: str, header: Header, layout: Layout) -> Mapping[str, List[VectorKey]]:
    """Per view, the plate's channels that ``--vectors-in`` means, each with what it holds."""
    name, convention = parse_vectors_in(text)
    by_view: Dict[str, List[VectorKey]] = {}
    for view in layout.views:
        table = {
            _without_view(header.parts[layer.part].channels[channel], layer.view): (layer.part, channel)
            for layer in layers_of(header)
            if layer.view == view or layer.view not in layout.views
            for channel in layer.channels
        }
        rules = reading_channels(name, convention, table)
        by_view[view] = [(rule, *table[rule.name]) for rule in rules]
    return by_view


def _without_view(channel: str, view: str) -> str:
    """A channel's name inside its view: single-part files put the view in front."""
    return channel[len(view) + 1 :] if view and channel.startswith(f"{view}.") else channel


def _names(layers: List[Layer]) -> str:
    return ", ".join(sorted({layer.name for layer in layers}))
