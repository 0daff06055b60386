"""Motion vectors and masks as layers of the output, in the layout that a host expects."""

from __future__ import annotations

from fractions import Fraction
from typing import Dict, List, Optional, Tuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from kairos_nodes.channels import mask_channels, vector_channels

from .paths import Field, Paths


def vector_planes(preset: str, forward: Field, backward: Field, display_size: Tuple[int, int]) -> Dict[str, Tensor]:
    """Channel name -> (H, W) of one preset; nothing for ``none``.

    Args:
        preset: a vectors preset of ``kairos_nodes.channels``.
        forward, backward: motion to the next and to the previous output frame.
        display_size: width and height of the display window, what ``normalized`` vectors are fractions of.
    """
    flows = {"forward": forward.flow, "backward": backward.flow}
    return {
        channel.name: flows[channel.source]["xy".index(channel.axis)] * channel.factor(*display_size)
        for channel in vector_channels(preset)
    }


def mask_planes(preset: str, forward: Field, backward: Field, confidence: Tensor, blend: Tensor) -> Dict[str, Tensor]:
    """Channel name -> (H, W) of the masks that go with one preset; all in 0..1."""
    planes = {
        "occlusion_forward": forward.occlusion[0],
        "occlusion_backward": backward.occlusion[0],
        "confidence": confidence[0],
        "blend": blend[0],
    }
    return {channel: planes[kind] for kind, channel in mask_channels(preset).items()}


def neighbours(
    paths: Paths, here: Fraction, following: Optional[Fraction], previous: Optional[Fraction]
) -> Tuple[Field, Field]:
    """Motion from the output frame at ``here`` to the next and to the previous one; None = there is no such frame."""
    forward = paths.nowhere() if following is None else paths.field(here, following)
    backward = paths.nowhere() if previous is None else paths.field(here, previous)
    return forward, backward


def as_planes(channels: Dict[str, Tensor]) -> Tuple[List[str], npt.NDArray[np.float32]]:
    """Names and (C, H, W) float32 planes of a channel table, in its order."""
    names = list(channels)
    planes = np.stack([np.ascontiguousarray(channels[name].cpu().numpy(), np.float32) for name in names])
    return names, planes
