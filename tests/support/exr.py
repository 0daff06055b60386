"""EXR files through OpenImageIO alone, so that tests do not check Kairos' reader and writer against themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio  # noqa: N813 - the name everybody uses

Planes = npt.NDArray[np.float32]
Value = Union[str, int, float]

TYPES = {"half": oiio.HALF, "float": oiio.FLOAT}


def write_exr(
    path: Path,
    planes: Mapping[str, Planes],
    depth: Union[str, Mapping[str, str]] = "half",
    origin: Tuple[int, int] = (0, 0),
    display: Optional[Tuple[int, int, int, int]] = None,
    attributes: Optional[Mapping[str, Value]] = None,
    rate: Optional[Fraction] = None,
    timecode: Optional[Tuple[int, int]] = None,
    compression: str = "zip",
) -> Path:
    """One single-part file.

    Args:
        path: of the file; its folder is made.
        planes: (H, W) by channel name.
        depth: ``half`` or ``float``, for all channels or by channel name (others are half).
        origin: of the data window.
        display: x, y, width and height; the data window where None.
        attributes: header attributes.
        rate: frames per second.
        timecode: SMPTE 12M time and user words.
        compression: as OpenImageIO spells it.
    """
    names = list(planes)
    stacked = np.stack([planes[name] for name in names], axis=-1).astype(np.float32)
    height, width = stacked.shape[:2]
    by_name = depth if isinstance(depth, Mapping) else dict.fromkeys(names, depth)
    formats = [TYPES[by_name.get(name, "half")] for name in names]
    spec = oiio.ImageSpec(width, height, len(names), formats[0])
    spec.channelnames = tuple(names)
    if len(set(formats)) > 1:
        spec.channelformats = tuple(oiio.TypeDesc(each) for each in formats)
    spec.x, spec.y = origin
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = display or (*origin, width, height)
    spec.attribute("compression", compression)
    for key, value in (attributes or {}).items():
        spec.attribute(key, value)
    if rate is not None:
        pair = (rate.numerator, rate.denominator)
        spec.attribute("FramesPerSecond", oiio.TypeRational, pair)
    if timecode is not None:
        spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, timecode)
    path.parent.mkdir(parents=True, exist_ok=True)
    output = oiio.ImageOutput.create(str(path))
    assert output is not None, oiio.geterror()
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(stacked), output.geterror()
    assert output.close(), output.geterror()
    return path


def read_exr(path: Path, part: int = 0) -> Dict[str, Planes]:
    """(H, W) float32 planes of one part by channel name, over its data window."""
    source = oiio.ImageInput.open(str(path))
    assert source is not None, oiio.geterror()
    try:
        assert source.seek_subimage(part, 0), f"{path} has no part {part}"
        names = source.spec().channelnames
        pixels = source.read_image(part, 0, 0, len(names), oiio.FLOAT)
        assert pixels is not None, source.geterror()
        return {name: np.ascontiguousarray(pixels[..., index]) for index, name in enumerate(names)}
    finally:
        source.close()


def read_spec(path: Path, part: int = 0) -> oiio.ImageSpec:
    """The header of one part."""
    source = oiio.ImageInput.open(str(path))
    assert source is not None, oiio.geterror()
    try:
        assert source.seek_subimage(part, 0), f"{path} has no part {part}"
        return source.spec()
    finally:
        source.close()


def rgb_of(planes: Mapping[str, Planes], names: Sequence[str] = ("R", "G", "B")) -> Planes:
    """(3, H, W) of the channels named."""
    return np.stack([planes[name] for name in names])
