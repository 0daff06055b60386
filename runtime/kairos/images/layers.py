"""The layers of a frame and how each moves: recognised by name, sample type and metadata, or as the artist says."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from kairos.errors import BadRequest
from kairos.frame import Attribute
from kairos_nodes.layer_policy import parse_layer_policy
from kairos_nodes.layers import Policy

from .header import Headed
from .views import AnyPart, place, views_of_file, without_view


@dataclass(frozen=True)
class Layer:
    """Channels of one part that belong and move together.

    Attributes:
        part: index of the part.
        name: the trade's name (``rgba``, ``depth``, ``forward`` ...), without the view.
        view: the view, empty where the file has none.
        channels: indices into the part's channels; colour first, in R, G, B, A order.
        policy: how it moves.
        reason: why, for the report: ``named depth``, ``Cryptomatte by its metadata`` ...
        kind: ``colour``, ``alpha``, ``depth``, ``position``, ``coordinates``, ``normal``, ``motion``, ``cryptomatte``,
            ``id``, ``matte`` or ``data``.
    """

    part: int
    name: str
    view: str
    channels: Tuple[int, ...]
    policy: Policy
    reason: str = ""
    kind: str = "data"


class Meaning(NamedTuple):
    """What a layer is, how that was seen, and how it moves."""

    kind: str
    policy: Policy
    reason: str


_COLOUR = {"r": 0, "red": 0, "g": 1, "green": 1, "b": 2, "blue": 2, "a": 3, "alpha": 3, "y": 0}
_ALPHA = ("a", "alpha")
_GENERIC_PART = re.compile(r"^(|rgba?|main|default|part\d*|subimage\d*)$", re.IGNORECASE)

_START, _END = r"(?:^|[._\- ])", r"(?:[._\- ]|\d*$)"
"""Edges of a word in a layer's name."""


def _word(words: str) -> re.Pattern[str]:
    return re.compile(f"{_START}(?:{words}){_END}", re.IGNORECASE)


_CRYPTO = re.compile(r"(?:^|\.)u?crypto\w*?\d\d$", re.IGNORECASE)
_ID = _word(
    r"ids?|(?:obj|object|mat|material|asset|prim|instance|node|render|shader|part|element|group|face|user)_?ids?|"
    r"indexob|indexma|multimatteids?|puzzle_?ids?"
)
_MATTE = _word(r"\w*mattes?|\w*masks?|holdout|roto|puzzle|multimatte|coverage|opacity|shadow_?matte")
_MOTION = _word(
    r"(?:source_?)?(?:forward|backward|fwd|bwd|fw|bw)(?:_?(?:motion|flow|vectors?))?|back_?motion|motion|(?:smart)?vectors?|"
    r"back_?vectors?|velocity|speed|mv|motion_?vectors?(?:_?\w+)?|2?d?_?motion_?(?:vec\w*|blur)|(?:optical_?)?flow|mvec|"
    r"screen_?velocity|speed_?vectors?"
)
_NORMAL = _word(
    r"n|nn|ng|ns|(?:\w*_?)?normals?(?:_?(?:world|cam|camera|eye|view|object|tangent))?|n_?(?:world|cam|eye|obj)|bump_?normals?"
)
_POSITION = _word(
    r"p|pw|p_?(?:world|cam|camera|obj|object|ref)|pos|(?:\w*_?)?positions?(?:_?(?:world|cam|camera|object))?|"
    r"(?:world|object|ref)_?(?:pos|position|point)s?|point_?(?:position|world|cloud)s?|points?|xyz"
)
_DEPTH = _word(r"z|z_?(?:depth|buffer|back|norm\w*|f)|(?:\w*_?)?depth(?:_?\w+)?|distance|camera_?z|mist")
_COORDINATES = _word(
    r"uvs?|st|stmap|uv_?(?:map|coords?|pass)|tex(?:ture)?_?coords?|disparity[lr]?|barycentric|pref_?uv"
)


