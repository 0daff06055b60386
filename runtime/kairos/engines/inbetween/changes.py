"""What tuning changes in a U-Net: differences of two matrices in every layer of temporal self-attention.

A file of differences is a safetensors file whose keys are the U-Net's own. Tuned on the 14-frame model, they are added
to the 25-frame one (its layers have the same shapes): W + (W_tuned - W_14).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Mapping, Sequence, Tuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from kairos.errors import BadRequest
from kairos.weights.folders import open_tensors

LAYER = re.compile(r"^(?:.+\.)?temporal_transformer_blocks\.0\.attn1$")
"""Names of the layers of temporal self-attention."""

TUNED = ("to_v.weight", "to_out.0.weight")
"""The tensors of such a layer that tuning changes."""

_MEANT = (
    "Give differences that kairos train inbetween made, or that kairos weights add made of a tuned U-Net and its base."
)


@dataclass(frozen=True)
class Changes:
    """Differences to be added to any base of the same shapes.

    Attributes:
        tensors: by the U-Net's own key names, two of each layer of temporal self-attention.
    """

    tensors: Mapping[str, Tensor]


def tuned_keys(keys: Iterable[str]) -> Tuple[str, ...]:
    """Of a U-Net's keys those that tuning changes, in their order: 32 of the published model's."""
    return tuple(key for key in keys if _layer(key))


def changes_between(tuned: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> Changes:
    """Tuned less base, in single precision.

    Args:
        tuned, base: tensors of two U-Nets; others than those that tuning changes are passed over.

    Raises:
        BadRequest: they are of two architectures, or of none with temporal self-attention.
    """
    keys = tuned_keys(tuned)
    if not keys:
        raise BadRequest("The tuned U-Net has no temporal self-attention.", "Give the U-Net of a tuned video model.")
    _compare({key: tuned[key].shape for key in keys}, {key: base[key].shape for key in tuned_keys(base)})
    return Changes({key: tuned[key].float() - base[key].float() for key in keys})


def changes_of_files(tuned: Sequence[Path], base: Sequence[Path]) -> Changes:
    """Tuned less base, read from the files of two U-Nets (``Found.tensors["unet"]``) without the rest of them.

    Raises:
        BadRequest: as for :func:`changes_between`, or a file is damaged.
    """
    return changes_between(_tuned_tensors(tuned), _tuned_tensors(base))


def check_changes(changes: Changes, unet: nn.Module) -> None:
    """Raises BadRequest where differences are for a U-Net of another architecture."""
    shapes = {key: value.shape for key, value in unet.state_dict().items()}
    _compare(
        {key: value.shape for key, value in changes.tensors.items()}, {key: shapes[key] for key in tuned_keys(shapes)}
    )


def load_changes(path: Path) -> Changes:
    """Reads a file of differences, in single precision.

    Raises:
        BadRequest: it is a pickle, a whole U-Net or something else, holds a value that is no number, or is damaged.
    """
    if path.suffix != ".safetensors":
        raise BadRequest(f"{path} is no safetensors file, and nothing of it was run.", _MEANT)
    try:
        with safe_open(path, "pt") as opened:
            keys = list(opened.keys())
            if tuned_keys(keys) and len(tuned_keys(keys)) < len(keys):
                raise BadRequest(f"{path} holds a whole U-Net rather than the differences to its base.", _MEANT)
            if not keys or not tuned_keys(keys):
                raise BadRequest(f"{path} holds no differences of temporal self-attention.", _MEANT)
            tensors = {key: opened.get_tensor(key).float() for key in keys}
    except (SafetensorError, OSError, ValueError) as error:
        raise BadRequest(f"{path} is damaged or cut short.", "Get the file from where it was made again.") from error
    bad = [key for key, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        raise BadRequest(f"{path} holds values that are no numbers ({bad[0]}).", "Get the file from its authors again.")
    return Changes(tensors)


def _layer(key: str) -> str:
    """The layer of a tuned tensor; empty for another."""
    for end in TUNED:
        if key.endswith(f".{end}"):
            name = key[: -len(end) - 1]
            return name if LAYER.match(name) else ""
    return ""


def _tuned_tensors(files: Sequence[Path]) -> Dict[str, Tensor]:
    tensors: Dict[str, Tensor] = {}
    for file in files:
        with open_tensors(file) as opened:
            tensors.update({key: opened.get_tensor(key) for key in tuned_keys(opened.keys())})
    return tensors


def _compare(given: Mapping[str, torch.Size], wanted: Mapping[str, torch.Size]) -> None:
    if not wanted:
        raise BadRequest("The model has no temporal self-attention to be changed.", "Give Stable Video Diffusion.")
    missing, odd = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or odd:
        raise BadRequest(
            f"The differences are for another architecture: {(missing or odd)[0]} is in one of the two alone.", _MEANT
        )
    for key, shape in wanted.items():
        if given[key] != shape:
            raise BadRequest(
                f"The differences are for another architecture: {key} is {tuple(given[key])}, not {tuple(shape)}.",
                _MEANT,
            )
