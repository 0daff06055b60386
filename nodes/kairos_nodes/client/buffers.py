"""Frames in memory, as a host has them, and the memory-mapped files through which they travel."""

from __future__ import annotations

import errno
import mmap
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from kairos_nodes.errors import BadRequest, ServiceError

BYTES = {"half": 2, "float": 4}
LARGEST_SIDE = 65536
MOST_CHANNELS = 1024


@dataclass(frozen=True)
class FrameBuffer:
    """One frame's pixels in memory, scene-linear unless the request says otherwise.

    Attributes:
        data: anything with the buffer protocol, contiguous: ``array.array``, ``bytearray``, ``memoryview``, NumPy.
        width, height: of the data window, pixels.
        channels: names as in an EXR, in memory order.
        depth: ``half`` or ``float``, native byte order.
        interleaved: RGBARGBA...; else one plane after the other.
        bottom_up: the first row in memory is the lowest (Blender); values of vectors do not depend on it.
        number: frame number; None counts from 1.
        x, y: origin of the data window, y down.
        display: x, y, width and height of the display window; None is the data window.
    """

    data: Any
    width: int
    height: int
    channels: Tuple[str, ...] = ("R", "G", "B", "A")
    depth: str = "float"
    interleaved: bool = True
    bottom_up: bool = False
    number: Optional[int] = None
    x: int = 0
    y: int = 0
    display: Optional[Tuple[int, int, int, int]] = None

    def __post_init__(self) -> None:
        check_shape(self.width, self.height, self.channels, self.depth)
        size = self.bytes().nbytes
        if size != self.nbytes:
            raise BadRequest(
                f"The frame's buffer holds {size} bytes; {self.width}x{self.height} with {len(self.channels)} "
                f"{self.depth} channels are {self.nbytes}.",
                "Check size, channels and depth.",
            )

    @property
    def nbytes(self) -> int:
        """How many bytes the pixels are."""
        return self.width * self.height * len(self.channels) * BYTES[self.depth]

    def bytes(self) -> memoryview:
        """The pixels as flat bytes, not copied. Raises BadRequest for what is no contiguous buffer."""
        try:
            return memoryview(self.data).cast("B")
        except (TypeError, ValueError) as error:
            raise BadRequest(f"The frame's data is no contiguous buffer: {error}.", "Pass bytes-like data.") from None

    def describe(self) -> Dict[str, Any]:
        """Everything but the pixels, as JSON values."""
        return {
            "width": self.width,
            "height": self.height,
            "channels": list(self.channels),
            "depth": self.depth,
            "interleaved": self.interleaved,
            "bottom_up": self.bottom_up,
            "number": self.number,
            "x": self.x,
            "y": self.y,
            "display": None if self.display is None else list(self.display),
        }


def check_shape(width: object, height: object, channels: object, depth: object) -> None:
    """Raises BadRequest where these describe no frame."""
    for name, value in (("width", width), ("height", height)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_SIDE:
            raise BadRequest(f"The frame's {name} {value!r} cannot be.", f"Give 1 to {LARGEST_SIDE} pixels.")
    if not isinstance(channels, (list, tuple)) or not all(isinstance(name, str) and name for name in channels):
        raise BadRequest("The frame's channels are no list of names.", "Name them as in an EXR: R, G, B, A.")
    if not 0 < len(channels) <= MOST_CHANNELS or len(set(channels)) != len(channels):
        raise BadRequest("The frame's channels repeat, or are none, or too many.", "Name each once.")
    if not isinstance(depth, str) or depth not in BYTES:
        raise BadRequest(f"The frame's depth {depth!r} is unknown.", f"Use {' or '.join(BYTES)}.")


def frame_from(description: Mapping[str, Any], data: Any) -> FrameBuffer:
    """A frame of what :meth:`FrameBuffer.describe` says. Raises BadRequest."""
    display = description.get("display")
    return FrameBuffer(
        data,
        description["width"],
        description["height"],
        tuple(description["channels"]),
        description["depth"],
        bool(description["interleaved"]),
        bool(description["bottom_up"]),
        description.get("number"),
        description.get("x", 0),
        description.get("y", 0),
        None if display is None else (display[0], display[1], display[2], display[3]),
    )


class Segment:
    """A memory-mapped file that this side made or was told of.

    Args:
        folder: index among the folders that the runtime lends.
        path: of the file.
        size: in bytes; None maps what is there.
    """

    def __init__(self, folder: int, path: Path, size: Optional[int] = None) -> None:
        self.folder, self.path = folder, path
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags if size is None else flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if size is not None:
                reserve(handle, size)
            self._map = mmap.mmap(handle, size or 0)
        except BaseException:
            os.close(handle)
            handle = -1
            if size is not None:
                with suppress(OSError):
                    path.unlink()
            raise
        finally:
            if handle >= 0:
                os.close(handle)
        self.view = memoryview(self._map)

    def reference(self) -> Dict[str, Any]:
        """How a message names it."""
        return {"folder": self.folder, "name": self.path.name}

    def close(self) -> None:
        """Lets go of the memory; views that somebody still holds keep it alive."""
        with suppress(BufferError):
            self.view.release()
            self._map.close()


def reserve(handle: int, size: int) -> None:
    """Gives a file its size and the room for it: a full file system says so here, not by a fault while writing.

    Raises:
        OSError: there is no room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    zeros = bytes(1 << 20)
    for start in range(0, size, len(zeros)):
        os.write(handle, zeros[: size - start])


class Pool:
    """Segments of this side, the last few of which are reused: a file's pages are made once.

    Args:
        folders: that the runtime lends, the faster first.
    """

    KEPT = 8

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = [Path(folder) for folder in folders]
        self._free: List[Segment] = []

    def take(self, size: int) -> Segment:
        """A segment of exactly ``size`` bytes. Raises ServiceError where no folder has room."""
        for segment in self._free:
            if segment.view.nbytes == size:
                self._free.remove(segment)
                return segment
        try:
            return self._make(size)
        except OSError:
            # What is kept for frames of another size may be all that is in the way.
            self.close()
        try:
            return self._make(size)
        except OSError as error:
            raise ServiceError(
                f"There is no room for a frame of {size / 2**20:.0f} MiB: {error.strerror}.",
                "Free memory or disk space.",
            ) from None

    def _make(self, size: int) -> Segment:
        trouble = OSError(errno.ENOENT, "the runtime lends no folder")
        for index, folder in enumerate(self._folders):
            try:
                return Segment(index, folder / f"in-{uuid.uuid4().hex}", size)
            except OSError as error:
                trouble = error
        raise trouble

    def give(self, segment: Segment) -> None:
        """Takes a segment back."""
        self._free.append(segment)
        if len(self._free) > self.KEPT:
            self._drop(self._free.pop(0))

    def open(self, reference: Mapping[str, Any]) -> Segment:
        """A segment that the runtime made."""
        folder = int(reference["folder"])
        return Segment(folder, self._folders[folder] / str(reference["name"]))

    def close(self) -> None:
        """Removes all that is free."""
        while self._free:
            self._drop(self._free.pop())

    @staticmethod
    def _drop(segment: Segment) -> None:
        segment.close()
        with suppress(OSError):
            segment.path.unlink()
