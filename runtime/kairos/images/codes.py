"""One frame out as integer codes: PNG, JPEG, TIFF and DPX, which hold the beauty and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import List

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio  # noqa: N813

from kairos.errors import BadRequest
from kairos.frame import Frame, Part, Planes

from .atomic import write_error, written_whole
from .header import UNASSOCIATED, straight_alpha
from .metadata import FINGERPRINT, as_software, write_metadata, write_rate, write_timecode
from .picture import picture
from .stills import interleaved

_DEPTHS = {
    "png": ("uint8", "uint16"),
    "jpeg": ("uint8",),
    "tiff": ("uint8", "uint10", "uint12", "uint16", "half", "float"),
    "dpx": ("uint8", "uint10", "uint12", "uint16"),
}
_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff", ".dpx": "dpx"}
_DEFAULTS = {"png": "uint16", "jpeg": "uint8", "tiff": "uint16", "dpx": "uint10"}
"""What float pixels become where the source had no integer depth."""

_TIFF_COMPRESSIONS = ("none", "lzw", "zip", "packbits")

_DPX_SOFTWARE = 99
"""Bytes of DPX's creator field."""


def write_codes(path: Path, frame: Frame, compression: str, bit_depth: str, fingerprint: str) -> List[str]:
    """Writes the first view's beauty; see :func:`kairos.images.write_image`. Values are rounded to the nearest code and
    clipped to the code range; a data window other than the display window is cropped or filled with black.

    Raises:
        BadRequest: the format has no such bit depth.
        ImageError: the file cannot be written.
    """
    kind = _FORMATS[path.suffix.lower()]
    warnings: List[str] = []
    planes, part, channels = picture(frame, kind.upper(), kind != "jpeg", kind == "png", warnings)
    depth = _depth(part.depths[channels[0]], kind, bit_depth)
    spec = oiio.ImageSpec(frame.display.width, frame.display.height, len(planes), _TYPES[depth])
    alpha = len(planes) in (2, 4)
    spec.channelnames = (("Y", "A") if len(planes) < 3 else ("R", "G", "B", "A"))[: len(planes)]
    _describe(spec, frame, part, kind, depth, compression)
    if alpha:
        # Otherwise the library would divide or multiply colour by alpha once more.
        spec.attribute(UNASSOCIATED, int(kind != "tiff" or straight_alpha(part.metadata)))
        spec.alpha_channel = len(planes) - 1
    warnings += write_timecode(spec, frame.timecode, frame.rate, part.metadata)
    write_rate(spec, frame.rate, dpx=kind == "dpx")
    if fingerprint:
        _sign(spec, kind, fingerprint)
    pixels = _coded(interleaved(planes), depth, warnings)
    with written_whole(path) as temporary:
        if kind == "jpeg":
            _encode_apart(temporary, path, kind, spec, pixels)
        else:
            _encode(str(temporary), path, kind, spec, pixels)
        # Not every codec reports that the disk ran full; the end of the file tells.
        if not is_whole(temporary):
            raise write_error(path, "the file is incomplete")
    return list(dict.fromkeys(warnings))


def _encode(target: str, path: Path, kind: str, spec: oiio.ImageSpec, pixels: npt.NDArray[np.generic]) -> None:
    output = oiio.ImageOutput.create(kind)
    if output is None:
        raise write_error(path, oiio.geterror())
    if not output.open(target, spec) or not output.write_image(pixels):
        failure = output.geterror()
        output.close()
        raise write_error(path, failure)
    if not output.close():
        raise write_error(path, output.geterror())


