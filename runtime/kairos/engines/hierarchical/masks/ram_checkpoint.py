"""RAM's checkpoints: which tensors of the published file the tags need, and the network's sizes by their shapes.

What is known of the file: a dictionary whose ``model`` is the state dict; names that begin with ``vision_multi`` mean
``tagging_head``; ``label_embed`` holds the tags' text features; Swin's tables of relative positions are kept and its
index buffers are not; captioning parts lie beside. All other names are those that implementations of Swin and BERT
usually have (:data:`EXPECTED`). They have not been tried with the published file: where it names a tensor otherwise, it
is refused, and the message says which are missing.
"""

from __future__ import annotations

import math
import re
from typing import Dict, List, Mapping, Optional, Tuple

from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value
from kairos.engines.hierarchical.masks.ram import Ram
from kairos.engines.hierarchical.masks.swin import PATCH
from kairos.engines.spelling import without_prefix

EXPECTED: Tuple[str, ...] = (
    "visual_encoder.patch_embed.{proj,norm}.{weight,bias}",
    "visual_encoder.layers.STAGE.blocks.BLOCK.{norm1,norm2}.{weight,bias}",
    "visual_encoder.layers.STAGE.blocks.BLOCK.attn.relative_position_bias_table",
    "visual_encoder.layers.STAGE.blocks.BLOCK.attn.{qkv,proj}.{weight,bias}",
    "visual_encoder.layers.STAGE.blocks.BLOCK.mlp.{fc1,fc2}.{weight,bias}",
    "visual_encoder.layers.STAGE.downsample.reduction.weight",
    "visual_encoder.layers.STAGE.downsample.norm.{weight,bias}",
    "visual_encoder.norm.{weight,bias}",
    "image_proj.{weight,bias}",
    "label_embed",
    "wordvec_proj.{weight,bias}",
    "tagging_head.encoder.layer.LAYER.crossattention.self.{query,key,value}.{weight,bias}",
    "tagging_head.encoder.layer.LAYER.crossattention.output.{dense,LayerNorm}.{weight,bias}",
    "tagging_head.encoder.layer.LAYER.intermediate.dense.{weight,bias}",
    "tagging_head.encoder.layer.LAYER.output.{dense,LayerNorm}.{weight,bias}",
    "fc.{weight,bias}",
)
"""Every name of the tags' path, in the network's own spelling; the published file has ``vision_multi`` for
``tagging_head``."""

HEADS = 4
"""Of the layers in which queries look at the picture, which no shape tells."""

_OLD, _NEW = "vision_multi", "tagging_head"

# The last is RAM++'s own, which is another network: kept, so that its file is refused and not taken for this one.
_NEEDED = ("visual_encoder.", "image_proj.", "label_embed", "wordvec_proj.", f"{_NEW}.", "fc.", "reweight_scale")

_UNUSED = re.compile(
    r"\.relative_position_index$|\.attn_mask$|^tagging_head\.embeddings\.|^tagging_head\.encoder\.layer\.\d+\.attention\."
    r"|^visual_encoder\.head\."
)
"""Buffers that follow from the window, and parts of BERT and Swin that the method has taken out."""


def spelled(tensors: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """The tensors that tags need, in this network's spelling; nothing of other networks."""
    names = {re.sub(f"^{_OLD}", _NEW, name): tensor for name, tensor in without_prefix(tensors).items()}
    if "label_embed" not in names:
        return dict(names)
    return {name: tensor for name, tensor in names.items() if name.startswith(_NEEDED) and not _UNUSED.search(name)}


def recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    """The network's sizes; None where the state dict is another network's."""
    patches, embed = shapes.get("visual_encoder.patch_embed.proj.weight"), shapes.get("label_embed")
    words, inner = shapes.get("wordvec_proj.weight"), shapes.get(f"{_NEW}.encoder.layer.0.intermediate.dense.weight")
    if patches is None or embed is None or words is None or inner is None or not len(embed) == len(words) == 2:
        return None
    depths, heads = _stages(shapes)
    table = shapes.get("visual_encoder.layers.0.blocks.0.attn.relative_position_bias_table")
    if not depths or table is None or len(table) != 2 or words[0] % HEADS:
        return None
    window = (math.isqrt(table[0]) + 1) // 2
    layers = _count(shapes, f"{_NEW}.encoder.layer.%d.intermediate.dense.weight")
    large = (patches[0], depths, window, embed) == (192, [2, 2, 18, 2], 12, (4585, 512))
    return {
        "variant": "ram-swin-large" if large else "ram",
        # The coarsest stage is one window.
        "side": window * (PATCH << len(depths) - 1),
        "width": patches[0],
        "depths": depths,
        "stage_heads": heads,
        "window": window,
        "tags": embed[0],
        "text": embed[1],
        "hidden": words[0],
        "layers": layers,
        "heads": HEADS,
        "inner": inner[0],
    }


def _stages(shapes: Shapes) -> Tuple[List[int], List[int]]:
    """Blocks and heads of each stage of Swin."""
    depths: List[int] = []
    heads: List[int] = []
    while True:
        name = f"visual_encoder.layers.{len(depths)}.blocks.%d.attn.relative_position_bias_table"
        depth = _count(shapes, name)
        if not depth:
            return depths, heads
        depths.append(depth)
        heads.append(shapes[name % 0][-1])


def _count(shapes: Shapes, name: str) -> int:
    count = 0
    while name % count in shapes:
        count += 1
    return count


def build(values: Mapping[str, Value]) -> nn.Module:
    """The network, untrained."""
    return Ram(**{name: value for name, value in values.items() if name != "variant"})


ARCHITECTURE = Architecture(
    id="ram",
    title="RAM: tags of what a picture shows",
    paper="Zhang et al., CVPR workshops 2024, arXiv 2306.03514",
    code_licence="Apache-2.0",
    weights_licence="see the model's page",
    non_commercial=False,
    recognise=recognise,
    spelled=spelled,
    build=build,
    variants={
        "ram-swin-large": {
            "variant": "ram-swin-large", "side": 384, "width": 192, "depths": [2, 2, 18, 2],
            "stage_heads": [6, 12, 24, 48], "window": 12, "tags": 4585, "text": 512, "hidden": 768, "layers": 2,
            "heads": HEADS, "inner": 3072,
        }
    },
)  # fmt: skip
