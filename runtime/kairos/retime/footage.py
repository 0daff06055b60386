"""What a job reads frames from: a shot, two key frames, or either of them reduced for a quick look."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Dict, FrozenSet, Optional, Protocol, Sequence, Tuple

import cv2
import numpy as np

from kairos.errors import FrameError
from kairos.frame import Frame, Part, Planes, Window
from kairos.images import Header, Shot, layers_of
from kairos_nodes.layers import Policy


class Footage(Protocol):
    """Frames by position, 0 = the first; see :class:`kairos.images.Shot`."""

    @property
    def spec(self) -> str:
        """As the artist named it."""

    @property
    def numbers(self) -> Tuple[int, ...]:
        """Frame number of every position."""

    @property
    def missing(self) -> FrozenSet[int]:
        """Positions that something stands in for."""

    @property
    def rate(self) -> Optional[Fraction]:
        """Frames per second, where known."""

    @property
    def movie(self) -> bool:
        """True for a movie file."""

    @property
    def scene_linear(self) -> bool:
        """True for scene-linear pixels."""

    @property
    def colorspace(self) -> str:
        """OCIO colour space of the pixels."""

    def __len__(self) -> int:
        """How many positions."""

    def path(self, position: int) -> Path:
        """The file of a position."""

    def identity(self, position: int) -> str:
        """What the pixels come from, for fingerprints."""

    def header(self, position: int) -> Header:
        """Everything but the pixels."""

    def read(self, position: int) -> Frame:
        """The frame. Raises KairosError."""

    def close(self) -> None:
        """Lets go of files."""


def same_shape(one: Tuple[str, Header], other: Tuple[str, Header], resolution: str, layers: str) -> None:
    """Two frames, by name and header, can be retimed together.

    Raises:
        FrameError: they have different display windows, and what to do then is ``resolution``; or different layers or
            channels, and it is ``layers``.
    """
    (name, header), (other_name, wanted) = one, other
    if header.display != wanted.display:
        raise FrameError(
            f"{name} has the display window {header.display}, {other_name} has {wanted.display}.", resolution
        )
    if [part.channels for part in header.parts] != [part.channels for part in wanted.parts]:
        raise FrameError(f"{name} and {other_name} have different layers or channels.", layers)


class KeyFrames:
    """Two stills as a shot of two frames, numbered from the first one's own number on.

    Args:
        first, second: shots of one frame each.
        rate: frames per second of the output, where the keys do not say.
    """

    movie = False
    missing: FrozenSet[int] = frozenset()

    def __init__(self, first: Shot, second: Shot, rate: Optional[Fraction]) -> None:
        self._keys = (first, second)
        self.spec = f"{first.spec} {second.spec}"
        self.numbers = (first.numbers[0], first.numbers[0] + 1)
        self.rate = rate or first.rate
        self.scene_linear, self.colorspace = first.scene_linear, first.colorspace
        if second.scene_linear != first.scene_linear or second.colorspace != first.colorspace:
            raise FrameError(
                f"{first.spec} is {first.colorspace or 'of unknown colour'}, {second.spec} is "
                f"{second.colorspace or 'of unknown colour'}.",
                "Bring both key frames into one colour space and file type first.",
            )
        same_shape(
            (first.spec, first.header(0)),
            (second.spec, second.header(0)),
            "Reformat one of the key frames to the other's resolution first.",
            "Render the same layers for both key frames, or remove those that one of them lacks.",
        )

    def __len__(self) -> int:
        return 2

    def path(self, position: int) -> Path:
        """The file of a key."""
        return self._keys[position].path(0)

    def identity(self, position: int) -> str:
        """What a key's pixels come from."""
        return self._keys[position].identity(0)

    def header(self, position: int) -> Header:
        """Everything but a key's pixels."""
        return self._keys[position].header(0)

    def read(self, position: int) -> Frame:
        """A key frame."""
        return replace(self._keys[position].read(0), number=self.numbers[position])

    def close(self) -> None:
        """Lets go of both files."""
        for key in self._keys:
            key.close()


