"""How pictures between two keys are generated, and what a generation carries from step to step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, Tuple

from torch import Tensor

from kairos.errors import BadRequest

CHOICES: Dict[str, Tuple[str, ...]] = {
    "mode": ("rotated", "trf"),
    "guidance": ("average", "weighted"),
    "layers": ("all", "up"),
    "maps": ("full", "half", "host", "recompute"),
}
"""What the fields of :class:`Recipe` that are words may say, the default first."""


@dataclass(frozen=True)
class Recipe:
    """The settings of one generation.

    Attributes:
        frames: pictures, both ends included: as many as the U-Net was trained for (25 or 14).
        steps: noise levels.
        seed: of every random number; the same seed gives the same pictures.
        mode: ``rotated`` injects the forward pass's temporal maps, turned by 180 degrees, into the backward pass;
            ``trf`` runs the plain network both ways.
        guidance: ``average`` uses the mean of the ramp and its reverse, the same for every picture; ``weighted`` the
            ramp itself, and fuses each direction with the weight of its own key's distance.
        low, high: ends of the ramp of guidance.
        repeats: how often a step is made again with fresh noise.
        until: the part of the steps that are repeated, from the first on, 0..1.
        layers: ``all`` temporal self-attention layers are injected, or those of the ``up`` blocks alone.
        fps, bucket, noise: the model's micro-conditioning: frames per second, amount of motion (1..255), strength of
            the noise added to the keys.
        maps: how the maps wait for the backward pass: as they are, in half precision, on the host, or as the queries
            and keys that they are made of again.
        split: the halves of the guidance run one after the other rather than together: half the memory, and slower.

    Raises:
        BadRequest: a value is out of its range.
    """

    frames: int = 25
    steps: int = 50
    seed: int = 0
    mode: str = "rotated"
    guidance: str = "average"
    low: float = 1.0
    high: float = 3.0
    repeats: int = 5
    until: float = 0.5
    layers: str = "all"
    fps: int = 7
    bucket: int = 127
    noise: float = 0.02
    maps: str = "full"
    split: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadRequest(f"{name} is {getattr(self, name)!r}.", f"Give one of {', '.join(choices)}.")
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most):
                raise BadRequest(f"{name} is {value}.", f"Give a number from {least} to {most}.")

    def repeated(self, step: int) -> int:
        """How often a step, counted from 0, is made again."""
        return self.repeats if step < int(self.steps * self.until) else 0

    def evaluations(self, first: int = 0) -> int:
        """How often both directions are predicted, from a step on."""
        return sum(1 + self.repeated(step) for step in range(first, self.steps))

    def passes(self) -> int:
        """Runs of the U-Net per evaluation of both directions."""
        return 4 if self.split else 2


_RANGES: Tuple[Tuple[str, float, float], ...] = (
    ("frames", 2, 100),
    ("steps", 1, 1000),
    ("seed", 0, 2**63 - 1),
    ("low", 0.0, 100.0),
    ("high", 0.0, 100.0),
    ("repeats", 0, 100),
    ("until", 0.0, 1.0),
    ("fps", 1, 60),
    ("bucket", 1, 255),
    ("noise", 0.0, 10.0),
)


@dataclass(frozen=True)
class Conditions:
    """What the U-Net is told about the two keys.

    Attributes:
        latents: of either key, (1, 4, h, w), not scaled; h and w are an eighth of the picture's sides.
        embeds: CLIP embedding of either key, (1, 1, D).
        added_time_ids: frames per second less one, bucket, strength of the noise, (1, 3).
    """

    latents: Tuple[Tensor, Tensor]
    embeds: Tuple[Tensor, Tensor]
    added_time_ids: Tensor

    def __post_init__(self) -> None:
        shapes = {tuple(each.shape) for each in self.latents}
        if len(shapes) != 1 or any(each.dim() != 4 for each in self.latents):
            raise ValueError(f"latents of the keys are (1, 4, h, w) and of one size, not {shapes}")


@dataclass(frozen=True)
class State:
    """A generation after some of its steps. All tensors lie on the host.

    Attributes:
        step: how many steps are finished.
        latents: (1, N, 4, h, w) float32, with the noise that is left.
        clean: (1, N, 4, h, w) float32, what the last evaluation takes for the pictures; scaled like ``latents``.
        generator: state of the random numbers, uint8.
    """

    step: int
    latents: Tensor
    clean: Tensor
    generator: Tensor
