"""The five parts of Stable Video Diffusion, read from a folder of this machine. Nothing is downloaded, nothing is run."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Parts:
    """The model, ready for use.

    Attributes:
        unet: ``UNetSpatioTemporalConditionModel``.
        vae: ``AutoencoderKLTemporalDecoder``.
        image_encoder: ``CLIPVisionModelWithProjection``.
        mean, deviation: of the pictures that the image encoder sees, (3, 1, 1).
        scheduler: ``EulerDiscreteScheduler``: its configuration alone is used.
        frames: pictures that the U-Net was trained for.
        device: that computes.
        dtype: of the networks.
        offload: a part lies on the device only while it works.
    """

    unet: Any
    vae: Any
    image_encoder: Any
    mean: Tensor
    deviation: Tensor
    scheduler: Any
    frames: int
    device: torch.device
    dtype: torch.dtype
    offload: bool = False

    @contextmanager
    def working(self, name: str) -> Iterator[Any]:
        """A part (``unet``, ``vae`` or ``image_encoder``) on the device, in evaluation mode."""
        part = getattr(self, name)
        part.to(self.device)
        try:
            yield part
        finally:
            if self.offload:
                part.to("cpu")


@dataclass(frozen=True)
class Found:
    """A folder whose parts are all there.

    Attributes:
        folder: of the model.
        frames: pictures that its U-Net was trained for.
        files: that are needed, relative to the folder.
    """

    folder: Path
    frames: int
    files: Tuple[str, ...]


def unavailable() -> str:
    """Why the libraries cannot be used here, in one line with the remedy; empty where they can."""
    raise NotImplementedError


def find_parts(folder: Path, frames: Optional[int] = None) -> Found:
    """Looks at a folder without reading tensors.

    Args:
        folder: of the model, as hubs publish it.
        frames: pictures that are asked for; None takes any.

    Raises:
        BadRequest: a part is missing, it is another model, its weights are a pickle, or it makes another number.
    """
    raise NotImplementedError


def load_parts(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    frames: Optional[int] = None,
    offload: bool = False,
) -> Parts:
    """Reads the five parts.

    Args:
        folder: of the model.
        device, dtype, frames, offload: see :class:`Parts` and :func:`find_parts`.

    Raises:
        BadRequest: as for :func:`find_parts`, or a file is damaged.
        EngineError: the libraries are missing.
    """
    raise NotImplementedError
