"""The method's arrays, as the official code recorded them, matched by the functions that the engine runs on."""

from __future__ import annotations

import json
import math
from typing import Any, Dict

import pytest
import torch
from torch import Tensor

from kairos.engines.inbetween.attention import Exchange, Maps, rotated, temporal_layers
from kairos.engines.inbetween.changes import Changes, tuned_keys
from kairos.engines.inbetween.equations import (
    Noise,
    clean_estimate,
    euler,
    fused,
    fusion_weights,
    guidance_ramp,
    guided,
    network_input,
    renoise_sigma,
    renoised,
    schedule,
)
from kairos.engines.inbetween.parts import Parts
from kairos.engines.inbetween.recipe import Conditions, Recipe, State
from kairos.engines.inbetween.sampling import Evaluation, run
from support.parity import drawn, fixture, same
from support.shared import shared_parity
from support.tiny_svd import fill

TOLERANCE = 1e-4
"""As the fixture's README suggests; the official code itself agreed to 3.2e-6."""

LAYERS = {
    "down_blocks.0.0": "down_blocks.0.attentions.0",
    "up_blocks.1.0": "up_blocks.1.attentions.0",
    "up_blocks.1.1": "up_blocks.1.attentions.1",
    "mid_block.0": "mid_block.attentions.0",
}
STEPS = 25


@pytest.fixture(scope="module")
def recorded() -> Dict[str, Tensor]:
    return fixture("svd-inbetween")


@pytest.fixture(scope="module")
def unet() -> Any:
    """The network of the fixture, by the recipe in its README (which is the tiny model's own)."""
    from diffusers import UNetSpatioTemporalConditionModel

    folder = shared_parity("svd-inbetween")
    network = UNetSpatioTemporalConditionModel(**json.loads((folder / "tiny_unet_config.json").read_text()))
    fill(network)
    listed = json.loads((folder / "state_dict.json").read_text())
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == {
        key: shape for key, shape, _ in listed
    }
    return network.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def tuned(unet: Any) -> Changes:
    state = unet.state_dict()
    return Changes(
        {
            key: drawn(f"delta:{key}", state[key].shape) * (0.3 / math.sqrt(math.prod(state[key].shape[1:])))
            for key in tuned_keys(state)
        }
    )


@pytest.fixture(scope="module")
def scheduler() -> Any:
    from diffusers import EulerDiscreteScheduler

    told = json.loads((shared_parity("svd-inbetween") / "scheduler_config.json").read_text())
    return EulerDiscreteScheduler.from_config(told)


@pytest.fixture(scope="module")
def keys(recorded: Dict[str, Tensor]) -> Conditions:
    return Conditions(
        (recorded["image1_latent"], recorded["image2_latent"]),
        (recorded["image1_embed"], recorded["image2_embed"]),
        recorded["added_time_ids"],
    )


def recipe(**settings: Any) -> Recipe:
    return Recipe(**{"frames": 5, "steps": STEPS, "repeats": 0, **settings})


