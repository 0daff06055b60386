"""Cryptomatte layers from named coverages (Friedman and Jones, "Fully automatic ID mattes", SIGGRAPH 2015 talks).

Follows the published specification 1.2.0: names hashed by MurmurHash3_32, hashes stored as the float of the same bits,
ranks of (ID, coverage) pairs sorted by coverage, two ranks to a layer of R, G, B, A.
"""

from __future__ import annotations

import json
from typing import Dict, Mapping, Tuple

import numpy as np

from kairos.frame import Attribute, Planes
from kairos.images.cryptomatte import id_bits, murmur3_32


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
