"""The layout of an OpenEXR file: its headers as bytes, checked before a library decodes the pixels.

OpenImageIO reads and writes the pixels. This module knows just enough of the format ("OpenEXR File Layout") to say
early and clearly why a file cannot be used, and to reach the one thing OpenImageIO's Python interface cannot: the
sample type of a 32-bit integer channel that shares a part with others.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Collection, Dict, List, NamedTuple, Tuple, Union

from kairos.errors import ImageError

MAGIC = b"\x76\x2f\x31\x01"

Bytes = Union[bytes, mmap.mmap]

UINT, HALF, FLOAT = 0, 1, 2
"""Pixel types of the channel list."""

_TILED, _DEEP, _MULTI_PART = 0x200, 0x800, 0x1000
_LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256, 10: 256, 11: 32}
"""Scan lines per chunk by the header's compression number: none, rle, zips, zip, piz, pxr24, b44, b44a, dwaa ..."""

_SMALLEST_CHUNK = 17
"""Bytes: 8 in the offset table, 8 or more in front of a chunk, and at least one of data."""

_LARGEST_GAIN = 20_000
"""No codec of the format makes pixels smaller than this many times (black frames included)."""

_PLAIN_SIZE = 1 << 28
"""Bytes of pixels below which the gain is not questioned."""

_LONGEST_SIDE = 1 << 24
_MOST_PARTS = 4096

Box = Tuple[int, int, int, int]


class Channel(NamedTuple):
    """One row of a part's channel list; ``offset`` is the file position of its pixel type."""

    name: str
    kind: int
    x_sampling: int
    y_sampling: int
    offset: int


