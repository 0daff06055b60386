"""Frames between the file's encoding and scene-linear, and which colour space a file is in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Callable, Mapping, Protocol, Union

import numpy as np

from kairos.color import ColorConfig
from kairos.frame import Attribute, Frame, Part, Planes

from .header import UNASSOCIATED, Header, straight_alpha
from .layers import is_alpha, layers_of

_LINEAR_SUFFIXES = (".exr", ".sxr", ".mxr", ".hdr", ".pfm")


class ColoredShot(Protocol):
    """What :func:`output_colorspace` asks of a shot."""

    @property
    def scene_linear(self) -> bool:
        """True for scene-linear pixels."""

    @property
    def colorspace(self) -> str:
        """OCIO colour space of the pixels."""


def input_colorspace(path: Path, header: Header, config: ColorConfig, given: str = "") -> str:
    """The colour space of a file's pixels: the one given, else the configuration's file rule.

    Where only the default rule knows the file, float samples are taken for the scene_linear role, and integer codes
    never for a linear space, whatever that rule says.

    Raises:
        BadRequest: the configuration does not know the given one.
    """
    if given:
        return config.check(given)
    space = config.space_of_file(str(path))
    if not config.only_default_rule(str(path)):
        return space
    if header.parts[0].depths[0] in ("half", "float", "uint"):
        return config.scene_linear
    return config.encoded if config.is_scene_linear(space) else space


def output_colorspace(path: Union[Path, str], shot: ColoredShot, config: ColorConfig) -> str:
    """The colour space an output file should hold.

    EXR and float files from a scene-linear shot keep its own, and codes from a display-referred shot return to theirs;
    codes from a scene-linear shot get the file rule's, and an EXR from a display-referred shot is scene_linear.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _LINEAR_SUFFIXES or not suffix:
        return shot.colorspace if shot.scene_linear or not suffix else config.scene_linear
    if not shot.scene_linear or suffix in (".tif", ".tiff"):
        return shot.colorspace
    space = config.space_of_file(str(path))
    return config.encoded if config.is_scene_linear(space) else space


def to_scene_linear(frame: Frame, config: ColorConfig) -> Frame:
    """The frame in the scene_linear role's space, colour premultiplied by alpha.

    Scene-linear frames come back as they are; alpha, mattes and data layers are untouched.
    """
    if frame.scene_linear:
        return frame
    source, target = frame.colorspace or config.encoded, config.scene_linear
    parts = tuple(_converted(index, part, frame, config, source, target) for index, part in enumerate(frame.parts))
    parts = tuple(premultiplied(part) for part in parts)
    return replace(frame, parts=parts, scene_linear=True, colorspace=target)


def from_scene_linear(frame: Frame, colorspace: str, config: ColorConfig) -> Frame:
    """The frame encoded in a display-referred (or any other) colour space, colour not premultiplied.

    Raises:
        BadRequest: no such colour space.
    """
    source, target = frame.colorspace or config.scene_linear, config.check(colorspace)
    parts = tuple(straightened(part) for part in frame.parts)
    frame = replace(frame, parts=parts)
    parts = tuple(_converted(index, part, frame, config, source, target) for index, part in enumerate(parts))
    return replace(frame, parts=parts, scene_linear=config.is_scene_linear(target), colorspace=target)


def _converted(index: int, part: Part, frame: Frame, config: ColorConfig, source: str, target: str) -> Part:
    """The part with its colour layers brought to another space; premultiplied ones by way of their plain colour."""
    straight = straight_alpha(part.metadata)

    def convert(colour: Planes) -> Planes:
        if len(colour) == 3:
            return config.convert(colour, source, target)
        # A single grey channel stays one: neutral in, neutral out.
        return config.convert(np.repeat(colour[:1], 3, axis=0), source, target)[1:2]

    planes = part.planes
    for layer in layers_of(frame):
        if layer.part != index or layer.kind != "colour":
            continue
        colour = [channel for channel in layer.channels if not is_alpha(part.channels[channel])][:3]
        alpha = [channel for channel in layer.channels if is_alpha(part.channels[channel])]
        if len(colour) == 2:
            continue
        before = part.planes[colour]
        after = _through_plain(before, part.planes[alpha[0]], convert) if alpha and not straight else convert(before)
        if after is not before:
            planes = planes.copy() if planes is part.planes else planes
            planes[colour] = after
    return part if planes is part.planes else replace(part, planes=planes)


def _through_plain(colour: Planes, alpha: Planes, convert: Callable[[Planes], Planes]) -> Planes:
    return _multiplied(convert(_divided(colour, alpha)), alpha)


def _divided(colour: Planes, alpha: Planes) -> Planes:
    """Colour over alpha; where there is no alpha, colour stays (it glows)."""
    held = (alpha != 0) & (alpha != 1)
    return np.divide(colour, alpha, out=colour.copy(), where=np.broadcast_to(held, colour.shape))


def _multiplied(colour: Planes, alpha: Planes) -> Planes:
    return np.asarray(np.where(alpha == 1, colour, colour * alpha), np.float32)


def premultiplied(part: Part) -> Part:
    """The part with its colour multiplied by its alpha; unchanged where it was."""
    return _associated(part, _multiplied, 0) if straight_alpha(part.metadata) else part


def straightened(part: Part) -> Part:
    """The part with its colour divided by its alpha; unchanged where it was, or where it has no alpha."""
    alphas = [channel for channel in part.channels if is_alpha(channel)]
    return part if straight_alpha(part.metadata) or not alphas else _associated(part, _divided, 1)


def _associated(part: Part, change: Callable[[Planes, Planes], Planes], mark: int) -> Part:
    planes = part.planes.copy()
    for index, channel in enumerate(part.channels):
        if is_alpha(channel):
            prefix = channel.rpartition(".")[0]
            colour = [
                other
                for other, name in enumerate(part.channels)
                if name.rpartition(".")[0] == prefix and name.rpartition(".")[2].lower() in _COLOUR
            ]
            if colour:
                planes[colour] = change(planes[colour], planes[index])
    metadata: Mapping[str, Attribute] = {
        **{name: value for name, value in part.metadata.items() if name != UNASSOCIATED},
        **({UNASSOCIATED: Attribute("int", 1)} if mark else {}),
    }
    return replace(part, planes=planes, metadata=metadata)


_COLOUR = ("r", "g", "b", "red", "green", "blue", "y")
