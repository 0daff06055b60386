"""The look in which the network is shown encoded keys: an ordinary display picture, and the way back.

The network knows pictures as people look at them: sRGB's gamma, a white near the top. The encoding of scene-linear
pixels is flatter. Both keys are shown through one curve, so that their exposures go on matching.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import torch
from torch import Tensor

from kairos.errors import BadRequest
from kairos.motion.encode import decode, encode, measure_exposure

CURVES = ("auto", "log", "display")

KNEE = 0.8
"""Shown value over which highlights are compressed; where the exposure's percentile lies."""

_WHITE = 0.65
"""Proxy value of the exposure in the log encoding, see :mod:`kairos.motion.encode`."""

_NEAR = 0.02
"""How near the percentile of two keys' proxies lies to it where they are log-encoded."""

_ROOM = 0.18
"""Encoded, two stops: how far over the knee white lies at most. What is brighter is shown white, and comes from the
keys: where the network invents something white it must not become a lamp.
"""

_STEP = 1e-3
"""Encoded; for the slope of the curve at its knee."""


@dataclass(frozen=True)
class Look:
    """A curve from encoded to shown values, channel by channel. Made by :func:`look_of`.

    Attributes:
        log: encoded values are logarithmic; they are display-referred otherwise.
        gain: factor on relative light before the gamma (``log`` alone).
        knee: encoded value that is shown as :data:`KNEE`.
        peak: least encoded value that is shown as 1, over ``knee``; infinite where nothing is compressed.
        bend: how far the shoulder's slope falls: it is ``1 + bend`` times steeper at the knee than on the straight
            line to the peak.
    """

    log: bool
    gain: float
    knee: float
    peak: float
    bend: float

    def show(self, encoded: Tensor) -> Tensor:
        """(3, H, W) encoded to shown, 0..1: negative values are shown black, what is above the peak white."""
        if self.peak == float("inf"):
            return encoded.clamp(0, 1)
        part = ((encoded - self.knee) / (self.peak - self.knee)).clamp(0, 1)
        shoulder = KNEE + (1 - KNEE) * (1 + self.bend) * part / (1 + self.bend * part)
        return torch.where(encoded <= self.knee, self._body(encoded.clamp(0, self.knee)), shoulder)

    def encode(self, shown: Tensor) -> Tensor:
        """(3, H, W) shown, about 0..1, to encoded, from 0 to the peak. The inverse of :meth:`show` between these."""
        shown = shown.float().clamp(0, 1)
        if self.peak == float("inf"):
            return shown
        part = (shown - KNEE).clamp(min=0) / (1 - KNEE)
        shoulder = self.knee + (self.peak - self.knee) * part / (1 + self.bend * (1 - part))
        return torch.where(shown <= KNEE, self._body_back(shown.clamp(max=KNEE)), shoulder)

    def beyond(self, encoded: Tensor) -> Tensor:
        """(1, H, W) in 0..1, where an encoded picture (3, H, W) holds what the look compresses or cannot show: any
        channel above the knee, or negative.
        """
        width = 0.5 * (self.peak - self.knee) if self.peak != float("inf") else 1.0
        above = (encoded.amax(0, keepdim=True) - self.knee) / min(width, 0.1)
        below = encoded.amin(0, keepdim=True) / -0.01
        return torch.maximum(above, below).clamp(0, 1)

    def _body(self, encoded: Tensor) -> Tensor:
        return _gamma(decode(encoded, 1.0) * self.gain) if self.log else encoded

    def _body_back(self, shown: Tensor) -> Tensor:
        return encode(_light(shown) / self.gain, 1.0) if self.log else shown


def look_of(first: Tensor, second: Tensor, curve: str = "auto") -> Look:
    """The look for two keys, (3, H, W) encoded each, at any size: their exposure is shown at :data:`KNEE`.

    ``curve`` is one of :data:`CURVES`. Raises BadRequest for another.
    """
    check(curve)
    peak = max(float(first.max()), float(second.max()))
    if not (curve == "log" or (curve == "auto" and _is_log(first, second))):
        if peak <= 1.0:
            return Look(False, 1.0, 1.0, float("inf"), 0.0)
        return _shouldered(False, 1.0, KNEE, peak)
    light = _exposure(first, second)
    gain = float(_light(torch.tensor(KNEE))) / light
    return _shouldered(True, gain, _encoded(light), peak)


def check(curve: str) -> None:
    """Raises BadRequest for a curve that is not known."""
    if curve not in CURVES:
        raise BadRequest(f"curve={curve} is not known.", f"Use one of {', '.join(CURVES)}.")


def _shouldered(log: bool, gain: float, knee: float, peak: float) -> Look:
    """A look whose shoulder goes on as steeply as its body ends."""
    body = Look(log, gain, knee, knee + 1, 0.0)
    below, at = (body.show(torch.full((3, 1, 1), place))[0, 0, 0] for place in (knee - _STEP, knee))
    slope = max(float(at - below) / _STEP, 1e-3)
    straight = knee + (1 - KNEE) / slope
    peak = max(min(peak, knee + _ROOM), straight)
    return Look(log, gain, knee, peak, slope * (peak - knee) / (1 - KNEE) - 1.0)


def _is_log(first: Tensor, second: Tensor) -> bool:
    """Display-referred pixels lie in 0..1. Log-encoded ones may, too, but their percentile is that of the encoding."""
    low, high = zip(*(_extremes(key) for key in (first, second)))
    if min(low) < 0 or max(high) > 1:
        return True
    if max(high) <= 0:
        return False
    # Measured as the encoding measured it: what lies far under the middle does not count.
    return abs(_encoded(_exposure(first, second)) - _WHITE) < _NEAR


def _exposure(first: Tensor, second: Tensor) -> float:
    """The exposure of two encoded keys, as light."""
    return measure_exposure([decode(key, 1.0) for key in (first, second)])


def _encoded(light: float) -> float:
    return float(encode(torch.full((3, 1, 1), light), 1.0)[0, 0, 0])


def _extremes(key: Tensor) -> Tuple[float, float]:
    return float(key.min()), float(key.max())


def _gamma(light: Tensor) -> Tensor:
    """sRGB's encoding (IEC 61966-2-1), light at least 0."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _light(shown: Tensor) -> Tensor:
    """Its inverse."""
    return torch.where(shown <= 0.04045, shown / 12.92, ((shown.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)
