"""FILM's training losses: pixels, features, and how features go together.

Reda et al., "FILM: Frame Interpolation for Large Motion" (ECCV 2022), section on losses: a weighted sum of the mean
absolute difference of pixels, that of VGG-19's features, and the difference of the features' Gram matrices (Gatys et
al., CVPR 2016), which makes crisp what the first two would average. Written from the paper.

Two things the paper leaves open are settled here. Gram matrices are divided by their channels and places (Johnson et
al., ECCV 2016), so that a loss means the same in a crop of any size. And features are torchvision's, of pictures
normalised for them, which are smaller than those of weights for 0..255: the same weights of the three terms weigh
these two terms another way than in the authors' own trainings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping, Tuple

import torch
from torch import Tensor

from kairos.training.losses.vgg import Vgg19, load_vgg19

KINDS = ("vgg", "style")
"""The paper's two trainings beyond pixels: with features alone, or with Gram matrices in the second half, too."""

LAYERS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)
"""How much each layer counts, conv1_2 to conv5_2 (Chen and Koltun, "Photographic Image Synthesis with Cascaded
Refinement Networks", ICCV 2017).
"""

FIRST, SECOND = (1.0, 1.0, 0.0), (1.0, 0.25, 40.0)
"""Weights of pixels, features and Gram matrices in the first half of a training and in the second."""

_STILL = 1e-6
"""Length of a difference of Gram matrices below which its root is rounded off: at 0 it has no slope."""


class FilmLoss:
    """FILM's losses of pictures.

    Args:
        vgg: the judge.
        sha256: of its weights' file.
        kind: one of :data:`KINDS`.
    """

    def __init__(self, vgg: Vgg19, sha256: str, kind: str = "style") -> None:
        self._vgg, self.sha256, self.kind = vgg, sha256, kind

    @classmethod
    def load(cls, path: Path, kind: str = "style") -> FilmLoss:
        """With the weights of a file. Raises BadRequest where it holds no VGG-19."""
        return cls(*load_vgg19(path), kind)

    def parts(self, picture: Tensor, truth: Tensor, progress: float) -> Dict[str, Tensor]:
        """The terms, weighted: ``picture``, ``features``, and ``style`` where it counts.

        Args:
            picture, truth: (B, 3, H, W), about 0..1, sides of at least 16.
            progress: how much of the pictures' training is behind, 0..1.
        """
        pixels, features, style = self.weights(progress)
        self._vgg.to(picture.device)
        with torch.no_grad():
            wanted = self._vgg(truth)
        found = self._vgg(picture)
        parts = {
            "picture": pixels * (picture - truth).abs().mean(),
            "features": features * feature_loss(found, wanted),
        }
        if style:
            parts["style"] = style * style_loss(found, wanted)
        return parts

    def weights(self, progress: float) -> Tuple[float, float, float]:
        """Weights of pixels, features and Gram matrices at that point of the training."""
        return SECOND if self.kind == "style" and progress >= 0.5 else FIRST

    def provenance(self) -> Mapping[str, str]:
        """What the record of trained weights says of it."""
        later = f"; in the second half {_told(SECOND)}" if self.kind == "style" else ""
        return {"losses": self.kind, "losses weights": _told(FIRST) + later, "losses vgg sha256": self.sha256}

    def conditions(self) -> str:
        """How it is asked for."""
        return f"--losses {self.kind} --vgg FILE (SHA-256 {self.sha256})"


def feature_loss(found: List[Tensor], wanted: List[Tensor]) -> Tensor:
    """Mean absolute difference of features (B, C, h, w), the mean over layers as each counts."""
    parts = [share * (one - two).abs().mean() for share, one, two in zip(LAYERS, found, wanted)]
    return torch.stack(parts).mean()


def style_loss(found: List[Tensor], wanted: List[Tensor]) -> Tensor:
    """Length of the difference of Gram matrices, the mean over pictures and over layers as each counts."""
    parts = []
    for share, one, two in zip(LAYERS, found, wanted):
        squared = (gram(one) - gram(two)).square().sum((1, 2))
        parts.append(share * ((squared + _STILL**2).sqrt() - _STILL).mean())
    return torch.stack(parts).mean()


def gram(features: Tensor) -> Tensor:
    """(B, C, C) float32: how the channels of (B, C, h, w) go together, by channels and places."""
    batch, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().reshape(batch, channels, height * width)
        return flat @ flat.transpose(1, 2) / (channels * height * width)


def _told(weights: Tuple[float, float, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in zip(("pixels", "features", "style"), weights))
