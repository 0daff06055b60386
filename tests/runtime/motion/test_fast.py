"""The compiled kernels against torch, their threads, and life without them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Optional

import pytest
import torch
from torch import Tensor

from kairos.motion import fast
from kairos.motion.compose import compose
from kairos.motion.fill import fill_holes, fill_weighted
from kairos.motion.inbetween import Inbetween
from kairos.motion.occlusion import clean_mask, consistency
from kairos.motion.splat import MODES, splat
from kairos.motion.tiling import resize
from kairos.motion.warp import FILTERS, backward_warp, warp_unmixed
from kairos_nodes.layers import Policy

SIZE = (150, 210)
"""More pixels than one thread is given, and not a multiple of anything."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rough_flow(seed: int = 1, reach: float = 8.0) -> Tensor:
    """Still, whole-pixel, ordinary, far and broken vectors beside one another."""
    flow = noise(2, *SIZE, seed=seed) * reach
    flow[:, 10:30] = 0
    flow[:, 30:50] = flow[:, 30:50].round()
    flow[:, 50:55] *= 1000
    flow[0, 60, :7] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 2.0**24, -0.0])
    flow[1, 60, 3:10] = torch.tensor([torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 2.0**24, -0.0])
    return flow


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Tensor]], tuple[Tensor, Tensor]]:
    """What a call answers with the kernels, and what it answers without."""
    assert fast.usable(torch.zeros(1)), "numba is among the dependencies"

    def call(work: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        compiled = work()
        with monkeypatch.context() as patch:
            patch.setattr(fast, "usable", lambda *_: False)
            return compiled, work()

    return call


Both = Callable[[Callable[[], Tensor]], tuple[Tensor, Tensor]]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("filter", FILTERS)
def test_warps_agree_with_torch(both: Both, filter: str, clamp: bool, channels: int) -> None:
    planes, flow = noise(channels, *SIZE) * 100, rough_flow()
    compiled, plain = both(lambda: backward_warp(planes, flow, filter, clamp))
    # Values to about 400 in magnitude, 36 taps: a few units in the last place of the largest.
    torch.testing.assert_close(compiled, plain, rtol=1e-6, atol=2e-4)
    still = (flow == 0).all(0)
    assert torch.equal(compiled[:, still].view(torch.int32), planes[:, still].view(torch.int32))


@pytest.mark.parametrize("filter", FILTERS)
def test_broken_pixels_reach_as_far_as_with_torch(both: Both, filter: str) -> None:
    planes = noise(2, *SIZE)
    planes[0, 70, 70], planes[1, 80, 80], planes[1, 90, 90] = torch.nan, torch.inf, -torch.inf
    compiled, plain = both(lambda: backward_warp(planes, rough_flow(reach=0.7), filter))
    torch.testing.assert_close(compiled, plain, rtol=1e-6, atol=2e-6, equal_nan=True)
    assert not compiled.isfinite().all()


@pytest.mark.parametrize("channels", [0, 1, 4])
@pytest.mark.parametrize("mode", MODES)
def test_splats_agree_with_torch(both: Both, mode: str, channels: int) -> None:
    values, flow = noise(channels, *SIZE), rough_flow()
    importance = noise(1, *SIZE, seed=3).abs() * (30 if mode == "softmax" else 1)
    for index in range(2):
        compiled, plain = both(lambda index=index: splat(values, flow, importance, mode)[index])
        torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("filter", FILTERS)
def test_composition_agrees_with_torch(both: Both, filter: str) -> None:
    first, second = noise(4, *SIZE), noise(4, *SIZE, seed=2)
    amount = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(4))
    answer = Inbetween(0.4, rough_flow(1), rough_flow(5), amount, amount * 0, amount * 0, amount)
    compiled, plain = both(lambda: compose(first, second, answer, Policy.BLEND, filter))
    torch.testing.assert_close(compiled, plain, rtol=1e-6, atol=3e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_unmixed_warps_agree_with_torch(both: Both, channels: int) -> None:
    rows, columns = torch.arange(SIZE[0])[:, None], torch.arange(SIZE[1])
    # Slopes with an edge, noise, and a constant area: each of the three ways is taken.
    planes = (rows * 0.02 + columns * 0.01).float().expand(channels, *SIZE).clone()
    planes[:, :, 80:] += 9.0
    planes[:, 100:] = noise(channels, SIZE[0] - 100, SIZE[1])
    planes[:, :20, 150:] = 2.0
    compiled, plain = both(lambda: warp_unmixed(planes, rough_flow()))
    torch.testing.assert_close(compiled, plain, rtol=1e-6, atol=2e-6)


def test_round_trips_agree_with_torch(both: Both) -> None:
    there, back = rough_flow(), noise(2, *SIZE, seed=7) * 5
    found = both(lambda: torch.cat([plane.float() for plane in consistency(there, back)]))
    assert torch.equal(found[0][1], found[1][1])
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (7, 1), (151, 83)])
def test_medians_and_fillings_agree_with_torch(both: Both, size: tuple[int, int]) -> None:
    planes = noise(2, *size)
    weight = noise(1, *size, seed=2).clamp(0, 1)
    compiled, plain = both(lambda: clean_mask(planes))
    assert torch.equal(compiled, plain)
    for fill in (lambda: fill_holes(planes, weight > 0.7), lambda: fill_weighted(planes, weight)):
        torch.testing.assert_close(*both(fill), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (151, 211), (300, 420), (223, 100)])
