"""Video samples to encoded RGB and back, in float32: range, matrix and chroma position as the standards have them.

Values outside 0..1 (footroom and headroom of video levels) are kept both ways, as far as the codes reach.
Sources: ITU-R BT.601, BT.709, BT.2020 (matrix and quantisation); chroma is co-sited left, and midway between lines
in 4:2:0 (MPEG-2, H.264 default).
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Optional, Tuple

import av
import numpy as np
import numpy.typing as npt

from kairos.frame import Planes

BT709, UNSPECIFIED, BT601, BT2020 = 1, 2, 6, 9
"""Matrix codes (ITU-T H.273, MatrixCoefficients)."""

_WEIGHTS: Dict[int, Tuple[float, float]] = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}
"""Weights of red and blue in luma, by matrix code."""

LIMITED, FULL = 1, 2
"""Sample ranges: video levels (16-235 in 8 bits) and full."""

_HD_HEIGHT = 576
"""Taller video without a matrix tag is BT.709, the rest BT.601: what players assume."""

Samples = npt.NDArray[np.generic]


class Coding(NamedTuple):
    """How samples stand for colour: matrix code and range."""

    matrix: int
    range: int


def coding_of(matrix: int, sample_range: int, pixel_format: str, width: int, height: int) -> Coding:
    """The coding of a stream's tags, with what players assume where a tag is missing."""
    if matrix not in _WEIGHTS:
        matrix = BT709 if height > _HD_HEIGHT or width >= 1280 else BT601
    rgb = pixel_format.startswith(("gbr", "rgb", "bgr"))
    if sample_range not in (LIMITED, FULL):
        sample_range = FULL if rgb or pixel_format.startswith("yuvj") else LIMITED
    return Coding(matrix, sample_range)


def is_direct(pixel_format: str) -> bool:
    """True for planar little-endian formats that are read here sample by sample; others go through swscale first."""
    if not pixel_format.startswith(("yuv", "gbr", "gray")) or pixel_format.endswith("be") or "f" in pixel_format:
        return False
    layout = av.VideoFormat(pixel_format)
    planes = [component.plane for component in layout.components]
    chroma = _subsampling(pixel_format)
    return len(set(planes)) == len(planes) and chroma[0] in (1, 2) and chroma[1] in (1, 2)


def bits_of(pixel_format: str) -> int:
    """Bits per sample, rounded up to one of 8, 10, 12 and 16."""
    bits = max(component.bits for component in av.VideoFormat(pixel_format).components)
    return next(known for known in (8, 10, 12, 16) if bits <= known)


def has_alpha(pixel_format: str) -> bool:
    """True where a format carries alpha."""
    return any(component.is_alpha for component in av.VideoFormat(pixel_format).components)


