"""GIMM's checkpoints: one size is published; every width is read from the shapes."""

from __future__ import annotations

from typing import Dict, Mapping, Optional

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.gimm.anchored import AROUND, OTHERS, Anchored
from kairos.engines.gimm.network import GIMM
from kairos.engines.spelling import without_prefix

CODE_LICENCE = "S-Lab License 1.0: non-commercial; commercial use needs the authors' agreement"
WEIGHTS_LICENCE = "none stated apart from the code's S-Lab License 1.0: non-commercial"

# No variants: alone it goes between no frames, so that nothing can be measured.
OFFICIAL: Mapping[str, Value] = {
    "latent": 16,
    "widths": [16, 32],
    "blocks": 3,
    "refined": [32, 64],
    "refiners": 1,
    "hidden": 128,
    "layers": 5,
}

OWN = "gimm-anchored"
"""Variant of Kairos' own network."""

_PARTS = ("g_filter", "alpha_v", "alpha_fe", "cnn_encoder.", "res_conv.", "hyponet.params_dict.")
"""What the names of the motion model begin with."""

_TABLE = "hyponet.params_dict.linear_wb"

_WHOLE = ("amt_", "flow_estimator.")
"""What other names begin with where the motion model is a part of a network that paints."""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Without what the motion model has no use for: the official tools do not mind it either."""
    names = without_prefix(tensors)
    if AROUND in names or any(name.startswith(_WHOLE) for name in names):
        return names
    return {name: tensor for name, tensor in names.items() if name.startswith(_PARTS)}


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """All widths; None where the state dict is another network's."""
    if AROUND in shapes:
        return _own_sizes(shapes)
    values = None if any(name.startswith(_WHOLE) for name in shapes) else sizes(shapes)
    if values is None:
        return None
    return {"variant": "gimm" if values == OFFICIAL else "gimm-own", **values}


def sizes(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """The arguments of :class:`GIMM`, from its shapes among others'; None where it is not there."""
    blocks, refiners = (_blocks(shapes, part) for part in ("cnn_encoder", "res_conv"))
    layers = sum(name.startswith(_TABLE) for name in shapes)
    wanted = ("cnn_encoder.0", "cnn_encoder.1", f"cnn_encoder.{blocks + 4}", "res_conv.0", "res_conv.1")
    firsts = [shapes.get(f"{name}.weight", ()) for name in wanted]
    table, last = (shapes.get(f"{_TABLE}{number}", ()) for number in (0, layers - 1))
    if any(len(shape) != 4 for shape in firsts) or len(table) != 2 or firsts[0][1] != 2:
        return None
    first, width, latent, refined, refiner = (shape[0] for shape in firsts)
    return {
        "latent": latent,
        "widths": [first, width],
        "blocks": blocks,
        "refined": [refined, refiner],
        "refiners": refiners,
        "hidden": table[1],
        # The last one answers with a velocity: where it does not, the last one is missing.
        "layers": layers if last[-1:] == (2,) else layers + 1,
    }


def _own_sizes(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """The arguments of :class:`Anchored`; None where its shapes do not belong together."""
    wanted = {"encoder.0.weight": 4, "encoder.4.weight": 4, AROUND: 2}
    found = [shapes.get(name, ()) for name in wanted]
    if any(len(shape) != length for shape, length in zip(found, wanted.values())):
        return None
    return {"variant": OWN, "latent": found[1][0] - OTHERS, "width": found[0][0], "hidden": found[2][0]}


def _blocks(shapes: Shapes, part: str) -> int:
    return sum(name.startswith(f"{part}.") and name.endswith(".layers.0.weight") for name in shapes)


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    sizes = {name: value for name, value in values.items() if name != "variant"}
    return Anchored(**sizes) if values.get("variant") == OWN else GIMM(**sizes)


ARCHITECTURE = Architecture(
    id="gimm",
    title="GIMM: flows between two frames to the motion at any time",
    paper="Guo, Li and Loy, NeurIPS 2024, arXiv 2407.08680",
    code_licence=CODE_LICENCE,
    weights_licence=WEIGHTS_LICENCE,
    non_commercial=True,
    recognise=recognise,
    spelled=spelled,
    build=build,
)