class Picked:
    """Some frames of footage, numbered without gaps from the first of them on.

    Args:
        footage: all frames.
        positions: of those that are there, at least one.

    Attributes:
        whole: all frames.
        positions: as given.
    """

    def __init__(self, footage: Footage, positions: Sequence[int]) -> None:
        self.whole, self.positions = footage, tuple(positions)
        first = footage.numbers[self.positions[0]]
        self.numbers = tuple(range(first, first + len(self.positions)))
        self.missing = frozenset(index for index, each in enumerate(self.positions) if each in footage.missing)
        self.spec, self.rate, self.movie = footage.spec, footage.rate, footage.movie
        self.scene_linear, self.colorspace = footage.scene_linear, footage.colorspace

    def __len__(self) -> int:
        return len(self.positions)

    def path(self, position: int) -> Path:
        """The file of a frame."""
        return self.whole.path(self.positions[position])

    def identity(self, position: int) -> str:
        """What a frame's pixels come from."""
        return self.whole.identity(self.positions[position])

    def header(self, position: int) -> Header:
        """Everything but a frame's pixels."""
        return replace(self.whole.header(self.positions[position]), number=self.numbers[position])

    def read(self, position: int) -> Frame:
        """A frame under its new number."""
        return replace(self.whole.read(self.positions[position]), number=self.numbers[position])

    def close(self) -> None:
        """Lets go of files."""
        self.whole.close()


class Reduced:
    """Footage at a half or a quarter of its size (``--proxy``): what is filtered is averaged, data takes one pixel.

    Args:
        footage: full size.
        factor: 2 or 4.

    Attributes:
        full: the same, for what must not be reduced.
    """

    def __init__(self, footage: Footage, factor: int) -> None:
        self.full, self._factor = footage, factor
        self._policies: Dict[Tuple[int, int], Policy] = {}
        for layer in layers_of(footage.header(0)):
            self._policies.update({(layer.part, channel): layer.policy for channel in layer.channels})
        self.spec, self.numbers, self.missing = footage.spec, footage.numbers, footage.missing
        self.rate, self.movie = footage.rate, footage.movie
        self.scene_linear, self.colorspace = footage.scene_linear, footage.colorspace

    def __len__(self) -> int:
        return len(self.full)

    def path(self, position: int) -> Path:
        """The full-size file."""
        return self.full.path(position)

    def identity(self, position: int) -> str:
        """The full-size file's."""
        return self.full.identity(position)

    def header(self, position: int) -> Header:
        """The header with all windows reduced."""
        header = self.full.header(position)
        parts = tuple(replace(part, window=self._window(part.window)) for part in header.parts)
        return replace(header, display=self._window(header.display), parts=parts)

    def read(self, position: int) -> Frame:
        """The frame, reduced."""
        frame = self.full.read(position)
        parts = tuple(self._part(index, part) for index, part in enumerate(frame.parts))
        return replace(frame, display=self._window(frame.display), parts=parts)

    def close(self) -> None:
        """Lets go of files."""
        self.full.close()

    def _window(self, window: Window) -> Window:
        factor = self._factor
        x, y = window.x // factor, window.y // factor
        return Window(x, y, -(-window.right // factor) - x, -(-window.bottom // factor) - y)

    def _part(self, index: int, part: Part) -> Part:
        window, factor = self._window(part.window), self._factor
        left, top = part.window.x - window.x * factor, part.window.y - window.y * factor
        right = window.right * factor - part.window.right
        bottom = window.bottom * factor - part.window.bottom
        padded = np.pad(part.planes, ((0, 0), (top, bottom), (left, right)), mode="edge")
        planes = np.stack([self._plane(plane, self._policies[index, channel]) for channel, plane in enumerate(padded)])
        return replace(part, planes=planes, window=window)

    def _plane(self, plane: Planes, policy: Policy) -> Planes:
        factor = self._factor
        if policy in (Policy.BLEND, Policy.NORMAL):
            size = (plane.shape[1] // factor, plane.shape[0] // factor)
            return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)
        picked = plane[factor // 2 :: factor, factor // 2 :: factor]
        return picked / np.float32(factor) if policy is Policy.VECTOR else picked
