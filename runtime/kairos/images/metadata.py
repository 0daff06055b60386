"""Header attributes between OpenImageIO and frames: what Kairos models itself, what is carried, what is dropped."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import OpenImageIO as oiio  # noqa: N813

from kairos.errors import FrameError
from kairos.frame import Attribute

from .header import UNASSOCIATED
from .rates import exact_rate
from .timecode import text_of, words_of

FINGERPRINT = "kairos:fingerprint"
TIMECODE = "smpte:TimeCode"
RATE = "FramesPerSecond"

_MODELLED = {
    FINGERPRINT,
    RATE,
    "PixelAspectRatio",
    "compression",
    "name",
    "view",
    # Facts of one file's layout, which the writer decides anew.
    "openexr:chunkCount",
    "openexr:lineOrder",
    "openexr:levelmode",
    "openexr:roundingmode",
    "openexr:version",
    "openexr:dwaCompressionLevel",
    "textureformat",
    "planarconfig",
    "thumbnail_width",
    "thumbnail_height",
    "thumbnail_nchannels",
    "thumbnail_image",
    "tiff:Compression",
    "tiff:PhotometricInterpretation",
    "tiff:PlanarConfiguration",
    "tiff:RowsPerStrip",
    "tiff:UnassociatedAlpha",
    "dpx:TimeCode",
    "dpx:UserBits",
    "dpx:FrameRate",
    "dpx:TemporalFrameRate",
    "dpx:ImageDescriptor",
}

_SOFTWARE = re.compile(r"^Kairos \(fingerprint ([^)]*)\)$")
"""How the fingerprint is kept where a format has no field of one's own name (TIFF, DPX)."""


def as_software(fingerprint: str) -> str:
    """The ``Software`` field that carries a fingerprint."""
    return f"Kairos (fingerprint {fingerprint})"


def software_fingerprint(text: str) -> str:
    """The fingerprint that :func:`as_software` put into a text, or an empty string."""
    match = _SOFTWARE.match(text)
    return match.group(1) if match else ""


def clean_text(text: str) -> str:
    """Text of a header as characters: what is not UTF-8 (OpenImageIO escapes it) is taken for Latin-1."""
    return text if text.isascii() else _unescaped(text)


def _unescaped(text: str) -> str:
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def attribute(spec: oiio.ImageSpec, name: str) -> Any:
    """A header attribute's value; None where it is missing or cannot be made text of."""
    try:
        value = spec.getattribute(name)
        return clean_text(value) if isinstance(value, str) else value
    except UnicodeDecodeError:
        return None


def fingerprint_of(spec: oiio.ImageSpec) -> str:
    """The fingerprint a header carries, or an empty string."""
    for name in (FINGERPRINT, "Exif:ImageUniqueID"):
        value = attribute(spec, name)
        if isinstance(value, str) and (name == FINGERPRINT or value.startswith("kairos:")):
            return value.removeprefix("kairos:")
    return software_fingerprint(str(attribute(spec, "Software") or ""))


def read_metadata(spec: oiio.ImageSpec, exr: bool) -> Dict[str, Attribute]:
    """The attributes that are carried along. The time code stays too, for the flags and user bits beside its digits."""
    found: Dict[str, Attribute] = {}
    for item in spec.extra_attribs:
        try:
            name, value = clean_text(item.name), item.value
        except UnicodeDecodeError:
            continue
        if isinstance(value, str):
            value = clean_text(value)
        if name in _MODELLED and not (exr and name.startswith(("tiff:", "dpx:"))):
            continue
        if name.startswith("oiio:") and name != UNASSOCIATED:
            continue
        if (name == "Software" and _SOFTWARE.match(str(value))) or (
            name == "Exif:ImageUniqueID" and str(value).startswith("kairos:")
        ):
            continue
        if isinstance(value, np.ndarray):
            value = tuple(value.tolist())
        if isinstance(value, (str, int, float, bytes, tuple)):
            found[name] = Attribute(str(item.type), value)
    return found


def read_rate(spec: oiio.ImageSpec) -> Optional[Fraction]:
    """Frames per second of a header, or None."""
    value = attribute(spec, RATE)
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return exact_rate(Fraction(int(value[0]), int(value[1])))
    for name in (RATE, "dpx:FrameRate", "dpx:TemporalFrameRate"):
        value = attribute(spec, name)
        if isinstance(value, (int, float)) and 0 < value < 10_000:
            return exact_rate(Fraction(value).limit_denominator(1001))
    return None


def read_timecode(metadata: Mapping[str, Attribute], rate: Optional[Fraction]) -> str:
    """``HH:MM:SS:FF`` of a header, or an empty string."""
    words = _words(metadata)
    return text_of(words, rate) if words and words[0] != 0xFFFFFFFF else ""


def _words(metadata: Mapping[str, Attribute]) -> Optional[Tuple[int, int]]:
    value = metadata[TIMECODE].value if TIMECODE in metadata else None
    if isinstance(value, tuple) and len(value) == 2:
        return int(value[0]) & 0xFFFFFFFF, int(value[1]) & 0xFFFFFFFF
    return None


def write_metadata(spec: oiio.ImageSpec, metadata: Mapping[str, Attribute]) -> None:
    """Puts the carried attributes into a header to be written."""
    for name, kept in metadata.items():
        if name == TIMECODE:
            continue
        kind, value = kept
        if isinstance(value, (str, int, float)) and kind in ("string", "int", "float"):
            spec.attribute(name, value)
        else:
            spec.attribute(name, _type(kind), value)


_INTEGER_VECTORS = {"vector2i": oiio.VEC2, "vectori": oiio.VEC3, "vector4i": oiio.VEC4}
"""Types that OpenImageIO writes in words it does not read."""

_NO_DOUBLES = {
    "double": "float",
    "vector2d": "vector2",
    "vectord": "vector",
    "vector4d": "vector4",
    "matrixd": "matrix",
}
"""What doubles are kept as: OpenImageIO's Python interface reads them but cannot set them."""


def _type(kind: str) -> oiio.TypeDesc:
    word, _, count = kind.rstrip("]").partition("[")
    if word in _INTEGER_VECTORS:
        return oiio.TypeDesc(oiio.INT, _INTEGER_VECTORS[word], oiio.VECTOR, int(count or 0))
    word = _NO_DOUBLES.get(word, word)
    return oiio.TypeDesc(f"{word}[{count}]" if count else word)


def write_timecode(
    spec: oiio.ImageSpec, text: str, rate: Optional[Fraction], metadata: Mapping[str, Attribute]
) -> List[str]:
    """Puts a time code into a header, with the flags and user bits of the source's. Answers with warnings."""
    if not text:
        return []
    try:
        words = words_of(text, rate, _words(metadata) or (0, 0))
    except FrameError as error:
        return [f"{error.message} It was left out."]
    spec.attribute(TIMECODE, oiio.TypeDesc("timecode"), words)
    return []


def write_rate(spec: oiio.ImageSpec, rate: Optional[Fraction], dpx: bool) -> None:
    """Puts frames per second into a header."""
    if rate is None:
        return
    if dpx:
        spec.attribute("dpx:FrameRate", float(rate))
        spec.attribute("dpx:TemporalFrameRate", float(rate))
    else:
        spec.attribute(RATE, oiio.TypeDesc("rational"), (rate.numerator, rate.denominator))
