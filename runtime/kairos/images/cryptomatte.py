"""Cryptomatte's names: which IDs a header lists (Friedman and Jones, "Fully automatic ID mattes", SIGGRAPH 2015 talks).

Follows the published specification 1.2.0: the ID of a name is its MurmurHash3_32, stored as the float of the same bits,
and the manifest in the header, or in a file beside the image, lists names with their IDs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from kairos.errors import ImageError
from kairos.frame import Attribute

from .header import Headed

_MASK = 0xFFFFFFFF
_PREFIX = "cryptomatte/"


def murmur3_32(data: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0 (Appleby, public domain algorithm): 0..2^32 - 1."""
    state = 0
    whole = len(data) - len(data) % 4
    for start in range(0, whole, 4):
        state ^= _scramble(int.from_bytes(data[start : start + 4], "little"))
        state = (((state << 13) | (state >> 19)) & _MASK) * 5 + 0xE6546B64 & _MASK
    state ^= _scramble(int.from_bytes(data[whole:], "little"))
    state ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        state = (state ^ (state >> shift)) * factor & _MASK
    return state


def _scramble(word: int) -> int:
    word = word * 0xCC9E2D51 & _MASK
    word = (word << 15 | word >> 17) & _MASK
    return word * 0x1B873593 & _MASK


def id_bits(name: str) -> int:
    """The 32 bits of a name's ID: its hash, with the float exponents of zero, denormals, Inf and NaN stepped round."""
    bits = murmur3_32(name.encode())
    exponent = bits >> 23 & 0xFF
    return bits ^ 1 << 23 if exponent in (0, 0xFF) else bits


def cryptomattes(found: Headed) -> List[str]:
    """The names of a file's Cryptomattes, as its metadata announces them."""
    return list(dict.fromkeys(name for part in found.parts for name in _by_name(part.metadata)))


def manifest(found: Headed, name: str, folder: Optional[Path] = None) -> Dict[str, int]:
    """The bits of every ID that a Cryptomatte lists, by name; empty where it comes without a manifest.

    Args:
        found: header or frame.
        name: of the Cryptomatte.
        folder: where the image lies; a manifest in a file of its own lies beside it.

    Raises:
        ImageError: the manifest is damaged, or its file cannot be read.
    """
    for part in found.parts:
        key = _by_name(part.metadata).get(name)
        if key is None:
            continue
        inside, beside = (part.metadata.get(f"{key}/{word}") for word in ("manifest", "manif_file"))
        if inside is not None:
            return _parsed(str(inside.value), f"of Cryptomatte {name}")
        if beside is not None and folder is not None:
            return _beside(folder, str(beside.value), name)
    return {}


def _by_name(metadata: Mapping[str, Attribute]) -> Dict[str, str]:
    """The attribute prefix (``cryptomatte/1234567``) of every Cryptomatte, by its name."""
    return {
        str(attribute.value): key.rpartition("/")[0]
        for key, attribute in metadata.items()
        if key.startswith(_PREFIX) and key.endswith("/name")
    }


def _beside(folder: Path, file: str, name: str) -> Dict[str, int]:
    path = folder / file
    try:
        return _parsed(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(
            f"The manifest {path} of Cryptomatte {name} cannot be read: {error}.", "Copy it beside the images."
        ) from None


def _parsed(text: str, what: str) -> Dict[str, int]:
    try:
        entries = json.loads(text)
        return {str(name): int(str(bits), 16) & _MASK for name, bits in entries.items()}
    except (ValueError, AttributeError):
        raise ImageError(f"The manifest {what} is damaged.", "Render the images anew.") from None
