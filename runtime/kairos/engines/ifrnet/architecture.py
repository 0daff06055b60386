"""IFRNet's checkpoints: three sizes, told apart by their widths."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

from torch import nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.ifrnet.network import IFRNet
from kairos.engines.spelling import without_prefix

_VARIANTS = {24: "ifrnet-s", 32: "ifrnet", 64: "ifrnet-l"}
"""By the width of the first level."""


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """Widths, first kernel and side channels; None where the state dict is another network's."""
    firsts = [shapes.get(f"encoder.pyramid{level}.0.0.weight", ()) for level in (1, 2, 3, 4)]
    side = shapes.get("decoder1.convblock.1.conv2.0.weight", ())
    if any(len(shape) != 4 for shape in (*firsts, side)) or "feat_encoder.conv1.weight" in shapes:
        return None
    widths = [shape[0] for shape in firsts]
    return {
        "variant": _VARIANTS.get(widths[0], "ifrnet"),
        "widths": widths,
        "kernel": firsts[0][-1],
        "side": side[0],
    }


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    one, two, three, four = values["widths"]
    return IFRNet((one, two, three, four), values["kernel"], values["side"])


VARIANTS: Mapping[str, Mapping[str, Value]] = {
    "ifrnet-s": {"variant": "ifrnet-s", "widths": [24, 36, 54, 72], "kernel": 3, "side": 24},
    "ifrnet": {"variant": "ifrnet", "widths": [32, 48, 72, 96], "kernel": 3, "side": 32},
    "ifrnet-l": {"variant": "ifrnet-l", "widths": [64, 96, 144, 192], "kernel": 7, "side": 64},
}

ARCHITECTURE = Architecture(
    id="ifrnet",
    title="IFRNet: flow and an intermediate feature refined together",
    paper="Kong et al., CVPR 2022, arXiv 2205.14620",
    code_licence="MIT",
    weights_licence="none stated apart from the code's MIT",
    non_commercial=False,
    recognise=recognise,
    spelled=without_prefix,
    build=build,
    variants=VARIANTS,
)