def test_sizes_agree_with_torch(both: Both, size: tuple[int, int]) -> None:
    compiled, plain = both(lambda: resize(noise(2, *SIZE), *size))
    assert torch.equal(compiled, plain)


def test_the_number_of_threads_changes_no_bit() -> None:
    planes, flow, importance = noise(3, *SIZE), rough_flow(), noise(1, *SIZE, seed=3).abs()
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            warps = [backward_warp(planes, flow, filter) for filter in FILTERS]
            others = [warp_unmixed(planes, flow), clean_mask(planes), consistency(flow, -flow).error]
            others += [fill_holes(planes, importance > 1), fill_weighted(planes, importance.clamp(max=1))]
            others += [resize(planes, 300, 420)]
            splats = [plane for mode in MODES for plane in splat(planes, flow, importance, mode)]
            found.append([plane.view(torch.int32) for plane in (*warps, *others, *splats)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(*pair) for other in found[1:] for pair in zip(found[0], other))


def test_callers_on_several_threads_do_not_disturb_one_another() -> None:
    flows = [rough_flow(seed) for seed in range(6)]
    planes = noise(3, *SIZE)
    alone = [backward_warp(planes, flow, "cubic") for flow in flows]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda flow: backward_warp(planes, flow, "cubic"), flows))
    assert all(torch.equal(*pair) for pair in zip(alone, together))


def test_views_of_other_planes_are_read_right() -> None:
    wide, flow = noise(3, SIZE[0], 2 * SIZE[1]), rough_flow()
    narrow = wide[:, :, ::2]
    spread = torch.full((2, 1, 1), 1.5).expand(2, *SIZE)
    assert torch.equal(backward_warp(narrow, flow, "cubic"), backward_warp(narrow.contiguous(), flow, "cubic"))
    assert torch.equal(backward_warp(narrow, spread), backward_warp(narrow, spread.contiguous()))


def test_gradients_pass_through_a_warp() -> None:
    planes, flow = noise(1, 8, 9).requires_grad_(), torch.full((2, 8, 9), 0.5)
    backward_warp(planes, flow).sum().backward()
    assert planes.grad is not None
    # Every output pixel hands out a weight of 1 in all.
    assert float(planes.grad.sum()) == pytest.approx(72.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_are_left_to_torch(dtype: torch.dtype) -> None:
    assert not fast.usable(torch.zeros(1, dtype=dtype))
    assert backward_warp(torch.ones(1, 4, 4, dtype=dtype), torch.full((2, 4, 4), 0.5)).dtype is dtype


def in_a_process(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_is_compiled_or_loaded_before_a_frame_needs_it() -> None:
    code = "import sys, kairos.motion.compose, kairos.motion.splat; print('numba' in sys.modules)"
    assert in_a_process(code) == "False"


def test_without_numba_torch_does_the_work() -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch\n"
        "from kairos.engines.gimm import quick\n"
        "from kairos.motion import fast\n"
        "from kairos.motion.warp import backward_warp\n"
        "moved = backward_warp(torch.arange(12.0).reshape(1, 3, 4), torch.ones(2, 3, 4), 'cubic')\n"
        "print(fast.usable(moved), quick.usable(moved), moved[0, 0].tolist())"
    )
    assert in_a_process(code) == "False False [5.0, 6.0, 7.0, 7.0]"


def test_kernels_work_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from kairos.motion import compiled

    kept: list[bool] = []

    def njit(signature: str, cache: bool = False, **_: object) -> Callable[[Callable[[], None]], Callable[[], None]]:
        kept.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    made: Optional[Callable[[], None]] = compiled.kernel("void()")(lambda: None)
    assert made is not None and kept == [True, False]