@dataclass(frozen=True)
class PartLayout:
    """One part's header.

    Attributes:
        name: part name, empty in single-part files.
        channels: the channel list.
        box: data window (left, top, right, bottom), all inclusive.
        compression: the format's number.
        tile: tile width and height, (0, 0) for scan lines.
        deep: deep samples.
        chunk_count: chunks in the file as the header says, 0 where it does not.
    """

    name: str
    channels: Tuple[Channel, ...]
    box: Box
    compression: int
    tile: Tuple[int, int]
    deep: bool
    chunk_count: int = 0

    @property
    def size(self) -> Tuple[int, int]:
        """Width and height of the data window."""
        return self.box[2] - self.box[0] + 1, self.box[3] - self.box[1] + 1

    @property
    def pixel_bytes(self) -> int:
        """Bytes of all pixels, decoded."""
        return self.size[0] * self.size[1] * sum(2 if channel.kind == HALF else 4 for channel in self.channels)

    @property
    def chunks(self) -> int:
        """Chunks that the highest resolution level has at least."""
        width, height = self.size
        if self.tile[0]:
            return -(-width // self.tile[0]) * -(-height // self.tile[1])
        return -(-height // _LINES_PER_CHUNK.get(self.compression, 256))


def is_exr(path: Path) -> bool:
    """True where the file's first bytes are OpenEXR's, whatever its name. Raises OSError."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def check(path: Path) -> List[PartLayout]:
    """Reads the headers of a file that is about to be decoded.

    Raises:
        ImageError: damaged, deep, with subsampled channels, or announcing more pixels than the file can hold.
        OSError: cannot be read.
    """
    length = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts, _ = parse(data, path)
    for part in parts:
        _check_part(part, path, length)
    needed = sum(part.chunks for part in parts) * _SMALLEST_CHUNK
    pixels = sum(part.pixel_bytes for part in parts)
    if needed > length or (pixels > _PLAIN_SIZE and pixels > length * _LARGEST_GAIN):
        raise damaged(path, f"its header announces {pixels / 2**20:,.0f} MiB of pixels, the file has {length:,} bytes")
    return parts


def _check_part(part: PartLayout, path: Path, length: int) -> None:
    if part.deep:
        raise ImageError(
            f"{path} holds deep samples: deep images are not supported.",
            "Flatten it first (DeepToImage in Nuke, or oiiotool --flatten).",
        )
    sub = [channel.name for channel in part.channels if (channel.x_sampling, channel.y_sampling) != (1, 1)]
    if sub:
        raise ImageError(
            f"{path} holds subsampled channels ({', '.join(sub[:4])}): luminance-chroma images are not supported.",
            "Convert it to RGB first.",
        )
    width, height = part.size
    if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE):
        raise damaged(path, f"its data window is {width} x {height} pixels")


def damaged(path: Path, why: str) -> ImageError:
    """The error for a file that cannot be decoded."""
    return ImageError(f"{path} is damaged: {why}.", "Render or copy it again.")


def is_complete(path: Path) -> bool:
    """True where every chunk of the highest resolution is in the file; nothing is decoded.

    Raises:
        ImageError: the headers are damaged.
        OSError: cannot be read.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts, position = parse(data, path)
        (version,) = struct.unpack_from("<I", data, 4)
        position += 1 if version & _MULTI_PART else 0
        last, tiled = 0, False
        for part in parts:
            count = part.chunk_count or part.chunks
            if position + 8 * count > len(data):
                return False
            offsets = struct.unpack_from(f"<{count}Q", data, position)
            if not all(position < offset < len(data) for offset in offsets):
                return False
            position += 8 * count
            if max(offsets) > last:
                last, tiled = max(offsets), part.tile != (0, 0)
        start = last + (4 if version & _MULTI_PART else 0) + (16 if tiled else 4)
        return start + 4 <= len(data) and start + 4 + struct.unpack_from("<I", data, start)[0] <= len(data)


def parse(data: Bytes, path: Path) -> Tuple[List[PartLayout], int]:
    """Reads all headers; answers with where they end, too. ``path`` is for messages.

    Raises:
        ImageError: not an OpenEXR file, or its headers are damaged.
    """
    if bytes(data[:4]) != MAGIC:
        raise ImageError(f"{path} is not an OpenEXR file.", "Check its ending, or render it again.")
    try:
        (version,) = struct.unpack_from("<I", data, 4)
        if version & 0xFF != 2:
            raise damaged(path, f"format version {version & 0xFF}")
        parts: List[PartLayout] = []
        position = 8
        while True:
            if version & _MULTI_PART and data[position : position + 1] == b"\0":
                break
            part, position = _parse_part(data, position, version, path)
            parts.append(part)
            if not version & _MULTI_PART:
                break
            if len(parts) > _MOST_PARTS:
                raise damaged(path, f"more than {_MOST_PARTS} parts")
    except (struct.error, IndexError, ValueError, KeyError) as error:
        raise damaged(path, "its header ends early or makes no sense") from error
    if not parts:
        raise damaged(path, "it has no parts")
    return parts, position


def _parse_part(data: Bytes, position: int, version: int, path: Path) -> Tuple[PartLayout, int]:
    values: Dict[str, Tuple[int, int]] = {}
    channels: Tuple[Channel, ...] = ()
    while True:
        name, position = _text(data, position)
        if not name:
            break
        _, position = _text(data, position)
        (size,) = struct.unpack_from("<i", data, position)
        position += 4
        if size < 0 or position + size > len(data):
            which = (
                f"attribute {name!r}" if name.isascii() and name.isprintable() and len(name) < 64 else "an attribute"
            )
            raise damaged(path, f"{which} runs over the end of the file")
        values[name] = (position, size)
        if name == "channels":
            channels = _channels(data, position, position + size)
        position += size
    start, _ = values["dataWindow"]
    box = struct.unpack_from("<4i", data, start)
    struct.unpack_from("<4i", data, values["displayWindow"][0])
    kind = _string(data, values.get("type"))
    tile = (0, 0)
    if "tiles" in values and (kind.startswith("tiled") or kind == "deeptile" or version & _TILED):
        tile = struct.unpack_from("<2I", data, values["tiles"][0])
        if not (0 < tile[0] <= _LONGEST_SIDE and 0 < tile[1] <= _LONGEST_SIDE):
            raise damaged(path, f"its tiles are {tile[0]} x {tile[1]} pixels")
    if not channels:
        raise damaged(path, "it has no channels")
    part = PartLayout(
        name=_string(data, values.get("name")),
        channels=channels,
        box=(box[0], box[1], box[2], box[3]),
        compression=data[values["compression"][0]],
        tile=(tile[0], tile[1]),
        deep=kind.startswith("deep") or bool(version & _DEEP and not kind),
        chunk_count=struct.unpack_from("<i", data, values["chunkCount"][0])[0] if "chunkCount" in values else 0,
    )
    return part, position


def _text(data: Bytes, position: int) -> Tuple[str, int]:
    end = data.find(b"\0", position, position + 256)
    if end < 0:
        raise ValueError("a name without an end")
    return bytes(data[position:end]).decode("utf-8", "replace"), end + 1


def _string(data: Bytes, value: Union[Tuple[int, int], None]) -> str:
    return "" if value is None else bytes(data[value[0] : value[0] + value[1]]).decode("utf-8", "replace")


def _channels(data: Bytes, position: int, end: int) -> Tuple[Channel, ...]:
    channels = []
    while position < end:
        name, position = _text(data, position)
        if not name:
            break
        kind, _, x_sampling, y_sampling = struct.unpack_from("<i4sii", data, position)
        if kind not in (UINT, HALF, FLOAT):
            raise ValueError("unknown pixel type")
        channels.append(Channel(name, kind, x_sampling, y_sampling, position))
        position += 16
    return tuple(channels)


def retype_as_uint(path: Path, channels: Collection[Tuple[int, str]]) -> None:
    """Declares float channels, named by (part, channel), to be 32-bit integers; their bytes stay as they are.

    Both types are four bytes that none, RLE, ZIP, ZIPS and PIZ compress alike, so a float channel written with the bit
    patterns of integers becomes the integer channel by its type alone.

    Raises:
        ImageError: the file is damaged or a part's compression treats the two types differently.
        OSError: cannot be written.
    """
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            parts, _ = parse(data, path)
        for number, part in enumerate(parts):
            for channel in part.channels:
                if (number, channel.name) in channels:
                    if part.compression > 4:
                        raise ImageError(
                            f"{path} cannot keep integers in part {number} exactly.", "Use zip compression."
                        )
                    file.seek(channel.offset)
                    file.write(struct.pack("<i", UINT))
