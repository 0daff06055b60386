"""Pictures for people: flow as colour, masks, differences, contact sheets. 8-bit sRGB, (H, W, 3), RGB."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from kairos.frame import Planes
from kairos.images.atomic import written_whole

Picture = npt.NDArray[np.uint8]
"""(H, W, 3) RGB."""

PAPER = (24, 25, 28)
INK = (222, 222, 218)
FAINT = (146, 148, 152)

_SECTORS = (15, 6, 4, 11, 13, 6)
"""Steps from red to yellow, green, cyan, blue, magenta and back, spaced by how well the eye tells them apart."""


def tonemap(rgb: Planes, exposure: float = 1.0) -> Picture:
    """Scene-linear (3, H, W) as a picture: a filmic curve whose highlights roll off to white.

    The curve is Narkowicz's rational fit of the ACES reference tone scale (2015). NaN and negatives become black.
    """
    light = np.clip(np.nan_to_num(rgb, nan=0.0, posinf=6.5e4, neginf=0.0) * np.float32(0.8 * exposure), 0, 6.5e4)
    curved = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    encoded = np.where(curved <= 0.0031308, curved * 12.92, 1.055 * np.maximum(curved, 1e-8) ** (1 / 2.4) - 0.055)
    return np.ascontiguousarray(np.rint(encoded * 255).astype(np.uint8).transpose(1, 2, 0))


def flow_wheel(flow: Planes, maximum: Optional[float] = None, legend: bool = True) -> Picture:
    """Flow as colour: hue is direction, saturation is length; white is rest.

    The convention of Baker et al., "A Database and Evaluation Methodology for Optical Flow" (IJCV 2011), section 4.

    Args:
        flow: (2, H, W) pixels, x right, y down.
        maximum: the length drawn fully saturated; longer vectors are darkened. The 99th percentile where None.
        legend: a small wheel and its maximum in the lower right corner.
    """
    length = np.hypot(flow[0], flow[1])
    known = np.isfinite(length) & (length < 1e9)
    if maximum is None:
        maximum = float(np.quantile(length[known], 0.99)) if known.any() else 0.0
    # A still picture stays white rather than showing the noise of its zeros.
    maximum = max(maximum, 0.1)
    picture = _wheel_colours(np.where(known, flow, 0).astype(np.float32) / np.float32(maximum))
    picture[~known] = 0
    size = min(96, min(picture.shape[:2]) // 4)
    if legend and size >= 40:
        _draw_legend(picture, size, maximum)
    return picture


def _wheel_colours(flow: Planes) -> Picture:
    """Colours of (2, H, W) flow whose unit length is fully saturated."""
    wheel = _wheel()
    length = np.hypot(flow[0], flow[1])
    turn = (np.arctan2(-flow[1], -flow[0]) / np.pi + 1) / 2 * (len(wheel) - 1)
    low = np.floor(turn).astype(int)
    part = (turn - low)[..., None]
    hue = wheel[low] * (1 - part) + wheel[(low + 1) % len(wheel)] * part
    reach = length[..., None]
    colour = np.where(reach <= 1, 1 - reach * (1 - hue), hue * 0.75)
    return np.asarray(np.floor(colour * 255), np.uint8)


@lru_cache(maxsize=1)
def _wheel() -> npt.NDArray[np.float64]:
    """(55, 3) colours of the wheel, 0..1."""
    corners = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]], np.float64)
    sectors = [
        corners[i] + (corners[i + 1] - corners[i]) * np.arange(steps)[:, None] / steps
        for i, steps in enumerate(_SECTORS)
    ]
    return np.concatenate(sectors)


def _draw_legend(picture: Picture, size: int, maximum: float) -> None:
    """A wheel of directions, and the length at its rim, drawn into the lower right corner."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1
    flow = np.stack(np.broadcast_arrays(axis[None, :], axis[:, None]))
    inside = np.clip((1 - np.hypot(flow[0], flow[1])) * size / 2, 0, 1)[..., None]
    wheel = _wheel_colours((flow * 0.999).astype(np.float32))
    margin, height = size // 8, max(11, size // 5)
    bottom = picture.shape[0] - margin - height
    right = picture.shape[1] - margin
    corner = picture[bottom - size : bottom, right - size : right]
    corner[:] = np.rint(wheel * inside + corner * (1 - inside)).astype(np.uint8)
    strip = picture[bottom : bottom + height, right - size : right]
    strip[:] = _text(f"{maximum:.1f} px", size, height, int(height * 0.8), (20, 20, 20), (255, 255, 255), centred=True)


