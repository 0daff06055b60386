"""What motion vectors and masks are called in a file, and which way they point.

Inside Kairos a flow is in pixels, x to the right and y *down*, from a frame's pixel to the same point in the next
output frame (``forward``) or the previous one (``backward``). On disk every preset has its own
names, signs and units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, FrozenSet, Iterable, Mapping, Tuple

from kairos_nodes.errors import BadRequest

PRESETS = ("nuke", "blender", "fusion", "normalized")
MASKS = ("occlusion_forward", "occlusion_backward", "confidence", "blend")


@dataclass(frozen=True)
class VectorChannel:
    """One channel of a file and the component of an internal flow that it holds.

    Attributes:
        name: full channel name, such as ``forward.u``.
        source: ``forward`` or ``backward`` flow.
        axis: ``x`` or ``y`` of the internal flow (y down).
        sign: 1 or -1.
        unit: ``pixels``, or a fraction of the display window's ``width`` or ``height``.
    """

    name: str
    source: str
    axis: str
    sign: int
    unit: str = "pixels"

    def factor(self, width: int, height: int) -> float:
        """Channel value = flow component * factor, for a display window of this size in pixels (and the inverse)."""
        return self.sign / {"pixels": 1, "width": width, "height": height}[self.unit]


def _pair(
    layer: str, suffixes: str, source: str, signs: Tuple[int, int], fraction: bool = False
) -> Tuple[VectorChannel, ...]:
    units = ("width", "height") if fraction else ("pixels", "pixels")
    return tuple(
        VectorChannel(f"{layer}.{suffix}", source, axis, sign, unit)
        for suffix, axis, sign, unit in zip(suffixes, "xy", signs, units)
    )


VECTORS: Mapping[str, Tuple[VectorChannel, ...]] = {
    "nuke": _pair("forward", "uv", "forward", (1, -1)) + _pair("backward", "uv", "backward", (1, -1)),
    # Measured by warping Blender's own renders: X,Y = previous - current and Z,W = current - next, in y-up pixels.
    "blender": _pair("Vector", "XY", "backward", (1, -1)) + _pair("Vector", "ZW", "forward", (-1, 1)),
    "fusion": _pair("Vector", "xy", "forward", (1, -1)) + _pair("BackVector", "xy", "backward", (1, -1)),
    "normalized": _pair("motion", "xy", "forward", (1, -1), True)
    + _pair("backmotion", "xy", "backward", (1, -1), True),
}
"""Channels of each preset, in the order in which they are written."""

_DOTTED = {
    "occlusion_forward": "occlusion.forward",
    "occlusion_backward": "occlusion.backward",
    "confidence": "confidence.a",
    "blend": "blend.a",
}
_ONE_LETTER = {
    "occlusion_forward": "OcclusionForward.V",
    "occlusion_backward": "OcclusionBackward.V",
    "confidence": "Confidence.V",
    "blend": "Blend.V",
}


def vector_channels(preset: str) -> Tuple[VectorChannel, ...]:
    """Channels of a preset in file order; none for ``none``. Raises BadRequest for an unknown preset."""
    if preset == "none":
        return ()
    if preset not in VECTORS:
        raise BadRequest(f"--vectors: there is no preset {preset!r}.", f"Use one of none, {', '.join(PRESETS)}.")
    return VECTORS[preset]


def mask_channels(preset: str) -> Dict[str, str]:
    """Channel name of each of :data:`MASKS`; Blender's reader wants one-letter channels, all others take ours."""
    return dict(_ONE_LETTER if preset == "blender" else _DOTTED)


def layer_of(channel: str) -> str:
    """The layer of a full channel name, empty for a channel without one."""
    return channel.rpartition(".")[0]


def claimed_layers(preset: str, masks: bool) -> FrozenSet[str]:
    """Layers that an output with this preset writes itself: a plate layer of the same name is renamed."""
    names = [channel.name for channel in vector_channels(preset)]
    if masks:
        names += mask_channels(preset).values()
    return frozenset(layer_of(name) for name in names)


def plate_layer_name(layer: str, claimed: Iterable[str], taken: Iterable[str] = ()) -> str:
    """The name a plate's layer gets in the output: its own, or ``source_<name>`` where it is claimed.

    ``taken`` are the plate's layer names, so that the new name meets none of them.
    """
    if layer not in set(claimed):
        return layer
    used, name = set(taken), f"source_{layer}"
    while name in used:
        name = f"source_{name}"
    return name


