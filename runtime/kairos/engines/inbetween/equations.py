"""The fixed arithmetic of a step: noise levels, guidance, fusion, Euler's update and fresh noise.

Latents are (1, N, 4, h, w). A noise level is a standard deviation, ``sigma``. The network predicts v, which means the
clean latents x0 = z / (sigma^2 + 1) - v * sigma / sqrt(sigma^2 + 1).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Sequence

import torch
from torch import Tensor

from kairos.engines.inbetween.recipe import Recipe


@dataclass(frozen=True)
class Schedule:
    """The noise levels of a generation.

    Attributes:
        sigmas: (steps + 1,) float32, falling, the last one 0.
        timesteps: (steps,) float32, what the network is told of the level: 0.25 * ln(sigma).
        initial: standard deviation of the latents at the start.
    """

    sigmas: Tensor
    timesteps: Tensor
    initial: float


def schedule(scheduler: Any, steps: int) -> Schedule:
    """The levels of a model's scheduler. The scheduler itself is left as it is."""
    fresh = type(scheduler).from_config(scheduler.config)
    fresh.set_timesteps(steps)
    return Schedule(fresh.sigmas.float(), fresh.timesteps.float(), float(fresh.init_noise_sigma))


class Noise:
    """Normal numbers that hang on the seed alone, on whatever device they are used: they are drawn on the host.

    Args:
        seed: any number from 0 on.
        purpose: other numbers for another word.
    """

    def __init__(self, seed: int, purpose: str = "steps") -> None:
        digest = hashlib.sha256(f"{purpose} {seed}".encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next numbers, float32 on the host."""
        return torch.randn(tuple(shape), generator=self._generator)

    def state(self) -> Tensor:
        """Where the numbers are, uint8."""
        return self._generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Goes on from where :meth:`state` was taken."""
        self._generator.set_state(state)


def network_input(latents: Tensor, sigma: float, key: Tensor, backward: bool = False) -> Tensor:
    """What the network sees: latents scaled to unit variance, with a key's latent appended to every frame.

    Args:
        latents: (1, N, 4, h, w).
        sigma: their noise level.
        key: latent of the key frame, (1, 4, h, w).
        backward: in time.

    Returns:
        (2, N, 8, h, w): first without the key (its latent 0), then with it.
    """
    scaled = latents / math.sqrt(sigma**2 + 1)
    if backward:
        scaled = scaled.flip(1)
    repeated = torch.cat([torch.zeros_like(key), key])[:, None].expand(-1, latents.shape[1], -1, -1, -1)
    return torch.cat([scaled.expand(2, -1, -1, -1, -1), repeated.to(scaled.dtype)], dim=2)


def guidance_ramp(recipe: Recipe) -> Tensor:
    """Guidance of every frame in its own direction's order, (N,): the ramp, or its mean with its reverse."""
    ramp = torch.linspace(recipe.low, recipe.high, recipe.frames)
    return ramp if recipe.guidance == "weighted" else (ramp + ramp.flip(0)) / 2


def fusion_weights(recipe: Recipe) -> Tensor:
    """Weight of the forward prediction in every frame, (N,)."""
    if recipe.guidance == "weighted":
        return torch.linspace(1, 0, recipe.frames)
    return torch.full((recipe.frames,), 0.5)


def guided(prediction: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance.

    Args:
        prediction: (2, N, 4, h, w), without and with the key.
        scale: of every frame, (N,).

    Returns:
        (1, N, 4, h, w).
    """
    without, told = prediction.chunk(2)
    return without + _each(scale, prediction) * (told - without)


def fused(forward: Tensor, backward: Tensor, weights: Tensor) -> Tensor:
    """Both directions' predictions as one; ``backward`` is in forward order again. All (1, N, 4, h, w)."""
    share = _each(weights, forward)
    return share * forward + (1 - share) * backward


def clean_estimate(latents: Tensor, prediction: Tensor, sigma: float) -> Tensor:
    """The pictures without noise, x0, that a prediction means."""
    return prediction * (-sigma / math.sqrt(sigma**2 + 1)) + latents / (sigma**2 + 1)


def euler(latents: Tensor, clean: Tensor, sigma: float, following: float) -> Tensor:
    """Euler's step from one noise level to the following."""
    return latents + (latents - clean) / sigma * (following - sigma)


def renoise_sigma(sigma: float, following: float) -> float:
    """Standard deviation of the noise that leads from the following level back to this one."""
    return math.sqrt(max(sigma**2 - following**2, 0.0))


def renoised(latents: Tensor, noise: Tensor, sigma: float, following: float) -> Tensor:
    """Latents of the following level, taken back to this one by fresh normal noise."""
    return latents + noise * renoise_sigma(sigma, following)


def _each(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.to(like.device, like.dtype).reshape(1, -1, 1, 1, 1)