def is_alpha(channel: str) -> bool:
    """True for an alpha channel's name, ``A`` or ``layer.alpha``."""
    return channel.rpartition(".")[2].lower() in _ALPHA


def layers_of(found: Headed) -> List[Layer]:
    """The layers of a frame or header, in file order, every channel in exactly one of them."""
    views = views_of_file(found)
    parts: Sequence[AnyPart] = found.parts
    crypto = tuple(name for part in parts for name in _cryptomatte_names(part.metadata))
    layers: List[Layer] = []
    for index, part in enumerate(parts):
        layers += _layers_of_part(index, part, views, crypto, several=len(parts) > 1)
    return layers


def _cryptomatte_names(metadata: Mapping[str, Attribute]) -> Tuple[str, ...]:
    """Layer names that ``cryptomatte/<key>/name`` attributes announce."""
    return tuple(
        str(attribute.value)
        for name, attribute in metadata.items()
        if name.startswith("cryptomatte/") and name.endswith("/name")
    )


def _layers_of_part(
    index: int, part: AnyPart, views: Sequence[str], crypto: Sequence[str], several: bool
) -> List[Layer]:
    grouped: Dict[Tuple[str, str], List[int]] = {}
    placed = place(part, views)
    for channel, where in enumerate(placed):
        grouped.setdefault((where.view, where.layer), []).append(channel)
    layers = []
    for (view, prefix), channels in grouped.items():
        base = prefix or (without_view(part.name, view) if several else "")
        sets = _sets({channel: placed[channel].component.lower() for channel in channels})
        for kind, members in sets:
            name = _name(base, prefix, kind, [placed[channel].component for channel in members], len(sets))
            components = [placed[channel].component.lower() for channel in members]
            depths = [part.depths[channel] for channel in members]
            meaning = _meaning(name, components, depths, crypto)
            layers.append(Layer(index, name, view, tuple(members), meaning.policy, meaning.reason, meaning.kind))
    return layers


def _sets(components: Mapping[int, str]) -> List[Tuple[str, List[int]]]:
    """Splits a layer's channels into what belongs together: colour, depth, x-y-z, u-v, and singles."""
    names = set(components.values())
    vector = {"x", "y"} <= names
    found: Dict[str, List[int]] = {}
    for channel, name in components.items():
        if vector and name in ("x", "y", "z", "w"):
            key = "xyz"
        elif name in _COLOUR:
            key = "colour"
        elif name in ("z", "zback"):
            key = "depth"
        elif name in ("u", "v", "w") and {"u", "v"} <= names:
            key = "uv"
        else:
            key = f"single {channel}"
        found.setdefault(key, []).append(channel)
    found.get("colour", []).sort(key=lambda channel: _COLOUR[components[channel]])
    return list(found.items())


def _name(base: str, prefix: str, kind: str, components: Sequence[str], sets: int) -> str:
    """A layer's name: the file's own where it has one, else the trade's."""
    generic = not prefix and _GENERIC_PART.match(base)
    single = components[0]
    if generic:
        return {"colour": "rgba", "depth": "depth", "xyz": "xyz", "uv": "uv"}.get(kind, single)
    if kind == "colour" or sets == 1:
        return base
    return f"{base}.{single}"


def _meaning(name: str, components: Sequence[str], depths: Sequence[str], crypto: Sequence[str]) -> Meaning:
    """What a layer is. Integers and Cryptomatte first, since mixing them is the worst that can happen."""
    announced = next(
        (known for known in crypto if name == known or re.fullmatch(re.escape(known) + r"\d\d", name)), None
    )
    if announced is not None:
        return Meaning("cryptomatte", Policy.ID, f"Cryptomatte by its metadata ({announced})")
    if _CRYPTO.search(name):
        return Meaning("cryptomatte", Policy.ID, "named like Cryptomatte")
    integer = "uint" in depths
    if _ID.search(name) or (len(components) == 1 and _ID.search(components[0])):
        return Meaning("id", Policy.ID, "named like an identifier" + (", integer samples" if integer else ""))
    if integer:
        return Meaning("data", Policy.NEAREST, "integer samples")
    return _by_name(name, components)


