"""Makes one output frame: source pixels moved to its time, vectors and masks beside them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from kairos.frame import Frame, Part, Window
from kairos.motion.compose import compose
from kairos.motion.encode import Codec, premultiplied
from kairos_nodes.channels import claimed_layers
from kairos_nodes.layers import Policy

from .aov import as_planes, mask_planes, neighbours, vector_planes
from .parts import assembled, copied, joined, renamed
from .paths import Paths
from .plate import Plate, Source, alpha_channels
from .structure import Moment, Structure


@dataclass(frozen=True)
class Request:
    """One output frame to make. Times are in positions: 0 is the shot's first frame.

    Attributes:
        number: output frame number.
        time: source time it shows.
        speed: source frames per output frame there, signed.
        previous, following: source times of the output frames beside it, None at the sequence's ends.
        samples: source times averaged into the frame: its own alone without motion blur.
        timecode: of the output frame.
    """

    number: int
    time: Fraction
    speed: Fraction
    previous: Optional[Fraction]
    following: Optional[Fraction]
    samples: Tuple[Fraction, ...]
    timecode: str = ""


@dataclass(frozen=True)
class Look:
    """What the output's frames hold besides moved pixels, and how pixels are filtered."""

    filter: str = "cubic"
    vectors: str = "none"
    masks: bool = False
    rate: Optional[Fraction] = None