def _encode_apart(
    temporary: Path, path: Path, kind: str, spec: oiio.ImageSpec, pixels: npt.NDArray[np.generic]
) -> None:
    """Encodes where nothing can run full, then copies: the JPEG library ends the whole process when a write fails."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("kairos")
        try:
            _encode(f"/proc/self/fd/{handle}", path, kind, spec, pixels)
            temporary.write_bytes(Path(f"/proc/self/fd/{handle}").read_bytes())
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory(prefix="kairos-") as folder:
        if shutil.disk_usage(folder).free < 2 * pixels.nbytes + (1 << 20):
            raise write_error(Path(folder) / path.name, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        scratch = Path(folder) / f"frame{path.suffix}"
        _encode(str(scratch), path, kind, spec, pixels)
        temporary.write_bytes(scratch.read_bytes())


_TYPES = {
    "uint8": oiio.UINT8,
    "uint10": oiio.UINT16,
    "uint12": oiio.UINT16,
    "uint16": oiio.UINT16,
    "half": oiio.HALF,
    "float": oiio.FLOAT,
}


def _depth(depth: str, kind: str, bit_depth: str) -> str:
    known = _DEPTHS[kind]
    if bit_depth != "same":
        if bit_depth not in known:
            raise BadRequest(f"{kind.upper()} cannot hold {bit_depth} samples.", "Use --bit-depth same, or write EXR.")
        return bit_depth
    if depth in known:
        return depth
    # The next wider one, so that no code is lost.
    wider = {"uint10": ("uint12", "uint16"), "uint12": ("uint16",)}.get(depth, ())
    return next((other for other in wider if other in known), _DEFAULTS[kind])


def _describe(spec: oiio.ImageSpec, frame: Frame, part: Part, kind: str, depth: str, compression: str) -> None:
    """Puts in what the format carries of the source's metadata."""
    foreign = ("openexr:", "cryptomatte/", *(f"{other}:" for other in _DEPTHS if other != kind))
    kept = {name: value for name, value in part.metadata.items() if not name.startswith(foreign)}
    write_metadata(spec, kept)
    spec.attribute("PixelAspectRatio", frame.pixel_aspect)
    if depth in ("uint10", "uint12"):
        spec.attribute("oiio:BitsPerSample", int(depth[4:]))
    if kind == "jpeg":
        spec.attribute("compression", "jpeg:97" if compression == "auto" else compression)
    elif kind == "png":
        # A third of the time of the library's own level for a fiftieth more bytes.
        spec.attribute("png:compressionLevel", 3)
    elif kind == "tiff":
        own = part.compression if part.compression in _TIFF_COMPRESSIONS else "zip"
        spec.attribute("compression", own if compression == "auto" else compression)
    elif kind == "dpx" and depth == "uint10" and spec.nchannels == 4 and spec.width % 3:
        # OpenImageIO loses the last alpha of a line in the filled packing when three do not divide the line.
        spec.attribute("dpx:Packing", "Packed")


def _sign(spec: oiio.ImageSpec, kind: str, fingerprint: str) -> None:
    if kind == "png":
        spec.attribute(FINGERPRINT, fingerprint)
    elif kind == "jpeg":
        spec.attribute("Exif:ImageUniqueID", f"kairos:{fingerprint}")
    else:
        text = as_software(fingerprint)
        if kind == "dpx" and len(text.encode()) > _DPX_SOFTWARE:
            raise ValueError(f"a fingerprint of {len(fingerprint)} characters does not fit into DPX")
        spec.attribute("Software", text)


def _coded(pixels: Planes, depth: str, warnings: List[str]) -> npt.NDArray[np.generic]:
    """(H, W, C) as stored: codes rounded to the nearest and clipped; 10 and 12 bits widened to 16 by repeating bits."""
    if depth in ("half", "float"):
        return pixels
    bits = int(depth[4:])
    broken = int(np.count_nonzero(~np.isfinite(pixels)))
    if broken:
        warnings.append(f"{broken} values that are not numbers were stored as 0 (white where infinite).")
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0)
    codes = np.rint(np.clip(pixels, 0.0, 1.0) * np.float32(2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    if bits in (10, 12):
        codes = (codes << (16 - bits) | codes >> (2 * bits - 16)).astype(np.uint16)
    return np.asarray(codes)


def is_whole(path: Path) -> bool:
    """True where the file's last pixels are there; nothing else is decoded. Raises OSError."""
    kind, size = _FORMATS.get(path.suffix.lower(), ""), path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 16))
        tail = file.read()
    if kind in ("png", "jpeg"):
        return b"IEND" in tail if kind == "png" else tail.endswith(b"\xff\xd9")
    source = oiio.ImageInput.open(str(path))
    if source is None:
        return False
    spec = source.spec()
    last = spec.y + spec.height - 1
    pixels = source.read_scanlines(0, 0, last, last + 1, 0, 0, spec.nchannels, spec.format)
    whole = pixels is not None and not source.geterror()
    source.close()
    return whole
