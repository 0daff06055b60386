"""Convolutions with fewer products answer what all of them answer, wherever they are taken."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Callable, Dict, Iterator, Optional, Tuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kairos.engines import convolutions, winograd
from kairos.engines.convolutions import Conv, Enlarging, Layers, convolved
from kairos.engines.rife.network import Stage, Unit
from kairos.motion import fast

CLOSE = 3e-5
"""Of numbers about 1: a few roundings of float32 more than torch's own."""


@pytest.fixture(autouse=True)
def however_small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small planes and few channels go this way too."""
    monkeypatch.setattr(winograd, "_WORTH", 0)
    monkeypatch.setattr(winograd, "_LEAST", dict.fromkeys(winograd._LEAST, (1, 1)))
    monkeypatch.setattr(winograd, "_PER_THREAD", 1 << 12)
    with torch.no_grad():
        yield


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def planes(*shape: int, seed: int = 2) -> Tensor:
    return drawn(*shape, seed=seed).contiguous(memory_format=torch.channels_last)


def layer(inputs: int, outputs: int, bias: bool = True, stride: int = 1) -> Conv:
    conv = Conv(inputs, outputs, 3, stride, 1, bias=bias)
    conv.weight.copy_(drawn(outputs, inputs, 3, 3) / (3 * inputs**0.5))
    if conv.bias is not None:
        conv.bias.copy_(drawn(outputs, seed=3))
    return conv


def exact(conv: nn.Conv2d, seen: Tensor) -> Tensor:
    bias = None if conv.bias is None else conv.bias.double()
    return F.conv2d(seen.double(), conv.weight.double(), bias, conv.stride, 1)


def close(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < CLOSE


@pytest.mark.parametrize(
    "size",
    [(1, 1), (1, 9), (7, 2), (4, 4), (5, 6), (8, 12), (13, 30), (3, 131)],
    ids=lambda size: f"{size[1]}x{size[0]}",
)
@pytest.mark.parametrize("channels", [(16, 32), (4, 1), (5, 7), (37, 33), (16, 48), (8, 137), (64, 64), (300, 290)])
@pytest.mark.parametrize("stride", [1, 2])
def test_it_answers_what_a_convolution_answers(size: Tuple[int, int], channels: Tuple[int, int], stride: int) -> None:
    conv, seen = layer(*channels, stride=stride), planes(1, channels[0], *size)
    assert winograd.fits(conv, seen) is (winograd.SAME if stride == 1 else winograd.HALF)
    close(conv(seen), exact(conv, seen))


def enlarging(inputs: int, outputs: int) -> Enlarging:
    layer = Enlarging(inputs, outputs).requires_grad_(False)
    layer.weight.copy_(drawn(inputs, outputs, 4, 4) / (2 * inputs**0.5))
    layer.bias.copy_(drawn(outputs, seed=3))
    return layer


def exactly_enlarged(layer: Enlarging, seen: Tensor) -> Tensor:
    return F.conv_transpose2d(seen.double(), layer.weight.double(), layer.bias.double(), 2, 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (4, 4), (13, 30), (3, 131)], ids=str)
@pytest.mark.parametrize("channels", [(16, 32), (5, 27), (70, 60), (600, 64)], ids=str)
def test_an_enlargement_goes_by_two_convolutions_along_a_row(size: Tuple[int, int], channels: Tuple[int, int]) -> None:
    layer, seen = enlarging(*channels), planes(2, channels[0], *size)
    parts = winograd.even_parts(winograd.TWICE, seen)
    assert len(parts) == (1 if channels[0] <= 512 else 2)
    assert all(winograd.worth(winograd.TWICE, part, channels[1], layer.weight) for part in parts)
    wanted = exactly_enlarged(layer, seen)
    close(layer(seen), wanted)
    close(layer(seen, slope=0.2), F.leaky_relu(wanted, 0.2))
    slopes = drawn(channels[1], seed=5)
    close(layer(seen, channels[1], slopes), F.prelu(wanted, slopes.double()))
    fewer = channels[1] - 2
    close(layer(seen, fewer), wanted[:, :fewer])
    kept = {which: each._made for which, each in layer.__dict__["_kept"].items()}
    close(layer(seen, channels[1], slopes), F.prelu(wanted, slopes.double()))
    assert all(each._made is kept[which] for which, each in layer.__dict__["_kept"].items() if len(parts) > 1)
    layer.weight.mul_(2)
    close(layer(seen), exactly_enlarged(layer, seen))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("slope", [1.0, 0.0, 0.2, "each"])
def test_bias_and_what_is_below_0_are_part_of_it(bias: bool, slope: object) -> None:
    conv, seen = layer(20, 40, bias), planes(2, 20, 11, 14)
    each = drawn(40, seed=4) if slope == "each" else slope
    wanted = exact(conv, seen)
    wanted = torch.where(wanted >= 0, wanted, wanted * (each.view(1, -1, 1, 1) if isinstance(each, Tensor) else each))
    close(conv(seen, each), wanted)


@pytest.mark.parametrize("stride", [1, 2])
def test_planes_may_lie_in_any_order_in_memory(stride: int) -> None:
    conv, seen = layer(24, 32, stride=stride), planes(2, 24, 10, 15)
    wanted = exact(conv, seen)
    close(conv(seen.contiguous()), wanted)
    among = planes(2, 60, 10, 15, seed=5)
    among[:, 31:55] = seen
    close(conv(among[:, 31:55]), wanted)
    around = planes(2, 24, 14, 21, seed=6)
    around[..., 3:13, 2:17] = seen
    close(conv(around[..., 3:13, 2:17]), wanted)
    close(conv(seen.flip(-1)), exact(conv, seen.flip(-1)))
    still = planes(1, 24, 10, 1).expand(2, -1, -1, 15)
    close(conv(still), exact(conv, still))


@pytest.mark.parametrize("kind", ["same", "half", "twice"])
def test_any_number_of_threads_gives_the_same_bits(kind: str) -> None:
    conv = enlarging(40, 48) if kind == "twice" else layer(40, 48, stride=2 if kind == "half" else 1)
    seen = planes(1, 40, 50, 37)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3, 7):
            torch.set_num_threads(number)
            found.append(conv(seen))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(each, found[0]) for each in found)


def test_one_picture_of_many_is_what_it_is_alone() -> None:
    conv, seen = layer(16, 24), planes(3, 16, 9, 22)
    assert torch.equal(conv(seen)[1:2], conv(seen[1:2]))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_spoils_its_surroundings_alone(bad: float) -> None:
    conv, seen = layer(32, 32), planes(1, 32, 24, 40)
    before = conv(seen)
    spoiled = seen.clone()
    spoiled[0, 3, 12, 20] = bad
    found = conv(spoiled)
    assert not bool(found[..., 12, 20].isfinite().any())
    far = torch.ones(24, 40, dtype=torch.bool)
    far[7:18, 15:26] = False
    assert torch.equal(found[..., far], before[..., far])
    # Nothing of it is left in what the next one is computed in.
    assert torch.equal(conv(seen), before)


@pytest.mark.parametrize("larger", [False, True])
def test_a_number_that_is_none_spoils_its_tile_alone_at_other_sizes_too(larger: bool) -> None:
    kind, seen = enlarging(32, 32) if larger else layer(32, 32, stride=2), planes(1, 32, 40, 48)
    before = kind(seen)
    spoiled = seen.clone()
    spoiled[0, 3, 16, 24] = float("nan")
    found, factor = kind(spoiled), before.shape[-1] / 48
    far = torch.ones(before.shape[-2:], dtype=torch.bool)
    far[int(7 * factor) : int(26 * factor), int(15 * factor) : int(34 * factor)] = False
    assert torch.equal(found[..., far], before[..., far])
    assert not bool(found[..., int(16 * factor), int(24 * factor)].isfinite().any())
    assert torch.equal(kind(seen), before)


def test_weights_that_have_changed_are_packed_anew() -> None:
    conv, seen = layer(16, 32), planes(1, 16, 8, 8)
    conv(seen)
    conv.weight.mul_(2)
    close(conv(seen), exact(conv, seen))
    conv.load_state_dict({"weight": drawn(32, 16, 3, 3, seed=7) / 12, "bias": drawn(32, seed=8)})
    close(conv(seen), exact(conv, seen))
    conv.bias = nn.Parameter(drawn(32, seed=9))
    close(conv(seen), exact(conv, seen))
    assert sorted(conv.state_dict()) == ["bias", "weight"]
    other = copy.deepcopy(conv)
    other.weight.zero_()
    close(other(seen), exact(other, seen))
    close(conv(seen), exact(conv, seen))


def test_other_weights_in_the_same_memory_are_other_weights() -> None:
    conv, seen = layer(16, 32, bias=False), planes(1, 16, 8, 8)
    for number in range(50):
        conv.load_state_dict({"weight": drawn(32, 16, 3, 3, seed=number)}, assign=True)
        conv.load_state_dict({"weight": drawn(32, 16, 3, 3, seed=100 + number) / 12}, assign=True)
        close(conv(seen), exact(conv, seen))
        conv.half().float()
        close(conv(seen), exact(conv, seen))


def test_writes_that_torch_does_not_count_are_seen_of_learned_weights() -> None:
    conv, seen = layer(16, 32), planes(1, 16, 8, 8)
    conv(seen)
    optimizer = torch.optim.AdamW(conv.parameters(), 0.1, fused=True)
    with torch.enable_grad():
        conv(seen).square().sum().backward()
    optimizer.step()
    close(conv(seen), exact(conv, seen))
    with torch.inference_mode():
        made = layer(16, 32).requires_grad_(False)
        made(seen)
        made.weight.mul_(0.5)
        close(made(seen), exact(made, seen))


def test_copies_and_files_of_a_layer_hold_no_kernels() -> None:
    conv, seen = layer(32, 32), planes(1, 32, 8, 8)
    size = len(pickle.dumps(conv))
    found = conv(seen)
    assert len(pickle.dumps(conv)) < size + 500
    for other in (copy.deepcopy(conv), pickle.loads(pickle.dumps(conv))):
        assert other.__dict__["_kept"][()]._made is None
        assert torch.equal(other(seen), found)


@pytest.mark.parametrize("learning", ["1.weight", "0.bias"])
@pytest.mark.parametrize("kind", [layer, Enlarging])
def test_what_is_learned_beside_frozen_weights_gets_its_gradient(kind: Callable[..., nn.Module], learning: str) -> None:
    layers = Layers(kind(36, 12), nn.PReLU(12)).requires_grad_(False)
    layers.get_parameter(learning).requires_grad_()
    with torch.enable_grad():
        layers(planes(1, 36, 9, 9)).sum().backward()
    assert layers.get_parameter(learning).grad is not None


def test_a_bias_learned_at_the_end_of_a_stage_of_rife_gets_its_gradient() -> None:
    stage = Stage(12, 32, 5).requires_grad_(False)
    bias = stage.lastconv[0].bias.requires_grad_()
    with torch.enable_grad():
        stage(drawn(1, 12, 32, 32)).sum().backward()
    assert bias.grad is not None


def test_learning_keeps_what_a_convolution_makes_once() -> None:
    def kept(layers: nn.Module) -> int:
        held = {}

        def keep(tensor: Tensor) -> Tensor:
            held[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            layers(seen)
        return sum(each.untyped_storage().nbytes() for each in held.values())

    seen, given = planes(1, 16, 32, 32), [layer(16, 16), nn.LeakyReLU(0.1, inplace=True), layer(16, 16), nn.ReLU(True)]
    assert kept(Layers(*given)) == kept(nn.Sequential(*given))


def test_what_is_below_all_numbers_is_0_without_slope() -> None:
    conv = Conv(3, 4, 1)
    conv.weight.fill_(1e30)
    assert not bool(conv(torch.full((1, 3, 5, 5), -1e30), 0.0).any())


def test_layers_are_what_they_are_one_by_one() -> None:
    parts = [layer(16, 32), nn.PReLU(32), layer(32, 24), layer(24, 32), nn.LeakyReLU(0.1), nn.ReLU(), layer(32, 5)]
    parts[1].weight.copy_(drawn(32))
    seen = planes(1, 16, 12, 18)
    wanted = seen.double()
    for part in parts:
        wanted = exact(part, wanted) if isinstance(part, nn.Conv2d) else copy.deepcopy(part).double()(wanted)
    close(Layers(*parts)(seen), wanted)


def test_more_inputs_than_it_takes_go_in_parts() -> None:
    conv, seen = layer(2100, 24), planes(1, 2100, 6, 7)
    assert [part.shape[1] for part in winograd.split(conv, seen)] == [700, 700, 700]
    assert winograd.split(conv, seen[:, :1000])[0].shape[1] == 1000
    close(convolved(conv, [seen[:, :40], seen[:, 40:]]), exact(conv, seen))
    assert len(winograd.split(Conv(2100, 24, 1), seen)) == 1


@pytest.mark.parametrize("slope", [1.0, 0.2])
def test_planes_side_by_side_need_not_be_put_there(slope: float) -> None:
    conv, seen = layer(50, 32), planes(1, 50, 9, 17)
    wanted = F.leaky_relu(exact(conv, seen), slope)
    close(convolved(conv, [seen[:, :18], seen[:, 18:40], seen[:, 40:]], slope), wanted)
    assert convolved(conv, [seen], slope).shape == wanted.shape


def test_what_it_cannot_do_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = planes(1, 16, 12, 12)
    kinds = [
        nn.Conv2d(16, 8, 3, 3, 1),
        nn.Conv2d(16, 8, 3, (1, 2), 1),
        nn.Conv2d(16, 8, 3, 2, 0),
        nn.Conv2d(16, 8, 3, 1, 0),
        nn.Conv2d(16, 8, 5, 1, 1),
        nn.Conv2d(16, 8, 3, 1, 1, 2),
        nn.Conv2d(16, 16, 3, 1, 1, groups=4),
        nn.Conv2d(16, 8, 3, 1, 1, padding_mode="reflect"),
    ]
    assert not any(winograd.fits(conv, seen) for conv in kinds)
    for changed in ({"groups": 2}, {"padding_mode": "reflect"}):
        odd = Conv(16, 24, 3, 1, 1, **changed)
        assert torch.equal(odd(seen), nn.Conv2d.forward(odd, seen))
    conv = layer(16, 8)
    assert not winograd.fits(copy.deepcopy(conv).half(), seen.half())
    assert not winograd.fits(Conv(16, 2000, 3, 1, 1), seen)
    with torch.enable_grad():
        assert not winograd.fits(conv, seen)
        conv(seen).sum().backward()
        assert conv.weight.grad is not None
    assert winograd.fits(conv, seen)
    monkeypatch.setattr(fast, "compiled", lambda module: None)
    assert not winograd.fits(conv, seen)
    close(conv(seen, 0.2), F.leaky_relu(exact(conv, seen), 0.2))


def test_a_recorded_graph_holds_torchs_convolution() -> None:
    conv, seen = layer(16, 24), planes(1, 16, 12, 12)
    traced = torch.jit.trace(conv, (seen,))
    other = planes(1, 16, 20, 9, seed=11)
    assert "_convolution" in str(traced.graph)
    close(traced(other), exact(conv, other))
    traced = torch.jit.trace(enlarging(32, 32), (planes(1, 32, 8, 8),))
    assert "_convolution" in str(traced.graph)


def test_few_channels_and_small_planes_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert winograd.fits(Conv(64, 64, 3, 1, 1), planes(1, 64, 46, 80))
    assert not winograd.fits(Conv(64, 64, 3, 1, 1), planes(1, 64, 20, 20))
    assert not winograd.fits(Conv(8, 64, 3, 1, 1), planes(1, 8, 400, 400))
    # Kernels that take much more memory than the planes.
    assert not winograd.fits(Conv(512, 512, 3, 1, 1), planes(1, 512, 23, 40))
    assert winograd.fits(Conv(64, 64, 3, 2, 1), planes(1, 64, 92, 160))
    assert not winograd.fits(Conv(64, 64, 3, 2, 1), planes(1, 64, 40, 40))
    assert not winograd.fits(Conv(24, 64, 3, 2, 1), planes(1, 24, 400, 400))
    assert not winograd.fits(Conv(513, 64, 3, 2, 1), planes(1, 513, 92, 160))


@pytest.mark.parametrize("wanted", [None, 5])
def test_an_enlargement_is_a_convolution_to_four_times_as_many(
    wanted: Optional[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    enlarging, seen = Enlarging(30, 8), planes(1, 30, 9, 14)
    enlarging.bias.copy_(drawn(8))
    wide = F.conv_transpose2d(seen.double(), enlarging.weight.double(), enlarging.bias.double(), 2, 1)
    taken = []
    convolve = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda *given: taken.append(given) or convolve(*given))
    close(enlarging(seen, wanted), wide[:, :wanted])
    assert len(taken) == 1
    close(enlarging(seen[:, :30], wanted), wide[:, :wanted])
    close(Layers(enlarging, nn.PReLU())(seen), F.leaky_relu(wide, 0.25))


def test_stages_of_rife_are_what_they_are_where_torch_convolves(monkeypatch: pytest.MonkeyPatch) -> None:
    stage, seen = Stage(12, 32, 5), drawn(1, 12, 32, 48)
    for number, unit in enumerate(stage.modules()):
        if isinstance(unit, Unit):
            unit.beta.copy_(1 + 0.3 * drawn(1, 32, 1, 1, seed=number))
    last = stage.lastconv[0]
    last.bias.copy_(drawn(20))
    found = [stage(seen), stage(seen, 4)]
    monkeypatch.setattr(winograd, "worth", lambda *given: False)
    close(found[0], stage(seen))
    close(found[1], stage(seen, 4))


@pytest.mark.parametrize("slope", [0.0, 0.2, "each"])
@pytest.mark.parametrize("manner", [{"stride": 2, "padding": 1}, {"padding": 2, "dilation": 2}, {"groups": 2}], ids=str)
def test_what_torch_convolves_has_its_slope_too(
    manner: Dict[str, int], slope: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With outputs that do not fill vectors of 16, with and without torch's own pass for both."""
    conv, seen = Conv(12, 34, 3, **manner), planes(1, 12, 21, 18)
    each = drawn(34, seed=4) if slope == "each" else slope
    plain = super(Conv, conv).forward(seen)
    wanted = torch.where(plain >= 0, plain, plain * (each.view(1, -1, 1, 1) if isinstance(each, Tensor) else each))
    close(conv(seen, each), wanted)
    monkeypatch.setattr(convolutions, "_FUSED", None)
    close(conv(seen, each), wanted)


