"""A frame of a plate in memory: named float planes with their windows, as the file had them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np
import numpy.typing as npt

Planes = npt.NDArray[np.float32]
"""Pixels, (C, H, W) float32, row 0 at the top."""

DEPTHS = ("uint8", "uint10", "uint12", "uint16", "half", "float", "uint")
"""Sample types a file can hold. ``uint`` is EXR's 32-bit integer: its planes carry the *bit pattern* as float32."""


class Attribute(NamedTuple):
    """One piece of header metadata: an OpenImageIO type name (``string``, ``float``, ``int[2]`` ...) and its value."""

    type: str
    value: Union[str, int, float, bytes, Tuple[Union[str, int, float], ...]]


class Window(NamedTuple):
    """A rectangle of pixels in the plate's own coordinates: origin (x right, y down) and size, in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column after the window."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row below the window."""
        return self.y + self.height

    @property
    def empty(self) -> bool:
        """True where the window holds no pixel."""
        return self.width <= 0 or self.height <= 0

    def union(self, other: Window) -> Window:
        """The smallest window holding both; an empty window adds nothing."""
        if self.empty:
            return other
        if other.empty:
            return self
        x, y = min(self.x, other.x), min(self.y, other.y)
        return Window(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def intersection(self, other: Window) -> Window:
        """What both hold; an empty window (0 by 0) where they are apart."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width, height = min(self.right, other.right) - x, min(self.bottom, other.bottom) - y
        return Window(x, y, width, height) if width > 0 and height > 0 else Window(x, y, 0, 0)

    def grown(self, pixels: int) -> Window:
        """The window with a border of ``pixels`` added on every side."""
        return Window(self.x - pixels, self.y - pixels, self.width + 2 * pixels, self.height + 2 * pixels)

    def holds(self, other: Window) -> bool:
        """True where ``other`` lies wholly inside."""
        return self.union(other) == self

    def slices(self, inner: Window) -> Tuple[slice, slice]:
        """Row and column slices of ``inner`` (which must lie inside) in an array that covers this window."""
        if not inner.empty and not self.holds(inner):
            raise ValueError(f"{inner} does not lie inside {self}")
        top, left = inner.y - self.y, inner.x - self.x
        return slice(top, top + inner.height), slice(left, left + inner.width)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}{self.x:+d}{self.y:+d}"


@dataclass(frozen=True)
class Part:
    """One part of an image file (most have one): its channels over one data window.

    Attributes:
        channels: names exactly as in the file, e.g. ``("R", "G", "B", "A", "depth.Z")``.
        planes: (C, H, W) float32 over ``window``.
        window: the data window, in the plate's coordinates.
        depths: sample type of each channel in the file, from DEPTHS.
        name: EXR part name, empty where the file has none.
        view: EXR view, empty where the part names none (single-part multi-view files name views in channels).
        metadata: the header attributes of this part that Kairos does not model itself.
        compression: as OpenImageIO spells it (``zip``, ``dwaa:45`` ...), empty where unknown.
        tile: tile width and height, or None for scan lines.
    """

    channels: Tuple[str, ...]
    planes: Planes
    window: Window
    depths: Tuple[str, ...]
    name: str = ""
    view: str = ""
    metadata: Mapping[str, Attribute] = field(default_factory=dict)
    compression: str = ""
    tile: Optional[Tuple[int, int]] = None

    def __post_init__(self) -> None:
        if self.planes.dtype != np.float32 or self.planes.ndim != 3:
            raise ValueError(f"planes must be (C, H, W) float32, not {self.planes.shape} {self.planes.dtype}")
        expected = (len(self.channels), self.window.height, self.window.width)
        if self.planes.shape != expected:
            raise ValueError(f"planes are {self.planes.shape} but channels and data window ask for {expected}")
        if len(self.depths) != len(self.channels):
            raise ValueError(f"{len(self.depths)} sample types for {len(self.channels)} channels")
        unknown = set(self.depths) - set(DEPTHS)
        if unknown:
            raise ValueError(f"unknown sample types {sorted(unknown)}; one of {DEPTHS}")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channel names repeat: {self.channels}")

    def __repr__(self) -> str:
        view = f" view={self.view}" if self.view else ""
        return f"<Part {self.name!r}{view} {self.window} {','.join(self.channels)}>"


@dataclass(frozen=True)
class Frame:
    """One frame of a shot.

    Attributes:
        number: frame number, as in the file name (movies count from 0).
        display: display window, shared by all parts.
        parts: at least one.
        pixel_aspect: width of a pixel over its height.
        rate: frames per second, or None where the file does not say.
        timecode: ``HH:MM:SS:FF`` (``;`` before FF for drop-frame), or empty.
        scene_linear: True for scene-linear pixels, False for display-referred ones kept as encoded in the file.
        colorspace: OCIO colour space of the pixels in memory, empty where unknown.
    """

    number: int
    display: Window
    parts: Tuple[Part, ...]
    pixel_aspect: float = 1.0
    rate: Optional[Fraction] = None
    timecode: str = ""
    scene_linear: bool = True
    colorspace: str = ""

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError(f"frame {self.number} has no parts")
        if self.display.empty:
            raise ValueError(f"frame {self.number} has an empty display window {self.display}")

    def __repr__(self) -> str:
        return f"<Frame {self.number} {self.display} {list(self.parts)}>"
