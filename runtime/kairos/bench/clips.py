"""The development clips of the quality bench, and true flow, as 8-bit RGB or arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Tuple

import cv2
import numpy as np
import numpy.typing as npt
import OpenImageIO

from kairos.bench.metrics import Image
from kairos.errors import BadRequest, ImageError
from kairos.frame import Window


@dataclass(frozen=True)
class Clip:
    """A clip of the bench.

    Attributes:
        name: as in the table.
        load: reads all frames, given the folder of development data.
        blend: PSNR of plain blending in the design's table, dB.
    """

    name: str
    load: Callable[[Path], List[Image]]
    blend: float


def split(frames: List[Image]) -> Tuple[List[Image], List[Image]]:
    """The even frames that are kept and the odd ones to rebuild; an even count loses its last."""
    kept = frames[: len(frames) - (len(frames) + 1) % 2]
    return kept[0::2], kept[1::2]


def _stills(folder: str, pattern: str) -> Callable[[Path], List[Image]]:
    def load(root: Path) -> List[Image]:
        files = sorted((root / folder).glob(pattern))
        if not files:
            raise _missing(root / folder / pattern)
        return [read_rgb(file) for file in files]

    return load


def read_rgb(file: Path) -> Image:
    """An 8-bit still as (H, W, 3) RGB. Raises ImageError where it cannot be read."""
    image = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if image is None:
        raise ImageError(f"{file} cannot be read as an 8-bit still.", "Check the development data folder.")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _movie(file: str, first: int, last: int) -> Callable[[Path], List[Image]]:
    def load(root: Path) -> List[Image]:
        if not (root / file).is_file():
            raise _missing(root / file)
        movie = cv2.VideoCapture(str(root / file))
        frames: List[Image] = []
        try:
            for number in range(last + 1):
                good, image = movie.read()
                if not good:
                    raise ImageError(f"{root / file} ends before frame {last}.", "Fetch the development data again.")
                if number >= first:
                    frames.append(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8))
        finally:
            movie.release()
        return frames

    return load


def _beachball(root: Path) -> List[Image]:
    """Right-eye RGB, clipped to 0..1, sRGB-encoded, over the union of the data windows inside the display window."""
    parts = [_right_eye(root / "beachball" / f"multipart.{number:04d}.exr") for number in (1, 2, 3)]
    window = parts[0][1]
    for _, data, _ in parts[1:]:
        window = window.union(data)
    window = window.intersection(parts[0][2])
    frames = []
    for pixels, data, _ in parts:
        full = np.zeros((window.height, window.width, 3), np.float32)
        inside = data.intersection(window)
        full[window.slices(inside)] = pixels[data.slices(inside)]
        frames.append(np.round(srgb_encode(np.clip(full, 0, 1)) * 255).astype(np.uint8))
    return frames


def _right_eye(file: Path) -> Tuple[npt.NDArray[np.float32], Window, Window]:
    if not file.is_file():
        raise _missing(file)
    image = OpenImageIO.ImageInput.open(str(file))
    if image is None:
        raise ImageError(f"{file} cannot be read: {OpenImageIO.geterror()}", "Fetch the development data again.")
    try:
        part = 0
        while image.seek_subimage(part, 0):
            spec = image.spec()
            if spec.getattribute("oiio:subimagename") == "rgba_right":
                data = Window(spec.x, spec.y, spec.width, spec.height)
                display = Window(spec.full_x, spec.full_y, spec.full_width, spec.full_height)
                pixels = image.read_image(part, 0, 0, 3, OpenImageIO.FLOAT)
                return np.asarray(pixels, np.float32), data, display
            part += 1
    finally:
        image.close()
    raise ImageError(f"{file} has no part rgba_right.", "Fetch the development data again.")


def srgb_encode(linear: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """IEC 61966-2-1 encoding of values in 0..1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-8) ** (1 / 2.4) - 0.055).astype(
        np.float32
    )


def read_flo(file: Path) -> npt.NDArray[np.float32]:
    """A Middlebury ``.flo`` file as (2, H, W) pixels, x right, y down; unknown pixels hold values above 1e9."""
    raw = file.read_bytes()
    if np.frombuffer(raw, "<f4", 1)[0] != np.float32(202021.25):
        raise ImageError(f"{file} is not a .flo file.", "Fetch the development data again.")
    width, height = np.frombuffer(raw, "<i4", 2, 4)
    flow = np.frombuffer(raw, "<f4", int(width) * int(height) * 2, 12).reshape(int(height), int(width), 2)
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


def _missing(path: Path) -> BadRequest:
    return BadRequest(f"{path} is not there.", "Give the folder of development data.")


CLIPS: Tuple[Clip, ...] = (
    Clip("beachball", _beachball, 12.84),
    Clip("mobfgsr", _stills("mobfgsr/view", "*.png"), 24.52),
    Clip("middlebury-RubberWhale", _stills("middlebury-RubberWhale", "*.png"), 38.48),
    Clip("middlebury-DogDance", _stills("middlebury-DogDance", "*.png"), 28.40),
    Clip("middlebury-Walking", _stills("middlebury-Walking", "*.png"), 33.91),
    Clip("judo", _stills("judo", "*.jpg"), 33.18),
    Clip("dog-run", _stills("dog-run", "*.jpg"), 24.23),
    Clip("sintel-ambush1", _stills("sintel-ambush1", "*.png"), 21.63),
    Clip("tennis-pan", _stills("tennis-pan", "*.png"), 20.55),
    Clip("car-turn 40-56", _movie("car-turn/car-turn.mp4", 40, 56), 21.16),
    Clip("car-turn 62-78", _movie("car-turn/car-turn.mp4", 62, 78), 21.49),
)
"""The clips of the design's table, in its order."""

WITHOUT = "beachball"
"""The mean is printed a second time without this clip."""