@dataclass(frozen=True)
class Convention:
    """How a plate's own vectors are to be read.

    Attributes:
        id: name on the command line.
        title: one line for people.
        pairs: channel suffixes, (x, y), with the flow they hold; the first pair that a layer has is read.
        signs: of x and y against the internal flow.
        fraction: True for fractions of the display window, False for pixels.
        partner: layer names of the forward and the backward vectors where these are two layers.
    """

    id: str
    title: str
    pairs: Tuple[Tuple[str, str, str], ...]
    signs: Mapping[str, Tuple[int, int]]
    fraction: bool = False
    partner: Tuple[str, str] = ("", "")


def _conventions() -> Iterable[Convention]:
    up = {"forward": (1, -1), "backward": (1, -1)}
    down = {"forward": (1, 1), "backward": (1, 1)}
    names = (("u", "v"), ("x", "y"), ("X", "Y"), ("R", "G"), ("r", "g"))
    to_next = tuple((x, y, "forward") for x, y in names)
    to_previous = tuple((x, y, "backward") for x, y in names)
    yield Convention("nuke", "pixels, y up, to the next frame", to_next, up, partner=("forward", "backward"))
    yield Convention(
        "blender",
        "Blender's Vector pass",
        (("X", "Y", "backward"), ("Z", "W", "forward")),
        {"forward": (-1, 1), "backward": (1, -1)},
    )
    yield Convention("fusion", "pixels, y up, to the next frame", to_next, up, partner=("Vector", "BackVector"))
    yield Convention(
        "normalized", "fraction of the frame, y up, to the next frame", to_next, up, True, ("motion", "backmotion")
    )
    yield Convention("previous", "pixels, y up, to the previous frame", to_previous, up)
    yield Convention("normalized-previous", "fraction of the frame, y up, to the previous frame", to_previous, up, True)
    yield Convention("down", "pixels, y down, to the next frame", to_next, down)
    yield Convention("down-previous", "pixels, y down, to the previous frame", to_previous, down)


CONVENTIONS: Mapping[str, Convention] = {convention.id: convention for convention in _conventions()}
"""How vectors can be read (``--vectors-in LAYER:CONVENTION``)."""


def parse_vectors_in(text: str) -> Tuple[str, str]:
    """Layer and convention of ``LAYER[:CONVENTION]``; without one it is guessed from the layer's usual names.

    Raises:
        BadRequest: no layer, or an unknown convention.
    """
    layer, colon, convention = text.strip().partition(":")
    if not layer:
        raise BadRequest(f"--vectors-in: {text!r} names no layer.", "Write LAYER or LAYER:CONVENTION.")
    if not colon:
        usual = {"Vector": "blender", "BackVector": "fusion", "motion": "normalized", "backmotion": "normalized"}
        return layer, usual.get(layer.rpartition(".")[2], "nuke")
    if convention not in CONVENTIONS:
        raise BadRequest(
            f"--vectors-in: there is no convention {convention!r}.", f"Use one of {', '.join(CONVENTIONS)}."
        )
    return layer, convention


def reading_channels(layer: str, convention: str, available: Iterable[str]) -> Tuple[VectorChannel, ...]:
    """The plate's channels to read as motion, with the flow component that each holds.

    Where the convention keeps forward and backward vectors in two layers and ``layer`` is named like one of them, the
    other is read too if the plate has it.

    Args:
        layer: as the artist gave it, such as ``forward``.
        convention: an id of :data:`CONVENTIONS`.
        available: full channel names in the plate.

    Raises:
        BadRequest: the plate has no such layer, or none of its channels fit.
    """
    rules, names = CONVENTIONS[convention], list(available)
    found = _read_layer(layer, rules, names, "")
    if not found:
        layers = sorted({layer_of(name) for name in names} - {""})
        raise BadRequest(
            f"--vectors-in: the plate has no layer {layer!r} that can be read as {convention} vectors.",
            f"Its layers are {', '.join(layers) or 'only the main one'}.",
        )
    prefix, dot, last = layer.rpartition(".")
    for own, other in (rules.partner, rules.partner[::-1]):
        if own and last.endswith(own) and not (own == "Vector" and last.endswith("BackVector")):
            source = "backward" if own == rules.partner[1] else "forward"
            opposite = "forward" if source == "backward" else "backward"
            partner = f"{prefix}{dot}{last[: -len(own)]}{other}"
            found = tuple(replace(channel, source=source) for channel in found)
            return found + _read_layer(partner, rules, names, opposite)
    return found


def _read_layer(layer: str, rules: Convention, available: Iterable[str], source: str) -> Tuple[VectorChannel, ...]:
    """Channels of one layer; each flow is read from the first pair of suffixes that is there."""
    names = set(available)
    found: Dict[str, Tuple[VectorChannel, ...]] = {}
    for x, y, held in rules.pairs:
        if held not in found and {f"{layer}.{x}", f"{layer}.{y}"} <= names:
            found[held] = _pair(layer, x + y, source or held, rules.signs[source or held], rules.fraction)
    return tuple(channel for pair in found.values() for channel in pair)
