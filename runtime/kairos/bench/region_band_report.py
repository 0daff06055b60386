"""The table and the picture of ``kairos bench regions``."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np

from kairos.bench.metrics import Image
from kairos.bench.region_band import Comparison, Rebuilt, mean, psnr_within
from kairos.pictures import contact_sheet, write_png

CROPS = 4
"""Places on the picture, each of another frame."""

_PART = 4
"""A crop's sides are this part of the frame's."""

_SMALLEST = 48
"""Side of a crop, pixels."""

_TILE = 320


def render(found: Comparison) -> str:
    """PSNR in the band and of the whole, per withheld frame and in the mean, and what each way gains over the first."""
    height, width = found.truths[0].shape[:2]
    lines = [
        f"{found.clip}: {len(found.truths)} frames of {width}x{height} withheld, every odd one",
        f"band: within {found.pixels} px of the borders of {found.regions}, "
        f"{100 * float(np.mean([each.mean() for each in found.bands])):.1f} % of the pixels",
    ]
    lines += [f"  {_letter(index)}: {row.title}" for index, row in enumerate(found.rows)]
    head = (f"{_letter(index) + ' band':>7} {'whole':>6}" for index in range(len(found.rows)))
    lines.append(" ".join([f"{'frame':>6}", *head]))
    for index, number in enumerate(found.numbers):
        lines.append(_line(str(number), [(row.band[index], row.whole[index]) for row in found.rows]))
    lines.append(_line("mean", [(mean(row.band), mean(row.whole)) for row in found.rows]))
    for index, row in enumerate(found.rows[1:], 1):
        within, whole = found.gain(row)
        lines.append(f"{_letter(index)} over {_letter(0)}: band {within:+.2f} dB, whole {whole:+.2f} dB")
    lines.append("PSNR dB of 8-bit RGB (scene-linear is clipped to 0..1 and sRGB-encoded), mean over frames.")
    return "\n".join(lines)


def draw(found: Comparison, path: Path) -> None:
    """Crops of the truth and of every way, where the ways differ most in the band, for better or worse, each of another
    frame. Raises ImageError where the PNG cannot be written.
    """
    tiles: List[Tuple[str, Image]] = []
    for index, (top, left) in _places(found):
        rows, columns = _crop(found)
        part = slice(top, top + rows), slice(left, left + columns)
        tiles.append((f"frame {found.numbers[index]}\nwithheld", found.truths[index][part]))
        for row in found.rows:
            decibels = psnr_within(found.truths[index][part], row.images[index][part], found.bands[index][part])
            tiles.append((f"{row.title}\n{decibels:.1f} dB in the band here", row.images[index][part]))
    # The picture may be shown to others: whose folder it was is nobody's business.
    title = f"{Path(found.clip).name}, band round {found.regions}"
    write_png(path, contact_sheet(tiles, columns=1 + len(found.rows), title=title, tile_width=_TILE))


def _crop(found: Comparison) -> Tuple[int, int]:
    height, width = found.truths[0].shape[:2]
    return min(height, max(_SMALLEST, height // _PART)), min(width, max(_SMALLEST, width // _PART))


def _places(found: Comparison) -> List[Tuple[int, Tuple[int, int]]]:
    """Frames by index with the top left corner of a crop, the greatest difference between ways first."""
    rows, columns = _crop(found)
    places: List[Tuple[float, int, Tuple[int, int]]] = []
    for index, (truth, mask) in enumerate(zip(found.truths, found.bands)):
        errors = [_error(truth, row, index) * mask for row in found.rows]
        apart = np.ptp(np.stack(errors), axis=0) if len(errors) > 1 else errors[0]
        summed = cv2.integral(apart)
        inside = (
            summed[rows:, columns:] - summed[:-rows, columns:] - summed[rows:, :-columns] + summed[:-rows, :-columns]
        )
        top, left = np.unravel_index(int(inside.argmax()), inside.shape)
        places.append((float(inside[top, left]), index, (int(top), int(left))))
    return [(index, place) for _, index, place in sorted(places, reverse=True)[:CROPS]]


def _error(truth: Image, row: Rebuilt, index: int) -> np.ndarray:
    return np.asarray(np.square(truth.astype(np.float64) - row.images[index]).sum(-1))


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _line(name: str, cells: List[Tuple[float, float]]) -> str:
    return " ".join([f"{name:>6}", *(f"{within:7.2f} {whole:6.2f}" for within, whole in cells)])
