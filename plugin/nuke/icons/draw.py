"""Draws the icons in the sizes that Nuke shows. ``python3 draw.py`` writes them here."""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Callable, List, Mapping, Tuple

Colour = Tuple[float, float, float, float]
Shade = Callable[[float, float], Colour]

_FRAME = (0.78, 0.80, 0.84)
_BETWEEN = (0.25, 0.62, 1.0)
_MOTION = (1.0, 0.72, 0.25)
_PARTS = 6
"""Samples on each side of a pixel."""


def retime(x: float, y: float) -> Colour:
    """Two frames, and one between them that was not there; x right and y down, from 0 to 1."""
    if _outline(x, y, 0.36, 0.20, 0.62, 0.80, 0.09):
        return (*_BETWEEN, 1.0)
    if 0.40 < x < 0.58 and 0.27 < y < 0.73:
        return (*_BETWEEN, 0.45)
    if _outline(x, y, 0.04, 0.12, 0.30, 0.88, 0.07) or _outline(x, y, 0.68, 0.12, 0.94, 0.88, 0.07):
        return (*_FRAME, 1.0)
    return (0.0, 0.0, 0.0, 0.0)


def vectors(x: float, y: float) -> Colour:
    """Two arrows that part from a moving edge."""
    for height, direction in ((0.30, 1), (0.70, -1)):
        along, across = (x - 0.5) * direction, abs(y - height)
        shaft = -0.40 < along < 0.18 and across < 0.055
        head = 0.14 < along < 0.42 and across < 0.20 * (0.42 - along) / 0.28
        if shaft or head:
            return (*(_MOTION if direction > 0 else _BETWEEN), 1.0)
    return (0.0, 0.0, 0.0, 0.0)


def draw(shade: Shade, size: int) -> bytes:
    """A PNG of ``size`` by ``size`` pixels, 8 bits, not premultiplied."""
    rows: List[bytes] = []
    for y in range(size):
        row = bytearray(b"\0")
        for x in range(size):
            row += bytes(round(255 * value) for value in _pixel(shade, x, y, size))
        rows.append(bytes(row))
    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _pixel(shade: Shade, x: int, y: int, size: int) -> List[float]:
    steps = [(part + 0.5) / _PARTS for part in range(_PARTS)]
    samples = [shade((x + i) / size, (y + j) / size) for i in steps for j in steps]
    alpha = math.fsum(one[3] for one in samples)
    if not alpha:
        return [0.0] * 4
    return [*(math.fsum(one[c] * one[3] for one in samples) / alpha for c in range(3)), alpha / len(samples)]


def _outline(x: float, y: float, left: float, top: float, right: float, bottom: float, width: float) -> bool:
    inside = left <= x <= right and top <= y <= bottom
    return inside and min(x - left, right - x, y - top, bottom - y) < width


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ICONS: Mapping[str, Tuple[Shade, int]] = {
    "Kairos.png": (retime, 24),
    "Kairos_64.png": (retime, 64),
    "KairosRetime.png": (retime, 24),
    "KairosVectors.png": (vectors, 24),
}

if __name__ == "__main__":
    for name, (shade, size) in ICONS.items():
        (Path(__file__).parent / name).write_bytes(draw(shade, size))
