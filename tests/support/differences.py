"""Tuned differences as their definition has them, told apart from how Kairos runs them beside a base."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping

import torch
from safetensors.torch import save_file
from torch import Tensor

from kairos.engines.inbetween.changes import Changes


def merged(changes: Changes, base: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The tensors of a U-Net with the differences added to them."""
    assert changes.tensors.keys() <= base.keys()
    return {
        key: value + changes.tensors[key].to(value.dtype) if key in changes.tensors else value
        for key, value in base.items()
    }


def write_changes(path: Path, changes: Changes, dtype: torch.dtype = torch.float16) -> Path:
    """A file of differences."""
    save_file({key: value.to(dtype).contiguous() for key, value in changes.tensors.items()}, path)
    return path
