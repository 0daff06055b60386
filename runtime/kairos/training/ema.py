"""The running mean of a network's weights: what is validated, kept and shipped."""

from __future__ import annotations

import copy

import torch


class Ema:
    """An exponential mean over training steps.

    Args:
        model: its weights are where the mean starts.
        decay: part of the mean that an update keeps, once many have passed.

    Attributes:
        model: a copy of the network that holds the mean, in evaluation mode and without gradients.
        updates: how many there were.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: torch.nn.Module) -> None:
        """Takes the network's present weights into the mean; what is no floating-point weight is copied."""
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        new = model.state_dict()
        for name, mean in self.model.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(new[name], 1.0 - decay)
            else:
                mean.copy_(new[name])
