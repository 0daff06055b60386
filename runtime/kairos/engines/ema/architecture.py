"""EMA-VFI's checkpoints: two sizes, told apart by their widths. Those for any time look like those for the middle."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.ema.network import EMA
from kairos.engines.spelling import without_prefix

_VARIANTS = {16: "ema-vfi-small", 32: "ema-vfi"}
"""By the width of the first stage."""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Without the prefix, and without masks that hang on the size of the last frame seen."""
    names = without_prefix(tensors)
    return {name: tensor for name, tensor in names.items() if "attn_mask" not in name and "HW" not in name}


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """Width and depths; None where the state dict is another network's."""
    first = shapes.get("feature_bone.block1.conv.0.weight", ())
    if len(first) != 4 or "unet.conv.weight" not in shapes:
        return None
    depths = [
        sum(f"feature_bone.block{stage}.{number}.norm1.weight" in shapes for number in range(64)) for stage in (4, 5)
    ]
    return {"variant": _VARIANTS.get(first[0], "ema-vfi"), "width": first[0], "depths": depths}


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    four, five = values["depths"]
    return EMA(values["width"], (four, five))


VARIANTS: Mapping[str, Mapping[str, Value]] = {
    "ema-vfi-small": {"variant": "ema-vfi-small", "width": 16, "depths": [2, 2]},
    "ema-vfi": {"variant": "ema-vfi", "width": 32, "depths": [4, 4]},
}

ARCHITECTURE = Architecture(
    id="ema",
    title="EMA-VFI: attention between the frames tells motion and appearance",
    paper="Zhang et al., CVPR 2023, arXiv 2303.00440",
    code_licence="Apache-2.0",
    weights_licence="none stated apart from the code's Apache-2.0",
    non_commercial=False,
    recognise=recognise,
    spelled=spelled,
    build=build,
    variants=VARIANTS,
)
