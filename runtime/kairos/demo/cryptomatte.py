"""Cryptomatte layers from named coverages (Friedman and Jones, "Fully automatic ID mattes", SIGGRAPH 2015 talks).

Follows the published specification 1.2.0: names hashed by MurmurHash3_32, hashes stored as the float of the same bits,
ranks of (ID, coverage) pairs sorted by coverage, two ranks to a layer of R, G, B, A.
"""

from __future__ import annotations

import json
from typing import Dict, Mapping, Tuple

import numpy as np

from kairos.frame import Attribute, Planes

_MASK = 0xFFFFFFFF


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


def id_value(name: str) -> np.float32:
    """The ID as it stands in the file: the float32 of :func:`id_bits`."""
    return np.float32(np.array([id_bits(name)], np.uint32).view(np.float32)[0])


def metadata(layer: str, names: Tuple[str, ...]) -> Dict[str, Attribute]:
    """Header attributes of one Cryptomatte layer: name, hash, conversion and the manifest of all names."""
    key = f"cryptomatte/{murmur3_32(layer.encode()):08x}"[: len("cryptomatte/") + 7]
    manifest = {name: f"{id_bits(name):08x}" for name in names}
    return {
        f"{key}/name": Attribute("string", layer),
        f"{key}/hash": Attribute("string", "MurmurHash3_32"),
        f"{key}/conversion": Attribute("string", "uint32_to_float32"),
        f"{key}/manifest": Attribute("string", json.dumps(manifest)),
    }


def rank_layers(layer: str, coverages: Mapping[str, Planes], levels: int = 2) -> Dict[str, Planes]:
    """Rank layers of named objects.

    Args:
        layer: e.g. ``CryptoObject``.
        coverages: (H, W) in 0..1 by object name; together at most 1 in any pixel.
        levels: layers to write, two ranks each.

    Returns:
        (H, W) float32 planes by channel name, ``<layer>00.R`` ... ``<layer>NN.A``; ID and coverage are 0 where no
        object is left.
    """
    ids = np.array([id_value(name) for name in coverages], np.float32)
    stacked = np.stack(list(coverages.values())).astype(np.float32)
    stacked = stacked.reshape(len(ids), -1)
    count = 2 * levels
    ranked_ids = np.zeros((count, stacked.shape[1]), np.float32)
    ranked_covers = np.zeros_like(ranked_ids)
    # Most pixels show one object alone; only the others need sorting.
    ranked_ids[0], ranked_covers[0] = ids[stacked.argmax(axis=0)], stacked.max(axis=0)
    mixed = np.flatnonzero((stacked > 0).sum(axis=0) != 1)
    order = np.argsort(-stacked[:, mixed], axis=0, kind="stable")[:count]
    covers = np.take_along_axis(stacked[:, mixed], order, axis=0)
    ranked_covers[: len(order), mixed] = covers
    ranked_ids[: len(order), mixed] = np.where(covers > 0, ids[order], np.float32(0))
    planes: Dict[str, Planes] = {}
    shape = next(iter(coverages.values())).shape
    for rank in range(count):
        pair = "RG" if rank % 2 == 0 else "BA"
        planes[f"{layer}{rank // 2:02d}.{pair[0]}"] = ranked_ids[rank].reshape(shape)
        planes[f"{layer}{rank // 2:02d}.{pair[1]}"] = ranked_covers[rank].reshape(shape)
    return planes
