"""What tuning changes in a U-Net: differences of two matrices in every layer of temporal self-attention."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from torch import Tensor

TUNED = ("to_v.weight", "to_out.0.weight")
"""The tensors of a temporal self-attention layer that tuning changes."""


@dataclass(frozen=True)
class Changes:
    """Differences to be added to any base of the same shapes.

    Attributes:
        tensors: by the U-Net's own key names.
    """

    tensors: Mapping[str, Tensor]


def load_changes(path: Path) -> Changes:
    """Reads a file of differences. Raises BadRequest where it is none, or damaged."""
    raise NotImplementedError


def save_changes(path: Path, changes: Changes) -> None:
    """Writes a file of differences (safetensors), half precision."""
    raise NotImplementedError


def changes_between(tuned: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Changes:
    """Tuned less base, of two U-Nets' tensors. Raises BadRequest where their shapes differ."""
    raise NotImplementedError


def check_changes(changes: Changes, unet: Any) -> None:
    """Raises BadRequest where differences do not fit a U-Net."""
    raise NotImplementedError


def tuned_keys(unet: Any) -> Mapping[str, Tensor]:
    """The U-Net's tensors that tuning changes, by their names: 32 of the published model."""
    raise NotImplementedError
