"""The plan of a generation: what is counted without values is what it takes, and the switches that fit are chosen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Tuple

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("diffusers")

from kairos.engines.inbetween import plan as plan_module
from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.counting import Count, Counter, on_processor, tensors_of
from kairos.engines.inbetween.folder import find_parts
from kairos.engines.inbetween.outline import META, PUBLISHED, outlined, told_of
from kairos.engines.inbetween.parts import load_parts
from kairos.engines.inbetween.plan import GIB, LADDER, MIB, PROGRAM, Plan, Planner, Stage, Switches, measured_rate
from kairos.engines.inbetween.recipe import Recipe
from kairos.engines.inbetween.sampling import conditions, run
from support.shared import ROOT
from support.tiny_svd import tiny_changes, write_tiny_svd

CPU = torch.device("cpu")
CANVAS = (128, 256)
RECIPE = Recipe(steps=1, repeats=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_svd(tmp_path_factory.mktemp("model"))


def planner(folder: Path, dtype: torch.dtype = torch.float32, unified: bool = False) -> Planner:
    return Planner(told_of(find_parts(folder)), RECIPE, CANVAS, dtype, unified)


def counted(run: Callable[[], Any], device: torch.device, resident: Iterable[torch.Tensor] = ()) -> Tuple[Count, Any]:
    """What a computation takes, and its answer."""
    counter = Counter(device, resident)
    with counter.counting():
        answer = run()
    return counter.count(), answer


def stage(plan: Plan, name: str) -> Stage:
    return next(each for each in plan.stages if each.name == name)


def test_what_is_alive_at_once_is_counted() -> None:
    def work() -> torch.Tensor:
        first = torch.empty(1000, 1000, device=META)
        second = first + 1
        del first
        view = second[:10]
        third = second.half()
        del second
        return view if third is None else third

    count, answer = counted(work, META)
    # Two single precision planes at once; at the end the half precision one.
    assert count.peak == 8_000_000 and count.after == 2_000_000 and count.before == count.multiply_adds == 0
    assert answer.shape == (1000, 1000)


def test_products_are_counted() -> None:
    left, right = torch.empty(30, 40, device=META), torch.empty(40, 50, device=META)
    image, kernel = torch.empty(2, 3, 16, 16, device=META), torch.empty(8, 3, 3, 3, device=META)
    query = torch.empty(2, 5, 100, 64, device=META)
    assert counted(lambda: left @ right, META)[0].multiply_adds == 30 * 40 * 50
    assert counted(lambda: F.conv2d(image, kernel, padding=1), META)[0].multiply_adds == 2 * 8 * 3 * 9 * 16 * 16
    attention, _ = counted(lambda: F.scaled_dot_product_attention(query, query, query), META)
    # Queries by keys, and maps by values.
    assert attention.multiply_adds == 2 * 2 * 5 * 100 * 100 * 64


def test_attention_is_counted_without_its_map() -> None:
    query = torch.empty(1, 1, 10_000, 64, device=META)
    count, _ = counted(lambda: F.scaled_dot_product_attention(query, query, query), META)
    # The answer, and a logarithm per position; the map alone would be 400 MB.
    assert count.peak == 10_000 * 64 * 4 + 10_000 * 4


def test_what_moves_to_the_host_leaves_the_device() -> None:
    def work() -> torch.Tensor:
        there = torch.empty(500, 1000, device=META).cpu()
        there = there + 1
        return there.to(META)

    count, _ = counted(work, META)
    assert count.host == 4_000_000 and count.peak == 2_000_000 and count.after == 2_000_000


def test_a_training_step_is_counted_with_what_its_gradient_needs() -> None:
    real, meta = (_trained(device) for device in (CPU, META))
    assert real.peak == meta.peak and real.multiply_adds == meta.multiply_adds
    # The weight and its gradient are left.
    assert meta.after >= 2 * 100 * 100 * 4 and meta.peak > meta.after


def _trained(device: torch.device) -> Count:
    weight, seen = torch.ones(100, 100, device=device, requires_grad=True), torch.ones(50, 100, device=device)

    def work() -> None:
        hidden = (seen @ weight).sigmoid() @ weight
        hidden.square().mean().backward()  # type: ignore[no-untyped-call]

    return counted(work, device, [weight, seen])[0]


def test_the_outline_is_the_published_model() -> None:
    parts = outlined(PUBLISHED, torch.float16)
    # The published U-Net has 1,524.6 million values; those of the 32 tensors that are tuned are 24.8 million of them.
    assert sum(each.numel() for each in parts.unet.parameters()) == pytest.approx(1524.6e6, rel=1e-4)
    tuned = [
        each
        for key, each in parts.unet.named_parameters()
        if "temporal_transformer_blocks.0.attn1.to_" in key and key.endswith(("to_v.weight", "to_out.0.weight"))
    ]
    assert len(tuned) == 32 and sum(each.numel() for each in tuned) == pytest.approx(24.8e6, rel=2e-3)
    assert parts.frames == 25 and all(each.is_meta for each in tensors_of(parts.unet, parts.vae, parts.image_encoder))


def test_what_is_counted_without_values_is_alive_with_them(folder: Path) -> None:
    plan = planner(folder, unified=True).plan(Switches())
    parts, changes = load_parts(folder, CPU), Changes(tiny_changes(folder))
    told = conditions(parts, RECIPE, torch.full((3, *CANVAS), 0.3), torch.full((3, *CANVAS), 0.6))
    counter = Counter(CPU, tensors_of(parts.unet), on_processor(torch.get_num_threads()))
    with counter.counting():
        list(run(parts, changes, RECIPE, told, None, lambda done, total: None))
    count = counter.count()
    planned = stage(plan, "generate")
    assert planned.own + planned.host == pytest.approx(count.peak, rel=0.01)
    assert planned.multiply_adds == count.multiply_adds


def test_a_plan_is_the_same_in_inference_mode(folder: Path) -> None:
    """As jobs make it: whole layers are one call there."""
    plain = planner(folder, torch.float16).plan(Switches(split=True))
    plan_module._counts.cache_clear()
    with torch.inference_mode():
        assert planner(folder, torch.float16).plan(Switches(split=True)) == plain


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the high-water mark is read from /proc")
def test_the_process_takes_what_was_planned(tmp_path: Path) -> None:
    folder = write_tiny_svd(tmp_path, frames=6)
    recipe = {"frames": 6, "steps": 1, "repeats": 0}
    told = {"folder": str(folder), "recipe": recipe, "canvas": CANVAS, "chunk": 3}
    answer = subprocess.run(
        [sys.executable, "-m", "support.generated_memory", json.dumps(told)],
        cwd=ROOT / "tests",
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(answer.stdout.splitlines()[-1])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        planned_for = told_of(find_parts(folder))
        plan = Planner(planned_for, Recipe(frames=6, steps=1, repeats=0), CANVAS, torch.float32, True).plan(
            Switches(chunk=3)
        )
    finally:
        torch.set_num_threads(threads)
    weights = {"generate": ("unet",), "decode": ("vae",)}
    parts = outlined(told_of(find_parts(folder)), torch.float32)
    for name, networks in weights.items():
        own = sum(each.nbytes for network in networks for each in tensors_of(getattr(parts, network)))
        planned = stage(plan, name).own + stage(plan, name).host - own
        assert planned == pytest.approx(measured[name], rel=0.2), name


def test_switches_save_what_they_say(folder: Path) -> None:
    on_card = planner(folder, torch.float16)
    plain, split = (on_card.plan(Switches(split=split)) for split in (False, True))
    host, again = (on_card.plan(Switches(maps=maps)) for maps in ("host", "recompute"))
    # Without weights, half the guidance takes half.
    own = sum(each.nbytes for each in tensors_of(outlined(told_of(find_parts(folder)), torch.float16).unet))
    halves = (stage(split, "generate").own - own) / (stage(plain, "generate").own - own)
    assert halves == pytest.approx(0.5, abs=0.08)
    # Maps of the tiny model: positions by heads by frames squared, both halves, in half precision.
    fine, coarse = CANVAS[0] * CANVAS[1] // 64, CANVAS[0] * CANVAS[1] // 256
    maps = 2 * 25 * 25 * 2 * (3 * 2 * fine + 4 * coarse)
    assert stage(host, "generate").host == pytest.approx(maps, rel=0.5)
    assert stage(host, "generate").own < stage(plain, "generate").own
    assert stage(host, "generate").multiply_adds == stage(plain, "generate").multiply_adds
    # Queries and keys are more than the maps of 25 frames where a head is wider than that: these are 16 wide.
    assert stage(again, "generate").own != stage(plain, "generate").own
    few, many = (stage(on_card.plan(Switches(chunk=chunk)), "decode") for chunk in (2, 8))
    assert few.own < many.own


def test_the_quickest_switches_that_fit_are_chosen(folder: Path) -> None:
    on_card = planner(folder, torch.float16)
    plans = [on_card.plan(rung) for rung in LADDER]
    plan, fits = on_card.chosen(100 * GIB)
    assert fits and plan.switches == LADDER[0] == Switches()
    lightest, fits = on_card.chosen(1)
    assert not fits and lightest.peak <= min(each.peak for each in plans)
    tight, fits = on_card.chosen(lightest.needed)
    assert fits and tight.needed <= lightest.needed
    fixed, _ = on_card.chosen(100 * GIB, {"maps": "host", "chunk": 3})
    assert fixed.switches == Switches(maps="host", chunk=3)


def test_a_plan_says_what_it_takes_and_where() -> None:
    made = Plan(
        Switches(offload=True),
        torch.float16,
        (576, 1024),
        25,
        175,
        (Stage("keys", 3 * GIB, GIB, 0, 10**12), Stage("generate", 8 * GIB, GIB, MIB, 10**15)),
        4 * GIB,
    )
    assert made.peak == 8 * GIB and made.host == 4 * GIB + MIB
    assert replace(made, switches=Switches()).peak == 9 * GIB and replace(made, switches=Switches()).host == MIB
    # In one memory, what waits is there whatever it is called.
    assert replace(made, unified=True).peak == 9 * GIB + MIB + PROGRAM and replace(made, unified=True).host == 0
    assert made.needed == int(8 * GIB * 1.08) + 512 * MIB
    assert made.seconds(10**13) == pytest.approx(100.1)
    assert made.text(free=12 * GIB, rate=1e13) == (
        "25 frames of 1024x576, 175 evaluations of both directions: 8.0 GiB on the card (reading the keys 3.0 GiB, "
        "generating 8.0 GiB) of 12.0 GiB free, 4.0 GiB on the host; 2 min or more; "
        "maps=full split=no offload=yes chunk=8"
    )


def test_a_rate_is_measured() -> None:
    # Any processor of this century does ten million multiply-adds in a second, and none a million billions.
    assert 1e7 < measured_rate(CPU, torch.float32) < 1e15


def _environment() -> Dict[str, str]:
    paths = os.pathsep.join(str(ROOT / each) for each in ("runtime", "nodes", "tests"))
    # Pieces go back to the system at once: what an allocator keeps and leaves between pieces is not planned.
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return {**os.environ, **given_back, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
