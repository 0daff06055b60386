"""RIFE's checkpoints: a table of versions, told apart by their stages."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Tuple

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.rife.network import RIFE
from kairos.engines.rife.paper import PaperRIFE
from kairos.engines.spelling import without

_UNUSED = ("teacher.", "caltime.", "block_tea.")
"""What serves training alone."""

_VERSIONS: Mapping[Tuple[Tuple[int, ...], int], Tuple[str, Tuple[int, ...]]] = {
    ((192, 128, 96, 64), 0): ("rife-4.6", (8, 4, 2, 1)),
    ((192, 128, 96, 64, 32), 4): ("rife-4.25", (16, 8, 4, 2, 1)),
    ((192, 128, 96, 64, 24), 4): ("rife-4.25-lite", (32, 16, 8, 4, 1)),
    ((384, 256, 192, 128, 64), 4): ("rife-4.25-heavy", (16, 8, 4, 2, 1)),
    ((384, 256, 192, 128, 64), 16): ("rife-4.26-heavy", (16, 8, 4, 2, 1)),
}
"""From the stages' widths and the code's channels to a version's name and its stages' factors.

4.26 has the shapes of 4.25; only the weights differ.
"""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Without the prefix, and without the teacher and what else serves training alone."""
    return without(tensors, *_UNUSED)


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """Version, widths, factors and channels; None where the state dict is no version's that is known."""
    if len(shapes.get("block0.conv0.0.0.weight", ())) != 4:
        return None
    if "contextnet.conv1.conv1.0.weight" in shapes:
        timed = shapes["block0.conv0.0.0.weight"][1] == 7
        return {"variant": "rife-paper-m" if timed else "rife-paper", "widths": _widths(shapes), "timed": timed}
    return _later(shapes)


def _later(shapes: Shapes) -> Optional[Dict[str, Value]]:
    last = shapes.get("block0.lastconv.0.weight", ())
    code = shapes.get("encode.cnn3.weight", (0, 0))[1]
    hidden = shapes.get("encode.cnn0.weight", (16,))[0]
    known = _VERSIONS.get((tuple(_widths(shapes)), code))
    if known is None or len(last) != 4 or (not code and last[1] != 24):
        return None
    variant, factors = known
    return {
        "variant": variant,
        "widths": _widths(shapes),
        "factors": list(factors),
        "outputs": last[1] // 4,
        "code": code,
        "hidden": hidden,
    }


def _widths(shapes: Shapes) -> List[int]:
    widths: List[int] = []
    while (name := f"block{len(widths)}.conv0.1.0.weight") in shapes:
        widths.append(shapes[name][0])
    return widths


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    if "timed" in values:
        return PaperRIFE(values["widths"], values["timed"])
    return RIFE(values["widths"], values["factors"], values["outputs"], values["code"], values["hidden"])


_LATER: Tuple[Tuple[Tuple[int, ...], int], ...] = (
    ((192, 128, 96, 64), 0),
    ((192, 128, 96, 64, 24), 4),
    ((192, 128, 96, 64, 32), 4),
)

VARIANTS: Mapping[str, Mapping[str, Value]] = {
    **{
        _VERSIONS[widths, code][0]: {
            "variant": _VERSIONS[widths, code][0],
            "widths": list(widths),
            "factors": list(_VERSIONS[widths, code][1]),
            "outputs": 13 if code else 6,
            "code": code,
            "hidden": 16,
        }
        for widths, code in _LATER
    },
    "rife-paper": {"variant": "rife-paper", "widths": [240, 150, 90], "timed": False},
    "rife-paper-m": {"variant": "rife-paper-m", "widths": [240, 150, 90], "timed": True},
}

ARCHITECTURE = Architecture(
    id="rife",
    title="RIFE: flow straight to the in-between frame",
    paper="Huang et al., ECCV 2022, arXiv 2011.06294",
    code_licence="MIT",
    weights_licence="MIT (version 4); none stated apart from the code's MIT (paper models)",
    non_commercial=False,
    recognise=recognise,
    spelled=spelled,
    build=build,
    variants=VARIANTS,
)
