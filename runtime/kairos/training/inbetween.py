"""What generative inbetweening learns: motion in reverse, in two matrices of every layer of temporal self-attention.

Algorithm 1 of Wang et al. (arXiv 2408.15239). A clip is shown forward, with noise, to the model as it is: its maps of
temporal self-attention are kept. The tuned model sees the clip and the same noise reversed in time, and the maps
rotated in place of its own; it learns to clean that. Noise levels, scales and the weight of the loss are those of
Karras et al. (arXiv 2206.00364) as Blattmann et al. (arXiv 2311.15127) use them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kairos.engines.inbetween.attention import Exchange, Maps
from kairos.engines.inbetween.changes import Changes, tuned_keys
from kairos.engines.inbetween.equations import clean_estimate
from kairos.engines.siren.fits import digest
from kairos.errors import BadRequest
from kairos.training.clips import Clip, read_clip, split
from kairos.training.task import VALIDATION_SEED

BATCH = 1
"""Clips per step. They are learned from one after the other: more take time, not memory."""

DEFAULTS: Mapping[str, Any] = {
    "lr": 1e-4,
    "constant": True,
    "warm_up": 0,
    "weight_decay": 1e-2,
    "clip": 1.0,
    "ema_decay": 0.0,
    "validate_count": 8,
    "half_weights": True,
}
"""Settings of the published training, and half precision for what is kept: 50 MB of the published model."""

SIGMA = (0.7, 1.6)
"""Mean and standard deviation of the logarithm of the noise levels."""


@dataclass(frozen=True)
class InbetweenBatch:
    """Clips with their noise, all as the tuned model is to see them but in forward time.

    Attributes:
        clips: one or more.
        sigmas: their noise levels.
        noise: of each, normal, (N, 4, h, w), in reversed time: that of the tuned model.
    """

    clips: List[Clip]
    sigmas: List[float]
    noise: List[Tensor]


class Tuned(nn.Module):
    """The tensors that are tuned: whole matrices, in single precision.

    Args:
        base: where they begin, by the U-Net's own key names.
    """

    def __init__(self, base: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = tuple(base)
        self.weights = nn.ParameterList([nn.Parameter(base[name].detach().float().clone()) for name in self.names])

    def less(self, base: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """What they differ by from a base, by key name. Gradients pass."""
        return {name: weight - base[name].to(weight.device) for name, weight in zip(self.names, self.weights)}


class InbetweenTask:
    """See :class:`kairos.training.task.Task`.

    Args:
        clips: files of :func:`kairos.training.clips.prepared`.
        network: answers with the U-Net, on the CPU and in the precision in which it computes; called once.
        ids: frames per second less one, amount of motion and noise of the keys, as the U-Net is told them.
        base: what the model is called, and the SHA-256 of its weights.
        count: clips per step.
    """

    id = "inbetween"

    def __init__(
        self,
        clips: Sequence[Path],
        network: Callable[[], nn.Module],
        ids: Tuple[float, float, float],
        base: Tuple[str, str],
        count: int = BATCH,
    ) -> None:
        self._learned, self._held = split(clips)
        self._network, self._ids, self._about, self._count = network, ids, base, count
        self._unet: Optional[nn.Module] = None
        self._base: Dict[str, Tensor] = {}

    def __getstate__(self) -> Dict[str, Any]:
        """Another process makes batches, and needs no network."""
        return {**self.__dict__, "_unet": None, "_base": {}}

    def model(self) -> nn.Module:
        """The tuned tensors as the model has them."""
        return Tuned(self.base())

    def base(self) -> Mapping[str, Tensor]:
        """The tensors that are tuned as the model has them, in single precision on the CPU."""
        if not self._base:
            weights = self.unet(torch.device("cpu")).state_dict()
            self._base = {key: weights[key].float().cpu().clone() for key in tuned_keys(weights)}
        return self._base

    def unet(self, device: torch.device) -> nn.Module:
        """The model's U-Net, of which nothing is changed."""
        if self._unet is None:
            self._unet = self._network().requires_grad_(False).eval()
        return self._unet.to(device)

    def samples(self, batch: InbetweenBatch) -> int:
        """Clips in a batch."""
        return len(batch.clips)

    def conditions(self) -> str:
        """The clips and the model."""
        names = [f"{each.parent.name}/{each.name}" for each in (*self._learned, *self._held)]
        return f"{len(self._learned)} clips ({digest({'clips': names})[:8]}) and the model {self._about[1][:8]}"

    def provenance(self) -> Mapping[str, str]:
        """What the differences were made from."""
        told = {"base": self._about[0], "base sha256": self._about[1]}
        return {**told, "clips": str(len(self._learned)), "clips per step": str(self._count)}

    def written(self, model: nn.Module) -> Mapping[str, Tensor]:
        """The differences alone, by the U-Net's own key names."""
        assert isinstance(model, Tuned)
        return model.less(self.base())

    def read(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The tuned tensors, of differences. Raises BadRequest where they are another model's."""
        base = self.base()
        if {key: tensor.shape for key, tensor in weights.items()} != {key: each.shape for key, each in base.items()}:
            raise BadRequest("These are no differences of this model.", "Choose others, or another --model.")
        return {f"weights.{number}": base[key] + weights[key].float() for number, key in enumerate(base)}

    def batch(self, seed: int, step: int, size: int, device: torch.device) -> InbetweenBatch:
        """Clips drawn by seed and step, every one as often as any other, with their noise; ``size`` says nothing."""
        clips, sigmas, noise = [], [], []
        for number in range(step * self._count, (step + 1) * self._count):
            turn, place = divmod(number, len(self._learned))
            order = np.random.default_rng((seed, turn)).permutation(len(self._learned))
            clip = read_clip(self._learned[int(order[place])])
            draw = np.random.default_rng((seed, number, 1))
            clips.append(clip)
            sigmas.append(float(np.exp(SIGMA[0] + SIGMA[1] * draw.standard_normal())))
            noise.append(_normal(draw, clip.latents))
        return InbetweenBatch(clips, sigmas, noise)

    def loss(self, model: nn.Module, batch: InbetweenBatch, progress: float) -> Tuple[Tensor, Dict[str, float]]:
        """The mean loss of the clips. Its gradient is found here, clip by clip, while the maps are in place."""
        assert isinstance(model, Tuned)
        weights = list(model.parameters())
        sums = [torch.zeros_like(each) for each in weights]
        total = 0.0
        for clip, sigma, noise in zip(batch.clips, batch.sigmas, batch.noise):
            with self._lost(model, clip, sigma, noise) as loss:
                gradients = torch.autograd.grad(loss, weights)
            total += float(loss.detach()) / len(batch.clips)
            for each, gradient in zip(sums, gradients):
                each += gradient / len(batch.clips)
        # Nothing is added, and the gradient is the one that was found.
        found = torch.stack([((each - each.detach()) * gradient).sum() for each, gradient in zip(weights, sums)]).sum()
        return found + total, {"sigma": float(np.mean(batch.sigmas))}

    def validate(self, model: nn.Module, count: int, device: torch.device) -> Dict[str, float]:
        """The loss over the clips that are held back, at ``count`` noise levels spread as training draws them, and of
        the model without differences (``base``). The score is the loss, negative.
        """
        assert isinstance(model, Tuned)
        sums = {"loss": 0.0, "base": 0.0}
        plain = Tuned(self.base()).to(device)
        for number in range(count):
            clip = read_clip(self._held[number % len(self._held)])
            noise = _normal(np.random.default_rng((VALIDATION_SEED, number)), clip.latents)
            for name, each in (("loss", model), ("base", plain)):
                with torch.no_grad(), self._lost(each, clip, sigma_at((number + 0.5) / count), noise) as loss:
                    sums[name] += float(loss) / count
        return {"score": -sums["loss"], **sums}

    @contextmanager
    def _lost(self, model: Tuned, clip: Clip, sigma: float, noise: Tensor) -> Iterator[Tensor]:
        """What a clip is wrong by: the weighted squared error of the cleaned latents, reversed in time.

        Gradients are found within the context: intermediate values are made again for them, with the maps.
        """
        device = model.weights[0].device
        unet = self.unet(device)
        target = clip.latents.to(device)[None].flip(1)
        noisy = target + sigma * noise.to(device)[None]
        maps, exchange = Maps(keep=True), Exchange(unet, Changes(model.less(self.base())))
        with torch.no_grad(), exchange.forward(maps):
            self._clean(unet, noisy.flip(1), clip, 0, sigma)
        with exchange.backward(maps), checkpointed(unet):
            clean = self._clean(unet, noisy, clip, 1, sigma)
            yield (1 + sigma**2) / sigma**2 * (clean - target).square().mean()

    def _clean(self, unet: nn.Module, noisy: Tensor, clip: Clip, key: int, sigma: float) -> Tensor:
        """(1, N, 4, h, w) float32, what the U-Net takes for the pictures in noisy latents, told of one of the keys."""
        like = next(unet.parameters())
        told = clip.keys[key].to(like.device)[None, None].expand(-1, noisy.shape[1], -1, -1, -1)
        seen = torch.cat([noisy / (sigma**2 + 1) ** 0.5, told], dim=2)
        prediction: Tensor = unet(
            seen.to(like.dtype),
            torch.tensor(0.25 * float(np.log(sigma)), device=like.device),
            encoder_hidden_states=clip.embeds[key][None].to(like.device, like.dtype),
            added_time_ids=torch.tensor([self._ids], device=like.device),
            return_dict=False,
        )[0]
        return clean_estimate(noisy, prediction.float(), sigma)


@contextmanager
def checkpointed(unet: Any) -> Iterator[None]:
    """Gradients of a U-Net take little memory while this lasts: intermediate values are made again, block by block.

    The library does so for all but the temporal blocks, whose values are most of them.
    """
    blocks = [each for name, each in unet.named_modules() if name.endswith("temporal_transformer_blocks.0")]
    unet.enable_gradient_checkpointing()
    try:
        for block in blocks:
            block.forward = partial(_again, block.forward)
        yield
    finally:
        unet.disable_gradient_checkpointing()
        for block in blocks:
            del block.forward


def _again(forward: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    answer: Tensor = checkpoint(forward, *args, use_reentrant=False, **kwargs)
    return answer


def sigma_at(share: float) -> float:
    """The noise level under which a share of all draws lie, 0..1, both ends excluded."""
    deviations = float(torch.special.ndtri(torch.tensor(share, dtype=torch.float64)))
    return float(np.exp(SIGMA[0] + SIGMA[1] * deviations))


def _normal(draw: np.random.Generator, like: Tensor) -> Tensor:
    return torch.from_numpy(draw.standard_normal(tuple(like.shape), np.float32))
