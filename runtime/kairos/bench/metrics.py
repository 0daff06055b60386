"""How close a rebuilt frame is to the true one."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Image = npt.NDArray[np.uint8]
"""(H, W, 3) 8-bit RGB."""

SMOOTHING = 61
"""Window over which the aligning flow is smoothed, pixels: finer than that, a mistake is shape and not timing."""


class Score(NamedTuple):
    """One frame's, or the mean of many."""

    psnr: float
    """dB."""
    ssim: float
    aligned: float
    """PSNR after the frame was warped to the truth by a smooth flow: what is left when timing is forgiven, dB."""
    detail: float
    """Gradient energy, part of the truth's: under 1 is softer."""


def psnr(truth: Image, image: Image) -> float:
    """Peak signal-to-noise ratio, dB, on 0..255."""
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(truth, image, data_range=255))


def ssim(truth: Image, image: Image) -> float:
    """Structural similarity, scikit-image's uniform 7 by 7 window, mean of the channels."""
    found = structural_similarity(truth, image, channel_axis=2, data_range=255)
    return float(found)


def align(truth: Image, image: Image) -> Image:
    """The image warped to the truth by DIS flow smoothed over :data:`SMOOTHING` pixels."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((*truth.shape[:2], 2), np.float32)
    flow = dis.calc(cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), start)
    flow = cv2.blur(flow, (SMOOTHING, SMOOTHING))
    height, width = truth.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.uint8)


def score(truth: Image, image: Image) -> Score:
    """All figures of one frame."""
    sharp = gradient_energy(image) / max(gradient_energy(truth), 1e-9)
    return Score(psnr(truth, image), ssim(truth, image), psnr(truth, align(truth, image)), sharp)


def gradient_energy(image: Image) -> float:
    """Mean squared difference of neighbouring pixels, both ways."""
    planes = image.astype(np.float32)
    return float(np.square(np.diff(planes, axis=0)).mean() + np.square(np.diff(planes, axis=1)).mean())


def mean(scores: list[Score]) -> Score:
    """The mean of each figure."""
    return Score(*(float(np.mean(column)) for column in zip(*scores)))


def endpoint_error(flow: npt.NDArray[np.float32], truth: npt.NDArray[np.float32], unknown: float = 1e9) -> float:
    """Mean distance between two flows (2, H, W), pixels, over the pixels whose true vector is known."""
    known = (np.abs(truth) < unknown).all(0)
    return float(np.sqrt(np.square(flow - truth).sum(0))[known].mean())
