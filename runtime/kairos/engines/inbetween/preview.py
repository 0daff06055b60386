"""A contact sheet of pictures that are still being generated: the clean estimate, without decoding it.

A decoder takes seconds per picture. What a latent's four channels look like is learned from the two keys instead, whose
latents and pictures are both at hand: a straight line through them is good enough to see what becomes of a shot.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.errors import KairosError
from kairos.weights.store import written_whole

TILE = 256
"""Width of a picture on the sheet, pixels."""

_GAP, _STRIP = 4, 22
_PAPER, _INK = (28, 25, 24), (218, 222, 222)
_RIDGE = 1e-3
"""Keeps the line steady where both keys are of one colour."""


def colours_of(latents: Tensor, pictures: Tensor) -> Tensor:
    """(C + 1, 3) weights and offset that bring a latent's channels closest to colours, by least squares.

    Args:
        latents: (K, C, h, w) of the keys.
        pictures: (K, 3, H, W) the same keys in 0..1, of which latents are a reduction.
    """
    small = F.interpolate(pictures.double(), size=latents.shape[-2:], mode="area")
    given = _with_one(latents.double().movedim(1, -1).flatten(0, -2))
    wanted = small.movedim(1, -1).flatten(0, -2)
    ridge = _RIDGE * len(given) * torch.eye(given.shape[1], dtype=given.dtype, device=given.device)
    # The offset is no size that has to stay small.
    ridge[-1, -1] = 1e-9
    found: Tensor = torch.linalg.solve(given.T @ given + ridge, given.T @ wanted)
    return found.float()


def picture_of(latents: Tensor, colours: Tensor) -> Tensor:
    """(N, 3, h, w) colours, not clamped, of latents (N, C, h, w)."""
    return (_with_one(latents.float().movedim(1, -1)) @ colours).movedim(-1, 1)


def _with_one(values: Tensor) -> Tensor:
    return torch.cat([values, torch.ones_like(values[..., :1])], -1)


def sheet(pictures: Tensor, title: str) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB: pictures (N, 3, h, w) in 0..1 row by row under a line of text."""
    tiles = [_tile(picture) for picture in pictures.detach().cpu().numpy()]
    height, width = tiles[0].shape[:2]
    columns = math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    size = (_STRIP + rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3)
    paper = np.empty(size, np.uint8)
    paper[:] = _PAPER[::-1]
    for index, tile in enumerate(tiles):
        top = _STRIP + _GAP + index // columns * (height + _GAP)
        left = _GAP + index % columns * (width + _GAP)
        paper[top : top + height, left : left + width] = tile
    cv2.putText(paper, title, (_GAP, _STRIP - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK[::-1], 1, cv2.LINE_AA)
    return paper


def _tile(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    whole = np.nan_to_num(picture).transpose(1, 2, 0).clip(0, 1)
    size = (TILE, max(1, round(TILE * whole.shape[0] / whole.shape[1])))
    return np.asarray(np.rint(cv2.resize(whole, size, interpolation=cv2.INTER_LINEAR) * 255), np.uint8)


def write_sheet(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Writes (H, W, 3) RGB as PNG, whole or not at all. Raises KairosError where it cannot be written."""
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    if not done:
        raise KairosError(f"{path} cannot be written as PNG.", "Generate without it: --generate preview=0.")
    with written_whole(path) as temporary:
        temporary.write_bytes(data.tobytes())
