"""A made clip with everything a renderer writes: alpha, depth, normals and a real Cryptomatte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Dict, Tuple

import numpy as np

from kairos.bench.texture import Texture, grid
from kairos.demo.cryptomatte import metadata, rank_layers
from support.exr import Planes
from support.made import HEIGHT, WIDTH, Clip, box, colour, disc, straight, write_clip

NAMES = ("ground", "ball", "card")
DEPTHS = {"ground": 10.0, "card": 6.0, "ball": 3.0}
"""Nearest first: ball over card over ground. Nothing lies between these values."""

_CARD_NORMAL = (0.6, 0.0, 0.8)
_RADIUS = 30.0


def layered(directory: Path, frames: int = 4, size: Tuple[int, int] = (HEIGHT, WIDTH)) -> Clip:
    """A ball that passes in front of a card, over a still ground.

    Channels: RGBA (premultiplied, half; the ground's alpha is 0.25), float ``Z`` (one of DEPTHS, one sample a pixel),
    ``N.X/Y/Z`` (half, unit length) and ``CryptoObject00``/``01`` with their manifest.
    """
    x, y = grid(*size)
    skins = {name: Texture(20 + index, 0.4, 0.1) for index, name in enumerate(NAMES)}
    ball = straight((80.0, 70.0), (9.0, 2.5))
    card = straight((150.0, 85.0), (-5.0, 1.0))

    def truth(time: float) -> Dict[str, Planes]:
        here, there = ball(time), card(time)
        covers = {"ball": disc(x, y, here, _RADIUS), "card": box(x, y, there, 70.0, 56.0)}
        below = np.concatenate([skins["ground"].at(x, y) * 0.25, np.full((1, *size), 0.25, np.float32)])
        for name, place in (("card", there), ("ball", here)):
            skin = skins[name].at(x - place[0], y - place[1])
            solid = np.concatenate([skin, np.ones((1, *size), np.float32)])
            below = below * (1 - covers[name]) + solid * covers[name]
        planes = {**colour(below[:3]), "A": below[3]}

        front = {name: cover >= 0.5 for name, cover in covers.items()}
        planes["Z"] = np.where(front["ball"], 3.0, np.where(front["card"], 6.0, 10.0)).astype(np.float32)
        planes.update(_normals(front["ball"], front["card"], (x - here[0]) / _RADIUS, (y - here[1]) / _RADIUS))

        shares = {"ball": covers["ball"], "card": covers["card"] * (1 - covers["ball"])}
        shares["ground"] = (1 - shares["ball"] - shares["card"]).clip(0, 1)
        planes.update(rank_layers("CryptoObject", {name: shares[name] for name in NAMES}))
        return planes

    exact = ["Z", *(name for name in truth(0) if name.startswith("Crypto"))]
    attributes = {key: attribute.value for key, attribute in metadata("CryptoObject", NAMES).items()}
    clip = write_clip(directory, "layers", frames, truth, depth=dict.fromkeys(exact, "float"), attributes=attributes)
    return replace(clip, centre=ball, names=NAMES)


def _normals(ball: np.ndarray, card: np.ndarray, across: np.ndarray, down: np.ndarray) -> Dict[str, Planes]:
    """Unit normals, y up and z towards the camera: a sphere, a slanted card, a ground that faces the camera."""
    flat = np.hypot(across, down)
    shrink = np.where(flat > 0.98, 0.98 / np.maximum(flat, 1e-6), 1.0)
    nx, ny = across * shrink, -down * shrink
    sphere: Tuple[np.ndarray, ...] = (nx, ny, np.sqrt(1 - nx**2 - ny**2))
    facing = (0.0, 0.0, 1.0)
    return {
        f"N.{axis}": np.where(ball, sphere[i], np.where(card, _CARD_NORMAL[i], facing[i])).astype(np.float32)
        for i, axis in enumerate("XYZ")
    }
