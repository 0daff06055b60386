"""From two keys to the latents between them: both directions predicted, fused and stepped.

The method is Wang et al.'s (arXiv 2408.15239, Algorithm 2): forward from the first key by the plain network, backward
from the second by the tuned one with the forward maps rotated; ``trf`` is the plain network both ways.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from kairos.engines.inbetween.attention import Exchange, Maps
from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.equations import (
    Noise,
    clean_estimate,
    euler,
    fused,
    fusion_weights,
    guidance_ramp,
    guided,
    network_input,
    renoised,
    schedule,
)
from kairos.engines.inbetween.parts import Parts
from kairos.engines.inbetween.pictures import conditions, decoded, no_numbers
from kairos.engines.inbetween.recipe import Conditions, Recipe, State
from kairos.errors import BadRequest


def check(parts: Parts, changes: Optional[Changes], recipe: Recipe) -> None:
    """Raises BadRequest where a model cannot follow a recipe: its number of pictures, or tuned weights are missing."""
    if recipe.frames != parts.frames:
        raise BadRequest(
            f"The model makes {parts.frames} pictures, and {recipe.frames} are asked for.",
            f"Set frames to {parts.frames}, or add the model that makes {recipe.frames}.",
        )
    if recipe.mode == "rotated" and changes is None and recipe.layers == "all":
        raise BadRequest(
            "Rotated maps need the tuned weights of the backward network, and there are none.",
            "Add a file of differences (kairos weights add), use mode=trf, which needs none, or layers=up.",
        )


def warning(changes: Optional[Changes], recipe: Recipe) -> str:
    """What to expect of a recipe, in one line; empty where it is as published."""
    if recipe.mode == "rotated" and changes is None:
        return (
            "Rotated maps without tuned weights go into the up blocks alone: its authors measured that as worse than "
            "with them (FID 53 against 35 on Pexels), and than mode=trf (42)."
        )
    return ""


def run(
    parts: Parts,
    changes: Optional[Changes],
    recipe: Recipe,
    conditions: Conditions,
    state: Optional[State],
    tell: Callable[[int, int], None],
    noise: Optional[Noise] = None,
) -> Iterator[State]:
    """Yields the state after each step that was not finished yet.

    Args:
        parts: of the model.
        changes: of the tuned network; None is for ``trf`` and ``layers="up"``.
        recipe: of the generation.
        conditions: by :func:`conditions`.
        state: to go on from, bit for bit as if nothing had happened; None begins.
        tell: called after every run of the U-Net with the number of runs done and of all; may raise Cancelled.
        noise: random numbers; by default those of the recipe's seed.

    Raises:
        BadRequest: as for :func:`check`, or the differences do not fit.
        EngineError: the network's values are no numbers: half precision was not enough, as a rule.
    """
    check(parts, changes, recipe)
    levels = schedule(parts.scheduler, recipe.steps)
    noise = noise or Noise(recipe.seed)
    if state is None:
        shape = (1, recipe.frames, *conditions.latents[0].shape[1:])
        latents, first = noise.draw(shape).to(parts.device) * levels.initial, 0
    else:
        noise.restore(state.generator)
        latents, first = state.latents.to(parts.device), state.step
    told = _Told(tell, recipe, first)
    with parts.working("unet") as unet:
        evaluation = Evaluation(unet, changes, recipe, conditions, told)
        for step in range(first, recipe.steps):
            sigma, following = float(levels.sigmas[step]), float(levels.sigmas[step + 1])
            timestep = levels.timesteps[step].to(parts.device)
            for again in range(1 + recipe.repeated(step)):
                if again:
                    latents = renoised(latents, noise.draw(latents.shape).to(parts.device), sigma, following)
                clean = clean_estimate(latents, evaluation(latents, sigma, timestep), sigma)
                latents = euler(latents, clean, sigma, following)
            if not torch.isfinite(latents).all():
                raise no_numbers(f"Step {step + 1} of {recipe.steps} ended in", parts.dtype)
            yield State(step + 1, latents.cpu().clone(), clean.cpu().clone(), noise.state())


class Evaluation:
    """One prediction of both directions, fused.

    Args:
        unet: of the model.
        changes: of the tuned network, or None.
        recipe: of the generation.
        conditions: of the keys.
        told: called after every run of the U-Net.

    Raises:
        BadRequest: the differences do not fit.
    """

    def __init__(
        self,
        unet: Any,
        changes: Optional[Changes],
        recipe: Recipe,
        conditions: Conditions,
        told: Callable[[], None] = lambda: None,
    ) -> None:
        self._unet, self._recipe, self._told = unet, recipe, told
        self._exchange = Exchange(unet, changes if recipe.mode == "rotated" else None, recipe.layers)
        like = next(unet.parameters())
        self._dtype = like.dtype
        self._keys = [each.to(like.device) for each in conditions.latents]
        self._embeds = [each.to(like.device, like.dtype) for each in conditions.embeds]
        self._ids = conditions.added_time_ids.to(like.device)

    def __call__(self, latents: Tensor, sigma: float, timestep: Tensor) -> Tensor:
        """The fused prediction of v, (1, N, 4, h, w) float32, of latents at a noise level."""
        forward, backward = self.predictions(latents, sigma, timestep)
        scale = guidance_ramp(self._recipe)
        return fused(guided(forward, scale), guided(backward, scale).flip(1), fusion_weights(self._recipe))

    @torch.no_grad()
    def predictions(self, latents: Tensor, sigma: float, timestep: Tensor) -> Tuple[Tensor, Tensor]:
        """Either direction's prediction in its own order, (2, N, 4, h, w) float32: without and with the key.

        Args:
            latents: (1, N, 4, h, w) float32.
            sigma, timestep: their noise level, and what the network is told of it.
        """
        forward_input = network_input(latents, sigma, self._keys[0])
        backward_input = network_input(latents, sigma, self._keys[1], backward=True)
        parts: Tuple[List[Tensor], List[Tensor]] = ([], [])
        for half in (slice(0, 1), slice(1, 2)) if self._recipe.split else (slice(0, 2),):
            maps = Maps(self._recipe.maps) if self._recipe.mode == "rotated" else None
            with self._exchange.forward(maps):
                parts[0].append(self._predicted(forward_input, self._embeds[0], timestep, half))
            self._told()
            with self._exchange.backward(maps):
                parts[1].append(self._predicted(backward_input, self._embeds[1], timestep, half))
            self._told()
        return torch.cat(parts[0]), torch.cat(parts[1])

    def _predicted(self, seen: Tensor, embed: Tensor, timestep: Tensor, half: slice) -> Tensor:
        embeds = torch.cat([torch.zeros_like(embed), embed])[half]
        prediction: Tensor = self._unet(
            seen[half].to(self._dtype),
            timestep,
            encoder_hidden_states=embeds,
            added_time_ids=self._ids.expand(embeds.shape[0], -1),
            return_dict=False,
        )[0]
        return prediction.float()


class _Told:
    """Counts runs of the U-Net for whoever waits."""

    def __init__(self, tell: Callable[[int, int], None], recipe: Recipe, first: int) -> None:
        self._tell = tell
        self._all = recipe.passes() * recipe.evaluations()
        self._done = self._all - recipe.passes() * recipe.evaluations(first)

    def __call__(self) -> None:
        self._done += 1
        self._tell(self._done, self._all)


__all__ = ["Conditions", "Evaluation", "Recipe", "State", "check", "conditions", "decoded", "run", "warning"]
