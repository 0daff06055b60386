"""One image file in: EXR, PNG, JPEG, TIFF, DPX and whatever else OpenImageIO reads."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Callable, Iterator, List, Optional, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio  # noqa: N813

from kairos.errors import ImageError
from kairos.frame import Frame, Part, Planes, Window

from . import exr_layout
from .header import UNASSOCIATED, Header, PartHeader
from .metadata import attribute, clean_text, fingerprint_of, read_metadata, read_rate, read_timecode

_LARGEST_GAIN = 20_000
_PLAIN_SIZE = 1 << 28
"""A file that announces more bytes of pixels than this, and that many times its own size, is damaged."""

LOSSLESS = ("none", "rle", "zips", "zip", "piz")
LOSSY = ("pxr24", "b44", "b44a", "dwaa", "dwab")
"""EXR compressions."""

_NO_FORMATS = ("null", "term")
"""OpenImageIO's formats that are not files."""

_MERGE_LIMIT = 512
"""Channels that OpenCV interleaves at once."""

oiio.attribute("threads", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def read_header(path: Path, number: int) -> Header:
    """Everything a file says but its pixels. ``colorspace`` is left empty.

    Raises:
        ImageError: missing, damaged, unsupported, not an image.
    """
    with _opened(path) as source:
        return _header(source, path, number)


def read_still(path: Path, number: int) -> Frame:
    """Reads a whole file. ``colorspace`` is left empty; thread-safe.

    Parts of a frame read say the compression to write them with: the file's own, or zip where that is lossy. Half and
    float values, 32-bit integers (as bit patterns) and codes of 8 to 16 bits (as code / (2^bits - 1)) are exact.

    Raises:
        ImageError: missing, damaged (no missing block is ever taken for black), unsupported, not an image.
    """
    with _opened(path) as source:
        header = _header(source, path, number)
        parts = tuple(_part(source, index, part, path) for index, part in enumerate(header.parts))
        shared = {item.name: getattr(header, item.name) for item in fields(Frame) if item.name != "parts"}
        return Frame(parts=parts, **shared)


def still_fingerprint(path: Path) -> str:
    """The fingerprint in a still's header; empty where there is none. Raises ImageError where it cannot be read."""
    with _opened(path) as source:
        return fingerprint_of(source.spec())


@contextmanager
def _opened(path: Path) -> Iterator[oiio.ImageInput]:
    """A file open for reading; whatever its contents trip over ends in an ImageError."""
    try:
        with closing(_open(path)) as source:
            yield source
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into memory.", "Close other programs or use a smaller plate.") from error
    except (ValueError, OverflowError) as error:
        # Windows without pixels, channel names that repeat or are no text.
        raise exr_layout.damaged(path, "its header makes no sense") from error


def _open(path: Path) -> oiio.ImageInput:
    try:
        length = path.stat().st_size
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image.", "Name the files inside it.")
        if not length:
            raise ImageError(f"{path} is empty.", "Render or copy it again.")
        if path.suffix.lower() == ".exr" or exr_layout.is_exr(path):
            exr_layout.check(path)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}.") from error
    hints = oiio.ImageSpec()
    # PNG stores colour as it is beside its alpha; multiplying here would lose codes.
    hints.attribute(UNASSOCIATED, 1)
    source = oiio.ImageInput.open(str(path), hints)
    if source is None:
        why = _said(oiio.geterror)
        if exr_layout.is_exr(path):
            raise exr_layout.damaged(path, why or "its header makes no sense")
        if "could not find a format reader" in why:
            why = "its contents are of no known image format"
        raise ImageError(f"{path} cannot be read: {why}.", "Check its ending, or render it again.")
    if source.format_name() in _NO_FORMATS:
        source.close()
        raise ImageError(f"{path} is not an image.")
    spec = source.spec()
    pixels = spec.image_bytes(True)
    if pixels > _PLAIN_SIZE and pixels > length * _LARGEST_GAIN:
        source.close()
        raise exr_layout.damaged(path, f"its header announces {pixels / 2**20:,.0f} MiB of pixels")
    return source


def _said(complaint: Callable[[], str]) -> str:
    """The first line of the library's complaint; empty where there is none."""
    try:
        text = complaint()
    except UnicodeDecodeError:
        return "its header holds text that makes no sense"
    return " ".join(text.split("\n")[0].split()).rstrip(".")


def _header(source: oiio.ImageInput, path: Path, number: int) -> Header:
    exr = source.format_name() == "openexr"
    parts: List[PartHeader] = []
    first: Optional[oiio.ImageSpec] = None
    # Further images of other formats are pages or reduced copies, not layers.
    while (exr or not parts) and source.seek_subimage(len(parts), 0):
        spec = source.spec()
        first = first or spec
        if spec.deep:
            raise ImageError(f"{path} holds deep samples: deep images are not supported.", "Flatten it first.")
        parts.append(_part_header(spec, path, exr))
    failure = _said(source.geterror)
    if first is None or (exr and len(parts) < max(1, int(attribute(first, "oiio:subimages") or 1))):
        raise exr_layout.damaged(path, failure or f"only {len(parts)} of its parts can be reached")
    rate = read_rate(first)
    aspect = float(attribute(first, "PixelAspectRatio") or 1.0)
    return Header(
        number=number,
        display=Window(first.full_x, first.full_y, first.full_width, first.full_height),
        parts=tuple(parts),
        pixel_aspect=aspect if 0 < aspect < 1e6 else 1.0,
        rate=rate,
        timecode=read_timecode(parts[0].metadata, rate),
        scene_linear=parts[0].depths[0] in ("half", "float", "uint"),
        format=source.format_name(),
    )


