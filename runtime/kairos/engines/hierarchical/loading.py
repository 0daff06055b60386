"""Weights of hierarchical motion on ``swift``: those that come with Kairos, or others that kairos train made."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

import torch
from safetensors.torch import save_file
from torch import Tensor

from kairos.engines.files import mismatch, read_tensors
from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.errors import BadRequest
from kairos.weights.store import written_whole

SHIPPED = Path(__file__).parent / "weights" / "hierarchical-swift.safetensors"

_REMEDY = "Give weights made by kairos train hierarchical."


def load_hierarchy(path: Path, device: torch.device) -> SwiftHierarchy:
    """The plug-in with weights from a file, for use, in float32. What it is made of is seen from the weights.

    Raises:
        BadRequest: the file is missing, damaged, or holds another network's weights.
    """
    tensors = read_tensors(path, _REMEDY)
    plugin = SwiftHierarchy(tuple(part for part in PARTS if any(name.startswith(f"{part}.") for name in tensors)))
    problem = mismatch(plugin.state_dict(), tensors)
    if problem:
        raise BadRequest(f"{path} does not hold weights of hierarchical motion on swift: {problem}.", _REMEDY)
    plugin.load_state_dict(tensors)
    plugin.eval().requires_grad_(False)
    return plugin.to(device)


def save_hierarchy(path: Path, plugin: SwiftHierarchy, metadata: Mapping[str, str]) -> None:
    """Writes a plug-in, whole or not at all.

    Args:
        path: of the file.
        plugin: in any precision; kept as it is.
        metadata: how it came to be.

    Raises:
        KairosError: the file cannot be written.
    """
    tensors: Mapping[str, Tensor] = {
        name: each.detach().cpu().contiguous() for name, each in plugin.state_dict().items()
    }
    with written_whole(path) as temporary:
        save_file(dict(tensors), str(temporary), dict(metadata))
