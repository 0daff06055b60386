"""Textures of the demo scene, baked once: floor boards, plaster, the ball's skin, lettering."""

from __future__ import annotations

from functools import lru_cache
from typing import List, Tuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Values = npt.NDArray[np.float32]

FLOOR_SIZE = 6.2
"""Side of the floor's texture, metres."""
FLOOR_TEXELS = 2048
BOARD = 0.17
"""Width of a floor board, metres."""


def noise(rng: np.random.Generator, height: int, width: int, cell_y: float, cell_x: float, octaves: int = 4) -> Values:
    """(H, W) smooth noise about 0, standard deviation about 1: value noise, cells in texels, halved per octave."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        rows = max(2, round(height / cell_y * 2**octave))
        columns = max(2, round(width / cell_x * 2**octave))
        coarse = rng.standard_normal((min(rows, height), min(columns, width)), np.float32)
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        total += 0.6**octave * np.asarray(fine, np.float32)
    return np.asarray(total / total.std(), np.float32)


@lru_cache(maxsize=1)
def floor() -> List[Values]:
    """Wood tone in 0..1, boards along the rows (depth); each further level is half as sharp along the depth.

    Level ``k`` is (FLOOR_TEXELS / 2^k, FLOOR_TEXELS): a floor seen at a low angle shrinks in depth alone.
    """
    rng = np.random.default_rng(11)
    size = FLOOR_TEXELS
    boards = int(np.ceil(FLOOR_SIZE / BOARD))
    x = np.arange(size, dtype=np.float32) * FLOOR_SIZE / size
    z = x[:, None]
    number = (x / BOARD).astype(int)
    length = 1.9
    start = rng.uniform(0, length, boards + 1).astype(np.float32)
    piece = ((z + start[number][None]) / length).astype(int)
    tones = rng.normal(0.5, 0.11, (boards + 1, 8)).astype(np.float32)
    tone = tones[np.broadcast_to(number[None], (size, size)), piece]
    grain = noise(rng, size, size, 420, 10, 3) * 0.055 + noise(rng, size, size, 90, 40, 3) * 0.045
    # Grain must not run on from board to board.
    shift = (piece * 137 + number[None] * 271) % size
    grain = np.take_along_axis(grain, (np.arange(size)[:, None] + shift) % size, axis=0)
    wood = tone + grain + noise(rng, size, size, 900, 900, 2) * 0.03
    gap = np.minimum(x % BOARD, BOARD - x % BOARD)[None]
    end = (z + start[number][None]) % length
    seam = np.minimum(gap, np.minimum(end, length - end))
    wood *= 1 - 0.75 * np.exp(-((seam / 0.004) ** 2)) - 0.12 * np.exp(-((seam / 0.015) ** 2))
    level = np.clip(wood, 0.02, 1).astype(np.float32)
    levels = [level]
    while level.shape[0] > 128:
        blurred = cv2.GaussianBlur(level, (0, 0), sigmaX=0.3, sigmaY=0.9)
        level = np.asarray(cv2.resize(blurred, (size, level.shape[0] // 2), interpolation=cv2.INTER_AREA), np.float32)
        levels.append(level)
    return levels


@lru_cache(maxsize=1)
def plaster() -> Values:
    """(1024, 2048) tone about 1 of a wall that was painted by hand."""
    rng = np.random.default_rng(12)
    broad = noise(rng, 1024, 2048, 500, 700, 3) * 0.035
    strokes = noise(rng, 1024, 2048, 24, 60, 3) * 0.035
    return np.asarray(1 + broad + strokes, np.float32)


@lru_cache(maxsize=1)
def ball_skin() -> Values:
    """(512, 1024, 3) albedo by latitude and longitude: six gores, a belt, worn a little."""
    rng = np.random.default_rng(13)
    latitude = np.linspace(-90, 90, 512, dtype=np.float32)[:, None]
    longitude = np.linspace(0, 360, 1024, endpoint=False, dtype=np.float32)[None]
    colours = np.array([[0.60, 0.11, 0.06], [0.74, 0.66, 0.52], [0.05, 0.24, 0.29]], np.float32)
    gore = (longitude / 60).astype(int) % 3
    skin = colours[np.broadcast_to(gore, (512, 1024))]
    seam = np.abs(longitude % 60 - 30) - 30
    # Seams keep their width in degrees of arc, not of longitude.
    near = np.exp(-((seam * np.cos(np.radians(latitude)) / 0.8) ** 2))[..., None]
    skin = skin * (1 - 0.7 * near)
    belt = np.clip(1.6 - np.abs(np.abs(latitude) - 24) * 0.9, 0, 1)[..., None]
    skin = skin * (1 - belt) + belt * np.array([0.80, 0.52, 0.12], np.float32)
    cap = np.clip((np.abs(latitude) - 76) * 0.9, 0, 1)[..., None]
    skin = skin * (1 - cap) + cap * np.array([0.70, 0.62, 0.48], np.float32)
    wear = 1 + noise(rng, 512, 1024, 60, 60, 4) * 0.05
    return np.asarray(np.clip(skin * wear[..., None], 0.01, 0.95), np.float32)


@lru_cache(maxsize=8)
def lettering(text: str, height: int, width: int, size: float, spacing: float = 0.0) -> Values:
    """(height, width) coverage of one centred line of text; ``size`` and ``spacing`` as parts of the height."""
    sheet = Image.new("L", (width, height), 0)
    font = ImageFont.load_default(size * height)
    gap = spacing * height
    total = sum(font.getlength(letter) for letter in text) + gap * (len(text) - 1)
    pen = ImageDraw.Draw(sheet)
    x = (width - total) / 2
    for letter in text:
        pen.text((x, height / 2), letter, fill=255, font=font, anchor="lm", stroke_width=height * size * 0.012)
        x += font.getlength(letter) + gap
    return np.asarray(sheet, np.float32) / np.float32(255)


@lru_cache(maxsize=1)
def print_on_the_wall() -> Values:
    """(640, 480, 3) albedo of a framed print: a sundial's rings and a word."""
    height, width = 640, 480
    y, x = np.mgrid[:height, :width].astype(np.float32)
    paper = np.array([0.62, 0.57, 0.47], np.float32)
    sheet = np.broadcast_to(paper, (height, width, 3)).copy()
    away, angle = np.hypot(x - 240, y - 270), np.degrees(np.arctan2(y - 270, x - 240)) % 360

    def ink(cover: Values, colour: Tuple[float, float, float]) -> None:
        sheet[:] = sheet * (1 - cover[..., None]) + cover[..., None] * np.array(colour, np.float32)

    ink(np.clip(150.5 - away, 0, 1), (0.08, 0.16, 0.20))
    for radius, thick in ((128.0, 3.0), (104.0, 1.5), (78.0, 5.0)):
        ink(np.clip(thick - np.abs(away - radius), 0, 1), (0.70, 0.55, 0.26))
    hours = np.clip(2.6 - np.abs((angle % 15) - 7.5) * away / 57.3, 0, 1) * ((away > 110) & (away < 124))
    ink(hours.astype(np.float32), (0.70, 0.55, 0.26))
    ink(np.clip(46 - away, 0, 1), (0.55, 0.10, 0.05))
    word = lettering("KAIROS", 90, width, 0.62, 0.16)
    sheet[500:590] = sheet[500:590] * (1 - 0.9 * word[..., None])
    border = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    ink(np.clip(18 - border, 0, 1), (0.03, 0.025, 0.02))
    return np.asarray(sheet, np.float32)
