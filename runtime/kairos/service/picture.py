"""One source frame in shared memory: what a client says of it, checked, and its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Tuple

import numpy as np

from kairos.errors import BadRequest
from kairos.frame import Planes, Window
from kairos_nodes.client.buffers import BYTES, check_shape

from .lending import Lent, read_bytes

_TYPES = {"half": np.float16, "float": np.float32}


@dataclass(frozen=True)
class Picture:
    """One source frame: what a client says of it, checked, and where its pixels lie."""

    number: int
    window: Window
    display: Window
    channels: Tuple[str, ...]
    depth: str
    interleaved: bool
    bottom_up: bool
    path: Path

    @property
    def size(self) -> int:
        """Bytes of its pixels."""
        return self.window.width * self.window.height * len(self.channels) * BYTES[self.depth]

    def read(self) -> Planes:
        """(C, H, W) float32, row 0 at the top."""
        flat = read_bytes(self.path, self.size).view(_TYPES[self.depth])
        count, height, width = len(self.channels), self.window.height, self.window.width
        planes = flat.reshape(height, width, count).transpose(2, 0, 1) if self.interleaved else flat.reshape(
            count, height, width
        )  # fmt: skip
        if self.bottom_up:
            planes = planes[:, ::-1]
        return np.ascontiguousarray(planes, np.float32)


def picture_of(said: object, lent: Lent, index: int) -> Picture:
    """What a message says of one frame. Raises BadRequest naming the frame."""
    if not isinstance(said, Mapping):
        raise BadRequest(f"Frame {index + 1} of the message is no frame.", "Describe each frame as an object.")
    check_shape(said.get("width"), said.get("height"), said.get("channels"), said.get("depth"))
    number = said.get("number")
    numbers = [said.get("x", 0), said.get("y", 0), index + 1 if number is None else number]
    display = said.get("display")
    if display is not None:
        if not isinstance(display, list) or len(display) != 4:
            raise BadRequest(f"Frame {index + 1}: the display window is not x, y, width, height.", "Give four numbers.")
        numbers += display
    if not all(isinstance(each, int) and not isinstance(each, bool) and abs(each) < 1 << 31 for each in numbers):
        raise BadRequest(f"Frame {index + 1}: windows and frame number are whole numbers.", "Round them.")
    window = Window(numbers[0], numbers[1], said["width"], said["height"])
    shown = window if display is None else Window(*display)
    if shown.empty:
        raise BadRequest(f"Frame {index + 1}: the display window {shown} is empty.", "Give it a size.")
    picture = Picture(
        numbers[2],
        window,
        shown,
        tuple(said["channels"]),
        said["depth"],
        bool(said.get("interleaved", True)),
        bool(said.get("bottom_up", False)),
        lent.path(said.get("segment")),
    )
    lent.check(said.get("segment"), picture.size)
    return picture
