"""Tuning for generative inbetweening: Algorithm 1 changes two matrices a layer and nothing else, and it learns."""

from __future__ import annotations

import copy
import math
import pickle
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("diffusers")

from kairos.engines.inbetween.attention import Exchange, Maps, temporal_layers
from kairos.engines.inbetween.changes import load_changes, tuned_keys
from kairos.engines.inbetween.parts import load_parts
from kairos.engines.inbetween.pictures import conditions
from kairos.engines.inbetween.recipe import Recipe
from kairos.errors import BadRequest
from kairos.training import inbetween as module
from kairos.training.checkpoint import load_weights
from kairos.training.clips import ClipSettings, encoder_of, prepared
from kairos.training.inbetween import DEFAULTS, InbetweenTask, Tuned, sigma_at
from kairos.training.log import read_log
from kairos.training.settings import TrainSettings
from kairos.training.trainer import TrainResult, train
from support.differences import merged
from support.moving import MadeSource, panned
from support.tiny_svd import write_tiny_svd
from support.training import deaf

CPU = torch.device("cpu")
FRAMES = 6
"""Of a clip: what a U-Net is made for is no matter to its tuning, and fewer are quicker."""
IDS = (6.0, 127.0, 0.02)
SHORT: Dict[str, Any] = {**DEFAULTS, "device": "cpu", "threads": 1, "validate_count": 2}


def unet_of(folder: Path) -> nn.Module:
    unet: nn.Module = load_parts(folder, CPU).unet
    return unet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_svd(tmp_path_factory.mktemp("model"), frames=14)


