"""Published networks with hierarchical motion: the networks themselves until it is trained, and then more."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, Dict, Tuple

import pytest
import torch
from torch import Tensor

from kairos.engines.amt.architecture import VARIANTS as AMT
from kairos.engines.hierarchical.architecture import BASE_ARCHITECTURES, build, plugged_values
from kairos.engines.hierarchical.plugged import Plugged, plugin_values
from kairos.engines.rife.architecture import VARIANTS as RIFE
from kairos.errors import BadRequest

_RIFE = {name: dict(RIFE[name]) for name in ("rife-4.6", "rife-4.25", "rife-paper", "rife-paper-m")}

CASES: Dict[str, Tuple[str, Dict[str, Any], int]] = {
    "ifrnet": ("ifrnet", {"widths": [8, 8, 12, 16], "kernel": 3, "side": 8}, 4),
    "ifrnet at 1/8": ("ifrnet", {"widths": [8, 8, 12, 16], "kernel": 3, "side": 8}, 3),
    "amt": ("amt", {**AMT["amt-s"], "compared": [8, 8, 8], "outputs": 8, "widths": [8, 8, 12, 16], "side": 8}, 4),
    "rife-4.6": ("rife", {**_RIFE["rife-4.6"], "widths": [16, 12, 8, 8]}, 4),
    "rife-4.25": ("rife", {**_RIFE["rife-4.25"], "widths": [16, 12, 8, 8, 8]}, 4),
    "rife-paper": ("rife", {**_RIFE["rife-paper"], "widths": [16, 12, 8]}, 4),
    "rife-paper-m": ("rife", {**_RIFE["rife-paper-m"], "widths": [16, 12, 8]}, 4),
    "ema": ("ema", {"width": 16, "depths": [1, 1]}, 4),
}
"""Every base as it is made, narrower: id, hyper-parameters, level."""


@lru_cache(maxsize=len(CASES))
def plugged(case: str) -> Plugged:
    id, values, level = CASES[case]
    torch.manual_seed(3)
    network = build(plugged_values(id, values, level=level)).eval()
    assert isinstance(network, Plugged)
    return network


@lru_cache(maxsize=1)
def frames() -> Tuple[Tensor, Tensor]:
    """Large enough for the greatest of all paddings."""
    generator = torch.Generator().manual_seed(4)
    first, second = (torch.rand(1, 3, 8, 8, generator=generator) for _ in range(2))
    one, two = (torch.nn.functional.interpolate(each, (128, 192), mode="bilinear") for each in (first, second))
    return one, two


def labels(network: Plugged, scale: float = 1.0) -> Tuple[Tensor, Tensor]:
    rows, columns = network.grid(128, 192, scale)
    first = torch.zeros(1, rows, columns, dtype=torch.int16)
    first[:, : rows // 2, : columns // 2] = 1
    return first, first.roll(1, 2)


def trained(network: Plugged) -> Plugged:
    """As if it had learned something: the last layer no longer 0."""
    network = copy.deepcopy(network)
    (plugin,) = network.plugin.values()
    torch.nn.init.normal_(plugin.hierarchy.inter.last.weight, std=0.02)  # type: ignore[union-attr, arg-type]
    return network


def same(found: Any, wanted: Any) -> bool:
    """Every plane that the base answers, to the bit."""
    pairs = [(getattr(found, name), getattr(wanted, name)) for name in vars(wanted)]
    return all((one is None and two is None) or torch.equal(one, two) for one, two in pairs)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_untrained_it_answers_exactly_what_the_base_answers(case: str) -> None:
    network, (first, second) = plugged(case), frames()
    base = network.base
    seen = network.look(first), network.look(second)
    wanted = base.at(base.prepare(base.look(first), base.look(second)), 0.375)
    assert same(network.at(network.prepare(*seen, labels=labels(network)), 0.375), wanted)
    assert same(network.at(network.prepare(*seen), 0.375), wanted), "without regions too"


@pytest.mark.parametrize("case", ["ifrnet", "rife-4.6", "rife-paper", "ema"])
@torch.no_grad()
def test_motion_sought_at_half_size_and_tiles_change_nothing_of_that(case: str) -> None:
    network, (first, second) = copy.copy(plugged(case)), frames()
    network.tile = 64
    base = copy.copy(network.base)
    base.tile = 64
    seen = network.look(first), network.look(second)
    found = network.at(network.prepare(*seen, 0.5, labels(network, 0.5)), 0.5)
    assert same(found, base.at(base.prepare(base.look(first), base.look(second), 0.5), 0.5))
    assert network.base.tile is None, "the base that others use is left as it is"


@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_all_of_the_plug_in_through_the_base(case: str) -> None:
    network, (first, second) = trained(plugged(case)), frames()
    network.base.requires_grad_(False)
    state = network.prepare(network.look(first), network.look(second), labels=labels(network))
    found = network.at(state, 0.5)
    (found.image - first).square().mean().backward()
    idle = [name for name, each in network.plugin.named_parameters() if each.grad is None or not each.grad.any()]
    assert not [name for name in idle if not name.endswith("compared.key.bias")], idle


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_what_it_adds_changes_the_motion_and_regions_matter(case: str) -> None:
    network, (first, second) = trained(plugged(case)), frames()
    seen = network.look(first), network.look(second)
    with_regions, without = network.prepare(*seen, labels=labels(network)), network.prepare(*seen)
    base = network.base.at(with_regions.base, 0.5)
    found = network.at(with_regions, 0.5)
    assert not torch.equal(found.flow_to_0, base.flow_to_0) and not torch.equal(found.flow_to_1, base.flow_to_1)
    assert not torch.equal(found.flow_to_0, network.at(without, 0.5).flow_to_0)


@torch.no_grad()
def test_an_added_flow_arrives_in_pixels_of_the_frame() -> None:
    """One cell of motion more at every base's coarse grid is 16 (or 8) pixels at the frame's size."""
    for case in ("rife-4.6", "rife-paper", "ema"):
        network, (first, second) = copy.deepcopy(plugged(case)), frames()
        (plugin,) = network.plugin.values()
        last = plugin.hierarchy.inter.last  # type: ignore[union-attr]
        last.bias[0] = 1.0  # type: ignore[union-attr, index, operator]
        state = network.prepare(network.look(first), network.look(second))
        before = next(iter(network.base.steps(state.base, 0.5))).flow
        after = next(iter(network.base.steps(state.base, 0.5, network.told(state, 0.5).added))).flow
        assert torch.allclose(after[:, 0], before[:, 0] + 16, atol=1e-3) and torch.equal(after[:, 1:], before[:, 1:])


def test_what_cannot_be_plugged_is_refused_with_what_can() -> None:
    with pytest.raises(BadRequest, match="into 'film'"):
        plugin_values("film", {})
    with pytest.raises(BadRequest, match="no level 3"):
        plugin_values("amt", AMT["amt-s"], level=3)
    assert set(BASE_ARCHITECTURES) == {"ifrnet", "rife", "amt", "ema"}
