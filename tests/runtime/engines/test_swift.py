"""The engine swift: what holds whatever its weights, and what the weights that come with Kairos can do."""

from __future__ import annotations

from pathlib import Path
from typing import List

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from kairos.engines.base import EngineSettings, Pair, Session
from kairos.engines.registry import engine
from kairos.engines.swift.layers import MULTIPLE
from kairos.engines.swift.loading import SHIPPED, load_network
from kairos.engines.swift.motion import Encoder, Motion, correlate, levels_of, mixed, warp
from kairos.engines.swift.network import Meeting, Swift
from kairos.errors import BadRequest
from kairos.motion.compose import compose
from kairos.motion.inbetween import Inbetween
from kairos_nodes.layers import Policy
from support.scenes import MemoryShot, grid, mse, pan, plate, texture

HEIGHT, WIDTH = 180, 236
CPU = torch.device("cpu")


def scene(speed: float, height: int = HEIGHT, width: int = WIDTH) -> List[Tensor]:
    """A textured disc that moves over a textured ground, at times 0, 0.5 and 1."""
    ground, disc = texture(5), texture(8, 0.7)
    x, y = grid(height, width)
    frames = []
    for time in (0.0, 0.5, 1.0):
        left = 60 + speed * time
        inside = (x - left) ** 2 + (y - 85) ** 2 < 35**2
        frames.append(plate(np.where(inside, 1.6 * disc(x - left, y), ground(x, y))))
    return frames


def opened(shot: MemoryShot, **options: object) -> Session:
    settings = EngineSettings(
        precision=str(options.pop("precision", "fp32")),
        tile=options.pop("tile", None),
        options=options,  # type: ignore[arg-type]
    )
    return engine("swift").open(shot, settings, lambda event: None)


