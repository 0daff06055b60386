"""Objects by their names in a Cryptomatte."""

from __future__ import annotations

import fnmatch
import re
from typing import Dict, List, Mapping, Sequence

from kairos.errors import BadRequest
from kairos.images import layers_of
from kairos.images.cryptomatte import cryptomattes, id_bits, manifest
from kairos.images.header import Headed
from kairos_nodes.regions import RegionSource

from .region_layers import known_layers, near, of_view
from .region_sheets import Crypto, Key, Reading


def choose_crypto(source: RegionSource, layer: str, reading: Reading) -> Crypto:
    """How the objects of one view are read off a Cryptomatte.

    Args:
        source: what the artist named.
        layer: the Cryptomatte; empty for the only one.
        reading: where.

    Raises:
        BadRequest: no such Cryptomatte or name, or several that might be meant.
        ImageError: a manifest is damaged.
    """
    header = reading.header
    known = crypto_names(header)
    name = layer or (known[0] if len(known) == 1 else "")
    if name not in known:
        has = f"It has {', '.join(known)}." if known else f"It has none. {known_layers(header)}"
        which = f"no Cryptomatte {layer!r}" if layer else "no single Cryptomatte"
        raise BadRequest(f"{reading.title}: {reading.owner} has {which}.", has)
    keys = _ranks(header, name, reading)
    listed = _manifests(reading, name, [each for names in source.objects for each in names])
    if source.objects:
        objects = [
            (names[0], [bits for each in names for bits in _ids_named(each, listed, name, reading)])
            for names in source.objects
        ]
        return Crypto(keys, objects)
    if not listed:
        raise BadRequest(
            f"{reading.title}: the Cryptomatte {name} comes without a manifest.",
            f"Say which objects you want: crypto:{name}=name,name;name.",
        )
    return Crypto(keys, [(each, [bits]) for each, bits in listed.items()])


def crypto_names(header: Headed) -> List[str]:
    """The Cryptomattes of a file: announced by its metadata, or seen by their layers' names."""
    announced = cryptomattes(header)
    shown = (re.sub(r"\d\d$", "", layer.name) for layer in layers_of(header) if layer.kind == "cryptomatte")
    return list(dict.fromkeys([*announced, *shown]))


def _ids_named(name: str, listed: Mapping[str, int], crypto: str, reading: Reading) -> List[int]:
    """The IDs that a name, or a pattern of names, means."""
    if name in listed:
        return [listed[name]]
    if not listed:
        # Without a manifest a name is as good as its hash, of which the renderer made the ID.
        return [id_bits(name)]
    found = [bits for known, bits in listed.items() if fnmatch.fnmatchcase(known, name)]
    if not found:
        raise BadRequest(f"{reading.title}: Cryptomatte {crypto} has no object {name!r}.", near(name, listed))
    return found


def _manifests(reading: Reading, name: str, wanted: Sequence[str]) -> Dict[str, int]:
    """Names with their IDs from as many frames as it takes: some renderers list only what a frame shows."""
    found: Dict[str, int] = {}
    for position in reading.positions:
        folder = reading.footage.path(position).parent
        for known, bits in manifest(reading.footage.header(position), name, folder).items():
            found.setdefault(known, bits)
        if wanted and all(each in found for each in wanted):
            break
    return found


def _ranks(header: Headed, name: str, reading: Reading) -> List[Key]:
    """ID and coverage channels by turns, the first rank first."""
    ranked = re.compile(re.escape(name) + r"\d\d")
    layers = [layer for layer in of_view(layers_of(header), reading.view) if ranked.fullmatch(layer.name)]
    layers.sort(key=lambda layer: layer.name)
    keys = [(layer.part, header.parts[layer.part].channels[channel]) for layer in layers for channel in layer.channels]
    if not keys or len(keys) % 2:
        raise BadRequest(
            f"{reading.title}: Cryptomatte {name} lacks the layers {name}00, {name}01 ... that hold its IDs.",
            known_layers(header),
        )
    return keys
