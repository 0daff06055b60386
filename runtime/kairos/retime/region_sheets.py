"""How label maps are read off channels: as IDs, as mattes, or as Cryptomatte."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Sequence, Set, Tuple

import numpy as np

from kairos.engines.hierarchical.masks import layers as masks
from kairos.engines.hierarchical.masks.layers import Labels
from kairos.engines.hierarchical.masks.store import Store
from kairos.errors import BadRequest, FrameError
from kairos.frame import Frame, Part, Planes, Window
from kairos.images import Header
from kairos_nodes.cache import fingerprint

from .footage import Footage

Key = Tuple[int, str]
"""A channel: its part and its full name."""

_SAMPLES = 3
"""Frames, evenly spread, that tell whether an ID layer holds whole numbers."""


@dataclass(frozen=True)
class Reading:
    """Where regions are read.

    Attributes:
        footage: frames at full size.
        offset: position of the plate's first frame in it.
        count: how many frames the plate has.
        view: of the plate.
        title: how an error begins, such as ``--regions masks.####.exr``.
        file: the sequence, empty for the plate itself.
    """

    footage: Footage
    offset: int
    count: int
    view: str
    title: str
    file: str = ""

    @property
    def positions(self) -> range:
        """Of the footage's frames, those that the plate has."""
        return range(self.offset, self.offset + self.count)

    @property
    def header(self) -> Header:
        """Of the first of them."""
        return self.footage.header(self.offset)

    @property
    def owner(self) -> str:
        """What an error calls the footage."""
        return self.file or "the plate"


class Channels:
    """Channels of a file, frame by frame.

    Args:
        keys: at least one.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = tuple(keys)

    def planes(self, frame: Frame) -> Tuple[Planes, List[str], Window]:
        """(C, H, W), the channels' sample types, and the window that holds them all. Raises FrameError."""
        window = Window(0, 0, 0, 0)
        for number, _ in self.keys:
            window = window.union(_part(frame, number).window)
        planes = np.zeros((len(self.keys), window.height, window.width), np.float32)
        depths = []
        for plane, (number, name) in zip(planes, self.keys):
            part = _part(frame, number)
            if name not in part.channels:
                raise FrameError(f"Frame {frame.number} has no channel {name} to take regions from.", "Render it.")
            channel = part.channels.index(name)
            plane[window.slices(part.window)] = part.planes[channel]
            depths.append(part.depths[channel])
        return planes, depths, window

    def ids(self, frame: Frame) -> masks.Ids:
        """(H, W): the IDs of the first channel."""
        planes, depths, _ = self.planes(frame)
        return masks.ids_of(planes[0], depths[0])


def _part(frame: Frame, number: int) -> Part:
    if number >= len(frame.parts):
        raise FrameError(f"Frame {frame.number} lacks the part to take regions from.", "Render all layers for it.")
    return frame.parts[number]


class Sheet:
    """Label maps of one view.

    Args:
        keys: the channels read.
        names: of objects by number, as far as they are known.
        listed: no object can turn up that ``names`` does not have.
    """

    def __init__(self, keys: Sequence[Key], names: Mapping[int, str], listed: bool) -> None:
        self.channels, self.names, self.listed = Channels(keys), dict(names), listed

    def labels(self, frame: Frame) -> Tuple[Labels, Window]:
        """The label map of a frame, over the union of its channels' data windows. Raises FrameError."""
        planes, depths, window = self.channels.planes(frame)
        return self._read(planes, depths), window

    def _read(self, planes: Planes, depths: Sequence[str]) -> Labels:
        """Mattes (C, H, W): each channel an object."""
        return masks.from_mattes(planes)

    def list_all(self, reading: Reading) -> None:
        """Reads the whole shot through for the objects that it has."""
        numbers = [int(number) for number in different_ids(self.channels, reading, whole=True)]
        self.names = {**{number: str(number) for number in numbers}, **self.names}
        self.listed = True


class Numbers(Sheet):
    """IDs that are whole numbers: each is its own number."""

    def _read(self, planes: Planes, depths: Sequence[str]) -> Labels:
        return masks.by_number(masks.ids_of(planes[0], depths[0]))


class Listed(Sheet):
    """IDs of any kind, numbered in the order of their values."""

    def __init__(self, keys: Sequence[Key], known: Sequence[float]) -> None:
        super().__init__(keys, {number: f"{value:.9g}" for number, value in enumerate(known, 1)}, True)
        self._known = known

    def _read(self, planes: Planes, depths: Sequence[str]) -> Labels:
        return masks.by_list(masks.ids_of(planes[0], depths[0]), self._known)


class Crypto(Sheet):
    """A Cryptomatte: objects are names or lists of names.

    Args:
        keys: ID and coverage by turns, rank by rank.
        objects: name and 32-bit IDs of each.
    """

    def __init__(self, keys: Sequence[Key], objects: Sequence[Tuple[str, Sequence[int]]]) -> None:
        super().__init__(keys, {number: name for number, (name, _) in enumerate(objects, 1)}, True)
        self._ids = sorted({bits: number for number, (_, ids) in enumerate(objects, 1) for bits in ids}.items())

    def _read(self, planes: Planes, depths: Sequence[str]) -> Labels:
        bits, numbers = [pair[0] for pair in self._ids], [pair[1] for pair in self._ids]
        return masks.from_cryptomatte(planes[0::2], planes[1::2], bits, numbers)


def whole_numbers(channels: Channels, reading: Reading) -> bool:
    """True where the IDs of some frames, evenly spread, are whole numbers."""
    last = reading.count - 1
    sample = sorted({reading.positions[round(index * last / (_SAMPLES - 1))] for index in range(_SAMPLES)})
    return all(masks.are_numbers(channels.ids(reading.footage.read(position))) for position in sample)


def different_ids(channels: Channels, reading: Reading, whole: bool) -> List[float]:
    """Every ID but 0 that the shot holds, ascending; it is read through once, and the list is kept.

    Args:
        channels: the first holds IDs.
        reading: where.
        whole: only whole numbers are IDs, the others filtered edges.

    Raises:
        BadRequest: there are so many that they cannot be IDs.
    """
    identities = [reading.footage.identity(position) for position in reading.positions]
    store = Store(fingerprint({"ids": channels.keys, "whole": whole, "frames": identities}))
    kept = store.get(0)
    if kept is not None and "ids" in kept:
        return [float(value) for value in kept["ids"]]
    found: Set[float] = set()
    for position in reading.positions:
        ids = channels.ids(reading.footage.read(position))
        found |= set(np.unique(masks.by_number(ids) if whole else ids).tolist())
        if len(found) > masks.MANY:
            raise BadRequest(
                f"{reading.title}: {len(found)} different IDs by frame {reading.footage.numbers[position]} alone.",
                "Give IDs that were rendered without filtering, or put mattes: in front of mattes.",
            )
    different = sorted(found - {0.0})
    store.keep(0, {"ids": np.array(different, np.float64)})
    return different