@pytest.fixture(scope="module")
def clips(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> List[Path]:
    """Two clips of a pan."""
    source = MadeSource("pan", panned("pan", 2 * FRAMES))
    settings = ClipSettings(FRAMES, stride=1, canvas=(64, 64))
    return prepared(
        [source], settings, tmp_path_factory.mktemp("clips"), "tiny", lambda: encoder_of(load_parts(folder, CPU))
    )


@pytest.fixture
def task(folder: Path, clips: List[Path]) -> InbetweenTask:
    return InbetweenTask(clips, partial(unet_of, folder), IDS, ("tiny", "0" * 64))


def trained(task: InbetweenTask, out: Path, **settings: Any) -> TrainResult:
    return train(task, TrainSettings(**{**SHORT, **settings}), out, deaf)


def test_a_step_changes_the_matrices_of_temporal_self_attention_alone(
    task: InbetweenTask, folder: Path, tmp_path: Path
) -> None:
    before = unet_of(folder).state_dict()
    result = trained(task, tmp_path, steps=1, validate_first=False)
    assert all(torch.equal(value, before[key]) for key, value in task.unet(CPU).state_dict().items())
    changes = load_changes(result.last)
    after = merged(changes, before)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    # Two matrices in each of the tiny U-Net's four layers, as 32 in the published one's sixteen.
    assert changed == set(tuned_keys(before)) and len(changed) == 8
    # AdamW's first step is as long as the learning rate wherever there is a gradient.
    assert all(float(value.abs().max()) == pytest.approx(1e-4, rel=0.05) for value in changes.tensors.values())


def test_the_loss_is_that_of_the_algorithm(task: InbetweenTask, folder: Path) -> None:
    model = _moved(task)
    batch = task.batch(3, 0, 0, CPU)
    loss, _ = task.loss(model, batch, 0.0)
    clip, sigma, noise = batch.clips[0], batch.sigmas[0], batch.noise[0]
    frozen, tuned = unet_of(folder), unet_of(folder)
    tuned.load_state_dict({**frozen.state_dict(), **dict(zip(model.names, (each.detach() for each in model.weights)))})
    target = clip.latents.flip(0)
    noisy = target + sigma * noise
    maps = Maps()
    with torch.no_grad():
        with Exchange(frozen).forward(maps):
            _network(frozen, noisy.flip(0), sigma, clip.keys[0], clip.embeds[0])
        with Exchange(tuned).backward(maps):
            answer = _network(tuned, noisy, sigma, clip.keys[1], clip.embeds[1])
    skip, out = 1 / (sigma**2 + 1), -sigma / math.sqrt(sigma**2 + 1)
    error = (skip * noisy + out * answer - target).square().mean()
    assert float(loss.detach()) == pytest.approx(float((1 + sigma**2) / sigma**2 * error), rel=1e-4)


def test_gradients_found_block_by_block_are_the_same(task: InbetweenTask, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for again in (True, False):
        if not again:
            monkeypatch.setattr(module, "checkpointed", _as_it_is)
        model = _moved(task)
        task.loss(model, task.batch(1, 0, 0, CPU), 0.0)[0].backward()
        found.append([each.grad for each in model.weights])
    for with_checkpoints, without in zip(*found):
        assert with_checkpoints is not None and without is not None
        assert float(without.abs().max()) > 0
        torch.testing.assert_close(with_checkpoints, without, rtol=1e-4, atol=1e-7)


def test_with_checkpoints_little_is_kept_for_the_gradient(task: InbetweenTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What autograd keeps beside the blocks that are run again: the clips of a whole frame would not fit otherwise."""
    kept = {}
    for again in (True, False):
        if not again:
            monkeypatch.setattr(module, "checkpointed", _as_it_is)
        sizes: List[int] = []

        def noted(tensor: Tensor, sizes: List[int] = sizes) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(noted, lambda tensor: tensor):
            task.loss(_moved(task), task.batch(1, 0, 0, CPU), 0.0)
        kept[again] = sum(sizes)
    # A sixth was found; half, where the temporal blocks are left out.
    assert kept[True] < 0.25 * kept[False]


def test_the_temporal_blocks_are_run_again_for_the_gradient(task: InbetweenTask) -> None:
    layers = temporal_layers(task.unet(CPU))
    runs = dict.fromkeys(layers, 0)

    def counts(name: str) -> Any:
        def count(*_: object) -> None:
            runs[name] += 1

        return count

    hooks = [layer.to_v.register_forward_hook(counts(name)) for name, layer in layers.items()]
    task.loss(_moved(task), task.batch(1, 0, 0, CPU), 0.0)
    for hook in hooks:
        hook.remove()
    # Forward in time, backward in time, and the latter once more.
    assert set(runs.values()) == {3}


def test_clips_of_a_step_count_alike(task: InbetweenTask, folder: Path, clips: List[Path]) -> None:
    both = InbetweenTask(clips, partial(unet_of, folder), IDS, ("tiny", "0" * 64), count=2)
    model = _moved(task)
    loss, _ = both.loss(model, both.batch(1, 0, 0, CPU), 0.0)
    loss.backward()
    together = [each.grad.clone() for each in model.weights if each.grad is not None]
    model.zero_grad()
    # The numbers are drawn clip by clip: two steps of one are one step of two.
    one_by_one = [task.loss(model, task.batch(1, step, 0, CPU), 0.0)[0] for step in (0, 1)]
    (sum(one_by_one) / 2).backward()
    assert float(loss.detach()) == pytest.approx(sum(float(each.detach()) for each in one_by_one) / 2, rel=1e-6)
    for weight, gradient in zip(model.weights, together):
        torch.testing.assert_close(gradient, weight.grad, rtol=1e-5, atol=1e-8)


def test_a_clip_holds_scaled_latents_and_its_ends_as_a_generation_tells_them(folder: Path) -> None:
    parts = load_parts(folder, CPU)
    pictures = torch.stack(panned("ends", 3, step=20))
    clip = encoder_of(parts)(pictures)
    told = conditions(parts, Recipe(frames=3), pictures[0], pictures[2])
    for end in (0, 1):
        assert torch.equal(clip.keys[end], told.latents[end][0]) and torch.equal(clip.embeds[end], told.embeds[end][0])
    with torch.no_grad():
        latents = [parts.vae.encode(2 * each[None] - 1).latent_dist.mode()[0] for each in pictures]
    torch.testing.assert_close(clip.latents, 0.18215 * torch.stack(latents), rtol=1e-4, atol=1e-5)


def test_a_gradient_is_the_slope_of_the_loss(task: InbetweenTask) -> None:
    model, batch = _moved(task), task.batch(1, 0, 0, CPU)
    task.loss(model, batch, 0.0)[0].backward()
    grads = [each.grad for each in model.weights]
    norm = math.sqrt(sum(float(each.square().sum()) for each in grads if each is not None))
    losses = []
    for length in (0.01, -0.01):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for weight, grad in zip(moved.weights, grads):
                assert grad is not None
                weight += length * grad / norm
        losses.append(float(task.loss(moved, batch, 0.0)[0].detach()))
    # Along the gradient a function rises by the gradient's length.
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(norm, rel=0.05)


@pytest.mark.slow
def test_the_loss_falls_over_fifty_steps(task: InbetweenTask, tmp_path: Path) -> None:
    """At a hundred times the published rate: with that, fifty steps take 1.4 % off the loss of the tiny model."""
    trained(task, tmp_path, steps=50, validate_steps=50, lr=1e-2, validate_count=4)
    lines = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "validation"]
    assert [line["step"] for line in lines] == [0, 50]
    # The same clips and the same noise before and after; before, nothing is changed yet.
    assert lines[0]["loss"] == pytest.approx(lines[0]["base"], rel=1e-6)
    assert lines[1]["base"] == pytest.approx(lines[0]["base"], rel=1e-6)
    assert lines[1]["loss"] < 0.8 * lines[0]["loss"]
    rates = [line["lr"] for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "train"]
    assert rates and set(rates) == {1e-2}, "the rate is constant"


def test_a_training_that_is_gone_on_with_ends_in_the_same_bits(task: InbetweenTask, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    trained(task, whole, steps=4, validate_steps=4, validate_first=False)
    trained(task, parts, steps=4, validate_steps=4, validate_first=False, stop_at=2)
    trained(task, parts, steps=4, validate_steps=4, validate_first=False, resume_from=parts)
    one, other = (load_weights(each / "last.safetensors")[0] for each in (whole, parts))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert any(bool(value.any()) for value in one.values())


def test_differences_are_kept_in_half_precision_and_added_to_another_base(task: InbetweenTask, tmp_path: Path) -> None:
    result = trained(task, tmp_path / "out", steps=2, lr=1e-2)
    tensors, record = load_weights(result.best)
    assert result.best.stat().st_size < 1.2 * 2 * sum(each.numel() for each in tensors.values()) + 1e5
    assert record["task"] == "inbetween" and record["base"] == "tiny" and record["clips"] == "2"
    other = unet_of(write_tiny_svd(tmp_path / "other", frames=25, seed=7))
    before = other.state_dict()
    after = merged(load_changes(result.best), before)
    for key in tuned_keys(before):
        torch.testing.assert_close(after[key] - before[key], tensors[key], rtol=0, atol=1e-6)
    # An engine runs them beside the base, which stays as it is.
    batch = task.batch(3, 0, 0, CPU)
    seen = batch.clips[0].latents, batch.sigmas[0], batch.clips[0].keys[0], batch.clips[0].embeds[0]
    with torch.no_grad():
        plain = _network(other, *seen)
        with Exchange(other, load_changes(result.best)).backward(None):
            beside = _network(other, *seen)
        other.load_state_dict(after)
        together = _network(other, *seen)
    torch.testing.assert_close(beside, together, rtol=0, atol=1e-5)
    assert float((beside - plain).abs().max()) > 1e-3
    # And a training may begin with them.
    again = Tuned(task.base())
    again.load_state_dict(dict(task.read(tensors)))
    torch.testing.assert_close(again.less(task.base()), tensors, rtol=0, atol=1e-6)


def test_differences_of_another_model_are_refused(task: InbetweenTask) -> None:
    with pytest.raises(BadRequest, match="no differences of this model"):
        task.read({"down_blocks.0.to_v.weight": torch.zeros(4, 4)})


def test_other_clips_are_another_training(task: InbetweenTask, folder: Path, clips: List[Path], tmp_path: Path) -> None:
    trained(task, tmp_path, steps=2, stop_at=1, validate_first=False)
    fewer = InbetweenTask(clips[:1], partial(unet_of, folder), IDS, ("tiny", "0" * 64))
    with pytest.raises(BadRequest, match=r"was trained with 2 clips .* not with 1 clips"):
        trained(fewer, tmp_path, steps=2, resume_from=tmp_path)


def test_a_batch_is_the_same_in_whichever_order_and_process_it_is_asked(task: InbetweenTask) -> None:
    first = task.batch(5, 3, 0, CPU)
    task.batch(5, 1, 0, CPU)
    again = pickle.loads(pickle.dumps(task)).batch(5, 3, 0, CPU)
    assert first.sigmas == again.sigmas and torch.equal(first.noise[0], again.noise[0])
    assert torch.equal(first.clips[0].latents, again.clips[0].latents)
    # Every clip as often as any other.
    seen = [float(task.batch(5, step, 0, CPU).clips[0].latents.sum()) for step in range(4)]
    assert sorted(seen[:2]) == sorted(seen[2:]) and seen[0] != seen[1]


def test_noise_levels_are_log_normal(task: InbetweenTask) -> None:
    drawn = torch.tensor([task.batch(1, step, 0, CPU).sigmas[0] for step in range(400)]).log()
    # Four standard errors of the mean and of the deviation of 400 draws.
    assert float(drawn.mean()) == pytest.approx(0.7, abs=4 * 1.6 / 20)
    assert float(drawn.std()) == pytest.approx(1.6, abs=4 * 1.6 / math.sqrt(800))
    assert sigma_at(0.5) == pytest.approx(math.exp(0.7), rel=1e-9)
    # 84.13 % of a normal distribution lie under one deviation.
    assert sigma_at(0.841344746) == pytest.approx(math.exp(0.7 + 1.6), rel=1e-6)


def _moved(task: InbetweenTask) -> Tuned:
    """The tuned tensors, a little away from the base."""
    model = task.model()
    assert isinstance(model, Tuned)
    dice = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.weights:
            weight += 0.05 * torch.randn(weight.shape, generator=dice)
    return model


@contextmanager
def _as_it_is(unet: Any) -> Iterator[None]:
    yield


def _network(unet: Any, noisy: Tensor, sigma: float, key: Tensor, embed: Tensor) -> Tensor:
    """What the U-Net answers, (N, 4, h, w), to noisy latents of the same shape and one key (Karras et al., Table 1)."""
    seen = torch.cat([noisy / math.sqrt(sigma**2 + 1), key.expand(len(noisy), -1, -1, -1)], 1)
    answer: Tensor = unet(seen[None], 0.25 * math.log(sigma), embed[None], torch.tensor([IDS])).sample
    return answer[0]