_AT_THE_EDGE = """
import ctypes, mmap, torch
from kairos.engines import few, winograd
from kairos.engines.convolutions import Conv, Enlarging

winograd._WORTH, winograd._LEAST = 0, dict.fromkeys(winograd._LEAST, (1, 1))
for name, sizes, strides, first in (
    ("alone", (1, 17, 17, 10), (1, 1, 170, 17), 0),
    ("the last channels of more", (1, 17, 9, 14), (1, 1, 40 * 14, 40), 23),
    ("rows repeated", (1, 17, 14, 9), (1, 1, 0, 17), 0),
    ("on its side", (1, 17, 14, 9), (1, 1, 17, 14 * 17), 0),
    ("few channels", (1, 3, 9, 10), (1, 1, 30, 3), 0),
    ("one channel", (1, 1, 9, 10), (90, 90, 10, 1), 0),
):
    print(name, flush=True)
    count = first + 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides))
    behind = -(-4 * count // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, behind + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(start + behind), mmap.PAGESIZE, 0) == 0
    numbers = torch.frombuffer(memory, dtype=torch.float32, offset=behind - 4 * count, count=count)
    numbers.copy_(torch.randn(count))
    planes = numbers.as_strided(sizes, strides, first)
    with torch.no_grad():
        for stride in (1, 2):
            conv = Conv(sizes[1], 32, 3, stride, 1)
            assert winograd.fits(conv, planes)
            assert torch.allclose(conv(planes), torch.nn.Conv2d.forward(conv, planes), atol=3e-5)
        larger = Enlarging(sizes[1], 32)
        assert winograd.worth(winograd.TWICE, planes, 32, larger.weight)
        assert torch.allclose(larger(planes), torch.nn.ConvTranspose2d.forward(larger, planes), atol=3e-5)
        few._LEAST_PIXELS = few._LEAST_INPUTS = 1
        conv = Conv(sizes[1], 3, 3, 1, 1)
        assert few.fits(conv, planes, 1.0)
        assert torch.allclose(conv(planes), torch.nn.Conv2d.forward(conv, planes), atol=3e-5)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Memory that must not be read is asked of POSIX.")
def test_nothing_behind_the_planes_is_read() -> None:
    done = subprocess.run([sys.executable, "-c", _AT_THE_EDGE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
