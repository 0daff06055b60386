"""One frame out: EXR with every part, or PNG, JPEG, TIFF and DPX with the beauty."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import List, Optional, Sequence, Set, Tuple

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from kairos.color import ColorConfig
from kairos.errors import BadRequest, ImageError
from kairos.frame import Frame, Part, Planes, Window

from . import exr_layout
from .atomic import write_error, written_whole
from .codes import write_codes
from .conversion import premultiplied
from .header import UNASSOCIATED
from .metadata import FINGERPRINT, write_metadata, write_rate, write_timecode
from .stills import LOSSLESS, LOSSY, interleaved

EXR_SUFFIXES = (".exr", ".sxr", ".mxr")
CODE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dpx")
STILL_SUFFIXES = EXR_SUFFIXES + CODE_SUFFIXES
"""Endings of stills that can be written."""

HALF_MAX = 65504.0

_DROPPED = ("ICCProfile", UNASSOCIATED)
"""Attributes of integer formats that mean nothing, or the wrong thing, in an EXR."""


def write_image(
    path: Path,
    frame: Frame,
    *,
    compression: str = "auto",
    bit_depth: str = "same",
    fingerprint: str = "",
    config: Optional[ColorConfig] = None,
) -> List[str]:
    """Writes a frame, atomically: the file appears whole or not at all. Pixels are stored as they are, without a colour
    conversion; bring the frame into the file's colour space first.

    Args:
        path: the file; its ending chooses the format.
        frame: what to write.
        compression: ``auto`` takes each part's own (which reading has made lossless), zip where it says none that EXR
            has; or one for all parts (``zips``, ``dwaa:45`` ...).
        bit_depth: ``same`` (each channel's own), ``half`` or ``float`` for EXR; 32-bit integer channels stay integers.
        fingerprint: kept in the file's metadata, read by :func:`kairos.images.read_fingerprint`.
        config: names the colour space in formats that have a field for it.

    Returns:
        Warnings, one sentence each: what was left out or clipped.

    Raises:
        BadRequest: the format, compression or bit depth cannot be written.
        ImageError: the disk is full, the folder cannot be written.
    """
    suffix = path.suffix.lower()
    if bit_depth not in ("same", "half", "float"):
        raise BadRequest(f"Bit depth {bit_depth!r} is unknown.", "Use same, half or float.")
    if suffix in EXR_SUFFIXES:
        return _write_exr(path, frame, compression, bit_depth, fingerprint)
    if suffix in CODE_SUFFIXES:
        return write_codes(path, frame, compression, bit_depth, fingerprint)
    raise BadRequest(
        f"{path}: files ending in {suffix or 'nothing'} cannot be written.", f"Use {', '.join(STILL_SUFFIXES)}."
    )


def _write_exr(path: Path, frame: Frame, compression: str, bit_depth: str, fingerprint: str) -> List[str]:
    warnings: List[str] = []
    parts = [
        _storable(part, frame, compression, bit_depth, warnings) for part in map(premultiplied, _named(frame.parts))
    ]
    specs = [_spec(part, frame, fingerprint if index == 0 else "", warnings) for index, part in enumerate(parts)]
    integers = {
        (index, channel)
        for index, part in enumerate(parts)
        if 0 < part.depths.count("uint") < len(part.depths)
        for channel, depth in zip(part.channels, part.depths)
        if depth == "uint"
    }
    with written_whole(path) as temporary:
        _write_parts(temporary, path, specs, parts)
        if integers:
            exr_layout.retype_as_uint(temporary, integers)
    return list(dict.fromkeys(warnings))


def _write_parts(temporary: Path, path: Path, specs: List[oiio.ImageSpec], parts: List[Part]) -> None:
    output = oiio.ImageOutput.create(str(temporary))
    if output is None:
        raise ImageError(f"{path} cannot be written: {oiio.geterror()}.")
    opened = output.open(str(temporary), specs if len(specs) > 1 else specs[0])
    for index, part in enumerate(parts):
        if index and opened:
            opened = output.open(str(temporary), specs[index], "AppendSubimage")
        if not opened or not output.write_image(_stored(part)):
            failure = output.geterror()
            output.close()
            raise write_error(path, failure)
    if not output.close():
        raise write_error(path, output.geterror())


def _stored(part: Part) -> Planes:
    """(H, W, C) as handed to OpenImageIO: integers by their own type where the whole part is made of them."""
    pixels = interleaved(part.planes)
    return pixels.view(np.uint32) if set(part.depths) == {"uint"} else pixels


def _named(parts: Sequence[Part]) -> List[Part]:
    """Parts with the names that a multi-part file needs: each its own."""
    if len(parts) == 1:
        return list(parts)
    named: List[Part] = []
    taken = {part.name for part in parts if part.name}
    seen: Set[str] = set()
    for index, part in enumerate(parts):
        name = part.name
        if not name or name in seen:
            stem = name or (f"part{index}" if not part.view else part.view)
            name = next(n for n in (stem, *(f"{stem}_{i}" for i in range(2, len(parts) + 3))) if n not in taken | seen)
        seen.add(name)
        named.append(replace(part, name=name))
    return named


def _storable(part: Part, frame: Frame, compression: str, bit_depth: str, warnings: List[str]) -> Part:
    """The part with the sample types, compression and window that go into the file."""
    asked = compression
    if compression == "auto":
        kept = part.compression.partition(":")[0]
        asked = part.compression if kept in LOSSLESS + LOSSY else "zip"
    name, _, level = asked.partition(":")
    if name not in LOSSLESS + LOSSY:
        raise BadRequest(f"Compression {asked!r} is unknown.", f"Use auto, {', '.join(LOSSLESS + LOSSY)}, or dwaa:45.")
    if level and not _is_number(level):
        raise BadRequest(f"Compression {asked!r} has no number after the colon.", "Write it as dwaa:45.")
    depths = tuple(_depth(depth, bit_depth) for depth in part.depths)
    if name in LOSSY and "uint" in depths and len(set(depths)) > 1:
        warnings.append(f"Part {part.name or 0} holds integer channels and was compressed as zip, not {name}.")
        asked = "zip"
    planes, window = part.planes, part.window
    if window.empty:
        # The format has no empty data window; one black pixel is the nearest to nothing.
        window = Window(frame.display.x, frame.display.y, 1, 1)
        planes = np.zeros((len(part.channels), 1, 1), np.float32)
    planes = _within_half(planes, depths, warnings)
    return replace(part, planes=planes, window=window, depths=depths, compression=asked)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _depth(depth: str, bit_depth: str) -> str:
    if depth == "uint":
        return depth
    if bit_depth != "same":
        return bit_depth
    # 8- and 10-bit codes in scene-linear fit half's 11 bits; wider ones need float.
    return {"uint8": "half", "uint10": "half", "uint12": "float", "uint16": "float"}.get(depth, depth)


def _within_half(planes: Planes, depths: Tuple[str, ...], warnings: List[str]) -> Planes:
    """Planes whose finite values fit half where it is asked for; half would turn larger ones into infinity."""
    clipped = planes
    for index, depth in enumerate(depths):
        if depth != "half" or not planes[index].size:
            continue
        low, high = np.fmin.reduce(planes[index], axis=None), np.fmax.reduce(planes[index], axis=None)
        if (low >= -HALF_MAX and high <= HALF_MAX) or np.isnan(low):
            continue
        over = np.isfinite(planes[index]) & (np.abs(planes[index]) > HALF_MAX)
        if over.any():
            clipped = planes.copy() if clipped is planes else clipped
            clipped[index][over] = np.copysign(np.float32(HALF_MAX), planes[index][over])
            warnings.append(f"Values over {HALF_MAX:g} do not fit half and were clipped; --bit-depth float keeps them.")
    return clipped


def _spec(part: Part, frame: Frame, fingerprint: str, warnings: List[str]) -> oiio.ImageSpec:
    window, display = part.window, frame.display
    kinds = set(part.depths)
    # Mixed with integers, every channel travels as float; exr_layout then declares the integers (see retype_as_uint).
    types = ["float" if depth == "uint" and len(kinds) > 1 else depth for depth in part.depths]
    spec = oiio.ImageSpec(window.width, window.height, len(part.channels), oiio.TypeDesc(_widest(types)))
    spec.channelnames = part.channels
    if len(set(types)) > 1:
        spec.channelformats = tuple(oiio.TypeDesc(kind) for kind in types)
    spec.x, spec.y = window.x, window.y
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display
    if part.tile:
        spec.tile_width, spec.tile_height = part.tile
    write_metadata(spec, {name: value for name, value in part.metadata.items() if name not in _DROPPED})
    spec.attribute("compression", part.compression)
    spec.attribute("PixelAspectRatio", frame.pixel_aspect)
    if part.name:
        spec.attribute("name", part.name)
        spec.attribute("oiio:subimagename", part.name)
    if part.view:
        spec.attribute("view", part.view)
    write_rate(spec, frame.rate, dpx=False)
    warnings += write_timecode(spec, frame.timecode, frame.rate, part.metadata)
    if fingerprint:
        spec.attribute(FINGERPRINT, fingerprint)
    return spec


def _widest(types: Sequence[str]) -> str:
    return next((kind for kind in ("float", "uint", "half") if kind in types), "half")
