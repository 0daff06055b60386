"""Parametric motions: fitted to vectors, robustly, and proposed by the blocks of a flow.

A motion is (6,) for an affine one or (8,) for that of a plane in perspective (Longuet-Higgins, "The visual ambiguity of
a moving plane", Proc. R. Soc. B 223, 1984): u = a + b x + c y + g x^2 + h x y, v = d + e x + f y + g x y + h y^2.
"""

from __future__ import annotations

from typing import NamedTuple, Tuple

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Motion = npt.NDArray[np.float64]

AFFINE, PLANAR = 6, 8
"""Parameters of a motion."""

_FIRM = 1e-6
"""Added to the diagonal of normal equations, as a part of the weight: what nothing determines stays 0."""


class Vectors(NamedTuple):
    """Vectors at places, all of one shape.

    Attributes:
        x, y: places; about -1..1 over the frame's longer side.
        u, v: pixels.
        weight: 0..1, how sure they are.
        slack: how far one may lie beside a motion that it belongs to, pixels.
    """

    x: Array
    y: Array
    u: Array
    v: Array
    weight: Array
    slack: Array

    def at(self, where: npt.NDArray[np.bool_]) -> Vectors:
        """Those of the places where a mask is true, in a row."""
        return Vectors(*(plane[where] for plane in self))


def predicted(x: Array, y: Array, motion: Motion) -> Tuple[Array, Array]:
    """What a motion says at places: u and v, pixels, of the places' shape."""
    a, b, c, d, e, f, g, h = np.pad(motion, (0, PLANAR - len(motion))).astype(np.float32)
    u, v = a + b * x + c * y, d + e * x + f * y
    if len(motion) == PLANAR:
        bend = g * x + h * y
        u, v = u + bend * x, v + bend * y
    return np.asarray(u, np.float32), np.asarray(v, np.float32)


def residual(vectors: Vectors, motion: Motion) -> Array:
    """How far vectors lie beside a motion, in units of their slack, squared; of the vectors' shape."""
    u, v = predicted(vectors.x, vectors.y, motion)
    return np.asarray((np.square(vectors.u - u) + np.square(vectors.v - v)) / np.square(vectors.slack), np.float32)


def fitted(vectors: Vectors, weight: Array, size: int) -> Motion:
    """The motion of least squares, with weights in place of the vectors' own; vectors in a row."""
    x, y = (plane.astype(np.float64) for plane in (vectors.x, vectors.y))
    one, none = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, x, y, none, none, none, x * x, x * y][:size])
    down = np.stack([none, none, none, one, x, y, x * y, y * y][:size])
    weighed_across, weighed_down = across * weight, down * weight
    normal = weighed_across @ across.T + weighed_down @ down.T
    right = weighed_across @ vectors.u + weighed_down @ vectors.v
    return np.linalg.solve(normal + np.eye(size) * (_FIRM * weight.sum() + 1e-12), right)


def refined(vectors: Vectors, motion: Motion, size: int, rounds: int) -> Motion:
    """A motion drawn to the vectors that agree with it (Geman and McClure's estimator, reweighted least squares)."""
    for _ in range(rounds):
        weight = np.asarray(vectors.weight / np.square(1 + residual(vectors, motion)), np.float32)
        motion = fitted(vectors, weight, size)
    return motion


def proposed(vectors: Vectors, side: int) -> npt.NDArray[np.float64]:
    """Affine motions of blocks of a grid, half overlapping, that one motion explains.

    Args:
        vectors: (h, w) each, on a regular grid.
        side: of the blocks, grid points, at least 2.

    Returns:
        (N, 6); none of blocks where hardly a vector is sure or where motion differs by more than the slack.
    """
    height, width = vectors.x.shape
    half = side // 2
    rows = np.unique(np.clip(np.arange(half, height + half, half), half, max(half, height - half)))
    columns = np.unique(np.clip(np.arange(half, width + half, half), half, max(half, width - half)))
    w, x, y, u, v = (plane.astype(np.float64) for plane in (vectors.weight, *vectors[:4]))
    pick = np.ix_(np.minimum(rows, height - 1), np.minimum(columns, width - 1))

    def mean(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The mean over the block around each picked point, in a row."""
        smooth = cv2.blur(plane * w, (side, side), borderType=cv2.BORDER_REPLICATE)
        return np.asarray(smooth[pick].reshape(-1), np.float64)

    sure = cv2.blur(w, (side, side), borderType=cv2.BORDER_REPLICATE)[pick].reshape(-1)
    moments = {name: mean(plane) for name, plane in {
        "x": x, "y": y, "u": u, "v": v, "xx": x * x, "xy": x * y, "yy": y * y, "xu": x * u, "yu": y * u, "xv": x * v,
        "yv": y * v, "uu": u * u, "vv": v * v, "slack": vectors.slack.astype(np.float64) ** 2,
    }.items()}  # fmt: skip
    good = sure > 0.4
    if not good.any():
        return np.zeros((0, AFFINE))
    m = {name: plane[good] / sure[good] for name, plane in moments.items()}
    # Central moments: the mean motion is exact, and slopes are held back where a block does not tell them.
    xx, xy, yy = m["xx"] - m["x"] ** 2, m["xy"] - m["x"] * m["y"], m["yy"] - m["y"] ** 2
    firm = 1e-9 + 1e-3 * (xx + yy)
    det = (xx + firm) * (yy + firm) - xy * xy
    found, left = [], np.zeros(len(xx))
    for name in ("u", "v"):
        cx, cy = m["x" + name] - m["x"] * m[name], m["y" + name] - m["y"] * m[name]
        bx, by = ((yy + firm) * cx - xy * cy) / det, ((xx + firm) * cy - xy * cx) / det
        found += [m[name] - bx * m["x"] - by * m["y"], bx, by]
        left += m[name * 2] - m[name] ** 2 - bx * cx - by * cy
    return np.asarray(np.stack(found, 1)[left < m["slack"]], np.float64)


def noise(vectors: Vectors, side: int) -> Array:
    """How far vectors lie beside the smoothest motion around them, pixels, (h, w).

    Of all blocks around a point the calmest counts, so that an edge between two motions is no noise.

    Args:
        vectors: (h, w) each, on a regular grid.
        side: of the blocks, grid points.
    """
    x, y, u, v = (plane.astype(np.float64) for plane in vectors[:4])

    def mean(plane: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE))

    mean_x, mean_y = mean(x), mean(y)
    xx, xy, yy = mean(x * x) - mean_x**2, mean(x * y) - mean_x * mean_y, mean(y * y) - mean_y**2
    firm = 1e-9 + 1e-3 * (xx + yy)
    det = (xx + firm) * (yy + firm) - xy * xy
    left = np.zeros_like(x)
    for plane in (u, v):
        level = mean(plane)
        cx, cy = mean(x * plane) - mean_x * level, mean(y * plane) - mean_y * level
        bx, by = ((yy + firm) * cx - xy * cy) / det, ((xx + firm) * cy - xy * cx) / det
        left += np.maximum(mean(plane * plane) - level**2 - bx * cx - by * cy, 0)
    return np.asarray(cv2.erode(np.sqrt(left), np.ones((side, side), np.uint8)), np.float32)