def mask_picture(mask: Planes, over: Optional[Picture] = None, tint: Tuple[int, int, int] = (255, 64, 32)) -> Picture:
    """A mask in 0..1, (H, W) or (1, H, W): as grey, or tinted over a darkened picture."""
    weight = np.clip(np.nan_to_num(mask.reshape(mask.shape[-2:])), 0, 1)[..., None]
    if over is None:
        return np.repeat(np.rint(weight * 255).astype(np.uint8), 3, axis=2)
    mixed = over * 0.55 * (1 - weight) + np.array(tint, np.float32) * weight
    return np.asarray(np.rint(mixed), np.uint8)


def difference_picture(one: Picture, two: Picture, gain: float = 4.0) -> Picture:
    """Absolute difference of two pictures times ``gain``, on black."""
    apart = np.abs(one.astype(np.float32) - two.astype(np.float32)) * gain
    return np.asarray(np.clip(np.rint(apart), 0, 255), np.uint8)


def contact_sheet(
    tiles: Sequence[Tuple[str, Picture]], columns: int = 0, title: str = "", tile_width: int = 0
) -> Picture:
    """Pictures in a grid, each with its caption below.

    Args:
        tiles: caption and picture; a second line of the caption (after a newline) is set smaller and fainter.
        columns: of the grid; as square as it gets where 0.
        title: above everything, if any.
        tile_width: pixels; the widest picture's where 0. Pictures keep their shape.

    Raises:
        ValueError: no tiles.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one tile")
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    width = tile_width or max(picture.shape[1] for _, picture in tiles)
    pictures = [_fitted(picture, width) for _, picture in tiles]
    size = max(14, min(26, width // 22))
    lines = max(caption.count("\n") + 1 for caption, _ in tiles)
    label, gap = round(size * 1.55) * lines, size
    rows = [range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)]
    heights = [max(pictures[index].shape[0] for index in row) for row in rows]
    head = round(size * 2.6) if title else 0
    total_width = min(columns, len(tiles)) * (width + gap) + gap
    sheet = np.empty((head + sum(height + label + gap for height in heights) + gap, total_width, 3), np.uint8)
    sheet[:] = PAPER
    if title:
        sheet[gap // 2 : gap // 2 + head, gap : total_width - gap] = _text(
            title, total_width - 2 * gap, head, round(size * 1.35), INK, PAPER
        )
    top = head + gap
    for row, height in zip(rows, heights):
        for place, index in enumerate(row):
            left = gap + place * (width + gap)
            picture = pictures[index]
            sheet[top : top + picture.shape[0], left : left + width] = picture
            for number, line in enumerate(tiles[index][0].split("\n")):
                line_top = top + picture.shape[0] + number * round(size * 1.55)
                box = _text(line, width, round(size * 1.55), size if number == 0 else round(size * 0.85),
                            INK if number == 0 else FAINT, PAPER)  # fmt: skip
                sheet[line_top : line_top + box.shape[0], left : left + width] = box
        top += height + label + gap
    return sheet


def write_png(path: Path, picture: Picture) -> None:
    """Writes an 8-bit PNG, whole or not at all. Raises ImageError where the disk is full or the folder closed."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with written_whole(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _fitted(picture: Picture, width: int) -> Picture:
    if picture.shape[1] == width:
        return picture
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    how = cv2.INTER_AREA if picture.shape[1] > width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def _text(
    text: str,
    width: int,
    height: int,
    size: int,
    ink: Tuple[int, int, int],
    paper: Tuple[int, int, int],
    centred: bool = False,
) -> Picture:
    """One line in a box, shortened with an ellipsis where it does not fit."""
    box = Image.new("RGB", (width, height), paper)
    font = ImageFont.load_default(size)
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2].rstrip() + "…"
    where = (width / 2, height / 2) if centred else (0, height / 2)
    ImageDraw.Draw(box).text(where, text, fill=ink, font=font, anchor="mm" if centred else "lm")
    return np.asarray(box, np.uint8)
