"""Weights of ``swift``: those that come with Kairos, or those fitted to one shot."""

from __future__ import annotations

from pathlib import Path

import torch

from kairos.engines.files import REMEDY, mismatch, read_tensors
from kairos.engines.swift.network import Swift
from kairos.errors import BadRequest

SHIPPED = Path(__file__).parent / "weights" / "swift.safetensors"


def load_network(path: Path, device: torch.device) -> Swift:
    """The network with weights from a file, for use, in float32.

    Raises:
        BadRequest: the file is missing, damaged, or holds another network's weights.
    """
    network, tensors = Swift(), read_tensors(path)
    problem = mismatch(network.state_dict(), tensors)
    if problem:
        raise BadRequest(f"{path} does not hold weights of swift: {problem}.", REMEDY)
    network.load_state_dict(tensors)
    network.eval().requires_grad_(False)
    return network.to(device)
