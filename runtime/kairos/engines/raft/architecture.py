"""RAFT's checkpoints: two sizes, each named by its authors or by torchvision."""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Tuple

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.raft.network import RAFT
from kairos.engines.spelling import without_prefix

_TORCHVISION: Tuple[Tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^feature_encoder\.", "fnet."),
        (r"^context_encoder\.", "cnet."),
        (r"^([fc]net)\.convnormrelu\.0\.", r"\1.conv1."),
        (r"^([fc]net)\.convnormrelu\.1\.", r"\1.norm1."),
        (r"\.convnormrelu(\d)\.0\.", r".conv\1."),
        (r"\.convnormrelu(\d)\.1\.", r".norm\1."),
        (r"^([fc]net)\.conv\.", r"\1.conv2."),
        (r"\.motion_encoder\.convcorr(\d)\.0\.", r".encoder.convc\1."),
        (r"\.motion_encoder\.convflow(\d)\.0\.", r".encoder.convf\1."),
        (r"\.motion_encoder\.conv\.0\.", ".encoder.conv."),
        (r"\.recurrent_block\.convgru(\d)\.conv([zrq])\.", r".gru.conv\2\1."),
        (r"^mask_predictor\.convrelu\.0\.", "update_block.mask.0."),
        (r"^mask_predictor\.conv\.", "update_block.mask.2."),
    )
)
_ALIAS = re.compile(r"^cnet\.layer\d\.0\.norm3\.")
"""The authors' large network keeps the norm of a shortcut twice; under this name the small one keeps another."""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The authors' names, each tensor once."""
    names = without_prefix(tensors)
    found: Dict[str, Tensor] = {}
    for name, tensor in names.items():
        new = name
        for pattern, replacement in _TORCHVISION:
            new = pattern.sub(replacement, new)
        if new != name and "update_block.recurrent_block.convgru2.convz.weight" not in names:
            new = re.sub(r"\.gru\.conv([zrq])1\.", r".gru.conv\1.", new)
        if not (_ALIAS.match(new) and _ALIAS.sub(new[: new.index("norm3")] + "downsample.1.", new) in names):
            found[new] = tensor
    return found


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """Large or small; None where the state dict is another network's."""
    correlation = shapes.get("update_block.encoder.convc1.weight")
    if shapes.get("fnet.conv2.weight") == (256, 128, 1, 1) and correlation == (256, 324, 1, 1):
        return {"variant": "raft-large", "large": True}
    if shapes.get("fnet.conv2.weight") == (128, 96, 1, 1) and correlation == (96, 196, 1, 1):
        return {"variant": "raft-small", "large": False}
    return None


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    return RAFT(values["large"])


VARIANTS: Mapping[str, Mapping[str, Value]] = {
    "raft-small": {"variant": "raft-small", "large": False},
    "raft-large": {"variant": "raft-large", "large": True},
}

ARCHITECTURE = Architecture(
    id="raft",
    title="RAFT: flow between two frames, by all pairs of their features",
    paper="Teed and Deng, ECCV 2020, arXiv 2003.12039",
    code_licence="BSD-3-Clause",
    weights_licence="BSD-3-Clause",
    non_commercial=False,
    recognise=recognise,
    spelled=spelled,
    build=build,
    variants=VARIANTS,
)
