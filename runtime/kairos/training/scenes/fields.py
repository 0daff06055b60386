"""Plain fields that textures and shapes are made of: fractal noise, colours, strokes of letters."""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Segment = Tuple[float, float, float, float]

STROKES: Dict[str, str] = {
    "A": "06 20 46,14 34", "B": "00 06 36 45 44 33 03,33 42 41 30 00", "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 44 42 20 00", "E": "40 00 06 46,03 33", "F": "40 00 06,03 33", "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06,40 46,03 43", "I": "10 30,20 26,16 36", "J": "40 45 36 16 05", "K": "00 06,40 03 46", "L": "00 06 46",
    "M": "06 00 23 40 46", "N": "06 00 46 40", "O": "10 30 41 45 36 16 05 01 10", "P": "06 00 30 41 42 33 03",
    "R": "06 00 30 41 42 33 03,23 46", "S": "41 30 10 01 02 13 33 44 45 36 16 05", "T": "00 40,20 26",
    "U": "00 05 16 36 45 40", "V": "00 26 40", "W": "00 16 23 36 40", "X": "00 46,40 06", "Y": "00 23 40,23 26",
    "Z": "00 40 06 46", "1": "11 20 26,16 36", "2": "01 10 30 41 42 06 46", "3": "00 40 23 33 44 45 36 16 05",
    "4": "36 30 04 44", "5": "40 00 03 33 44 45 36 06", "7": "00 40 16",
    "8": "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
}  # fmt: skip
"""Letters as polylines on a grid 4 wide and 6 high: two digits are a point (x, y), a comma lifts the pen."""


def letter_segments(letter: str) -> List[Segment]:
    """The strokes of one letter as (x0, y0, x1, y1) on a grid 4 wide and 6 high."""
    found: List[Segment] = []
    for stroke in STROKES[letter].split(","):
        points = [(float(point[0]), float(point[1])) for point in stroke.split()]
        found += [(*a, *b) for a, b in zip(points, points[1:])]
    return found


def segment_distance(x: Array, y: Array, segment: Sequence[float]) -> Array:
    """Distance of every point to a segment (x0, y0, x1, y1), in the unit of the coordinates."""
    x0, y0, x1, y1 = segment
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / max(dx * dx + dy * dy, 1e-6), 0.0, 1.0)
    return np.asarray(np.hypot(x - x0 - along * dx, y - y0 - along * dy), np.float32)


def fractal(rng: np.random.Generator, size: int, power: float, channels: int = 1, cut: float = 0.0) -> Array:
    """(channels, size, size) periodic noise of spectrum 1/f^power, mean 0 and standard deviation 1.

    cut: wavelength in pixels below which there is nothing; 0 keeps everything.
    """
    radius = _frequencies(size)
    weight = radius ** np.float32(-power)
    weight[0, 0] = 0.0
    if cut > 0:
        weight = weight * np.exp(-0.5 * (radius * np.float32(cut)) ** 2)
    noise = rng.standard_normal((channels, size, size // 2 + 1, 2), dtype=np.float32)
    spectrum = noise.view(np.complex64)[..., 0] * weight
    field = np.fft.irfft2(spectrum, s=(size, size)).astype(np.float32)
    field -= field.mean(axis=(1, 2), keepdims=True)
    answer: Array = field / np.maximum(field.std(axis=(1, 2), keepdims=True), 1e-6)
    return answer


@lru_cache(maxsize=2)
def _frequencies(size: int) -> Array:
    """(size, size // 2 + 1) length of every frequency of a real spectrum, cycles per pixel; 1 where there is none."""
    fy = np.fft.fftfreq(size).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(size).astype(np.float32)[None]
    radius: Array = np.hypot(fx, fy)
    radius[0, 0] = 1.0
    return radius


def colour(rng: np.random.Generator, hue: float, saturation: float, value: float) -> Array:
    """(3,) display-encoded colour near a hue (0..1) with a little scatter."""
    angle = 2.0 * np.pi * (hue + rng.normal(0.0, 0.03))
    wheel = np.cos(angle - np.array([0.0, 2.0943951, 4.1887902])) * saturation * 0.5
    return np.asarray(np.clip(value * (1.0 + wheel), 0.0, 1.2), np.float32)


def ramp(values: Array, stops: Array) -> Array:
    """(3, H, W) colours of a field (H, W) in 0..1 along colour stops (N, 3)."""
    where = np.linspace(0.0, 1.0, len(stops))
    # What it is interpolated in: not made anew for every channel.
    flat = np.clip(values, 0.0, 1.0).astype(np.float64)
    return np.stack([np.interp(flat, where, stops[:, channel]).astype(np.float32) for channel in range(3)])