class FrameMaker:
    """Makes output frames of one plate; asks only for times, so frames can be made in any order.

    Args:
        plate: pixels.
        structure: cuts and repeats.
        paths: motion per view.
        look: filter and extra layers.
    """

    def __init__(self, plate: Plate, structure: Structure, paths: Mapping[str, Paths], look: Look) -> None:
        self._plate, self._structure, self._paths, self._look = plate, structure, paths, look

    def make(self, request: Request) -> Frame:
        """The finished frame, in the plate's working space."""
        layout = self._plate.layout
        moments = self._moments(request)
        centre = self._structure.at(request.time)
        if len(moments) == 1 and centre.hold is not None:
            source = self._plate.source(centre.hold)
            parts = copied(source.frame, layout, float(request.speed))
            model = source.frame
        else:
            planes, sources = self._moved(moments, centre, float(request.speed))
            model = sources[0].frame
            parts = assembled(layout, planes, sources)
        parts = renamed(parts, claimed_layers(self._look.vectors, self._look.masks))
        extra = self._extra_parts(request, model)
        return Frame(
            number=request.number,
            display=model.display,
            parts=tuple(joined(parts, extra, layout.views, self._look.vectors == "blender")),
            pixel_aspect=model.pixel_aspect,
            rate=self._look.rate,
            timecode=request.timecode,
            scene_linear=model.scene_linear,
            colorspace=model.colorspace,
        )

    def _moments(self, request: Request) -> List[Moment]:
        """Where the shutter's samples lie, kept inside the scene of the frame's own time."""
        inside = [time for time in request.samples if self._structure.same_scene(time, request.time)]
        return [self._structure.at(time) for time in inside or [request.time]]

    def _moved(
        self, moments: Sequence[Moment], centre: Moment, speed: float
    ) -> Tuple[Dict[Tuple[str, Policy], Tensor], List[Source]]:
        layout = self._plate.layout
        planes: Dict[Tuple[str, Policy], Tensor] = {}
        for view in layout.views:
            for policy in Policy:
                if not layout.of(view, policy):
                    continue
                if policy is Policy.BLEND and len(moments) > 1:
                    planes[view, policy] = self._average(moments, view)
                else:
                    moved = self._at(centre, view, policy)
                    planes[view, policy] = moved * speed if policy is Policy.VECTOR else moved
        positions = sorted({position for moment in [centre, *moments] for position in _positions(moment)})
        nearest = _positions(centre)[0]
        positions.sort(key=lambda position: position != nearest)
        return planes, [self._plate.source(position) for position in positions]

    def _average(self, moments: Sequence[Moment], view: str) -> Tensor:
        """Light gathered over the shutter; a source all samples agree on comes back exactly."""
        first = self._at(moments[0], view, Policy.BLEND)
        added = torch.zeros_like(first)
        for moment in moments[1:]:
            added += self._at(moment, view, Policy.BLEND) - first
        return first + added / len(moments)

    def _at(self, moment: Moment, view: str, policy: Policy) -> Tensor:
        if moment.hold is not None:
            return self._plate.source(moment.hold).planes(view, policy)
        assert moment.pair is not None
        inbetween = self._paths[view].inbetween(moment.pair, moment.time)
        first, second = (self._plate.source(position) for position in (moment.pair.first, moment.pair.second))
        planes = first.planes(view, policy), second.planes(view, policy)
        moved = compose(*planes, inbetween, policy, filter=self._look.filter)
        rows = self._colour_rows(view) if policy is Policy.BLEND else []
        if len(rows) == 3 and (inbetween.image is not None or inbetween.residual is not None):
            codec = Codec(self._plate.exposure if first.raw.scene_linear else None)
            colour0, colour1 = (plane[rows] for plane in planes)
            moved[rows] = compose(colour0, colour1, inbetween, policy, filter=self._look.filter, codec=codec)
            alpha = self._alpha_rows(view, first.raw) if first.raw.scene_linear and inbetween.image is not None else []
            if alpha:
                # What an engine paints is the colour that it saw: divided by alpha.
                moved[rows] = premultiplied(moved[rows], moved[alpha[:1]])
        return moved

    def _colour_rows(self, view: str) -> List[int]:
        """Rows of the beauty's R, G and B among the view's blended planes."""
        layout = self._plate.layout
        beauty = layout.beauties[view]
        rows = {pair: row for row, pair in enumerate(layout.of(view, Policy.BLEND))}
        return [rows[beauty.part, channel] for channel in beauty.channels[:3] if (beauty.part, channel) in rows]

    def _alpha_rows(self, view: str, frame: Frame) -> List[int]:
        """The row of the beauty's alpha among the view's blended planes; none without alpha."""
        beauty, pairs = self._plate.layout.beauties[view], self._plate.layout.of(view, Policy.BLEND)
        wanted = [(beauty.part, channel) for channel in alpha_channels(frame, beauty)]
        return [row for row, pair in enumerate(pairs) if pair in wanted]

    def _extra_parts(self, request: Request, model: Frame) -> List[Part]:
        """Vectors and masks, one part per view, over the beauty's data window."""
        look, layout = self._look, self._plate.layout
        if look.vectors == "none" and not look.masks:
            return []
        size = (model.display.width, model.display.height)
        parts = []
        for view in layout.views:
            paths = self._paths[view]
            forward, backward = neighbours(paths, request.time, request.following, request.previous)
            channels = vector_planes(look.vectors, forward, backward, size)
            if look.masks:
                blend = self._blend(request.time, view, forward.occlusion)
                channels.update(mask_planes(look.vectors, forward, backward, paths.confidence(request.time), blend))
            names, planes = as_planes(channels)
            canvas = layout.canvases[view]
            window = self._beauty_window(request.time, view)
            rows, columns = canvas.slices(window)
            parts.append(
                Part(
                    channels=tuple(names),
                    planes=np.ascontiguousarray(planes[:, rows, columns]),
                    window=window,
                    depths=("float",) * len(names),
                    view=view,
                    compression="zip",
                )
            )
        return parts

    def _blend(self, time: Fraction, view: str, like: Tensor) -> Tensor:
        moment = self._structure.at(time)
        if moment.pair is None:
            return torch.ones_like(like)
        return self._paths[view].inbetween(moment.pair, moment.time).blend

    def _beauty_window(self, time: Fraction, view: str) -> Window:
        moment = self._structure.at(time)
        window = Window(0, 0, 0, 0)
        for position in _positions(moment):
            part = self._plate.source(position).frame.parts[self._plate.layout.beauties[view].part]
            window = window.union(part.window)
        return window


def _positions(moment: Moment) -> List[int]:
    """The source frames a moment shows, the nearer first."""
    if moment.pair is None:
        assert moment.hold is not None
        return [moment.hold]
    pair = (moment.pair.first, moment.pair.second)
    return list(pair if moment.time <= 0.5 else pair[::-1])
