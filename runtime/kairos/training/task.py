"""What the trainer asks of the thing it trains."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Protocol, Tuple, runtime_checkable

import torch
from torch import Tensor

VALIDATION_SEED = 1_618_033_988
"""Seed of the made scenes on which checkpoints are chosen and the synthetic bench judges: nothing is trained on it."""


class Task(Protocol):
    """A network, the data it learns from, and how good it is."""

    id: str
    """Name on the command line and in the provenance record."""

    def model(self) -> torch.nn.Module:
        """A fresh network on the CPU. The trainer has seeded torch before."""

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> Any:
        """What one step learns from.

        A pure function of its arguments: the same whenever and in whichever process it is asked. How many scenes it
        holds and how they are made is the task's own business.

        Args:
            seed: of the whole training, never :data:`VALIDATION_SEED`.
            step: counted from 0.
            size: side of the square crop, pixels.
            device: where its tensors go.
        """

    def loss(self, model: torch.nn.Module, batch: Any, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        """The scalar to be made smaller, and its parts by name for the log.

        ``progress`` is how much of the training is behind, 0..1.
        """

    def validate(self, model: torch.nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        """Figures over ``count`` scenes of :data:`VALIDATION_SEED`.

        ``score`` (higher is better) is among them and picks the best weights. The model is in evaluation mode.
        """


@runtime_checkable
class Provenanced(Protocol):
    """A task that adds to the provenance record of its weights."""

    def provenance(self) -> Mapping[str, str]:
        """What the weights were made from: the version of the scenes, say."""


@runtime_checkable
class Conditioned(Protocol):
    """A task that goes on only as it began."""

    def conditions(self) -> str:
        """What has to be given again, as on the command line; empty where nothing has to."""


@runtime_checkable
class Written(Protocol):
    """A task whose weights files hold something else than its network's tensors: what they differ by from others', say.

    The state of a training holds the tensors themselves, so that it goes on exactly.
    """

    def written(self, model: torch.nn.Module) -> Mapping[str, Tensor]:
        """What goes into a weights file."""

    def read(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The network's tensors, of such a file's."""


@runtime_checkable
class Sampling(Protocol):
    """A task that says how many samples are in a batch, for the log and the record."""

    def samples(self, batch: Any) -> int:
        """Samples in a batch that :meth:`Task.batch` made."""