def _part_header(spec: oiio.ImageSpec, path: Path, exr: bool) -> PartHeader:
    kinds = [str(kind) for kind in spec.channelformats] or [str(spec.format)] * spec.nchannels
    bits = int(attribute(spec, "oiio:BitsPerSample") or 0)
    tile = (spec.tile_width, spec.tile_height) if spec.tile_width else None
    compression = str(attribute(spec, "compression") or "")
    if "openexr:dwaCompressionLevel" in spec and compression in ("dwaa", "dwab"):
        compression += f":{float(attribute(spec, 'openexr:dwaCompressionLevel')):g}"
    return PartHeader(
        channels=tuple(clean_text(name) for name in spec.channelnames),
        window=Window(spec.x, spec.y, spec.width, spec.height),
        depths=tuple(_depth(kind, bits, path, exr) for kind in kinds),
        name=str(attribute(spec, "name") or "") if exr else "",
        view=str(attribute(spec, "view") or "") if exr else "",
        metadata=read_metadata(spec, exr),
        compression=compression,
        tile=tile if exr else None,
    )


def _depth(kind: str, bits: int, path: Path, exr: bool) -> str:
    if kind == "uint16" and bits in (10, 12):
        return f"uint{bits}"
    if kind in ("uint8", "uint16", "half", "float"):
        return kind
    if kind == "uint" and exr:
        return kind
    raise ImageError(
        f"{path} holds {kind} samples, which are not supported.", "Convert it to EXR or to 16-bit integers first."
    )


def _part(source: oiio.ImageInput, index: int, header: PartHeader, path: Path) -> Part:
    count = len(header.channels)
    if "uint" not in header.depths:
        pixels = _pixels(source, index, 0, count, _READ_AS.get(header.depths[0], oiio.FLOAT), path)
        planes = planar(_values(pixels, header.depths[0]))
    else:
        planes = np.empty((count, header.window.height, header.window.width), np.float32)
        for start, end in _runs(header.depths):
            uint = header.depths[start] == "uint"
            pixels = _pixels(source, index, start, end, oiio.UINT32 if uint else oiio.FLOAT, path)
            planes[start:end] = np.moveaxis(pixels.view(np.float32), 2, 0)
    if planes.shape != (count, header.window.height, header.window.width):
        raise exr_layout.damaged(path, f"its pixels are {planes.shape}")
    shared = {item.name: getattr(header, item.name) for item in fields(PartHeader)}
    return Part(planes=planes, **{**shared, "compression": lossless(header.compression)})


_READ_AS = {"uint8": oiio.UINT8, "uint10": oiio.UINT16, "uint12": oiio.UINT16, "uint16": oiio.UINT16}


def _pixels(
    source: oiio.ImageInput, index: int, start: int, end: int, kind: oiio.BASETYPE, path: Path
) -> npt.NDArray[np.generic]:
    pixels = source.read_image(index, 0, start, end, kind)
    failure = _said(source.geterror)
    if pixels is None or failure:
        part = f" (part {index})" if index else ""
        raise exr_layout.damaged(path, (failure or "its pixels cannot be decoded") + part)
    return np.asarray(pixels)


def _runs(depths: Tuple[str, ...]) -> List[Tuple[int, int]]:
    """Stretches of channels that are all integer or all not."""
    starts = [0, *(at for at in range(1, len(depths)) if (depths[at] == "uint") != (depths[at - 1] == "uint"))]
    return list(zip(starts, [*starts[1:], len(depths)]))


def _values(pixels: npt.NDArray[np.generic], depth: str) -> Planes:
    """Codes as code / (2^bits - 1); 10 and 12 bits come widened to 16, by repeated bits or by scaling."""
    if depth not in _READ_AS:
        return pixels.astype(np.float32, copy=False)
    bits = int(depth[4:])
    codes = pixels.astype(np.float32)
    if bits in (10, 12):
        codes = np.rint(codes * np.float32((2**bits - 1) / 65535))
    return np.asarray(codes / np.float32(2**bits - 1), np.float32)


def lossless(compression: str) -> str:
    """The compression to write decoded pixels with: the file's own, or zip in place of one that would lose again."""
    return "zip" if compression.partition(":")[0] in LOSSY else compression


def planar(pixels: Planes) -> Planes:
    """(H, W, C) to (C, H, W)."""
    height, width, count = pixels.shape
    if count == 1:
        return np.ascontiguousarray(pixels).reshape(1, height, width)
    if count > _MERGE_LIMIT:
        return np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    planes = np.empty((count, height, width), np.float32)
    cv2.split(np.ascontiguousarray(pixels), list(planes))
    return planes


def interleaved(planes: Planes) -> Planes:
    """(C, H, W) to (H, W, C)."""
    if len(planes) == 1:
        return np.ascontiguousarray(planes[0])[..., None]
    if len(planes) > _MERGE_LIMIT:
        return np.ascontiguousarray(np.moveaxis(planes, 0, 2))
    return np.asarray(cv2.merge(list(planes)), np.float32)
