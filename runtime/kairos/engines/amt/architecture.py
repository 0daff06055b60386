"""AMT's checkpoints: three sizes, told apart by their widths."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional

from torch import nn

from kairos.engines.amt.network import AMT
from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.spelling import without_prefix

_VARIANTS = {20: "amt-s", 48: "amt-l", 84: "amt-g"}
"""By the width of the pyramid's first level."""


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """All widths; None where the state dict is another network's."""
    update = [shapes.get(f"update4.{name}.weight", ()) for name in ("convc1", "convf1", "convf2", "conv", "gru.0")]
    firsts = [shapes.get(f"encoder.pyramid{level}.0.0.weight", ()) for level in (1, 2, 3, 4)]
    ends = [
        shapes.get(f"{name}.weight", ())
        for name in ("feat_encoder.conv2", "comb_block.0", "decoder1.convblock.1.conv2.0", "decoder1.convblock.2")
    ]
    if any(len(shape) != 4 for shape in (*update, *firsts, *ends)):
        return None
    compared, mixing, side, last = ends
    second = shapes.get("update4.convc2.weight")
    correlation, *others = (shape[0] for shape in update)
    widths = [shape[0] for shape in firsts]
    return {
        "variant": _VARIANTS.get(widths[0], "amt"),
        "bottleneck": "feat_encoder.layer1.0.conv3.weight" in shapes,
        "compared": _layers(shapes),
        "outputs": compared[0],
        "widths": widths,
        "kernel": firsts[0][-1],
        "side": side[0],
        "updates": [correlation, second[0] if second else None, *others],
        "high": "update3_high.conv.weight" in shapes,
        "fields": last[1] // 8,
        "mixing": mixing[-1],
    }


def _layers(shapes: Shapes) -> List[int]:
    """Widths of the correlation encoder's layers, by the last convolution of their first block."""
    widths = []
    for layer in ("layer1", "layer2", "layer3", "layer3_2"):
        for conv in ("conv3", "conv2"):
            shape = shapes.get(f"feat_encoder.{layer}.0.{conv}.weight")
            if shape:
                widths.append(shape[0])
                break
    return widths


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    return AMT(**{name: value for name, value in values.items() if name != "variant"})


VARIANTS: Mapping[str, Mapping[str, Value]] = {
    "amt-s": {
        "variant": "amt-s",
        "bottleneck": True,
        "compared": [32, 64, 96],
        "outputs": 84,
        "widths": [20, 32, 44, 56],
        "kernel": 3,
        "side": 20,
        "updates": [64, None, 40, 20, 68, 76],
        "high": False,
        "fields": 3,
        "mixing": 3,
    },
    "amt-l": {
        "variant": "amt-l",
        "bottleneck": False,
        "compared": [64, 72, 128],
        "outputs": 128,
        "widths": [48, 64, 72, 128],
        "kernel": 7,
        "side": 48,
        "updates": [256, 160, 96, 48, 124, 128],
        "high": False,
        "fields": 5,
        "mixing": 7,
    },
    "amt-g": {
        "variant": "amt-g",
        "bottleneck": False,
        "compared": [64, 112, 160, 160],
        "outputs": 128,
        "widths": [84, 96, 112, 128],
        "kernel": 7,
        "side": 84,
        "updates": [256, 192, 128, 64, 188, 192],
        "high": True,
        "fields": 5,
        "mixing": 7,
    },
}

ARCHITECTURE = Architecture(
    id="amt",
    title="AMT: flow corrected by all pairs of features, several fields; paints",
    paper="Li et al., CVPR 2023, arXiv 2304.09790",
    code_licence="CC-BY-NC-4.0",
    weights_licence="CC-BY-NC-4.0 is stated of the code, nothing apart of the weights: non-commercial",
    non_commercial=True,
    recognise=recognise,
    spelled=without_prefix,
    build=build,
    variants=VARIANTS,
)
