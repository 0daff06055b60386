"""What compiled kernels do for ``swift`` on the CPU is what torch does, to rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair
from kairos.engines.classic import motion, path
from kairos.engines.classic.midway import Moment, paths
from kairos.engines.classic.path import Bend, bend_at
from kairos.engines.registry import engine
from kairos.engines.swift import layers, looking, quick, session
from kairos.engines.swift.layers import squash
from kairos.engines.swift.looking import correlate, most_alike
from kairos.engines.swift.meeting import Told, decided, enlarged, evidence, told_hidden
from kairos.engines.swift.motion import COARSE, FINE, in_all_cells, in_cells, mixed
from kairos.engines.swift.network import Meeting, Swift
from kairos.motion import fast
from kairos.motion.inbetween import Inbetween
from kairos.motion.tiling import half_of
from support.scenes import MemoryShot, grid, plate, texture

SIZES = [(64, 96), (71, 83), (1, 5), (130, 7)]


@pytest.fixture(autouse=True)
def exact() -> Iterator[None]:
    with torch.inference_mode():
        yield


def drawn(*shape: int, seed: int = 1, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "usable", lambda *planes: False)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reach", [1, 4])
def test_likeness_and_what_looks_most_alike(size: Tuple[int, int], reach: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn(2, 12, *size).contiguous(memory_format=torch.channels_last)
    second = drawn(2, 12, *size, seed=2)
    likeness = correlate(first, second, reach)
    around = F.pad(second, (reach,) * 4)
    side = 2 * reach + 1
    expected = [
        (first * around[:, :, down : down + size[0], across : across + size[1]]).sum(1)
        for down in range(side)
        for across in range(side)
    ]
    torch.testing.assert_close(likeness, torch.stack(expected, 1), atol=1e-5, rtol=1e-5)
    for sharpness in (torch.tensor(2.0), torch.tensor(60.0)):
        found = most_alike(likeness, sharpness, reach)
        with monkeypatch.context() as plain:
            by_torch(plain)
            wanted = most_alike(likeness, sharpness, reach)
        for one, other in zip(found, wanted):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("lying", ["by plane", "by cell"])
def test_motion_told_to_pixels(size: Tuple[int, int], lying: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planes, weights = drawn(2, 5, *size, scale=20.0), drawn(2, 41, *size, seed=3, scale=3.0)
    if lying == "by cell":
        weights = weights.contiguous(memory_format=torch.channels_last)
    found = mixed(planes, weights[:, 5:])
    by_torch(monkeypatch)
    torch.testing.assert_close(found, mixed(planes, weights[:, 5:]), atol=1e-4, rtol=1e-5)


def test_sure_weights_and_impossible_ones_stay_numbers() -> None:
    planes, weights = drawn(1, 2, 16, 16), torch.zeros(1, 36, 16, 16)
    weights[:, 16:20] = 1e5
    weights[:, :4] = -1e5
    found = mixed(planes, weights)
    assert torch.equal(found, planes.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize("brightest", [1.0, 40.0])
def test_pictures_are_rolled_off_alike(brightest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = drawn(1, 3, 40, 52).abs().clamp(max=1) * brightest - 0.1 * (brightest > 1)
    found = squash(picture)
    by_torch(monkeypatch)
    torch.testing.assert_close(found, squash(picture), atol=1e-6, rtol=1e-6)


def test_what_is_no_number_stays_so_and_hides_no_highlight() -> None:
    picture = torch.full((1, 1, 4, 4), 0.5)
    for bright in ((0, 1), (2, 2)):
        picture[:] = 0.5
        picture[0, 0, 1, 1], picture[(0, 0, *bright)] = torch.nan, 9.0
        found = squash(picture)
        assert found.isnan().sum() == 1 and bool(found[0, 0, 1, 1].isnan()) and 1 < float(found[(0, 0, *bright)]) < 9


@pytest.mark.parametrize("size", [(720, 1280), (64, 64), (176, 336)])
def test_means_of_means_are_the_means_of_all(size: Tuple[int, int]) -> None:
    prior, sizes = drawn(2, 2, *size, scale=30.0), []
    rows, columns = size[0] // COARSE, size[1] // COARSE
    for _ in range(4):
        sizes.append((rows, columns))
        rows, columns = -(-rows // 2), -(-columns // 2)
    fine, cells = in_all_cells(prior, sizes)
    torch.testing.assert_close(fine, F.avg_pool2d(prior, FINE) / FINE, atol=1e-4, rtol=1e-5)
    for level, (each, shape) in enumerate(zip(cells, sizes)):
        torch.testing.assert_close(each, in_cells(prior, COARSE << level, shape), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(120, 200), (211, 333), (5, 7), (1, 3)])
def test_paths_bend_alike(size: Tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def soft(count: int, seed: int, scale: float) -> Tensor:
        return F.interpolate(drawn(1, count, 6, 6, seed=seed, scale=scale), size, mode="bicubic")[0]

    shown = [soft(1, seed, 1.0).sigmoid() for seed in range(4)]
    bend = Bend(soft(2, 5, 6.0), soft(2, 6, 6.0), shown[0], shown[1])
    velocity = soft(2, 7, 40.0)
    found = bend_at(bend, velocity, (shown[2], shown[3]), 0.3, 0.5)
    monkeypatch.setattr(path, "_kernels", lambda: None)
    wanted = bend_at(bend, velocity, (shown[2], shown[3]), 0.3, 0.5)
    assert float(wanted.abs().max()) > 0.05
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [(120, 200), (111, 133), (5, 7), (1, 3)])
def test_trust_and_what_is_in_front(size: Tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    there = F.interpolate(drawn(1, 2, 6, 6, scale=6.0), size, mode="bicubic")[0]
    back = F.interpolate(drawn(1, 2, 6, 6, seed=2, scale=0.4), size, mode="bicubic")[0] - there
    there[:, 0, 0] = torch.nan
    found = motion._agreement(there, back, 0.5)
    monkeypatch.setattr(motion, "_kernels", lambda: None)
    for one, other in zip(found, motion._agreement(there, back, 0.5)):
        # A vector that is no number carries nothing, and nobody trusts it.
        one, other = (each.nan_to_num(0.0).clone() for each in (one, other))
        one[:, 0, 0], other[:, 0, 0] = 0.0, 0.0
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def frames(height: int, width: int, gain: float) -> List[Tensor]:
    """A bright disc that crosses a textured ground, and the ground drifts."""
    ground, disc = texture(5), texture(8, 0.7)
    x, y = grid(height, width)
    made = []
    for step in range(4):
        inside = (x - 0.3 * width - 9 * step) ** 2 + (y - 0.5 * height) ** 2 < (0.2 * height) ** 2
        made.append(plate(inside * gain * disc(x - 9 * step, y) + ~inside * ground(x + 2.3 * step, y)))
    return made


@pytest.fixture(params=["trained", "wild"])
def weights(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Those that come with Kairos, which leave paths and picture as they are; and some that correct everything."""
    if request.param == "trained":
        return ""
    from safetensors.torch import save_file

    torch.manual_seed(4)
    tensors = {name: each + torch.randn_like(each) * 0.03 for name, each in Swift().state_dict().items()}
    save_file({name: each.contiguous() for name, each in tensors.items()}, tmp_path / "wild.safetensors")
    return str(tmp_path / "wild.safetensors")


