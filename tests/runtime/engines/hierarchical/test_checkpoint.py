"""Files of hierarchical motion: whole or on a base that lies elsewhere, strict, and known to the store."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kairos.engines.architecture import shapes_of
from kairos.engines.architectures import ARCHITECTURES
from kairos.engines.hierarchical.architecture import ARCHITECTURE, VARIANTS, Alone, build, plugged_values, recognise
from kairos.engines.hierarchical.blocks import PARTS
from kairos.engines.hierarchical.checkpoint import Origin, load, plug, save, stored_base
from kairos.engines.hierarchical.plugged import Plugged
from kairos.errors import BadRequest
from kairos.weights.adding import add
from kairos.weights.recognise import fitted
from kairos.weights.store import Store

SMALL: Dict[str, Any] = {"variant": "ifrnet", "widths": [4, 4, 6, 8], "kernel": 3, "side": 4}
ORIGIN = Origin("MIT", "Apache-2.0", False, "synthetic scenes, seed 1, 10 steps", "ifrnet.pth", "ab" * 32)


def small(level: int = 4, **values: Any) -> Plugged:
    torch.manual_seed(2)
    network = build(plugged_values("ifrnet", {**SMALL, **values}, level=level))
    assert isinstance(network, Plugged)
    return network.eval()


def equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", VARIANTS)
def test_base_level_and_parts_are_read_off_names_and_shapes(name: str) -> None:
    for parts in (PARTS, ("hce_t", "hir_s"), ()):
        base = VARIANTS[name]["base"]
        values = plugged_values(base, VARIANTS[name]["base_values"], parts=parts)
        with torch.device("meta"):
            tensors = build(values).state_dict()
        assert recognise(shapes_of(tensors)) == values
        matches = [each.id for each in ARCHITECTURES if fitted(tensors, each)[0] is not None]
        assert matches == ["hierarchical"], "and no other network's"
    with torch.device("meta"):
        assert recognise(shapes_of(small(3).state_dict())) == plugged_values("ifrnet", SMALL, level=3)


def test_a_file_brings_back_weights_and_where_they_came_from(tmp_path: Path) -> None:
    network, path = small(), tmp_path / "whole.safetensors"
    save(path, network, ORIGIN)
    found, origin = load(path)
    assert equal(found.state_dict(), network.state_dict()) and origin == ORIGIN
    with safe_open(str(path), "pt") as file:
        told = file.metadata()
    assert (
        json.loads(told["values"])["base"] == "ifrnet" and json.loads(told["origin"])["plugin_licence"] == "Apache-2.0"
    )


def test_a_file_without_its_base_asks_for_it_by_its_hash(tmp_path: Path) -> None:
    network, path = small(), tmp_path / "alone.safetensors"
    save(path, network, ORIGIN, embed=False)
    asked = []

    def find(id: str, sha256: str) -> Optional[nn.Module]:
        asked.append((id, sha256))
        base: nn.Module = network.base
        return base

    found, origin = load(path, find)
    assert asked == [("ifrnet", "ab" * 32)] and origin.base_sha256 == "ab" * 32
    assert equal(found.state_dict(), network.state_dict())
    with pytest.raises(BadRequest, match=r"weights of ifrnet that are not here \(SHA-256 abab"):
        load(path, lambda id, sha256: None)
    with pytest.raises(BadRequest, match="does not fit the weights of ifrnet"):
        load(path, lambda id, sha256: small(widths=[4, 4, 6, 10]).base)
    with pytest.raises(BadRequest, match="name the base's SHA-256"):
        save(path, network, replace(ORIGIN, base_sha256="ab"), embed=False)


def changed(path: Path, tensors: Callable[[Dict[str, Tensor]], Any], metadata: Callable[[Dict[str, str]], Any]) -> None:
    with safe_open(str(path), "pt") as file:
        held, told = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata())  # noqa: SIM118
    tensors(held)
    metadata(told)
    save_file(held, str(path), told)


_KEY = "plugin.ifrnet.hierarchy.hce_s.gate.1.bias"


@pytest.mark.parametrize(
    ("tensors", "metadata", "words"),
    [
        (lambda held: held.pop(_KEY), lambda told: None, "1 of its .* tensors are missing"),
        (lambda held: held.update(other=torch.zeros(1)), lambda told: None, "1 are superfluous"),
        (lambda held: held.update({_KEY: torch.zeros(9)}), lambda told: None, "are of another shape"),
        (lambda held: held[_KEY].fill_(torch.nan), lambda told: None, "values that are not numbers"),
        (lambda held: None, lambda told: told.clear(), "no file of hierarchical motion"),
        (lambda held: None, lambda told: told.update(version="9"), "of version 9; this Kairos reads 1"),
        (lambda held: None, lambda told: told.pop("origin"), "does not say what it holds"),
        (lambda held: None, lambda told: told.update(values='{"base": "rife"}'), "what it says of its variant"),
        (lambda held: held.clear(), lambda told: None, "holds no network with hierarchical motion"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tensors: Any, metadata: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    save(path, small(), ORIGIN)
    changed(path, tensors, metadata)
    with pytest.raises(BadRequest, match=words):
        load(path)


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="There are no weights"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(BadRequest, match="damaged or holds no weights"):
        load(tmp_path / "cut.safetensors")


def test_official_weights_are_plugged_and_others_refused() -> None:
    base = small().base
    wrapped = {f"module.{name}": tensor for name, tensor in base.state_dict().items()}
    network = plug("ifrnet", wrapped, parts=("hir_l",), level=3)
    assert equal(network.base.state_dict(), base.state_dict())
    with pytest.raises(BadRequest, match="no weights of rife"):
        plug("rife", wrapped)
    with pytest.raises(BadRequest, match="cannot be plugged into 'film'"):
        plug("film", wrapped)
    wrapped.pop("module.decoder1.convblock.2.bias")
    with pytest.raises(BadRequest, match=r"but 1 of its .* are missing"):
        plug("ifrnet", wrapped)


@pytest.mark.parametrize("embed", [True, False])
def test_the_store_keeps_both_kinds_and_builds_them_again(embed: bool, tmp_path: Path) -> None:
    network, store = small(), Store(tmp_path / "store")
    save(tmp_path / "made.safetensors", network, ORIGIN, embed)
    record = add(tmp_path / "made.safetensors", store, lambda architecture, terms: "MIT" in terms)
    assert (record.architecture, record.variant, record.non_commercial) == (
        "hierarchical",
        "hierarchical-ifrnet",
        False,
    )
    kept, tensors = store.load(record.name)
    built = ARCHITECTURE.build(kept.values)
    built.load_state_dict(tensors, strict=True)
    if not embed:
        assert isinstance(built, Alone) and built.wanted == "ab" * 32
        built = built.onto(network.base)
    assert equal(built.state_dict(), network.state_dict())


def test_a_base_is_found_among_the_weights_in_the_store(tmp_path: Path) -> None:
    network, store = small(), Store(tmp_path / "store")
    official = {name: tensor.contiguous() for name, tensor in network.base.state_dict().items()}
    save_file(official, str(tmp_path / "official.safetensors"))
    base = add(tmp_path / "official.safetensors", store, lambda architecture, terms: True)
    for sha256 in (base.source_sha256, base.sha256):
        save(tmp_path / "alone.safetensors", network, replace(ORIGIN, base_sha256=sha256), embed=False)
        found, _ = load(tmp_path / "alone.safetensors", stored_base(store))
        assert equal(found.state_dict(), network.state_dict())
    with pytest.raises(BadRequest, match="that are not here"):
        load(tmp_path / "alone.safetensors", stored_base(Store(tmp_path / "empty")))


def test_the_licence_of_the_base_holds_for_what_is_plugged_into_it() -> None:
    free, bound = (ARCHITECTURE.licensed(VARIANTS[f"hierarchical-{id}"]) for id in ("ifrnet", "amt"))
    assert not free.non_commercial and bound.non_commercial and "non-commercial" in bound.weights_licence
