"""Which channels of a file tell objects apart, and whether they are IDs or mattes."""

from __future__ import annotations

import difflib
import json
from typing import Dict, Iterable, List, Mapping, Sequence

from kairos.engines.hierarchical.masks import layers as masks
from kairos.errors import BadRequest
from kairos.images import Layer, layers_of
from kairos.images.header import Headed
from kairos_nodes.regions import RegionSource

from .region_sheets import Channels, Key, Listed, Numbers, Reading, Sheet, different_ids, whole_numbers

NAMES = "kairos:regions"
"""Header attribute of a label map that Kairos wrote: JSON, the objects' names by number."""

_PLAIN = ("r", "g", "b", "a", "y", "red", "green", "blue", "alpha", "luma")
"""Components that name no object."""

_ALPHA = ("a", "alpha")


def choose_layers(source: RegionSource, layer: str, reading: Reading) -> Sheet:
    """How the objects of one view are read off layers.

    Args:
        source: what the artist named.
        layer: names of layers or channels by comma; empty finds them by itself.
        reading: where.

    Raises:
        BadRequest: no such layer, or several that might be meant.
    """
    header, keys = reading.header, []
    for name in filter(None, (name.strip() for name in layer.split(","))):
        found = _named(header, name, of_view(layers_of(header), reading.view))
        if not found:
            raise BadRequest(f"{reading.title}: {reading.owner} has no layer {name!r}.", known_layers(header))
        keys += found
    keys = list(dict.fromkeys(keys)) or _recognised(reading)
    kinds = {key: each.kind for each in layers_of(header) for key in _keys(header, each)}
    if any(kinds[key] == "cryptomatte" for key in keys):
        raise BadRequest(f"{reading.title} is a Cryptomatte.", "Write crypto:NAME=name,name;name.")
    if not _are_ids(source.reading, keys, kinds, reading):
        return Sheet(keys, dict(enumerate(_object_names(keys), 1)), True)
    if len(keys) > 1:
        names = ", ".join(name for _, name in keys)
        raise BadRequest(f"{reading.title}: {names} are several ID channels.", "Name one, or put mattes: in front.")
    given, channels = _names_in(header), Channels(keys)
    if given or whole_numbers(channels, reading):
        return Numbers(keys, given, False)
    return Listed(keys, different_ids(channels, reading, whole=False))


def has_layers(header: Headed, place: str) -> bool:
    """True where a place names layers or channels, of any view, of this very file."""
    return all(_named(header, name.strip(), layers_of(header)) for name in place.split(","))


def known_layers(header: Headed) -> str:
    """A sentence with the layers that a file has."""
    return f"Its layers are {', '.join(sorted({layer.name for layer in layers_of(header)}))}."


def near(name: str, known: Iterable[str], most: int = 12) -> str:
    """A sentence with the names most like one, or with all where they are few."""
    names = list(dict.fromkeys(known))
    if len(names) <= most:
        return f"It has {', '.join(names) or 'none'}."
    alike = difflib.get_close_matches(name, names, most, 0.3) or names[:most]
    return f"Of its {len(names)} names these are nearest: {', '.join(alike)}."


def of_view(layers: Sequence[Layer], view: str) -> List[Layer]:
    """A view's layers and those without any; the first view's where it has none of its own."""
    views = {layer.view for layer in layers}
    wanted = view if view in views else layers[0].view if layers else ""
    return [layer for layer in layers if layer.view in (wanted, "")]


def _keys(header: Headed, layer: Layer) -> List[Key]:
    return [(layer.part, header.parts[layer.part].channels[channel]) for channel in layer.channels]


def _named(header: Headed, name: str, layers: Sequence[Layer]) -> List[Key]:
    """The channels of a channel's full name, of a layer, or of all layers that begin with a name."""
    for layer in layers:
        for key in _keys(header, layer):
            if key[1] == name:
                return [key]
    met = [layer for layer in layers if layer.name == name]
    met = met or [layer for layer in layers if layer.name.startswith(f"{name}.")]
    return [key for layer in met for key in _keys(header, layer)]


def _recognised(reading: Reading) -> List[Key]:
    """The channels that a file is about, where the artist named none."""
    header = reading.header
    layers = of_view(layers_of(header), reading.view)
    ids = [layer for layer in layers if layer.kind == "id"]
    if len(ids) > 1:
        names = ", ".join(layer.name for layer in ids)
        raise BadRequest(f"{reading.title} has several ID layers.", f"Name one of {names} after a colon.")
    for found in (ids, [layer for layer in layers if layer.kind == "matte"]):
        if found:
            return [key for layer in found for key in _keys(header, layer)]
    colour = next((layer for layer in layers if layer.kind in ("colour", "alpha")), None)
    if colour is None and len(layers) == 1:
        return _keys(header, layers[0])
    if colour is None:
        raise BadRequest(f"{reading.title}: nothing says which layer tells objects apart.", known_layers(header))
    keys = _keys(header, colour)
    return [key for key in keys if key[1].rpartition(".")[2].lower() in _ALPHA] or keys


def _are_ids(said: str, keys: Sequence[Key], kinds: Mapping[Key, str], reading: Reading) -> bool:
    """Whether channels hold IDs rather than mattes: as said, as named, as typed, or as their first frame shows."""
    if said:
        return said == "ids"
    found = {kinds[key] for key in keys}
    if "id" in found:
        return True
    if len(keys) > 1 or found & {"matte", "alpha"}:
        return False
    planes, depths, _ = Channels(keys).planes(reading.footage.read(reading.offset))
    return masks.holds_ids(planes[0], depths[0])


def _object_names(keys: Sequence[Key]) -> List[str]:
    """What objects are called by their channels: ``hero`` for hero.A and roto.hero, ``roto.R`` for one of several."""
    layers = [name.rpartition(".")[0] for _, name in keys]
    names = []
    for (_, full), layer in zip(keys, layers):
        last = full.rpartition(".")[2]
        alone = layer if layer and layers.count(layer) == 1 else full
        names.append(alone if last.lower() in _PLAIN else last)
    return names if len(set(names)) == len(names) else [full for _, full in keys]


def _names_in(header: Headed) -> Dict[int, str]:
    """Names by number that a label map of Kairos' own carries; empty for any other file."""
    for part in header.parts:
        held = part.metadata.get(NAMES)
        if held is None:
            continue
        try:
            return {int(number): str(name) for number, name in json.loads(str(held.value)).items()}
        except (ValueError, AttributeError):
            return {}
    return {}
