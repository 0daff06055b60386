"""Weights of the plug-in for ``swift``."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping

import torch
from safetensors.torch import save_file

from kairos.engines.files import REMEDY, mismatch, read_tensors
from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.plugged_swift import SwiftHierarchy
from kairos.errors import BadRequest
from kairos.weights.store import written_whole

SHIPPED = Path(__file__).parent / "weights" / "hierarchical-swift.safetensors"


def load_hierarchy(path: Path, device: torch.device) -> SwiftHierarchy:
    """The plug-in with weights from a file, for use, in float32; its parts and width are read off the file.

    Raises:
        BadRequest: the file is missing, damaged, or holds anything else.
    """
    tensors = read_tensors(path)
    parts = tuple(part for part in PARTS if any(name.startswith(f"{part}.") for name in tensors))
    first = tensors.get("inter.0.0.weight")
    if first is None or first.ndim != 4:
        raise BadRequest(f"{path} does not hold a plug-in of swift.", REMEDY)
    plugin = SwiftHierarchy(parts, len(first))
    problem = mismatch(plugin.state_dict(), tensors)
    if problem:
        raise BadRequest(f"{path} does not hold a plug-in of swift: {problem}.", REMEDY)
    plugin.load_state_dict(tensors)
    return plugin.eval().requires_grad_(False).to(device)


def save_hierarchy(path: Path, plugin: SwiftHierarchy, metadata: Mapping[str, str]) -> None:
    """Writes a plug-in, the file replaced whole.

    Args:
        path: of the file.
        plugin: in any precision, kept as it is.
        metadata: for people: where the weights come from.

    Raises:
        KairosError: the file cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in plugin.state_dict().items()}
    with written_whole(path) as temporary:
        save_file(tensors, str(temporary), dict(metadata))
