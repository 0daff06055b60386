"""Frames in memory as footage, and finished frames on their way back to the client."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

import numpy as np

from kairos.color import ColorConfig
from kairos.errors import BadRequest, Cancelled, ServiceError
from kairos.events import Event, Listener
from kairos.frame import Frame, Part, Planes
from kairos.images import Header, header_of
from kairos_nodes.client.memory import NAME
from kairos_nodes.client.protocol import Message
from kairos_nodes.rational import parse_rate

from .lending import Lent, write_bytes
from .picture import Picture, picture_of

SLOTS = 3
"""Finished frames that may lie with the client before the next one waits: what bounds memory."""

PATIENCE_SECONDS = 120.0
"""A host that takes no finished frame for so long has hung, and its job no longer holds the device for itself."""

HALF_MAX = 65504.0


class MemoryFootage:
    """A shot whose frames a client has laid into shared memory; see :class:`kairos.retime.Footage`.

    Args:
        said: the ``frames`` of a ``submit`` message.
        lent: the client's folders.
        fps: frames per second where the message names none.

    Raises:
        BadRequest: what a message says of its frames cannot be.
    """

    movie = False
    missing: FrozenSet[int] = frozenset()
    spec = NAME

    def __init__(self, said: Mapping[str, Any], lent: Lent, fps: Optional[str] = None) -> None:
        pictures = said.get("pictures")
        if not isinstance(pictures, list) or not pictures:
            raise BadRequest("The job has no frames.", "Hand over at least one.")
        self.pictures = [picture_of(each, lent, index) for index, each in enumerate(pictures)]
        self.numbers = tuple(picture.number for picture in self.pictures)
        if self.numbers != tuple(range(self.numbers[0], self.numbers[0] + len(self.numbers))):
            raise BadRequest("The frames are not numbered consecutively.", "Hand over the whole range in order.")
        rate = said.get("rate") or fps
        self.rate: Optional[Fraction] = parse_rate(str(rate)) if rate else None
        aspect = said.get("pixel_aspect", 1.0)
        if isinstance(aspect, bool) or not isinstance(aspect, (int, float)) or not 0.01 <= aspect <= 100:
            raise BadRequest(f"The pixel aspect {aspect!r} cannot be.", "Give width over height, such as 2.0.")
        self._aspect = float(aspect)
        self._space = said.get("colorspace") or ""
        if not isinstance(self._space, str):
            raise BadRequest("The colour space is no name.", "Name one of the OCIO configuration.")
        self.colorspace, self.scene_linear = self._space, True

    def colored(self, config: ColorConfig) -> MemoryFootage:
        """The same footage, its colour space looked up. Raises BadRequest for one that the configuration lacks."""
        self.colorspace = config.check(self._space) if self._space else config.scene_linear
        self.scene_linear = config.is_scene_linear(self.colorspace)
        return self

    def within(self, first: int, last: int) -> MemoryFootage:
        """Keeps this range of frame numbers. Raises BadRequest where it reaches outside."""
        if first < self.numbers[0] or last > self.numbers[-1]:
            raise BadRequest(
                f"--range {first}-{last} lies outside the frames {self.numbers[0]}-{self.numbers[-1]}.", "Check it."
            )
        self.pictures = [picture for picture in self.pictures if first <= picture.number <= last]
        self.numbers = tuple(picture.number for picture in self.pictures)
        return self

    def __len__(self) -> int:
        return len(self.pictures)

    def path(self, position: int) -> Path:
        """The segment."""
        return self.pictures[position].path

    def identity(self, position: int) -> str:
        """Of no use beyond this job: frames in memory are never resumed."""
        return self.pictures[position].path.name

    def header(self, position: int) -> Header:
        """Everything but the pixels."""
        picture = self.pictures[position]
        empty = np.broadcast_to(np.float32(0), (len(picture.channels), picture.window.height, picture.window.width))
        return header_of(self._frame(picture, empty), "openexr")

    def read(self, position: int) -> Frame:
        """The frame. Raises BadRequest where its segment is gone."""
        picture = self.pictures[position]
        return self._frame(picture, picture.read())

    def close(self) -> None:
        """Segments are the client's."""

    def _frame(self, picture: Picture, planes: Planes) -> Frame:
        depths = (picture.depth,) * len(picture.channels)
        return Frame(
            number=picture.number,
            display=picture.display,
            parts=(Part(picture.channels, planes, picture.window, depths, compression="zip"),),
            pixel_aspect=self._aspect,
            rate=self.rate,
            scene_linear=self.scene_linear,
            colorspace=self.colorspace,
        )


