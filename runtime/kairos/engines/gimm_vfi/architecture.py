"""GIMM-VFI's checkpoints: the network on RAFT; every width beside RAFT's is read from the shapes."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.gimm.architecture import CODE_LICENCE, OFFICIAL, WEIGHTS_LICENCE, sizes
from kairos.engines.gimm_vfi.network import GIMMVFI
from kairos.engines.raft.architecture import ARCHITECTURE as RAFT
from kairos.engines.spelling import without_prefix

_RAFT = "flow_estimator."

_FIRSTS = {
    "context": "amt_second_last_cproj",
    "matched": "amt_fproj",
    "inner": "amt_init_decoder.upsample.1.0",
    "feature": "amt_init_decoder.convblock.0.0",
    "fine": "amt_final_decoder.upsample.7",
    "painter": "amt_final_decoder.convblock.0.0",
    "side": "amt_final_decoder.convblock.1.conv2.0",
}
"""Arguments that are the number of outputs of a convolution."""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """RAFT within it as Kairos spells RAFT: each tensor once."""
    names = without_prefix(tensors)
    others = {name: tensor for name, tensor in names.items() if not name.startswith(_RAFT)}
    raft = {name.removeprefix(_RAFT): tensor for name, tensor in names.items() if name.startswith(_RAFT)}
    return {**others, **{_RAFT + name: tensor for name, tensor in RAFT.spelled(raft).items()}}


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """All widths; None where the state dict is another network's, that on another flow than RAFT's among them."""
    raft = {name.removeprefix(_RAFT): shape for name, shape in shapes.items() if name.startswith(_RAFT)}
    motion, estimator = sizes(shapes), RAFT.recognise(raft)
    firsts = {name: shapes.get(f"{layer}.weight", ()) for name, layer in _FIRSTS.items()}
    layers = ("convc1", "convc2", "convf1", "convf2", "conv", "gru.0")
    updates = [shapes.get(f"amt_update4_low.{name}.weight", ()) for name in layers]
    if motion is None or estimator is None or any(len(shape) != 4 for shape in (*firsts.values(), *updates)):
        return None
    if not estimator["large"]:
        return None
    return {
        "variant": "gimm-vfi-r",
        **{name: shape[0] for name, shape in firsts.items()},
        "updates": [shape[0] for shape in updates],
        "motion": motion,
    }


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    return GIMMVFI(**{name: value for name, value in values.items() if name != "variant"})


VARIANTS: Mapping[str, Mapping[str, Value]] = {
    "gimm-vfi-r": {
        "variant": "gimm-vfi-r",
        "context": 128,
        "matched": 256,
        "inner": 64,
        "feature": 128,
        "fine": 64,
        "painter": 256,
        "side": 64,
        "updates": [256, 192, 128, 64, 188, 192],
        "motion": OFFICIAL,
    },
}

ARCHITECTURE = Architecture(
    id="gimm-vfi",
    title="GIMM-VFI: implicit motion over RAFT's flows, several fields; paints",
    paper="Guo, Li and Loy, NeurIPS 2024, arXiv 2407.08680",
    code_licence=CODE_LICENCE,
    weights_licence=WEIGHTS_LICENCE,
    non_commercial=True,
    recognise=recognise,
    spelled=spelled,
    build=build,
    variants=VARIANTS,
)
