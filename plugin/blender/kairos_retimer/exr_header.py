# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel names of an EXR file, read from its header: enough to offer a Vector pass and to choose a layer."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, List, Tuple

from kairos_nodes.errors import ImageError

_MAGIC = b"\x76\x2f\x31\x01"
_MULTI_PART = 0x1000
_LONGEST_NAME, _LONGEST_VALUE = 256, 64 << 20


def exr_channels(path: Path) -> Tuple[str, ...]:
    """Channel names of all parts, in file order.

    See "OpenEXR File Layout": after magic number and version, each part's header is attributes (name, type, size and
    value) up to an empty name; several parts end with an empty header.

    Raises:
        ImageError: the file cannot be read, or is no EXR.
    """
    try:
        with path.open("rb") as stream:
            if stream.read(4) != _MAGIC:
                raise ImageError(f"{path} is no EXR file.", "Render OpenEXR or OpenEXR MultiLayer.")
            (version,) = struct.unpack("<I", stream.read(4))
            names: List[str] = []
            while True:
                header = _header(stream)
                names += header[1]
                if not header[0] or not version & _MULTI_PART:
                    return tuple(names)
    except (struct.error, ValueError):
        raise ImageError(f"{path} is damaged.", "Render this frame again.") from None
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.", "Check the folder.") from None


def layers_with(path: Path, suffixes: str) -> Tuple[str, ...]:
    """Layers that have channels of all these one-letter suffixes, such as ``XYZW``. Raises ImageError."""
    names = set(exr_channels(path))
    layers = {name.rpartition(".")[0] for name in names}
    return tuple(sorted(one for one in layers if all(f"{one}.{letter}".lstrip(".") in names for letter in suffixes)))


def _header(stream: BinaryIO) -> Tuple[int, List[str]]:
    """How many attributes a header has, and its channels."""
    count = 0
    names: List[str] = []
    while True:
        name = _text(stream)
        if not name:
            return count, names
        _text(stream)
        (size,) = struct.unpack("<i", stream.read(4))
        if not 0 <= size <= _LONGEST_VALUE:
            raise ValueError(size)
        value = stream.read(size)
        count += 1
        if name == "channels":
            names = _channels(value)


def _channels(value: bytes) -> List[str]:
    """Names of a channel list: each ends with 0, then 16 bytes of type and sampling."""
    names = []
    at = 0
    while at < len(value) and value[at]:
        end = value.index(0, at)
        names.append(value[at:end].decode("utf-8", "replace"))
        at = end + 17
    return names


def _text(stream: BinaryIO) -> str:
    letters = bytearray()
    while True:
        letter = stream.read(1)
        if not letter or len(letters) > _LONGEST_NAME:
            raise ValueError("a name does not end")
        if letter == b"\0":
            return letters.decode("utf-8", "replace")
        letters += letter