def rebuilt(shot: MemoryShot, answer: Inbetween) -> Tensor:
    return compose(shot.frames[0], shot.frames[1], answer, Policy.BLEND)


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights far from any training: what holds with them holds with all."""
    torch.manual_seed(4)
    network = Swift()
    tensors = {name: tensor + torch.randn_like(tensor) * 0.03 for name, tensor in network.state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "wild.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def test_a_still_plate_is_bit_identical_with_any_weights(wild: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    pixels = torch.exp2(torch.rand(3, HEIGHT, WIDTH, generator=generator) * 22 - 6)
    pixels[0, 5, 5], pixels[1, 6, 6], pixels[2, 7, 7] = 65504.0, -8.0, -0.0
    shot = MemoryShot([pixels, pixels.clone()])
    for answer in opened(shot, weights=str(wild)).at(Pair(0, 1), [0.2, 0.5]):
        assert torch.equal(rebuilt(shot, answer).view(torch.int32), pixels.view(torch.int32))


def test_what_a_moving_object_never_nears_is_bit_identical_with_any_weights(wild: Path) -> None:
    first, _, last = scene(12.0)
    shot = MemoryShot([first, last])
    (answer,) = opened(shot, weights=str(wild)).at(Pair(0, 1), [0.5])
    assert torch.equal(rebuilt(shot, answer)[:, :, 180:], first[:, :, 180:])


def test_the_way_from_a_source_frame_begins_at_its_own_pixels(wild: Path) -> None:
    first, _, last = scene(12.0)
    start, end = opened(MemoryShot([first, last]), weights=str(wild)).at(Pair(0, 1), [0.0, 1.0])
    assert not start.flow_to_0.any() and not end.flow_to_1.any()
    assert (start.blend == 1).all() and (end.blend == 0).all()


@pytest.mark.parametrize("size", [(64, 64), (61, 97), (33, 200)])
def test_frames_of_any_size_are_answered_in_full(size: tuple[int, int], wild: Path) -> None:
    x, y = grid(*size)
    frames = [plate(texture(2)(x - shift, y)) for shift in (0.0, 3.0)]
    (answer,) = opened(MemoryShot(frames), weights=str(wild)).at(Pair(0, 1), [0.25])
    assert answer.flow_to_0.shape == (2, *size)
    assert all(bool(getattr(answer, name).isfinite().all()) for name in ("flow_to_0", "flow_to_1", "blend", "residual"))


def test_the_order_of_asking_changes_nothing(wild: Path) -> None:
    first, middle, last = scene(9.0)
    shot = MemoryShot([first, middle, last])
    session = opened(shot, weights=str(wild))
    (before,) = session.at(Pair(1, 2, before=0), [0.5])
    list(session.at(Pair(0, 1, after=2), [0.25, 0.75]))
    (after,) = session.at(Pair(1, 2, before=0), [0.5])
    (fresh,) = opened(shot, weights=str(wild)).at(Pair(1, 2, before=0), [0.5])
    assert torch.equal(before.flow_to_0, after.flow_to_0) and torch.equal(before.flow_to_0, fresh.flow_to_0)
    assert torch.equal(before.blend, after.blend) and torch.equal(before.blend, fresh.blend)


def test_features_are_computed_once_per_frame_and_motion_once_per_pair(
    wild: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"encoder": 0, "motion": 0, "meeting": 0}
    works = (("encoder", Encoder, "forward"), ("motion", Motion, "forward"), ("meeting", Meeting, "onward"))
    for name, kind, work in works:

        def counted(self: object, *given: object, name: str = name, work: object = getattr(kind, work)) -> object:
            calls[name] += 1
            return work(self, *given)  # type: ignore[operator]

        monkeypatch.setattr(kind, work, counted)
    session = opened(MemoryShot(scene(9.0)), weights=str(wild))
    for first in (0, 1):
        list(session.at(Pair(first, first + 1), [0.25, 0.5, 0.75]))
    assert calls == {"encoder": 3, "motion": 2, "meeting": 6}


def test_tiles_leave_no_trace(wild: Path) -> None:
    first, _, last = scene(14.0)
    shot = MemoryShot([first, last])
    (whole,) = opened(shot, weights=str(wild)).at(Pair(0, 1), [0.5])
    (tiled,) = opened(shot, weights=str(wild), tile=64).at(Pair(0, 1), [0.5])
    frames = [rebuilt(shot, answer) for answer in (whole, tiled)]
    # 50 dB is what the design asks; tiles cut only what nothing beyond their margin depends on.
    assert -10 * np.log10(max(mse(*frames), 1e-12)) > 80


def test_correlation_compares_with_every_cell_around() -> None:
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 2, 6, 7, 19, generator=generator)
    found = correlate(first, second, 2)
    padded = torch.nn.functional.pad(second, (2,) * 4)
    for index, (down, across) in enumerate((down, across) for down in range(5) for across in range(5)):
        wanted = (first * padded[:, :, down : down + 7, across : across + 19]).sum(1)
        assert torch.allclose(found[:, index], wanted, atol=1e-5)


def test_an_untrained_upsampling_is_bilinear() -> None:
    planes = torch.rand(1, 2, 9, 11, generator=torch.Generator().manual_seed(2))
    found = mixed(planes, torch.zeros(1, 36, 9, 11))
    wanted = torch.nn.functional.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False)
    # Weights of 0 are told as a ten thousandth, so that their logarithm exists.
    assert torch.allclose(found, wanted, atol=2e-3)


def test_warping_fetches_from_where_the_flow_points() -> None:
    planes = torch.arange(20.0).reshape(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = 1
    assert torch.allclose(warp(planes, flow)[..., :4], planes[..., 1:])


def test_larger_frames_are_looked_at_in_more_scales() -> None:
    assert [levels_of(*size) for size in ((64, 64), (256, 256), (720, 1280), (2160, 3840))] == [2, 4, 5, 7]
    assert MULTIPLE % 8 == 0


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path, wild: Path) -> None:
    torn, foreign, broken = (tmp_path / f"{name}.safetensors" for name in ("torn", "foreign", "broken"))
    torn.write_bytes(wild.read_bytes()[:5000])
    save_file({"something": torch.zeros(3)}, foreign)
    tensors = load_file(wild)
    tensors["meeting.answer.bias"][0] = float("nan")
    save_file(tensors, broken)
    for path in (tmp_path / "none.safetensors", torn, foreign, broken):
        with pytest.raises(BadRequest) as caught:
            load_network(path, CPU)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_the_network_is_small_enough_to_ship() -> None:
    count = sum(parameter.numel() for parameter in Swift().parameters())
    assert count <= 6_000_000
    assert SHIPPED.stat().st_size <= 12_000_000


def test_shipped_weights_say_where_they_come_from() -> None:
    from safetensors import safe_open

    with safe_open(SHIPPED, "pt") as file:
        record = file.metadata()
    for name in ("scenes", "seed", "steps", "samples", "hours", "device", "commit"):
        assert record.get(name), name


@pytest.mark.parametrize(("x", "y"), [(7.5, 3.25), (-0.4, 0.3)])
def test_a_pan_is_met_to_a_tenth_of_a_pixel(x: float, y: float) -> None:
    frames = [pan(x, y)(time) for time in (0, 1)]
    start, end = opened(MemoryShot(frames)).at(Pair(0, 1), [0.0, 1.0])
    for flow, sign in ((start.flow_to_1, 1), (end.flow_to_0, -1)):
        medians = flow.flatten(1).median(1).values.tolist()
        assert medians == pytest.approx([sign * x, sign * y], abs=0.1)


def test_an_object_is_rebuilt_half_way_better_than_by_blending() -> None:
    first, middle, last = scene(8.0)
    shot = MemoryShot([first, last])
    (answer,) = opened(shot).at(Pair(0, 1), [0.5])
    assert mse(rebuilt(shot, answer), middle) < 0.3 * mse((first + last) / 2, middle)


def test_no_prior_is_needed() -> None:
    first, middle, last = scene(12.0)
    shot = MemoryShot([first, last])
    (answer,) = opened(shot, prior="none").at(Pair(0, 1), [0.5])
    assert mse(rebuilt(shot, answer), middle) < 0.5 * mse((first + last) / 2, middle)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_costs_less_than_a_tenth_of_a_decibel(precision: str) -> None:
    first, middle, last = scene(20.0)
    shot = MemoryShot([first, last])
    errors = []
    for each in ("fp32", precision):
        (answer,) = opened(shot, precision=each).at(Pair(0, 1), [0.5])
        errors.append(mse(rebuilt(shot, answer), middle))
    assert abs(10 * np.log10(errors[1] / errors[0])) < 0.1
