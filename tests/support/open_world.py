"""Tiny untrained networks of the kinds that find objects by words, as folders on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, List

import torch

WORDS = ["dog", "person", "tennis", "racket", "tree", "##s", "a", "b", "c", "d"]


def vocabulary() -> List[str]:
    """BERT's marks at BERT's numbers, and a few words."""
    words = [f"[unused{index}]" for index in range(1040)]
    words[0], words[100], words[101], words[102], words[1012], words[1029] = (
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        ".",
        "?",
    )
    words[1030:1040] = WORDS
    return words


def keep_folders(root: Path, seed: int = 0) -> Dict[str, Path]:
    """A detector and a segmenter below ``root``, written by the package that reads them: their folders by model."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SamHQConfig, SamHQModel

    torch.manual_seed(seed)
    detector = GroundingDinoForObjectDetection(
        GroundingDinoConfig(
            backbone_config={
                "model_type": "swin", "image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1],
                "num_heads": [1, 1, 2, 2], "window_size": 2, "out_indices": [2, 3, 4],
            },
            text_config={
                "model_type": "bert", "vocab_size": 1040, "hidden_size": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64,
            },
            num_queries=6, d_model=32, encoder_layers=1, encoder_ffn_dim=16, encoder_attention_heads=2,
            decoder_layers=2, decoder_ffn_dim=16, decoder_attention_heads=2, max_text_len=24,
        )
    )  # fmt: skip
    segmenter = SamHQModel(
        SamHQConfig(
            vision_config={
                "hidden_size": 16, "output_channels": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                "image_size": 64, "patch_size": 16, "window_size": 2, "global_attn_indexes": [1], "num_pos_feats": 16,
                "mlp_dim": 16, "initializer_range": 0.02,
            },
            prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16},
            mask_decoder_config={
                "hidden_size": 32, "mlp_dim": 16, "num_attention_heads": 2, "iou_head_hidden_dim": 16, "vit_dim": 16,
            },
        )
    )  # fmt: skip
    sizes = {"grounding-dino": {"shortest_edge": 64, "longest_edge": 96}, "sam-hq": {"longest_edge": 64}}
    for network, (name, size) in zip((detector, segmenter), sizes.items()):
        network.save_pretrained(root / name)
        (root / name / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    (root / "grounding-dino" / "vocab.txt").write_text("\n".join(vocabulary()) + "\n")
    return {name: root / name for name in sizes}
