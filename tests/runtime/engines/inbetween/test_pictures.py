"""Keys to latents and embeddings, latents to pictures: as the published pipeline does it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kairos.engines.inbetween.equations import Noise
from kairos.engines.inbetween.parts import Parts, load_parts
from kairos.engines.inbetween.pictures import conditions, decoded, for_image_encoder, slices
from kairos.engines.inbetween.recipe import Recipe
from kairos.errors import EngineError
from support.parity import same

RECIPE = Recipe(frames=5)


@pytest.mark.parametrize("size", [(576, 1024), (64, 64), (128, 448), (1024, 576)])
def test_the_image_encoder_sees_what_the_pipelines_own_reduction_shows_it(size: Any) -> None:
    from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import _resize_with_antialiasing

    picture = torch.rand(1, 3, *size) * 2 - 1
    same(for_image_encoder(picture, 224), _resize_with_antialiasing(picture, (224, 224)), 1e-5)


def test_keys_are_encoded_as_the_pipeline_encodes_them(tiny_parts: Parts) -> None:
    from diffusers import StableVideoDiffusionPipeline
    from diffusers.image_processor import VaeImageProcessor

    first, second = torch.rand(3, 64, 128), torch.rand(3, 64, 128)
    found = conditions(tiny_parts, RECIPE, first, second)
    noise = Noise(RECIPE.seed, "keys").draw((1, 3, 64, 128))
    for picture, latent in zip((first, second), found.latents):
        seen = VaeImageProcessor(vae_scale_factor=8).preprocess(picture[None]) + 0.02 * noise
        same(latent, tiny_parts.vae.encode(seen).latent_dist.mode(), 1e-5)
    ids = StableVideoDiffusionPipeline._get_add_time_ids(
        type("Pipeline", (), {"unet": tiny_parts.unet})(), 6, 127, 0.02, torch.float32, 1, 1, False
    )
    same(found.added_time_ids, ids, 0)


def test_embeddings_are_those_of_the_published_preparation(tiny_parts: Parts) -> None:
    """Reduced as the pipeline does, in -1..1, then CLIP's means and deviations in 0..1; without the keys' noise."""
    from diffusers.pipelines.stable_video_diffusion.pipeline_stable_video_diffusion import _resize_with_antialiasing

    keys = torch.rand(3, 64, 128), torch.rand(3, 64, 128)
    mean, deviation = (
        torch.tensor(values)[:, None, None]
        for values in ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
    )
    found = conditions(tiny_parts, RECIPE, *keys).embeds
    for key, embed in zip(keys, found):
        seen = (_resize_with_antialiasing(2 * key[None] - 1, (224, 224)) + 1) / 2
        same(embed, tiny_parts.image_encoder((seen - mean) / deviation).image_embeds[:, None], 1e-5)
    # A random encoder tells pictures apart by little: the tolerance is far below it.
    assert (found[0] - found[1]).abs().max() > 1e-2


def test_both_keys_get_the_same_noise(tiny_parts: Parts) -> None:
    picture = torch.rand(3, 64, 64)
    found = conditions(tiny_parts, RECIPE, picture, picture)
    assert torch.equal(found.latents[0], found.latents[1])
    other = conditions(tiny_parts, Recipe(frames=5, seed=1), picture, picture)
    assert not torch.equal(found.latents[0], other.latents[0])


def test_keys_are_encoded_in_single_precision_where_the_model_asks_for_it(tiny_folder: Any, tiny_parts: Parts) -> None:
    low = load_parts(tiny_folder, torch.device("cpu"), torch.bfloat16)
    picture = torch.rand(3, 64, 64)
    seen = []
    handle = low.vae.encoder.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0].dtype))
    try:
        found = conditions(low, RECIPE, picture, picture).latents[0]
    finally:
        handle.remove()
    assert seen == [torch.float32] * 2
    assert {each.dtype for each in low.vae.parameters()} == {torch.bfloat16}
    # The weights alone are rounded.
    wanted = conditions(tiny_parts, RECIPE, picture, picture).latents[0]
    assert (found - wanted).abs().mean() < 0.05 * wanted.abs().mean()


@pytest.mark.parametrize("shape", [(3, 64, 60), (3, 32, 64), (1, 64, 64)])
def test_pictures_of_other_sizes_are_refused(tiny_parts: Parts, shape: Any) -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        conditions(tiny_parts, RECIPE, torch.rand(shape), torch.rand(shape))


def test_a_decode_in_one_slice_is_the_pipelines(tiny_parts: Parts) -> None:
    latents = torch.randn(1, 5, 4, 8, 8)
    (found,) = decoded(tiny_parts, latents, 5)
    wanted = tiny_parts.vae.decode(latents[0] / 0.18215, num_frames=5).sample
    same(found, (wanted + 1) / 2, 1e-6)
    assert found.min() < 0 and found.max() > 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 4, 5, 8, 25])
def test_slices_yield_every_frame_once_and_hold_no_more_than_asked(chunk: int) -> None:
    for count in (1, 2, 5, 14, 25):
        yielded = []
        for begin, end, skip, kept in slices(count, chunk):
            assert 0 < end - begin <= chunk and kept > 0 and skip + kept <= end - begin
            yielded += range(begin + skip, begin + skip + kept)
        assert yielded == list(range(count))


def test_slices_of_four_share_a_frame_on_either_side() -> None:
    assert slices(8, 4) == [(0, 4, 0, 3), (2, 6, 1, 2), (4, 8, 1, 3)]


def test_frames_that_slices_share_bring_them_nearer_to_a_whole_decode(tiny_parts: Parts) -> None:
    latents = torch.randn(1, 12, 4, 8, 8) * 0.18215
    whole = torch.cat(list(decoded(tiny_parts, latents, 12)))
    sharing = torch.cat(list(decoded(tiny_parts, latents, 4)))
    apart = torch.cat([next(decoded(tiny_parts, latents[:, begin : begin + 4], 4)) for begin in (0, 4, 8)])
    assert sharing.shape == apart.shape == whole.shape
    # Measured on 25 frames of the tiny model: a mean error of 0.08 against 0.12.
    assert (sharing - whole).abs().mean() < 0.85 * (apart - whole).abs().mean()


def test_pictures_that_are_no_numbers_are_an_error(tiny_parts: Parts) -> None:
    with pytest.raises(EngineError, match="no numbers"):
        list(decoded(tiny_parts, torch.full((1, 2, 4, 8, 8), float("inf")), 2))
