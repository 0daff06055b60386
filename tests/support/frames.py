"""Frames made in memory, with every sample type's awkward values."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np
import numpy.typing as npt

from kairos.frame import Attribute, Frame, Part, Planes, Window
from kairos.images import Shot, open_shot

SIZE = (24, 40)
"""Height and width of what is made here."""


def ramp(channels: int, size: Tuple[int, int] = SIZE, seed: int = 0) -> Planes:
    """(C, H, W) in 0..1, a different texture in every channel, exact in half."""
    random = np.random.default_rng(seed)
    return random.integers(0, 1025, (channels, *size)).astype(np.float32) / np.float32(1024)


def codes(bits: int, channels: int = 3, size: Tuple[int, int] = SIZE, seed: int = 0) -> npt.NDArray[np.int64]:
    """(C, H, W) integers with the first and the last code in them."""
    found = np.random.default_rng(seed).integers(0, 2**bits, (channels, *size))
    found[:, 0, :2] = 0, 2**bits - 1
    return found


def part_of(
    names: str,
    planes: Planes,
    depths: Sequence[str] = ("half",),
    origin: Tuple[int, int] = (0, 0),
    metadata: Optional[Mapping[str, Attribute]] = None,
    **options: object,
) -> Part:
    """A part whose channels are named by words in ``names``; one depth stands for all."""
    channels = tuple(names.split())
    window = Window(*origin, planes.shape[2], planes.shape[1])
    all_depths = tuple(depths) * len(channels) if len(depths) == 1 else tuple(depths)
    return Part(channels, planes, window, all_depths, metadata=metadata or {}, **options)  # type: ignore[arg-type]


def frame_of(*parts: Part, number: int = 1, display: Optional[Window] = None, **options: object) -> Frame:
    """A frame whose display window is the first part's data window unless given."""
    return Frame(number, display or parts[0].window, parts, **options)  # type: ignore[arg-type]


def read_back(path: Path) -> Frame:
    """The file as Kairos reads it."""
    with open_one(path) as shot:
        return shot.read(0)


def open_one(path: Path) -> Shot:
    """The file as a shot of one frame."""
    return open_shot(str(path))


def bits_of(planes: Planes) -> npt.NDArray[np.uint32]:
    """Bit patterns, so that NaN and negative zero compare."""
    return np.ascontiguousarray(planes).view(np.uint32)


def differences(one: Frame, two: Frame, ignored: Sequence[str] = ("DateTime",)) -> List[str]:
    """What two frames disagree in, pixel for pixel and attribute for attribute; ``ignored`` metadata aside."""
    found = [
        item.name
        for item in fields(Frame)
        if item.name not in ("parts", "number") and getattr(one, item.name) != getattr(two, item.name)
    ]
    if len(one.parts) != len(two.parts):
        return [*found, f"{len(one.parts)} parts, {len(two.parts)} parts"]
    for index, (mine, theirs) in enumerate(zip(one.parts, two.parts)):
        for name in ("channels", "window", "depths", "name", "view", "compression", "tile"):
            if getattr(mine, name) != getattr(theirs, name):
                found.append(f"part {index} {name}: {getattr(mine, name)} and {getattr(theirs, name)}")
        if mine.planes.shape == theirs.planes.shape and not np.array_equal(
            bits_of(mine.planes), bits_of(theirs.planes)
        ):
            found.append(f"part {index} pixels")
        keys = {key for key in {*mine.metadata, *theirs.metadata} if key not in ignored}
        found += [
            f"part {index} {key}: {mine.metadata.get(key)} and {theirs.metadata.get(key)}"
            for key in sorted(keys)
            if mine.metadata.get(key) != theirs.metadata.get(key)
        ]
    return found


HALF_OUTLIERS = np.array([np.inf, -np.inf, np.nan, -0.0, 65504.0, -65504.0, 6e-8, -6.1e-5], np.float32)
"""Infinities, NaN, negative zero, the largest and (about) the smallest of half."""

FLOAT_OUTLIERS = np.array([0x7F800001, 0xFFC12345, 0x80000000, 0x00000001, 0x7F7FFFFF, 0xFF800000], np.uint32)
"""Bit patterns of floats: two NaN with a payload (one signalling), negative zero, smallest, largest, minus infinity."""

UINT_PATTERNS = np.array([0, 1, 0x7F800001, 0x7FC00000, 0xFFFFFFFF, 0x80000000, 0x00800000, 123456789], np.uint32)
"""Integers whose bits are NaN, infinity and denormals as floats."""

FILM = Fraction(24000, 1001)