class _Recorded(Noise):
    """The noise that the official code drew."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__(0)
        self._noise = noise

    def draw(self, shape: Any) -> Tensor:
        assert tuple(shape) == tuple(self._noise.shape)
        return self._noise


@pytest.fixture(scope="module")
def level(recorded: Dict[str, Tensor], scheduler: Any) -> Any:
    levels = schedule(scheduler, STEPS)
    step = int(recorded["step_index"])
    return float(levels.sigmas[step]), float(levels.sigmas[step + 1]), levels.timesteps[step]


@pytest.mark.parametrize("steps", [25, 50])
def test_the_noise_levels_are_the_official_ones(recorded: Dict[str, Tensor], scheduler: Any, steps: int) -> None:
    levels = schedule(scheduler, steps)
    torch.testing.assert_close(levels.sigmas, recorded[f"sigmas_{steps}"], rtol=1e-6, atol=1e-6)
    same(levels.timesteps, recorded[f"timesteps_{steps}"], 1e-6)
    assert levels.initial == pytest.approx(float(recorded["init_noise_sigma"]), rel=1e-6)


def test_the_network_sees_what_the_official_one_saw(recorded: Dict[str, Tensor], keys: Conditions, level: Any) -> None:
    sigma, _, _ = level
    same(network_input(recorded["latents"], sigma, keys.latents[0]), recorded["fwd_input"], TOLERANCE)
    same(network_input(recorded["latents"], sigma, keys.latents[1], backward=True), recorded["bwd_input"], TOLERANCE)


@pytest.mark.parametrize("storage", ["full", "half", "host", "recompute"])
def test_every_layers_map_is_the_official_one(
    recorded: Dict[str, Tensor], unet: Any, keys: Conditions, level: Any, storage: str
) -> None:
    maps = Maps(storage)
    sigma, _, timestep = level
    seen = network_input(recorded["latents"], sigma, keys.latents[0])
    embeds = torch.cat([torch.zeros_like(keys.embeds[0]), keys.embeds[0]])
    with torch.no_grad(), Exchange(unet).forward(maps):
        unet(seen, timestep, encoder_hidden_states=embeds, added_time_ids=keys.added_time_ids.expand(2, -1))
    layers = temporal_layers(unet)
    assert len(layers) == len(maps.names()) == len(LAYERS)
    for short, place in LAYERS.items():
        name = f"{place}.temporal_transformer_blocks.0.attn1"
        # Half precision resolves 5e-4 of numbers up to 1.
        same(maps.map(name, layers[name]).float(), recorded[f"map.{short}"], 5e-4 if storage == "half" else TOLERANCE)


def test_a_map_is_turned_by_180_degrees(recorded: Dict[str, Tensor]) -> None:
    same(rotated(recorded["map.up_blocks.1.0"]), recorded["map_rot180.up_blocks.1.0"], 0)


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("storage", ["full", "host", "recompute"])
def test_both_directions_predict_what_the_official_code_predicted(
    recorded: Dict[str, Tensor], unet: Any, tuned: Changes, keys: Conditions, level: Any, storage: str, split: bool
) -> None:
    evaluation = Evaluation(unet, tuned, recipe(maps=storage, split=split), keys)
    forward, backward = evaluation.predictions(recorded["latents"], level[0], level[2])
    same(forward, recorded["fwd_pred"], TOLERANCE)
    same(backward, recorded["bwd_pred"], TOLERANCE)


def test_the_tuned_network_by_its_own_maps_predicts_what_the_official_code_predicted(
    recorded: Dict[str, Tensor], unet: Any, tuned: Changes, keys: Conditions, level: Any
) -> None:
    seen = network_input(recorded["latents"], level[0], keys.latents[1], backward=True)
    embeds = torch.cat([torch.zeros_like(keys.embeds[1]), keys.embeds[1]])
    with torch.no_grad(), Exchange(unet, tuned).backward(None):
        found = unet(seen, level[2], encoder_hidden_states=embeds, added_time_ids=keys.added_time_ids.expand(2, -1))
    same(found.sample, recorded["bwd_pred_no_injection"], TOLERANCE)
    # The fixture's contrast: the rotated maps do change what is predicted.
    assert (found.sample - recorded["bwd_pred"]).abs().max() > 0.5


def test_guidance_and_fusion_are_the_official_ones(recorded: Dict[str, Tensor]) -> None:
    plain = recipe()
    same(guidance_ramp(recipe(guidance="weighted")), recorded["guidance_ramp"], 1e-6)
    forward = guided(recorded["fwd_pred"], guidance_ramp(plain))
    backward = guided(recorded["bwd_pred"], guidance_ramp(plain)).flip(1)
    same(forward, recorded["fwd_cfg"], TOLERANCE)
    same(backward, recorded["bwd_cfg_flipped"], TOLERANCE)
    same(fused(forward, backward, fusion_weights(plain)), recorded["fused_pred"], TOLERANCE)


@pytest.mark.parametrize(("guidance", "name"), [("average", "fused_pred"), ("weighted", "fused_pred_weighted")])
def test_an_evaluation_is_the_official_one(
    recorded: Dict[str, Tensor], unet: Any, tuned: Changes, keys: Conditions, level: Any, guidance: str, name: str
) -> None:
    found = Evaluation(unet, tuned, recipe(guidance=guidance), keys)(recorded["latents"], level[0], level[2])
    same(found, recorded[name], TOLERANCE)


def test_the_update_and_the_fresh_noise_are_the_official_ones(recorded: Dict[str, Tensor], level: Any) -> None:
    sigma, following, _ = level
    clean = clean_estimate(recorded["latents"], recorded["fused_pred"], sigma)
    same(clean, recorded["pred_x0"], TOLERANCE)
    latents = euler(recorded["latents"], clean, sigma, following)
    same(latents, recorded["latents_next"], TOLERANCE)
    assert renoise_sigma(sigma, following) == pytest.approx(float(recorded["renoise_sigma"]), rel=1e-5)
    again = renoised(latents, recorded["renoise_noise"], sigma, following)
    same(again, recorded["latents_renoised"], TOLERANCE)


def test_a_repeated_prediction_is_the_official_one(
    recorded: Dict[str, Tensor], unet: Any, tuned: Changes, keys: Conditions, level: Any
) -> None:
    found = Evaluation(unet, tuned, recipe(), keys)(recorded["latents_renoised"], level[0], level[2])
    same(found, recorded["fused_pred_repeat"], TOLERANCE)


@pytest.mark.parametrize(("repeats", "name"), [(0, "latents_next"), (1, "latents_next_repeat")])
def test_a_step_of_the_engines_own_loop_is_the_official_one(
    recorded: Dict[str, Tensor],
    unet: Any,
    tuned: Changes,
    keys: Conditions,
    scheduler: Any,
    repeats: int,
    name: str,
) -> None:
    parts = Parts(
        unet, None, None, torch.zeros(3, 1, 1), torch.ones(3, 1, 1), 224, scheduler, 5, torch.device("cpu"),
        torch.float32,
    )  # fmt: skip
    step = int(recorded["step_index"])
    noise = _Recorded(recorded["renoise_noise"])
    begun = State(step, recorded["latents"], torch.zeros_like(recorded["latents"]), noise.state())
    settings = recipe(repeats=repeats, until=1.0)
    state = next(run(parts, tuned, settings, keys, begun, lambda done, count: None, noise))
    same(state.latents, recorded[name], TOLERANCE)
    if not repeats:
        same(state.clean, recorded["pred_x0"], TOLERANCE)
    assert state.step == step + 1
