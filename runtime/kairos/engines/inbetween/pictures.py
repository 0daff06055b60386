"""Between pictures and the model's own spaces: keys to latents and embeddings, latents to pictures."""

from __future__ import annotations

from typing import Any, Iterator, List, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from kairos.engines.inbetween.equations import Noise
from kairos.engines.inbetween.parts import Parts
from kairos.engines.inbetween.recipe import Conditions, Recipe
from kairos.errors import EngineError

MULTIPLE = 64
"""Sides of a picture are multiples of this: an eighth of them is halved three times in the U-Net."""

HALO = 1
"""Pictures that neighbouring slices of the decoder have in common at either side, where slices have room for them."""


def conditions(parts: Parts, recipe: Recipe, first: Tensor, second: Tensor) -> Conditions:
    """What the U-Net is told about two keys.

    Args:
        parts: of the model.
        recipe: of the generation. The same noise is added to both keys, from its seed.
        first, second: (3, H, W), display-like, 0..1; sides are multiples of 64.

    Raises:
        EngineError: the model's values are no numbers: half precision was not enough, as a rule.
    """
    shape = tuple(first.shape)
    if len(shape) != 3 or shape[0] != 3 or shape != tuple(second.shape) or any(side % MULTIPLE for side in shape[1:]):
        raise ValueError(f"keys are (3, H, W) with sides that are multiples of {MULTIPLE}, not {shape}")
    noise = Noise(recipe.seed, "keys").draw((1, *shape)) * recipe.noise
    keys = [2 * each[None].float().cpu() - 1 for each in (first, second)]
    with torch.no_grad():
        latents = encoded(parts, [key + noise for key in keys])
        with parts.working("image_encoder") as encoder:
            embeds = [_embedding(parts, encoder, key) for key in keys]
    for each in (*latents, *embeds):
        _check(each, "The model told the network of a key in", parts.dtype)
    ids = torch.tensor([[recipe.fps - 1.0, float(recipe.bucket), recipe.noise]], device=parts.device)
    return Conditions((latents[0], latents[1]), (embeds[0], embeds[1]), ids)


def decoded(parts: Parts, latents: Tensor, chunk: int = 4) -> Iterator[Tensor]:
    """Yields pictures, slice by slice.

    The decoder mixes the frames of a slice in time, so its edges differ from what a whole decode gives: slices of four
    or more share a frame on either side with their neighbours, which is not yielded twice.

    Args:
        parts: of the model.
        latents: (1, N, 4, h, w), as :class:`State` has them.
        chunk: frames that are decoded together, shared ones included: the memory that is used.

    Yields:
        (k, 3, H, W) float32 on the model's device, in about 0..1, not clamped; k <= chunk.

    Raises:
        EngineError: the model's values are no numbers: half precision was not enough, as a rule.
    """
    if chunk < 1:
        raise ValueError(f"a slice holds a frame or more, not {chunk}")
    for begin, end, skip, count in slices(latents.shape[1], chunk):
        yield _decoded(parts, latents[0, begin:end])[skip : skip + count]


def slices(count: int, chunk: int) -> List[Tuple[int, int, int, int]]:
    """Slices of a decode: first frame, end, how many are left out at its start, and how many it yields.

    Args:
        count: of all frames.
        chunk: frames of a slice at most.
    """
    halo = HALO if chunk >= 2 * HALO + 2 else 0
    found = []
    done = 0
    while done < count:
        begin = max(0, done - halo)
        end = min(count, begin + chunk)
        until = count if end == count else end - halo
        found.append((begin, end, done - begin, until - done))
        done = until
    return found


def for_image_encoder(picture: Tensor, side: int) -> Tensor:
    """A picture at the size of the image encoder: smoothed as the reduction asks for, then sampled by cubics.

    Args:
        picture: (1, 3, H, W), -1..1.
        side: of the result, pixels. The picture's aspect is not kept: the model was trained so.
    """
    for axis in (-2, -1):
        picture = _smoothed(picture, picture.shape[axis] / side, axis)
    return functional.interpolate(picture, size=(side, side), mode="bicubic", align_corners=True)


def _smoothed(picture: Tensor, factor: float, axis: int) -> Tensor:
    """Gaussian of half the pixels that fall away on an axis, cut off at two deviations; mirrored at the edges."""
    deviation = max((factor - 1) / 2, 0.001)
    taps = int(max(4 * deviation, 3)) | 1
    radius = taps // 2
    steps = torch.arange(-radius, radius + 1, device=picture.device, dtype=picture.dtype)
    kernel = torch.exp(-(steps**2) / (2 * deviation**2))
    kernel = kernel / kernel.sum()
    if axis == -2:
        padded = functional.pad(picture, (0, 0, radius, radius), mode="reflect")
        return functional.conv2d(padded, kernel.reshape(1, 1, -1, 1).repeat(3, 1, 1, 1), groups=3)
    padded = functional.pad(picture, (radius, radius, 0, 0), mode="reflect")
    return functional.conv2d(padded, kernel.reshape(1, 1, 1, -1).repeat(3, 1, 1, 1), groups=3)


def encoded(parts: Parts, pictures: List[Tensor]) -> List[Tensor]:
    """The modes of pictures' latents, (1, 4, h, w) float32, not scaled. Where the model asks, single precision encodes.

    Args:
        parts: of the model.
        pictures: (1, 3, H, W), -1..1.
    """
    with parts.working("vae") as vae:
        raised = parts.dtype != torch.float32 and vae.config.force_upcast
        try:
            if raised:
                vae.to(torch.float32)
            dtype = torch.float32 if raised else parts.dtype
            return [vae.encode(key.to(parts.device, dtype)).latent_dist.mode().float() for key in pictures]
        finally:
            if raised:
                vae.to(parts.dtype)


def _embedding(parts: Parts, encoder: Any, key: Tensor) -> Tensor:
    seen = (for_image_encoder(key, parts.side) + 1) / 2
    seen = (seen - parts.mean) / parts.deviation
    embedding: Tensor = encoder(seen.to(parts.device, parts.dtype)).image_embeds
    return embedding[:, None].float()


def _decoded(parts: Parts, latents: Tensor) -> Tensor:
    with torch.no_grad(), parts.working("vae") as vae:
        scaled = latents.to(parts.device).float() / vae.config.scaling_factor
        pictures: Tensor = vae.decode(scaled.to(parts.dtype), num_frames=latents.shape[0]).sample.float()
    _check(pictures, "The model painted in", parts.dtype)
    return (pictures + 1) / 2


def _check(values: Tensor, did: str, dtype: torch.dtype) -> None:
    if values.device.type != "meta" and not torch.isfinite(values).all():
        raise no_numbers(did, dtype)


def no_numbers(did: str, dtype: torch.dtype) -> EngineError:
    """The error for a network whose answer is no numbers; half precision ends at 65504, the others far beyond.

    Args:
        did: what ended so, the start of a sentence.
        dtype: of the networks.
    """
    if dtype == torch.float16:
        return EngineError(
            f"{did} values that are no numbers: half precision was not enough.", "Use --precision bf16 or fp32."
        )
    return EngineError(
        f"{did} values that are no numbers, and not for want of precision.",
        "Use weaker guidance (--generate high=3), or remove the weights and add them again.",
    )
