"""Maps kept and injected: ways to keep them that mean the same, and a U-Net that is left as it was."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.inbetween.attention import Exchange, Maps, rotated, temporal_layers
from kairos.engines.inbetween.changes import Changes
from kairos.engines.inbetween.parts import Parts
from support.differences import merged
from support.parity import same


def seen(frames: int = 5) -> Tuple[Tensor, Tensor]:
    """Two random videos as a U-Net sees them, (2, N, 8, 4, 6)."""
    torch.manual_seed(1)
    return torch.randn(2, frames, 8, 4, 6), torch.randn(2, frames, 8, 4, 6)


def predicted(unet: Any, video: Tensor) -> Tensor:
    torch.manual_seed(2)
    with torch.no_grad():
        found: Tensor = unet(video, torch.tensor(0.5), torch.randn(2, 1, 32), torch.rand(2, 3)).sample
    return found


def backward(unet: Any, storage: str, changes: Optional[Changes] = None, layers: str = "all") -> Tensor:
    """The second video by the maps of the first, rotated."""
    first, second = seen()
    exchange, maps = Exchange(unet, changes, layers), Maps(storage)
    with exchange.forward(maps):
        predicted(unet, first)
    with exchange.backward(maps):
        return predicted(unet, second)


def test_turning_a_map_twice_gives_the_map() -> None:
    maps = torch.rand(7, 5, 5)
    assert torch.equal(rotated(rotated(maps)), maps)
    assert not torch.equal(rotated(maps), maps)


def test_a_turned_map_has_both_its_frame_axes_reversed() -> None:
    maps = torch.arange(18.0).reshape(2, 3, 3)
    turned = rotated(maps)
    for row in range(3):
        for column in range(3):
            assert torch.equal(turned[:, 2 - row, 2 - column], maps[:, row, column])


def test_stored_maps_and_flipped_queries_and_keys_inject_the_same(tiny_parts: Parts, changes: Changes) -> None:
    same(backward(tiny_parts.unet, "recompute", changes), backward(tiny_parts.unet, "full", changes), 1e-5)


def test_maps_on_the_host_inject_the_same_bit_for_bit(tiny_parts: Parts, changes: Changes) -> None:
    same(backward(tiny_parts.unet, "host", changes), backward(tiny_parts.unet, "full", changes), 0)


def test_maps_in_half_precision_inject_nearly_the_same(tiny_parts: Parts, changes: Changes) -> None:
    full, half = backward(tiny_parts.unet, "full", changes), backward(tiny_parts.unet, "half", changes)
    # Half precision has 11 bits: 5e-4 of each weight, through four layers.
    same(half, full, 3e-3)
    assert not torch.equal(half, full)


def test_half_precision_and_queries_take_the_memory_they_promise(tiny_parts: Parts) -> None:
    sizes = {}
    for storage in ("full", "half", "recompute"):
        maps = Maps(storage)
        with Exchange(tiny_parts.unet).forward(maps):
            predicted(tiny_parts.unet, seen()[0])
        sizes[storage] = sum(each.nbytes for kept in maps._kept.values() for each in kept)
    assert sizes["half"] * 2 == sizes["full"]
    # Per head 2 * 16 numbers of a frame's query and key, in place of 5 of its row.
    assert sizes["recompute"] * 5 == sizes["full"] * 2 * 16


def test_injected_maps_are_let_go_one_by_one(tiny_parts: Parts) -> None:
    exchange, maps = Exchange(tiny_parts.unet), Maps()
    with exchange.forward(maps):
        predicted(tiny_parts.unet, seen()[0])
    assert set(maps.names()) == set(temporal_layers(tiny_parts.unet))
    with exchange.backward(maps):
        predicted(tiny_parts.unet, seen()[1])
    assert maps.names() == ()


def test_kept_maps_serve_a_second_pass(tiny_parts: Parts) -> None:
    exchange, maps = Exchange(tiny_parts.unet), Maps(keep=True)
    with exchange.forward(maps):
        predicted(tiny_parts.unet, seen()[0])
    with exchange.backward(maps):
        first, second = predicted(tiny_parts.unet, seen()[1]), predicted(tiny_parts.unet, seen()[1])
    assert torch.equal(first, second)


def test_recording_changes_nothing(tiny_parts: Parts) -> None:
    video = seen()[0]
    plain = predicted(tiny_parts.unet, video)
    with Exchange(tiny_parts.unet).forward(Maps()):
        same(predicted(tiny_parts.unet, video), plain, 1e-5)


def test_the_u_net_is_left_as_it_was_even_after_an_error(tiny_parts: Parts, changes: Changes) -> None:
    before = {name: layer.processor for name, layer in temporal_layers(tiny_parts.unet).items()}
    with pytest.raises(RuntimeError), Exchange(tiny_parts.unet, changes).forward(Maps()):
        raise RuntimeError
    with pytest.raises(RuntimeError), Exchange(tiny_parts.unet, changes).backward(None):
        raise RuntimeError
    for name, layer in temporal_layers(tiny_parts.unet).items():
        assert layer.processor is before[name]


def test_the_upper_layers_alone_are_injected_where_asked(tiny_parts: Parts) -> None:
    maps = Maps()
    with Exchange(tiny_parts.unet, layers="up").forward(maps):
        predicted(tiny_parts.unet, seen()[0])
    assert maps.names() and all(name.startswith("up_blocks.") for name in maps.names())
    everywhere, upper = backward(tiny_parts.unet, "full"), backward(tiny_parts.unet, "full", layers="up")
    plain = predicted(tiny_parts.unet, seen()[1])
    assert (upper - everywhere).abs().max() > 1e-3 and (upper - plain).abs().max() > 1e-3


def test_differences_beside_the_base_are_the_tuned_network(tiny_parts: Parts, changes: Changes) -> None:
    unet, video = tiny_parts.unet, seen()[1]
    with Exchange(unet, changes).backward(None):
        beside = predicted(unet, video)
    before = {key: value.clone() for key, value in unet.state_dict().items()}
    try:
        unet.load_state_dict(merged(changes, before))
        together = predicted(unet, video)
    finally:
        unet.load_state_dict(before)
    same(beside, together, 1e-5)
    assert (together - predicted(unet, video)).abs().max() > 1e-2


def test_gradients_reach_the_differences_and_nothing_else(tiny_parts: Parts, changes: Changes) -> None:
    tensors = {key: value.clone().requires_grad_() for key, value in changes.tensors.items()}
    exchange, maps = Exchange(tiny_parts.unet, Changes(tensors)), Maps()
    with exchange.forward(maps):
        predicted(tiny_parts.unet, seen()[0])
    with exchange.backward(maps):
        tiny_parts.unet(seen()[1], torch.tensor(0.5), torch.zeros(2, 1, 32), torch.zeros(2, 3)).sample.sum().backward()
    assert all(value.grad is not None and value.grad.abs().max() > 0 for value in tensors.values())
    assert all(value.grad is None for value in tiny_parts.unet.parameters())
