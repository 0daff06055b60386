"""The motion network as an estimator of the motion between two frames."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.classic.motion import Found, Look
from kairos.engines.swift.meeting import padded
from kairos.engines.swift.network import FINE, Estimate, Features, Swift, levels_of
from kairos.engines.swift.prior import classical_prior
from kairos.motion.tiling import resize, resize_flow

_KEPT = 4
"""Frames whose features are kept."""


class SwiftEstimator:
    """Motion both ways between two proxies.

    Args:
        network: in evaluation mode, on the device of the shot.
        dtype: of the network's arithmetic; places are float32 throughout.
        use_prior: begin from a quick classical search.
        scale: size at which motion is found, part of the frame's.
    """

    def __init__(self, network: Swift, dtype: torch.dtype, use_prior: bool, scale: float = 1.0) -> None:
        self._network, self._dtype = network, dtype
        self._use_prior, self._scale = use_prior, scale
        self._features: OrderedDict[int, Features] = OrderedDict()

    def __call__(self, first: Look, second: Look) -> Found:
        """(2, H, W) pixels both ways, and what is hidden."""
        height, width = first.proxy.shape[-2:]
        one, two = self._picture(first.proxy), self._picture(second.proxy)
        size = (one.shape[-2], one.shape[-1])
        with torch.inference_mode():
            prior = None
            if self._use_prior:
                prior = padded(classical_prior(one, two).to(one.device))
            estimates, flow = self._network.motion(self._features_of(first, one), self._features_of(second, two), prior)
            hidden = hidden_of(estimates[-1])
        there, back = (resize_flow(each[:, : size[0], : size[1]], height, width) for each in flow.float())
        hidden0, hidden1 = (resize(each[:, : size[0], : size[1]], height, width) for each in hidden)
        return Found(there.clone(), back.clone(), hidden0.clone(), hidden1.clone())

    def _picture(self, proxy: Tensor) -> Tensor:
        if self._scale == 1.0:
            return proxy
        height, width = proxy.shape[-2:]
        return resize(proxy, max(1, round(height * self._scale)), max(1, round(width * self._scale)))

    def _features_of(self, look: Look, picture: Tensor) -> Features:
        if look.position is not None and look.position in self._features:
            self._features.move_to_end(look.position)
            return self._features[look.position]
        image = padded(picture[None]).to(self._dtype)
        found: Features = self._network.motion.encoder(image, levels_of(image.shape[-2], image.shape[-1]))
        if look.position is not None:
            self._features[look.position] = found
            while len(self._features) > _KEPT:
                self._features.popitem(last=False)
        return found


def hidden_of(estimate: Estimate) -> Tensor:
    """(2B, 1, H, W) in 0..1 at full size, not visible in the other frame."""
    return F.interpolate(torch.sigmoid(estimate.hidden.float()), scale_factor=FINE, mode="bilinear")
