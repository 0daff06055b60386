"""The store keeps weights whole, with where they came from, and finds what has happened to them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kairos.engines.architecture import Architecture
from kairos.errors import BadRequest, KairosError
from kairos.weights import store as store_module
from kairos.weights.adding import add
from kairos.weights.containers import open_container
from kairos.weights.recognise import recognised
from kairos.weights.store import Record, Store, default_root
from support.wrappings import SMALL, WRAPPINGS, small_state


def yes(architecture: Architecture, terms: str) -> bool:
    """Accepts every licence."""
    return True


def added(tmp_path: Path, name: str | None = None, seed: int = 0, file: str = "net.pth") -> Record:
    """Weights of the small network in the store ``tmp_path / "store"``."""
    torch.save(small_state(seed=seed), tmp_path / file)
    return add(tmp_path / file, Store(tmp_path / "store"), yes, name, architectures=(SMALL,))


def test_weights_are_kept_as_safetensors_with_where_they_came_from(tmp_path: Path) -> None:
    record = added(tmp_path)
    store = Store(tmp_path / "store")
    assert record.name == record.variant == "small-4" and record.architecture == "small"
    assert record.source == "net.pth"
    assert record.source_sha256 == hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest()
    assert record.licence == "code MIT; weights CC-BY-4.0; commercial use allowed" and record.accepted
    kept = load_file(store.path("small-4"))
    assert all(torch.equal(kept[name], tensor) for name, tensor in small_state().items())
    assert store.records() == [record] == store.of("small") and store.get("small-4") == record
    assert store.load("small-4")[0] == record
    assert json.loads((store.root / "small-4.json").read_text())["source_sha256"] == record.source_sha256


def test_a_licence_that_is_not_accepted_leaves_nothing(tmp_path: Path) -> None:
    torch.save(small_state(), tmp_path / "net.pth")
    store = Store(tmp_path / "store")
    with pytest.raises(BadRequest, match=r"CC-BY-4\.0.*--accept-licence"):
        add(tmp_path / "net.pth", store, lambda architecture, terms: False, architectures=(SMALL,))
    assert not store.root.exists()


def test_several_weights_of_one_network_live_side_by_side(tmp_path: Path) -> None:
    first, again = added(tmp_path), added(tmp_path)
    assert first.name == again.name, "the same file is the same weights"
    other = added(tmp_path, seed=1, file="Other Training.pth")
    assert other.name == "other-training"
    third = added(tmp_path, name="shot-20", seed=2)
    assert [record.name for record in Store(tmp_path / "store").of("small")] == ["other-training", "shot-20", "small-4"]
    with pytest.raises(BadRequest, match="other weights 'shot-20' already"):
        added(tmp_path, name="shot-20", seed=3)
    assert Store(tmp_path / "store").get("shot-20") == third


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "con", "nul.pth", "Large", "x" * 65, "a."])
def test_names_that_no_file_may_have_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="cannot name weights"):
        added(tmp_path, name=name)
    assert not (tmp_path / "store").exists()


def test_verify_finds_damaged_missing_and_lost_files(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    names = ["sound", "damaged", "missing", "record"]
    for seed, name in enumerate(names):
        added(tmp_path, name=name, seed=seed)
    assert [trouble for _, trouble in store.verify()] == [""] * 4
    data = bytearray(store.path("damaged").read_bytes())
    data[-1] ^= 1
    store.path("damaged").write_bytes(data)
    store.path("missing").unlink()
    (store.root / "record.json").write_text("{")
    save_file(small_state(), store.path("lost"))
    report = dict(store.verify())
    assert report["sound"] == "" and "damaged" in report["damaged"] and "missing" in report["missing"]
    assert "record" in report["record"] and "no record" in report["lost"]
    assert {record.name for record in store.records()} == {"sound", "damaged", "missing"}
    with pytest.raises(KairosError, match=r"damaged.*weights remove damaged"):
        store.load("damaged")


def test_remove_takes_weights_and_record_away(tmp_path: Path) -> None:
    added(tmp_path)
    store = Store(tmp_path / "store")
    store.remove("small-4")
    assert store.records() == [] and list(store.root.iterdir()) == []
    with pytest.raises(BadRequest, match="no weights 'small-4'"):
        store.remove("small-4")


def test_a_record_from_elsewhere_cannot_point_out_of_the_store(tmp_path: Path) -> None:
    record = added(tmp_path)
    store = Store(tmp_path / "store")
    for broken in ({"name": "../../etc"}, {"values": 3}, {"format": 99}):
        told = {"format": 1, **record.__dict__, **broken}
        (store.root / "small-4.json").write_text(json.dumps(told))
        assert store.records() == []


def test_a_write_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = added(tmp_path, name="kept")

    def full(path: Path, data: bytes) -> None:
        raise KairosError(f"{path} cannot be written: no space left.")

    monkeypatch.setattr(store_module, "_write_whole", full)
    with pytest.raises(KairosError, match="no space left"):
        added(tmp_path, name="second", seed=1)
    monkeypatch.undo()
    store = Store(tmp_path / "store")
    assert store.records() == [before] and [trouble for _, trouble in store.verify()] == [""]


def test_the_store_is_the_users_own_or_the_one_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "mine"))
    assert default_root() == tmp_path / "mine" == Store().root
    monkeypatch.delenv("KAIROS_WEIGHTS")
    assert default_root().name == "weights" and "kairos" in str(default_root())


def test_weights_that_almost_fit_say_what_is_missing_and_what_is_too_much(tmp_path: Path) -> None:
    state = small_state()
    state["extra.weight"] = state.pop("inner.2.weight")
    state["inner.1.weight"] = torch.zeros(5)
    torch.save(state, tmp_path / "nearly.pth")
    with open_container(tmp_path / "nearly.pth") as container, pytest.raises(BadRequest) as error:
        recognised(container, (SMALL,))
    message = error.value.message
    assert "looks like small-4" in message and "1 of its 10 tensors are missing (inner.2.weight)" in message
    assert "1 are superfluous (extra.weight)" in message and "inner.1.weight (5,) and not (4,)" in message


def test_weights_that_are_not_numbers_and_unknown_networks_are_refused(tmp_path: Path) -> None:
    state = small_state()
    state["first.bias"][2] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with (
        open_container(tmp_path / "nan.pth") as container,
        pytest.raises(BadRequest, match=r"first\.bias.*not numbers"),
    ):
        recognised(container, (SMALL,))
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    with open_container(tmp_path / "foreign.pth") as container, pytest.raises(BadRequest, match="It knows small"):
        recognised(container, (SMALL,))


def test_training_only_tensors_are_dropped_by_the_networks_spelling(tmp_path: Path) -> None:
    WRAPPINGS["several-gpus"]({**small_state(), "teacher.weight": torch.zeros(9)}, tmp_path / "net.pth")
    record = add(tmp_path / "net.pth", Store(tmp_path / "store"), yes, architectures=(SMALL,))
    assert "teacher.weight" not in Store(tmp_path / "store").load(record.name)[1]
    assert replace(record, name="x").variant == "small-4"
