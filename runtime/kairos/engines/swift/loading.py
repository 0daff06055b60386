"""Weights of ``swift``: those that come with Kairos, or those fitted to one shot."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Dict

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from kairos.engines.swift.network import Swift
from kairos.errors import BadRequest

SHIPPED = Path(__file__).parent / "weights" / "swift.safetensors"

_REMEDY = "Give weights made by kairos train or kairos adapt."


def load_network(path: Path, device: torch.device) -> Swift:
    """The network with weights from a file, for use, in float32.

    Raises:
        BadRequest: the file is missing, damaged, or holds another network's weights.
    """
    if not path.is_file():
        raise BadRequest(f"There are no weights {path}.", _REMEDY)
    network = Swift()
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadRequest(f"{path} is damaged or holds no weights.", _REMEDY) from error
    problem = mismatch(network.state_dict(), tensors)
    if problem:
        raise BadRequest(f"{path} does not hold weights of swift: {problem}.", _REMEDY)
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return network.to(device)


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
        status = path.stat()
    except OSError:
        raise BadRequest(f"There are no weights {path}.", _REMEDY) from None
    return _hash(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _hash(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
