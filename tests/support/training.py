"""A small real learning problem: a three-layer network learns to sharpen made textures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, FrozenSet, Mapping, Tuple

import torch
from torch import Tensor

from kairos.events import Event
from kairos.training.task import VALIDATION_SEED


@dataclass(frozen=True)
class Textures:
    """Blurred textures and what they were, (B, 1, S, S)."""

    soft: Tensor
    sharp: Tensor


@dataclass(frozen=True)
class Sharpen:
    """The task. At the steps of ``broken`` it hands out a NaN."""

    id: str = "sharpen"
    broken: FrozenSet[int] = frozenset()
    count: int = 4

    def model(self) -> torch.nn.Module:
        return torch.nn.Sequential(
            torch.nn.Conv2d(1, 8, 3, padding=1),
            torch.nn.GELU(),
            torch.nn.BatchNorm2d(8),
            torch.nn.Dropout(0.02),
            torch.nn.Conv2d(8, 1, 5, padding=2),
        )

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> Textures:
        # The global random numbers on purpose: the trainer has to keep them from mattering.
        torch.manual_seed(seed * 100_003 + step)
        sharp = torch.rand(self.count, 1, size, size)
        if step in self.broken:
            sharp[0, 0, 0, 0] = float("nan")
        return Textures(torch.nn.functional.avg_pool2d(sharp, 3, 1, 1).to(device), sharp.to(device))

    def loss(self, model: torch.nn.Module, batch: Textures, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        error = (model(batch.soft) - batch.sharp).square().mean()
        return error, {"error": error.item(), "progress": progress}

    def validate(self, model: torch.nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        batch = self.batch(VALIDATION_SEED, 0, 32, device)
        error = (model(batch.soft) - batch.sharp).square().mean().item()
        return {"score": -10.0 * torch.tensor(error).log10().item(), "mse": error}

    def provenance(self) -> Mapping[str, str]:
        return {"scenes": "textures 1"}


def deaf(event: Event) -> None:
    """Listens to nothing."""