class MemoryOutput:
    """Hands finished frames to the client; see :class:`kairos.retime.outputs.Output`.

    Args:
        lent: the client's folders.
        like: a source frame, whose memory layout the finished ones take over.
        bit_depth: the job's; channels stored as half are rounded as in a file.
        send: tells the client of a frame.
        listener: told of events.
        cancelled: asked while the client is slow.

    Attributes:
        rendered: frame numbers handed over so far.
        total: how many there will be, once the job is planned.
    """

    def __init__(
        self,
        lent: Lent,
        like: Picture,
        bit_depth: str,
        send: Callable[[Message], None],
        listener: Listener,
        cancelled: Callable[[], bool],
    ) -> None:
        self._lent, self._like, self._bit_depth = lent, like, bit_depth
        self._send, self._listener, self._cancelled = send, listener, cancelled
        self._slots: Dict[str, Tuple[Path, int, int]] = {}
        self._free: List[str] = []
        self._changed = threading.Condition()
        self._began = self._taken = time.monotonic()
        self.rendered: List[int] = []
        self.total = 0

    def finished(self, number: int, fingerprint: str) -> bool:
        """Nothing in memory outlives its job."""
        return False

    def put(self, frame: Frame, fingerprint: str) -> None:
        """Hands over one frame; waits while the client still has ``SLOTS`` of them. Raises Cancelled, ServiceError."""
        # The client, and its folders, may be gone.
        self._go_on()
        part = frame.parts[0]
        planes = _rounded(part, self._bit_depth)
        if self._like.bottom_up:
            planes = planes[:, ::-1]
        data = planes.transpose(1, 2, 0) if self._like.interleaved else planes
        name, index = self._slot(planes.size * 4)
        write_bytes(self._slots[name][0], data)
        self._taken = time.monotonic()
        self.rendered.append(frame.number)
        self._send(
            {
                "number": frame.number,
                "width": part.window.width,
                "height": part.window.height,
                "x": part.window.x,
                "y": part.window.y,
                "display": list(frame.display),
                "channels": list(part.channels),
                "depth": "float",
                "interleaved": self._like.interleaved,
                "bottom_up": self._like.bottom_up,
                "segment": {"folder": index, "name": name},
            }
        )
        self._listener(Event("frame_done", {"frame": frame.number, "file": ""}))
        done, seconds = len(self.rendered), time.monotonic() - self._began
        rate = done / seconds if seconds > 0 else 0.0
        eta = round((self.total - done) / rate, 1) if rate else None
        told = {"done": done, "total": self.total, "rate": round(rate, 3), "eta": eta, "stage": "render"}
        self._listener(Event("progress", told))

    def release(self, name: object) -> None:
        """The client is done with a slot; a name that is none is ignored."""
        with self._changed:
            if isinstance(name, str) and name in self._slots and name not in self._free:
                self._free.append(name)
                self._taken = time.monotonic()
                self._changed.notify()

    def close(self) -> None:
        """Waits until the client has taken every frame. Raises Cancelled, ServiceError."""
        with self._changed:
            while len(self._free) < len(self._slots):
                self._wait()

    def abort(self) -> None:
        """Nothing half-written was ever announced."""

    def drop(self) -> None:
        """Removes all slots. Whoever has one mapped keeps its memory."""
        for path, _, _ in self._slots.values():
            path.unlink(missing_ok=True)

    def _go_on(self) -> None:
        if self._cancelled():
            raise Cancelled("Cancelled.", "Finished frames were handed over.")

    def _wait(self) -> None:
        """For the client, a moment, with the lock held. Raises Cancelled, ServiceError."""
        self._go_on()
        if time.monotonic() - self._taken > PATIENCE_SECONDS:
            raise ServiceError(
                f"The host has taken no finished frame for {PATIENCE_SECONDS:g} s.",
                "It hangs: restart it, and retime again.",
            )
        self._changed.wait(0.1)

    def _slot(self, size: int) -> Tuple[str, int]:
        with self._changed:
            while True:
                for name in self._free:
                    path, index, held = self._slots[name]
                    if held == size:
                        self._free.remove(name)
                        return name, index
                if len(self._slots) < SLOTS:
                    break
                if self._free:
                    # A frame of another size: its data window differs.
                    self._slots.pop(self._free.pop())[0].unlink(missing_ok=True)
                    break
                self._wait()
            path, index = self._lent.make(size)
            self._slots[path.name] = (path, index, size)
            return path.name, index


def _rounded(part: Part, bit_depth: str) -> Planes:
    """Planes as an EXR would give them back: channels stored as half carry half's precision and range."""
    depths = [depth if bit_depth == "same" else bit_depth for depth in part.depths]
    rows = [row for row, depth in enumerate(depths) if depth == "half"]
    if not rows:
        return part.planes
    planes = part.planes.copy()
    half = planes[rows]
    finite = np.isfinite(half)
    half[finite] = np.clip(half[finite], -HALF_MAX, HALF_MAX)
    planes[rows] = half.astype(np.float16).astype(np.float32)
    return planes