@pytest.mark.parametrize(("size", "gain"), [((128, 192), 0.9), ((139, 213), 6.0)])
def test_in_betweens_are_those_of_torch(
    size: Tuple[int, int], gain: float, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, with four frames, with highlights that fade corrections out, and at sides that are no whole cells."""
    shot, settings = MemoryShot(frames(*size, gain)), EngineSettings(options={"weights": weights} if weights else {})
    pair = Pair(1, 2, before=0, after=3)
    calls = []
    met = quick.met

    def counted(network: Meeting, here: Moment, pair: quick.Laid) -> Inbetween:
        calls.append(met(network, here, pair))
        return calls[-1]

    monkeypatch.setattr(session, "met", counted)
    found: List[Inbetween] = list(engine("swift").open(shot, settings, lambda event: None).at(pair, (0.25, 0.6)))
    assert len(calls) == 2
    monkeypatch.setattr(session, "laid", lambda *given: None)
    monkeypatch.setattr(path, "_kernels", lambda: None)
    monkeypatch.setattr(layers, "_kernels", lambda image: None)
    monkeypatch.setattr(looking, "_kernels", lambda *planes: None)
    wanted: List[Inbetween] = list(engine("swift").open(shot, settings, lambda event: None).at(pair, (0.25, 0.6)))
    for one, other in zip(found, wanted):
        for name in ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "occlusion_1", "confidence"):
            mine, theirs = getattr(one, name), getattr(other, name)
            # What is chosen among several kinds of motion can tip by rounding, at a few pixels.
            assert float((mine - theirs).abs().gt(1e-3).float().mean()) < 2e-3, name
        if weights:
            assert one.residual is not None and other.residual is not None
            assert float((one.residual - other.residual).abs().gt(1e-3).float().mean()) < 2e-3
        else:
            assert one.residual is None and other.residual is not None and not bool(other.residual.any())


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (71, 83), (17, 5), (1, 3), (9, 1)], ids=str)
@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("gain", [1.0, 3.0])
def test_a_time_is_decided_as_by_torch(size: Tuple[int, int], bent: bool, gain: float) -> None:
    """From one and the same that arrives, at any size: with still ground, highlights, and what is hidden."""
    torch.manual_seed(3)
    meeting = Swift().eval().meeting
    for each in meeting.parameters():
        each.add_(torch.randn_like(each) * 0.02)
    high, wide = (-(-side // 2) for side in size)

    def soft(count: int, seed: int, scale: float, shape: Tuple[int, int] = size) -> Tensor:
        return F.interpolate(drawn(1, count, 6, 6, seed=seed, scale=scale), shape, mode="bicubic")[0]

    seen = [soft(1, seed, 2.0, (high, wide)).sigmoid() for seed in (11, 12, 13)]
    quiet, away = soft(1, 14, 1.0, (high, wide)) > 0.7, soft(2, 15, 1.0, (high, wide)) if bent else None
    velocity = torch.where(quiet, 0.0, soft(2, 16, 4.0, (high, wide)))
    here = Moment(0.3, velocity, seen[0], torch.zeros_like(seen[0]), quiet, seen[1], seen[2], away)
    planes = [soft(1, seed, 2.0).sigmoid() for seed in range(20, 28)]
    layer = motion.Layer(soft(2, 17, 8.0), soft(2, 18, 8.0), *planes[:6], False, *planes[6:])
    first, second = (soft(3, seed, 0.3).add(0.4).clamp(min=0) * gain for seed in (30, 31))
    pair = quick.laid(meeting, layer, first, second)
    assert pair is not None
    found = quick.met(meeting, here, pair)
    whole = enlarged(here, *size)
    ways = paths(whole, None)
    told = Told(whole, *ways, told_hidden(layer, *ways), *evidence(whole, layer, *ways, first, second))
    wanted = decided(told, meeting(told.moved, told.known))
    for name in ("flow_to_0", "flow_to_1", "blend", "occlusion_0", "occlusion_1", "confidence", "residual"):
        torch.testing.assert_close(getattr(found, name), getattr(wanted, name), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [(120, 200), (71, 83), (1, 5), (4, 1), (1, 1)], ids=str)
def test_means_of_four_pixels(size: Tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    planes = drawn(2, *size)
    found = half_of(planes)
    by_torch(monkeypatch)
    torch.testing.assert_close(found, half_of(planes), atol=1e-6, rtol=1e-6)


def test_on_any_number_of_threads_the_same_bits() -> None:
    first, second = drawn(1, 12, 171, 183), drawn(1, 12, 171, 183, seed=2)
    weights, picture = drawn(1, 36, 171, 183, seed=3), drawn(1, 3, 171, 183, scale=3.0)
    bend = Bend(first[0, :2], second[0, :2], first[0, 2:3].sigmoid(), second[0, 2:3].sigmoid())
    shown = first[0, 3:4].sigmoid(), second[0, 3:4].sigmoid()
    answers = []
    for threads in (1, 3):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            likeness = correlate(first, second, 4)
            kept = most_alike(likeness, torch.tensor(3.0), 4)
            answers.append(
                [likeness, *kept, mixed(first, weights), squash(picture), bend_at(bend, first[0, :2], shown, 0.4)]
            )
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*answers))
