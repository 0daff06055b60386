"""The proxy that engines see: a log encoding of scene-linear pixels.

Linear near zero and mirrored for negatives (a camera log curve's toe would run off linearly), normalised by the shot's
exposure, never clamped: 0 stays 0, a value at the exposure percentile becomes about 0.65, four stops above it 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterable, Optional

import torch
from torch import Tensor

from kairos.motion.fill import fill_holes

STOPS_BELOW, STOPS_ABOVE = 6.0, 4.0
"""Stops below the exposure where the curve turns linear, and stops above it where the proxy reaches 1."""

PERCENTILE = 0.95
"""Which part of the lit pixels lies under the exposure."""

STEPS_OF_A_STOP = 2
"""What the exposure of a shot is rounded to."""

MIN_ALPHA = 1 / 64
"""Coverage under which premultiplied colour is too little to divide."""

_TOE = 2.0**-STOPS_BELOW
_SLOPE = 1.0 / (_TOE * (1.0 + math.log(2.0) * (STOPS_BELOW + STOPS_ABOVE)))
_KNEE = _TOE * _SLOPE
_SAMPLES = 1 << 16

_LARGEST_SUMMED = 1e30
"""Values are cut to this where a sum over a whole plane has to stay finite."""


def repair(planes: Tensor) -> Tensor:
    """Planes (C, H, W) with NaN and Inf replaced from their finite surroundings, channel by channel."""
    finite = planes.isfinite()
    if bool(finite.all()):
        return planes
    small = planes.clamp(-_LARGEST_SUMMED, _LARGEST_SUMMED)
    filled = torch.cat([fill_holes(plane[None], known[None]) for plane, known in zip(small, finite)])
    return torch.where(finite, planes, filled)


def encode(rgb: Tensor, exposure: float, alpha: Optional[Tensor] = None) -> Tensor:
    """Scene-linear pixels to the proxy.

    Args:
        rgb: (3, H, W) scene-linear; NaN and Inf are repaired from their surroundings.
        exposure: from :func:`shot_exposure`, the same for the whole shot.
        alpha: (1, H, W); where given, colour is taken as premultiplied and divided, so that the soft edge of an element
            does not look like something dark that moves.

    Returns:
        (3, H, W) float32, finite, about 0..1 on ordinary plates.
    """
    linear = repair(rgb.float())
    if alpha is not None:
        linear = linear / _cover(alpha)
    scaled = (linear.abs() / exposure).clamp_(max=torch.finfo(torch.float32).max * _TOE)
    curved = _KNEE * (1.0 + torch.log(scaled.clamp(min=_TOE) / _TOE))
    return torch.where(scaled <= _TOE, scaled * _SLOPE, curved).copysign_(linear)


def decode(proxy: Tensor, exposure: float) -> Tensor:
    """The inverse of :func:`encode` without alpha; nothing is clipped.

    Args:
        proxy: (3, H, W).
        exposure: as given to :func:`encode`.

    Returns:
        (3, H, W) float32 scene-linear.
    """
    size = proxy.float().abs()
    curved = _TOE * torch.exp(size.clamp(min=_KNEE) / _KNEE - 1.0)
    return (torch.where(size <= _KNEE, size / _SLOPE, curved) * exposure).copysign_(proxy.float())


def premultiplied(rgb: Tensor, alpha: Tensor) -> Tensor:
    """Colour (3, H, W) that :func:`encode` would divide by its alpha (1, H, W), multiplied by it again."""
    return rgb * _cover(alpha)


def _cover(alpha: Tensor) -> Tensor:
    """(1, H, W) what colour is divided by: the alpha of soft edges, and 1 elsewhere."""
    cover = torch.nan_to_num(alpha.float(), nan=0.0, posinf=1.0, neginf=0.0)
    return torch.where((cover >= MIN_ALPHA) & (cover < 1), cover, 1.0)


@dataclass(frozen=True)
class Codec:
    """How a shot's colour becomes the proxy and comes back.

    Attributes:
        exposure: of the shot, for scene-linear pixels; None for display-referred ones, which stay as they are.
    """

    exposure: Optional[float] = None

    def encode(self, rgb: Tensor) -> Tensor:
        """(3, H, W) pixels to the proxy, finite."""
        return repair(rgb.float()) if self.exposure is None else encode(rgb, self.exposure)

    def decode(self, proxy: Tensor) -> Tensor:
        """(3, H, W) proxy to pixels, not clipped."""
        return proxy.float() if self.exposure is None else decode(proxy, self.exposure)


def measure_exposure(samples: Iterable[Tensor]) -> float:
    """The exposure of frames: the 95th percentile of the brightest channel over its lit pixels.

    Pixels that are 0, negative or not finite say nothing (black surrounds, outside the data window), and what lies more
    than eight stops under the middle of the rest is taken as black too.

    Args:
        samples: frames of the shot, (3, H, W) scene-linear: always the same ones for the same shot.

    Returns:
        scene-linear value, above 0; 1 where nothing is lit.
    """
    parts = []
    for sample in samples:
        peak = sample.float().amax(0).reshape(-1)
        lit = peak[peak.isfinite() & (peak > 0)]
        parts.append(lit[:: max(1, math.ceil(lit.numel() / _SAMPLES))])
    values = torch.cat(parts) if parts else torch.empty(0)
    if values.numel() == 0:
        return 1.0
    ordered = values.double().sort().values
    floor = ordered[(ordered.numel() - 1) // 2] / 256.0
    ordered = ordered[ordered >= floor]
    return float(ordered[round((ordered.numel() - 1) * PERCENTILE)])


def shot_exposure(samples: Iterable[Tensor]) -> float:
    """What a shot is encoded by: its measured exposure, rounded to half a stop.

    So a few frames of a shot, or the shot with some frames more, come as a rule to the very same value, and each frame
    made of them to the same bits: the search for motion has to choose, and the least difference may tip it.

    Args:
        samples: as of :func:`measure_exposure`.

    Returns:
        scene-linear value, above 0; 1 where nothing is lit.
    """
    return float(2.0 ** (round(math.log2(measure_exposure(samples)) * STEPS_OF_A_STOP) / STEPS_OF_A_STOP))
