"""The model's networks without their values: shapes alone, so that what they need is counted before they are loaded."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping

import torch

from kairos.engines.inbetween.folder import Found
from kairos.engines.inbetween.parts import Parts, built, library

META = torch.device("meta")

PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "in_channels": 8,
        "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "transformer_layers_per_block": 1,
        "num_attention_heads": [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 768,
        "num_frames": 25,
    },
    "vae": {
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": 4,
        "scaling_factor": 0.18215,
        "force_upcast": True,
    },
    "image_encoder": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 1024,
        "hidden_act": "gelu",
    },
    "scheduler": {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "sigma_max": 700.0,
        "sigma_min": 0.002,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "timestep_type": "continuous",
        "use_karras_sigmas": True,
    },
}
"""Configurations of the published model of 25 pictures (Blattmann et al., arXiv 2311.15127), by part."""


def told_of(found: Found) -> Mapping[str, Mapping[str, Any]]:
    """The configurations of a folder, as :data:`PUBLISHED` has them. Raises BadRequest where one is damaged."""
    return {part: found.told(part) for part in PUBLISHED}


def outlined(told: Mapping[str, Mapping[str, Any]], dtype: torch.dtype) -> Parts:
    """The parts of a model on the meta device. Keys are prepared on the host, with values.

    Args:
        told: configurations by part, as :data:`PUBLISHED`.
        dtype: of the networks.

    Raises:
        BadRequest: a configuration describes nothing that can be built.
        EngineError: the libraries are missing.
    """
    diffusers, transformers = library("diffusers"), library("transformers")

    def encoder(given: Dict[str, Any]) -> Any:
        return transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig.from_dict(given))

    with torch.device(META):
        unet = _made(told, "unet", diffusers.UNetSpatioTemporalConditionModel.from_config)
        vae = _made(told, "vae", diffusers.AutoencoderKLTemporalDecoder.from_config)
        clip = _made(told, "image_encoder", encoder)
    for network in (unet, vae, clip):
        # Some tensors are made of numbers, and so on the host whatever the context says.
        network.to(META).to(dtype).requires_grad_(False).eval()
    return Parts(
        unet,
        vae,
        clip,
        torch.zeros(3, 1, 1),
        torch.ones(3, 1, 1),
        int(clip.config.image_size),
        _made(told, "scheduler", diffusers.EulerDiscreteScheduler.from_config),
        int(told["unet"].get("num_frames", 25)),
        META,
        dtype,
    )


def _made(told: Mapping[str, Mapping[str, Any]], part: str, make: Callable[[Dict[str, Any]], Any]) -> Any:
    return built(f"The model's part {part}", make, told[part])
