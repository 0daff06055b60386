"""Names of tensors in official checkpoints, brought to Kairos' own."""

from __future__ import annotations

from typing import Dict, Mapping

from torch import Tensor

_WRAPPER = "module."


def without_prefix(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The names without the prefix that training on several cards leaves before each of them."""
    return {name.removeprefix(_WRAPPER): tensor for name, tensor in tensors.items()}


def without(tensors: Mapping[str, Tensor], *unused: str) -> Dict[str, Tensor]:
    """Without the prefix, and without names that begin with any of ``unused``: what serves training alone."""
    return {name: tensor for name, tensor in without_prefix(tensors).items() if not name.startswith(unused)}
