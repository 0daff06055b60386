"""A Stable Video Diffusion small enough for one core: all five parts in a folder, weights by their names alone.

What it paints means nothing. It has the real model's parts, key names, latent scale and eightfold reduction, so that
whatever runs the real one runs it in seconds: 25 frames of 128x64 take a fifth of a second per evaluation.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from support.parity import drawn

UNET: Mapping[str, Any] = {
    "in_channels": 8,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
    "block_out_channels": [32, 64],
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 96,
    "layers_per_block": 1,
    "cross_attention_dim": 32,
    "transformer_layers_per_block": 1,
    "num_attention_heads": [2, 4],
}
"""The U-Net: four layers of temporal self-attention (down, mid and two up) where the real one has sixteen."""

VAE: Mapping[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "block_out_channels": [32, 32, 32, 32],
    "layers_per_block": 1,
    "latent_channels": 4,
    "sample_size": 64,
    "scaling_factor": 0.18215,
    "force_upcast": True,
}
"""The autoencoder: an eighth of the picture's sides, like the real one."""

CLIP: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 224,
    "patch_size": 56,
    "projection_dim": 32,
    "hidden_act": "gelu",
}
"""The image encoder: pictures of 224x224 like the real one's."""

PICTURES: Mapping[str, Any] = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 224},
}
"""How pictures are prepared for the image encoder: the means and deviations of CLIP's authors."""

SCHEDULER: Mapping[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "sigma_max": 700.0,
    "sigma_min": 0.002,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "trained_betas": None,
    "use_karras_sigmas": True,
}
"""The real model's noise schedule."""

INDEX: Mapping[str, Any] = {
    "_class_name": "StableVideoDiffusionPipeline",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
    "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
}
"""Which library each part is of, as the folder's ``model_index.json`` says."""

TUNED: Tuple[str, ...] = (
    "temporal_transformer_blocks.0.attn1.to_v.weight",
    "temporal_transformer_blocks.0.attn1.to_out.0.weight",
)
"""Ends of the names of the tensors that the method tunes."""


def write_tiny_svd(folder: Path, frames: int = 25, seed: int = 0, variant: str = "") -> Path:
    """Writes the five parts into a folder, as ``save_pretrained`` of the pipeline would, and returns it.

    Args:
        folder: to be made.
        frames: the U-Net's ``num_frames``: 25 like the xt model, or 14.
        seed: other weights for another number, in every part.
        variant: ``fp16`` writes half precision under names with that word, as hubs do.
    """
    for name, model in zip(("unet", "vae", "image_encoder"), _models(frames, seed)):
        model.save_pretrained(folder / name)
    if variant:
        _halve(folder, variant)
    for name, told in (
        ("feature_extractor/preprocessor_config.json", PICTURES),
        ("scheduler/scheduler_config.json", SCHEDULER),
        ("model_index.json", INDEX),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(told, indent=2), encoding="utf-8")
    return folder


def tiny_changes(folder: Path, strength: float = 0.3) -> Dict[str, Tensor]:
    """Differences as tuning would make them, for the U-Net in a folder that :func:`write_tiny_svd` wrote.

    Args:
        folder: of the model.
        strength: of the differences, against the weights' own size of 1.
    """
    from diffusers import UNetSpatioTemporalConditionModel

    unet = UNetSpatioTemporalConditionModel.from_pretrained(folder / "unet", local_files_only=True)
    return {
        key: drawn(f"delta:{key}", value.shape) * (strength / math.sqrt(math.prod(value.shape[1:])))
        for key, value in unet.state_dict().items()
        if key.endswith(TUNED)
    }


def fill(model: torch.nn.Module, seed: int = 0) -> None:
    """Sets every tensor of a model by its name: layers keep the size of what goes through them.

    Args:
        model: to be filled.
        seed: other weights for another number.
    """
    start = f"{seed}:" if seed else ""
    values = {}
    for key, value in model.state_dict().items():
        if not value.is_floating_point():
            values[key] = value
        elif key.endswith("mix_factor"):
            values[key] = 0.5 * drawn(start + key, value.shape)
        elif value.dim() >= 2:
            values[key] = drawn(start + key, value.shape) / math.sqrt(math.prod(value.shape[1:]))
        else:
            values[key] = 0.01 * drawn(start + key, value.shape) + (1.0 if key.endswith(".weight") else 0.0)
    model.load_state_dict(values, strict=True)


@lru_cache(maxsize=4)
def _models(frames: int, seed: int) -> Tuple[Any, Any, Any]:
    # The libraries take seconds to import; most tests that use this module's neighbours never need them.
    from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    models = (
        UNetSpatioTemporalConditionModel(**{**UNET, "num_frames": frames}),
        AutoencoderKLTemporalDecoder(**VAE),
        CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP)),
    )
    for model in models:
        fill(model.eval(), seed)
    return models


def _halve(folder: Path, variant: str) -> None:
    from safetensors.torch import load_file

    for part in ("unet", "vae", "image_encoder"):
        (file,) = (folder / part).glob("*.safetensors")
        tensors = {key: value.half() if value.is_floating_point() else value for key, value in load_file(file).items()}
        save_file(tensors, file.with_name(f"{file.stem}.{variant}.safetensors"), metadata={"format": "pt"})
        file.unlink()