def _by_name(name: str, components: Sequence[str]) -> Meaning:
    last = name.rpartition(".")[2]
    alone = components[0] if len(components) == 1 else ""
    threes = len(components) >= 3
    if set(components) <= {"z", "zback"}:
        return Meaning("depth", Policy.DEPTH, "channel Z")
    if alone in _ALPHA:
        return Meaning("alpha", Policy.BLEND, "alpha")
    for pattern, kind, policy, fits in (
        (_MOTION, "motion", Policy.VECTOR, len(components) >= 2 or alone in ("u", "v", "x", "y")),
        (_COORDINATES, "coordinates", Policy.DEPTH, True),
        (_NORMAL, "normal", Policy.NORMAL, threes),
        (_POSITION, "position", Policy.DEPTH, threes),
        (_DEPTH, "depth", Policy.DEPTH, True),
        (_MATTE, "matte", Policy.BLEND, True),
    ):
        if fits and pattern.search(last):
            return Meaning(kind, policy, f"named {last}")
    if set(components) <= {"u", "v"}:
        return Meaning("motion", Policy.VECTOR, "channels u and v")
    if any(component in _COLOUR for component in components):
        return Meaning("colour", Policy.BLEND, "colour channels")
    if alone and _MATTE.search(alone):
        return Meaning("matte", Policy.BLEND, f"channel {alone}")
    if alone and _DEPTH.search(alone):
        return Meaning("depth", Policy.DEPTH, f"channel {alone}")
    return Meaning("data", Policy.BLEND, "not recognised, filtered like colour")


_BEAUTY = ("rgba", "rgb", "beauty", "combined", "c", "ci", "main", "")


def beauty(layers: Sequence[Layer], view: str) -> Layer:
    """The layer that motion is found on: the view's main colour, else its first colour, else whatever it has.

    A view without any layer answers with the hero's. Raises ValueError without layers.
    """
    if not layers:
        raise ValueError("a frame without layers has no beauty")
    own = [layer for layer in layers if layer.view == view] or [
        layer for layer in layers if layer.view == layers[0].view
    ]
    colour = [layer for layer in own if layer.kind == "colour"]

    def rank(layer: Layer) -> Tuple[bool, int]:
        last = layer.name.rpartition(".")[2].lower()
        return len(layer.channels) < 3, _BEAUTY.index(last) if last in _BEAUTY else len(_BEAUTY)

    if colour:
        return min(colour, key=rank)
    return next((layer for layer in own if layer.policy is Policy.BLEND), own[0])


def views_of(found: Union[Headed, Sequence[Layer]]) -> Tuple[str, ...]:
    """The views of a frame, header or its layers, the hero eye first; one empty name where there are none."""
    if isinstance(found, Sequence):
        return tuple(dict.fromkeys(layer.view for layer in found)) or ("",)
    named = views_of_file(found)
    held = {layer.view for layer in layers_of(found)}
    return tuple(view for view in named if view in held) or ("",)


def parse_policies(text: str, layers: Sequence[Layer]) -> List[Layer]:
    """Layers with the artist's ``LAYER=policy,...`` put in; a name applies to every view and part that has it.

    Raises:
        BadRequest: an unknown layer or policy; the remedy names the known ones.
    """
    wanted = parse_layer_policy(text)
    settled = list(layers)
    for name, policy in wanted.items():
        met = [index for index, layer in enumerate(settled) if name.lower() in _names(layer)]
        if not met:
            known = ", ".join(sorted({layer.name for layer in layers}))
            raise BadRequest(f"--layer-policy: the plate has no layer {name!r}.", f"It has: {known}.")
        for index in met:
            settled[index] = replace(settled[index], policy=policy, reason="as asked")
    return settled


def _names(layer: Layer) -> Tuple[str, ...]:
    name = layer.name.lower()
    return (name, f"{layer.view}.{name}".lower(), f"{name}.{layer.view}".lower()) if layer.view else (name,)
