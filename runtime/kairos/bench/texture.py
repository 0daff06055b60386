"""A band-limited texture that is known at every point, so that a made clip's truth is exact between pixels too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.float64]
Planes = npt.NDArray[np.float32]

WAVES = 28
SHORTEST, LONGEST = 7.0, 60.0
"""Wavelengths, pixels: above twice the pixel pitch with room to spare, so that any filter can be exact."""


class Texture:
    """A sum of cosines of random direction, wavelength and phase, coloured at random.

    Args:
        seed: of everything random.
        mean: average value.
        contrast: standard deviation about ``mean``.
        longest: wavelength, pixels; waves are spread evenly over the octaves, as in nature.
    """

    def __init__(self, seed: int, mean: float = 0.4, contrast: float = 0.1, longest: float = LONGEST) -> None:
        rng = np.random.default_rng(seed)
        length = np.exp(rng.uniform(np.log(SHORTEST), np.log(longest), WAVES))
        angle = rng.uniform(0, np.pi, WAVES)
        self._x = 2 * np.pi * np.cos(angle) / length
        self._y = 2 * np.pi * np.sin(angle) / length
        self._phase = rng.uniform(0, 2 * np.pi, WAVES)
        weights = rng.normal(size=(3, WAVES)) * 0.35 + rng.normal(size=(1, WAVES))
        # A cosine's variance is a half.
        self._weights = weights * contrast / np.sqrt((weights**2).sum(1, keepdims=True) / 2)
        self._mean = mean

    def at(self, x: Grid, y: Grid) -> Planes:
        """(3, H, W) values at points (pixels, x right, y down), each (H, W)."""
        waves = np.empty((WAVES, x.size))
        for wave in range(WAVES):
            waves[wave] = np.cos((self._x[wave] * x + self._y[wave] * y + self._phase[wave]).ravel())
        return np.asarray((self._mean + self._weights @ waves).reshape(3, *x.shape), np.float32)


def grid(height: int, width: int) -> tuple[Grid, Grid]:
    """x and y of pixel centres, whole numbers from 0, each (H, W)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return x, y
