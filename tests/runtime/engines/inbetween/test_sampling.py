"""A generation from its first step to its last: symmetric, reproducible, resumed and cancelled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, List, Optional, Sequence, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.equations import Noise
from kairos.engines.inbetween.parts import Parts, load_parts
from kairos.engines.inbetween.recipe import Conditions, Recipe, State
from kairos.engines.inbetween.sampling import check, conditions, run, warning
from kairos.errors import BadRequest, Cancelled, EngineError
from support.parity import same


def recipe(**settings: Any) -> Recipe:
    return Recipe(**{"frames": 5, "steps": 4, "repeats": 1, **settings})


@pytest.fixture(scope="module")
def keys() -> Conditions:
    generator = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Conditions(
        (drawn(1, 4, 4, 6), drawn(1, 4, 4, 6)),
        (drawn(1, 1, 32), drawn(1, 1, 32)),
        torch.tensor([[6.0, 127.0, 0.02]]),
    )


def states(
    parts: Parts,
    changes: Optional[Changes],
    settings: Recipe,
    keys: Conditions,
    state: Optional[State] = None,
    noise: Optional[Noise] = None,
) -> List[State]:
    return list(run(parts, changes, settings, keys, state, lambda done, count: None, noise))


def swapped(keys: Conditions) -> Conditions:
    """What the U-Net is told on the way from the second key to the first."""
    return Conditions(keys.latents[::-1], keys.embeds[::-1], keys.added_time_ids)


class _Reversed(Noise):
    """The same noise, reversed in time."""

    def draw(self, shape: Sequence[int]) -> Tensor:
        return super().draw(shape).flip(1)


@pytest.mark.parametrize("guidance", ["average", "weighted"])
def test_plain_both_ways_swapped_keys_and_reversed_noise_give_the_reversed_result(
    tiny_parts: Parts, keys: Conditions, guidance: str
) -> None:
    settings = recipe(mode="trf", guidance=guidance)
    there = states(tiny_parts, None, settings, keys)
    back = states(tiny_parts, None, settings, swapped(keys), noise=_Reversed(settings.seed))
    for one, other in zip(there, back):
        # The latents begin at 700: relative to their size.
        torch.testing.assert_close(other.latents.flip(1), one.latents, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(other.clean.flip(1), one.clean, rtol=1e-5, atol=1e-4)
    assert not torch.allclose(there[-1].latents, there[-1].latents.flip(1), atol=1e-2)


def test_rotated_maps_are_not_symmetric(tiny_parts: Parts, changes: Changes, keys: Conditions) -> None:
    settings = recipe()
    there = states(tiny_parts, changes, settings, keys)[-1]
    back = states(tiny_parts, changes, settings, swapped(keys), noise=_Reversed(settings.seed))[-1]
    assert (back.latents.flip(1) - there.latents).abs().max() > 1e-2


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_resumed_generation_ends_in_the_same_bits(
    tiny_parts: Parts, changes: Changes, keys: Conditions, after: int
) -> None:
    whole = states(tiny_parts, changes, recipe(), keys)
    rest = states(tiny_parts, changes, recipe(), keys, whole[after - 1])
    assert [each.step for each in whole] == [1, 2, 3, 4]
    assert [each.step for each in rest] == list(range(after + 1, 5))
    for one, other in zip(whole[after:], rest):
        assert torch.equal(one.latents, other.latents)
        assert torch.equal(one.clean, other.clean)
        assert torch.equal(one.generator, other.generator)


def test_a_finished_generation_has_nothing_left_to_do(tiny_parts: Parts, changes: Changes, keys: Conditions) -> None:
    last = states(tiny_parts, changes, recipe(), keys)[-1]
    assert states(tiny_parts, changes, recipe(), keys, last) == []


def test_the_seed_decides_the_pictures(tiny_parts: Parts, changes: Changes, keys: Conditions) -> None:
    first, again = (states(tiny_parts, changes, recipe(seed=7), keys)[-1] for _ in range(2))
    other = states(tiny_parts, changes, recipe(seed=8), keys)[-1]
    assert torch.equal(first.latents, again.latents)
    assert (first.latents - other.latents).abs().max() > 1e-2


def test_other_random_numbers_of_the_process_change_nothing(
    tiny_parts: Parts, changes: Changes, keys: Conditions
) -> None:
    torch.manual_seed(1)
    first = states(tiny_parts, changes, recipe(), keys)[-1]
    torch.manual_seed(2)
    torch.randn(3)
    assert torch.equal(first.latents, states(tiny_parts, changes, recipe(), keys)[-1].latents)


def test_without_noise_left_the_latents_are_the_clean_estimate(
    tiny_parts: Parts, changes: Changes, keys: Conditions
) -> None:
    last = states(tiny_parts, changes, recipe(), keys)[-1]
    same(last.latents, last.clean, 1e-4)
    assert last.latents.dtype == torch.float32


def test_halves_one_after_the_other_give_the_same(tiny_parts: Parts, changes: Changes, keys: Conditions) -> None:
    together = states(tiny_parts, changes, recipe(), keys)[-1]
    apart = states(tiny_parts, changes, recipe(split=True), keys)[-1]
    same(apart.latents, together.latents, 1e-4)


@pytest.mark.parametrize(("maps", "tolerance"), [("half", 0.02), ("host", 0.0), ("recompute", 1e-4)])
def test_maps_kept_otherwise_give_nearly_the_same_pictures(
    tiny_parts: Parts, changes: Changes, keys: Conditions, maps: str, tolerance: float
) -> None:
    full = states(tiny_parts, changes, recipe(), keys)[-1]
    other = states(tiny_parts, changes, recipe(maps=maps), keys)[-1]
    same(other.latents, full.latents, tolerance)


@pytest.mark.parametrize("split", [False, True])
def test_progress_counts_every_run_of_the_u_net(
    tiny_parts: Parts, changes: Changes, keys: Conditions, split: bool
) -> None:
    told: List[Tuple[int, int]] = []
    runs: List[int] = []
    handle = tiny_parts.unet.register_forward_hook(lambda *more: runs.append(1))
    settings = recipe(repeats=2, until=0.5, split=split)
    try:
        found = list(run(tiny_parts, changes, settings, keys, None, lambda *each: told.append(each)))
        # Two of four steps three times: eight evaluations.
        count = 8 * (4 if split else 2)
        assert told == [(done, count) for done in range(1, count + 1)]
        assert len(runs) == count
        told.clear()
        list(run(tiny_parts, changes, settings, keys, found[1], lambda *each: told.append(each)))
        assert told == [(done, count) for done in range(count * 6 // 8 + 1, count + 1)]
    finally:
        handle.remove()


def test_fifty_steps_are_the_papers_number_of_evaluations() -> None:
    # 25 steps once and 25 steps six times: 175 runs of either network.
    assert Recipe().evaluations() == 175
    assert Recipe().passes() == 2
    assert [Recipe().repeated(step) for step in (0, 24, 25, 49)] == [5, 5, 0, 0]


@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_a_generation_is_cancelled_between_two_runs_of_the_u_net(
    tiny_parts: Parts, changes: Changes, keys: Conditions, at: int
) -> None:
    runs: List[int] = []
    handle = tiny_parts.unet.register_forward_hook(lambda *more: runs.append(1))

    def tell(done: int, count: int) -> None:
        if done == at:
            raise Cancelled("enough")

    processors = dict(tiny_parts.unet.attn_processors)
    try:
        with pytest.raises(Cancelled):
            list(run(tiny_parts, changes, recipe(), keys, None, tell))
    finally:
        handle.remove()
    assert len(runs) == at
    assert tiny_parts.unet.attn_processors == processors


def test_a_part_lies_on_the_device_only_while_it_works(tiny_folder: Any, changes: Changes, keys: Conditions) -> None:
    parts = load_parts(tiny_folder, torch.device("cpu"), offload=True)
    moved: List[str] = []
    original = parts.unet.to
    parts.unet.to = lambda where: (moved.append(str(where)), original(where))[1]
    states(parts, changes, recipe(), keys)
    assert moved == ["cpu", "cpu"]


def test_rotated_maps_without_tuned_weights_are_refused_with_what_to_do(tiny_parts: Parts, keys: Conditions) -> None:
    with pytest.raises(BadRequest) as caught:
        states(tiny_parts, None, recipe(), keys)
    text = str(caught.value)
    assert "tuned weights" in text and "mode=trf" in text and "layers=up" in text and "\n" not in text


def test_rotated_maps_in_the_upper_blocks_need_no_tuned_weights(tiny_parts: Parts, keys: Conditions) -> None:
    settings = recipe(layers="up")
    assert "worse" in warning(None, settings)
    assert torch.isfinite(states(tiny_parts, None, settings, keys)[-1].latents).all()


def test_the_published_recipe_has_no_warning(changes: Changes) -> None:
    assert warning(changes, recipe()) == ""
    assert warning(None, recipe(mode="trf")) == ""


def test_another_number_of_pictures_than_the_models_is_refused(tiny_parts: Parts, changes: Changes) -> None:
    with pytest.raises(BadRequest, match="makes 5 pictures, and 25 are asked for"):
        check(tiny_parts, changes, Recipe())


@pytest.mark.parametrize(
    ("dtype", "said"),
    [(torch.float32, "weaker guidance"), (torch.bfloat16, "weaker guidance"), (torch.float16, "--precision bf16")],
)
def test_values_that_are_no_numbers_end_a_generation(
    tiny_parts: Parts, changes: Changes, keys: Conditions, dtype: torch.dtype, said: str
) -> None:
    """Half precision is blamed where it can be to blame, and nowhere else."""
    broken = replace(keys, embeds=(keys.embeds[0] * float("nan"), keys.embeds[1]))
    with pytest.raises(EngineError, match=r"Step 1 of 4 .* no numbers") as caught:
        states(replace(tiny_parts, dtype=dtype), changes, recipe(), broken)
    assert said in str(caught.value) and ("half precision" in str(caught.value)) == (dtype == torch.float16)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "both"},
        {"maps": "disk"},
        {"steps": 0},
        {"until": 1.5},
        {"low": float("nan")},
        {"bucket": 256},
        {"bucket": 0},
    ],
)
def test_a_setting_out_of_its_range_is_refused(settings: Any) -> None:
    with pytest.raises(BadRequest, match=next(iter(settings))):
        Recipe(**settings)


def test_bfloat16_runs_through(tiny_folder: Any, changes: Changes, keys: Conditions) -> None:
    parts = load_parts(tiny_folder, torch.device("cpu"), torch.bfloat16)
    low = states(parts, changes, recipe(repeats=0), keys)[-1].latents
    full = states(load_parts(tiny_folder, torch.device("cpu")), changes, recipe(repeats=0), keys)[-1].latents
    assert low.dtype == torch.float32
    assert (low - full).abs().mean() < 0.1 * full.abs().mean()


def test_keys_become_conditions_and_pictures(tiny_parts: Parts, changes: Changes) -> None:
    first, second = torch.rand(3, 64, 128), torch.rand(3, 64, 128)
    found = conditions(tiny_parts, recipe(), first, second)
    assert [tuple(each.shape) for each in found.latents] == [(1, 4, 8, 16)] * 2
    assert [tuple(each.shape) for each in found.embeds] == [(1, 1, 32)] * 2
    same(found.added_time_ids, torch.tensor([[6.0, 127.0, 0.02]]), 1e-6)
    assert states(tiny_parts, changes, recipe(steps=1), found)[0].latents.shape == (1, 5, 4, 8, 16)
