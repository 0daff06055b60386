"""What a file says about a frame, without its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Mapping, Optional, Tuple, Union

from kairos.frame import Attribute, Frame, Window

UNASSOCIATED = "oiio:UnassociatedAlpha"
"""Metadata of a part whose colour is *not* premultiplied by its alpha (PNG, some TIFF): 1 where so."""


@dataclass(frozen=True)
class PartHeader:
    """One part of an image file without its pixels; the attributes of :class:`kairos.frame.Part`."""

    channels: Tuple[str, ...]
    window: Window
    depths: Tuple[str, ...]
    name: str = ""
    view: str = ""
    metadata: Mapping[str, Attribute] = field(default_factory=dict)
    compression: str = ""
    tile: Optional[Tuple[int, int]] = None


@dataclass(frozen=True)
class Header:
    """A frame without its pixels; the attributes of :class:`kairos.frame.Frame`.

    Attributes:
        format: ``openexr``, ``png``, ``jpeg``, ``tiff``, ``dpx`` ... or ``movie``.
    """

    number: int
    display: Window
    parts: Tuple[PartHeader, ...]
    pixel_aspect: float = 1.0
    rate: Optional[Fraction] = None
    timecode: str = ""
    scene_linear: bool = True
    colorspace: str = ""
    format: str = ""


Headed = Union[Header, Frame]
"""Anything with parts, channels and metadata."""


def header_of(frame: Frame, format: str = "") -> Header:
    """The frame's header, leaving its pixels behind."""
    parts = tuple(
        PartHeader(
            part.channels, part.window, part.depths, part.name, part.view, part.metadata, part.compression, part.tile
        )
        for part in frame.parts
    )
    return Header(
        frame.number,
        frame.display,
        parts,
        frame.pixel_aspect,
        frame.rate,
        frame.timecode,
        frame.scene_linear,
        frame.colorspace,
        format,
    )


def straight_alpha(metadata: Mapping[str, Attribute]) -> bool:
    """True where a part's metadata says that colour is not premultiplied by alpha, as PNG stores it."""
    return UNASSOCIATED in metadata and metadata[UNASSOCIATED].value == 1