def _subsampling(pixel_format: str) -> Tuple[int, int]:
    layout = av.VideoFormat(pixel_format, 64, 64)
    chroma = [component for component in layout.components if component.is_chroma]
    return (64 // chroma[0].width, 64 // chroma[0].height) if chroma else (1, 1)


def decode(frame: av.VideoFrame, coding: Coding) -> Planes:
    """(3, H, W) encoded RGB, or (4, H, W) with alpha, of a decoded frame."""
    name = frame.format.name
    if not is_direct(name):
        # The matrix goes in as swscale's own code, which is H.273's for those it knows.
        target = "gbrap16le" if has_alpha(name) else "gbrp16le"
        frame = frame.reformat(
            format=target, src_colorspace=coding.matrix, src_color_range=coding.range, dst_color_range=FULL
        )
        name, coding = target, Coding(coding.matrix, FULL)
    samples = [_samples(frame, component.plane, component.bits) for component in frame.format.components]
    bits = frame.format.components[0].bits
    alpha = [samples.pop().astype(np.float32) / np.float32(2**bits - 1)] if has_alpha(name) else []
    if name.startswith("gbr"):
        return np.stack([_unscaled(plane, bits, coding.range) for plane in samples] + alpha)
    luma = _unscaled(samples[0], bits, coding.range)
    if len(samples) == 1:
        return np.stack([luma, luma, luma, *alpha])
    step = _subsampling(name)
    blue, red = (_widened(_unscaled_chroma(plane, bits, coding.range), step, luma.shape) for plane in samples[1:3])
    red_weight, blue_weight = (np.float32(weight) for weight in _WEIGHTS[coding.matrix])
    green_weight = np.float32(1) - red_weight - blue_weight
    planes = np.empty((3 + len(alpha), *luma.shape), np.float32)
    np.multiply(red, 2 * (1 - red_weight), out=planes[0])
    planes[0] += luma
    np.multiply(blue, 2 * (1 - blue_weight), out=planes[2])
    planes[2] += luma
    planes[1] = (luma - red_weight * planes[0] - blue_weight * planes[2]) / green_weight
    if alpha:
        planes[3] = alpha[0]
    return planes


def _samples(frame: av.VideoFrame, index: int, bits: int) -> Samples:
    plane = frame.planes[index]
    kind = np.dtype("<u2" if bits > 8 else "u1")
    rows = np.frombuffer(memoryview(plane), kind).reshape(-1, plane.line_size // kind.itemsize)
    return np.asarray(rows[: plane.height, : plane.width])


def _unscaled(plane: Samples, bits: int, sample_range: int) -> Planes:
    values = plane.astype(np.float32)
    if sample_range == FULL:
        values /= np.float32(2**bits - 1)
        return values
    unit = 2 ** (bits - 8)
    values -= np.float32(16 * unit)
    values /= np.float32(219 * unit)
    return values


def _unscaled_chroma(plane: Samples, bits: int, sample_range: int) -> Planes:
    values = plane.astype(np.float32)
    values -= np.float32(2 ** (bits - 1))
    values /= np.float32(2**bits - 1 if sample_range == FULL else 224 * 2 ** (bits - 8))
    return values


def _widened(chroma: Planes, step: Tuple[int, int], shape: Tuple[int, ...]) -> Planes:
    """Chroma at every pixel, linearly between its samples."""
    height, width = shape
    if step[1] == 2:
        above = np.concatenate([chroma[:1], chroma[:-1]])
        below = np.concatenate([chroma[1:], chroma[-1:]])
        tall = np.empty((2 * len(chroma), chroma.shape[1]), np.float32)
        tall[0::2] = np.float32(0.75) * chroma + np.float32(0.25) * above
        tall[1::2] = np.float32(0.75) * chroma + np.float32(0.25) * below
        chroma = tall[:height]
    if step[0] == 2:
        wide = np.empty((len(chroma), 2 * chroma.shape[1]), np.float32)
        wide[:, 0::2] = chroma
        wide[:, 1:-1:2] = np.float32(0.5) * (chroma[:, :-1] + chroma[:, 1:])
        wide[:, -1] = chroma[:, -1]
        chroma = wide[:, :width]
    return chroma


def encode(planes: Planes, pixel_format: str, coding: Coding) -> av.VideoFrame:
    """A frame for an encoder from (1, H, W) grey, (3, H, W) RGB or (4, H, W) RGBA, encoded values.

    Values that are not numbers become black.
    """
    planes = np.nan_to_num(planes, nan=0.0, posinf=1.0, neginf=0.0)
    colour = planes[:3] if len(planes) >= 3 else np.repeat(planes[:1], 3, axis=0)
    alpha: Optional[Planes] = planes[-1] if len(planes) in (2, 4) else None
    bits = av.VideoFormat(pixel_format).components[0].bits
    red_weight, blue_weight = (np.float32(weight) for weight in _WEIGHTS[coding.matrix])
    luma = red_weight * colour[0] + (1 - red_weight - blue_weight) * colour[1] + blue_weight * colour[2]
    step = _subsampling(pixel_format)
    blue = _narrowed((colour[2] - luma) / (2 * (1 - blue_weight)), step)
    red = _narrowed((colour[0] - luma) / (2 * (1 - red_weight)), step)
    coded = [
        _scaled(luma, bits, coding.range),
        _scaled_chroma(blue, bits, coding.range),
        _scaled_chroma(red, bits, coding.range),
    ]
    if has_alpha(pixel_format):
        held = np.ones_like(luma) if alpha is None else alpha
        coded.append(_coded(held * np.float32(2**bits - 1), 0, 2**bits - 1))
    height, width = luma.shape
    frame = av.VideoFrame(width, height, pixel_format)
    for index, values in enumerate(coded):
        _fill(frame, index, values, bits)
    frame.colorspace, frame.color_range = coding.matrix, coding.range
    return frame


def _fill(frame: av.VideoFrame, index: int, values: Planes, bits: int) -> None:
    plane = frame.planes[index]
    kind = np.dtype("<u2" if bits > 8 else "u1")
    rows = np.zeros((plane.height, plane.line_size // kind.itemsize), kind)
    rows[:, : plane.width] = values.astype(kind)
    plane.update(rows.tobytes())


def _scaled(values: Planes, bits: int, sample_range: int) -> Planes:
    unit = np.float32(2 ** (bits - 8))
    if sample_range == FULL:
        return _coded(values * np.float32(2**bits - 1), 0, 2**bits - 1)
    # The lowest and highest codes are kept for synchronisation.
    return _coded(values * (219 * unit) + 16 * unit, 2 ** (bits - 8), 2**bits - 1 - 2 ** (bits - 8))


def _scaled_chroma(values: Planes, bits: int, sample_range: int) -> Planes:
    unit, middle = np.float32(2 ** (bits - 8)), np.float32(2 ** (bits - 1))
    if sample_range == FULL:
        return _coded(values * np.float32(2**bits - 1) + middle, 0, 2**bits - 1)
    return _coded(values * (224 * unit) + middle, 2 ** (bits - 8), 2**bits - 1 - 2 ** (bits - 8))


def _coded(values: Planes, low: int, high: int) -> Planes:
    """The nearest codes inside the range that may be used."""
    rounded = np.rint(values)
    np.clip(rounded, np.float32(low), np.float32(high), out=rounded)
    return rounded


def _narrowed(chroma: Planes, step: Tuple[int, int]) -> Planes:
    """Chroma at its sample positions: 1-2-1 across, the mean of two lines down."""
    half, quarter = np.float32(0.5), np.float32(0.25)
    if step[0] == 2:
        wide = np.concatenate([chroma[:, :1], chroma, chroma[:, -1:]], axis=1)
        chroma = np.asarray(quarter * wide[:, 0:-2:2] + half * wide[:, 1:-1:2] + quarter * wide[:, 2::2], np.float32)
    if step[1] == 2:
        tall = chroma if len(chroma) % 2 == 0 else np.concatenate([chroma, chroma[-1:]])
        chroma = np.asarray(half * (tall[0::2] + tall[1::2]), np.float32)
    return chroma
