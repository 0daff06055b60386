"""FILM's checkpoints: one network, two ways of naming its layers."""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.film.network import FILM
from kairos.engines.spelling import without_prefix

_BARE = re.compile(r"^(predict_flow\..*_convs\.4|fuse\.convs\.\d\.0)\.(weight|bias)$")
"""Convolutions without an activation, which the first release did not wrap."""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The names of the later releases."""
    return {_BARE.sub(r"\1.0.\2", name): tensor for name, tensor in without_prefix(tensors).items()}


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """The one variant there is; None where the state dict is another network's."""
    known = (
        shapes.get("extract.extract_sublevels.convs.0.0.0.weight") == (64, 3, 3, 3)
        and shapes.get("predict_flow._predictor._convs.0.0.weight") == (256, 1920, 3, 3)
        and shapes.get("fuse.output_conv.weight") == (3, 64, 1, 1)
    )
    return {"variant": "film"} if known else None


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    return FILM()


VARIANTS: Mapping[str, Mapping[str, Value]] = {"film": {"variant": "film"}}

ARCHITECTURE = Architecture(
    id="film",
    title="FILM: one network at all scales, for large motion; paints",
    paper="Reda et al., ECCV 2022, arXiv 2202.04901",
    code_licence="Apache-2.0",
    weights_licence="none stated apart from the code's Apache-2.0",
    non_commercial=False,
    recognise=recognise,
    spelled=spelled,
    build=build,
    variants=VARIANTS,
)
