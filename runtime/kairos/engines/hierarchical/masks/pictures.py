"""Pictures as published networks were shown them."""

from __future__ import annotations

from typing import Any, Mapping

import torch
from torch import Tensor

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's red, green and blue, 0..1."""


def shown(picture: Tensor, device: torch.device) -> Tensor:
    """A picture (3, H, W), display-referred, as float32 in 0..1 on a device; what is not a number is black.

    Raises:
        ValueError: it is not (3, H, W).
    """
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise ValueError(f"a picture has to be (3, H, W), not {tuple(picture.shape)}")
    return picture.to(device, torch.float32).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)


def normalised(picture: Tensor, told: Mapping[str, Any]) -> Tensor:
    """A picture (3, H, W) less the mean, over the deviation: those told (``image_mean``), else ImageNet's."""
    mean, deviation = (
        picture.new_tensor(told.get(name) or usual).view(3, 1, 1)
        for name, usual in (("image_mean", MEAN), ("image_std", DEVIATION))
    )
    return (picture - mean) / deviation
