"""Files of weights that belong to Kairos' own networks: which they are, and whether they fit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from kairos.errors import BadRequest
from kairos.unchanged import while_unchanged

REMEDY = "Give weights made by kairos train or kairos adapt."


def read_tensors(path: Path, remedy: str = REMEDY) -> Dict[str, torch.Tensor]:
    """The tensors of a safetensors file, in float32.

    Raises:
        BadRequest: the file is missing or damaged.
    """
    if not path.is_file():
        raise BadRequest(f"There are no weights {path}.", remedy)
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadRequest(f"{path} is damaged or holds no weights.", remedy) from error


def mismatch(wanted: Dict[str, torch.Tensor], found: Dict[str, torch.Tensor]) -> str:
    """What is missing, foreign, of another shape or not finite, in a few words; empty where all fits."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].shape != tensor.shape:
            return f"{name} is {tuple(found[name].shape)} and not {tuple(tensor.shape)}"
        if not bool(found[name].isfinite().all()):
            return f"{name} is not finite"
    return next((f"{name} is foreign" for name in found if name not in wanted), "")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, read again where the file has changed. Raises BadRequest where there is none."""
    try:
        return _hash(path)
    except OSError:
        raise BadRequest(f"There are no weights {path} that can be read.", REMEDY) from None


@while_unchanged(8)
def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
