"""Kairos' own implicit motion, made to decide in a known way."""

from __future__ import annotations

from typing import Mapping

import torch

from kairos.engines.gimm.anchored import Anchored

SIZES = {"latent": 4, "width": 8, "hidden": 16}
_OWN = 13
"""Of what is told of a motion: that it has arrived at the pixel itself."""


def fresh(seed: int = 1) -> Anchored:
    """A small network as it begins, for use."""
    torch.manual_seed(seed)
    return Anchored(**SIZES).eval().requires_grad_(False)


def deciding(shares: Mapping[int, float]) -> Anchored:
    """The motion is believed of which the sum of what is told in those places, times their shares, is greatest; the
    ends' are not.
    """
    network = fresh()
    for parameter in network.parameters():
        parameter.zero_()
    for told, share in shares.items():
        network.first.weight[0, told] = share
    # What is told stays under this in size.
    network.first.bias[0] = 8.0
    network.second.weight[0, 0] = network.own.weight[0, 0] = network.third.weight[0, 0] = 1.0
    network.last.weight[0, 0] = 1000.0
    # Frames around the pair are believed as they are.
    network.encoder[-1].bias[-2:] = 100.0
    return network


def silent() -> Anchored:
    """What has arrived at a pixel is its own."""
    return deciding({_OWN: 1.0})
