"""Differences of a tuned U-Net: made, written, read, added to another base, and refused where they do not fit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Dict

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from kairos.engines.inbetween.attention import temporal_layers
from kairos.engines.inbetween.changes import (
    Changes,
    changes_between,
    changes_of_files,
    check_changes,
    load_changes,
    tuned_keys,
)
from kairos.engines.inbetween.folder import find_parts
from kairos.engines.inbetween.outline import PUBLISHED, outlined
from kairos.engines.inbetween.parts import Parts
from kairos.errors import BadRequest
from support.differences import merged, write_changes
from support.parity import same
from support.shared import shared_parity
from support.tiny_svd import write_tiny_svd


def tensors(parts: Parts) -> Dict[str, Tensor]:
    return dict(parts.unet.state_dict())


def test_the_published_models_tuned_tensors_are_recognised() -> None:
    listed = json.loads((shared_parity("svd-inbetween") / "finetuned_keys.json").read_text())
    keys = [key for key, _ in listed]
    assert len(keys) == 32
    others = [
        "conv_in.weight",
        "up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_v.weight",
        "up_blocks.1.attentions.0.temporal_transformer_blocks.0.attn2.to_v.weight",
        "up_blocks.1.attentions.0.temporal_transformer_blocks.0.attn1.to_q.weight",
        "up_blocks.1.attentions.0.temporal_transformer_blocks.0.attn1.to_out.0.bias",
    ]
    assert tuned_keys([*others, *keys]) == tuple(keys)


def test_the_published_model_has_these_tensors_in_sixteen_layers() -> None:
    """The real network on the meta device, against the key list that its authors' tuned weights were read from."""
    listed = json.loads((shared_parity("svd-inbetween") / "finetuned_keys.json").read_text())
    unet = outlined(PUBLISHED, torch.float16).unet
    shapes = {key: list(value.shape) for key, value in unet.state_dict().items()}
    assert {key: shapes[key] for key in tuned_keys(shapes)} == dict(listed)
    assert len(temporal_layers(unet)) == 16
    # The README: 24.8 M of 1,524.6 M values.
    assert sum(math.prod(shape) for _, shape in listed) == pytest.approx(24.8e6, rel=2e-3)
    assert sum(value.numel() for value in unet.parameters()) == pytest.approx(1524.6e6, rel=1e-4)
    check_changes(Changes({key: torch.empty(shape, device="meta") for key, shape in listed}), unet)


def test_differences_are_tuned_less_base(tiny_parts: Parts, changes: Changes) -> None:
    base = tensors(tiny_parts)
    found = changes_between(merged(changes, base), base)
    assert found.tensors.keys() == changes.tensors.keys()
    for key, value in found.tensors.items():
        same(value, changes.tensors[key], 1e-6)


def test_differences_round_trip_into_another_base(tmp_path: Path, tiny_parts: Parts, changes: Changes) -> None:
    other_folder = write_tiny_svd(tmp_path / "other", frames=5, seed=1)
    write_changes(tmp_path / "tuned.safetensors", changes)
    found = load_changes(tmp_path / "tuned.safetensors")
    (file,) = find_parts(other_folder).tensors["unet"]
    with safe_open(file, "pt") as opened:
        other = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (no mapping)
    result = merged(found, other)
    assert result.keys() == other.keys()
    for key, value in result.items():
        if key in changes.tensors:
            # Half precision keeps 11 bits of a difference.
            largest = float(changes.tensors[key].abs().max())
            same(value, other[key] + changes.tensors[key], largest * 2**-11 + 1e-6)
            assert not torch.equal(value, tensors(tiny_parts)[key] + changes.tensors[key])
        else:
            assert value is other[key]


def test_differences_are_made_of_two_folders(tmp_path: Path, tiny_folder: Path, tiny_parts: Parts) -> None:
    other = write_tiny_svd(tmp_path / "other", frames=14, seed=1)
    found = changes_of_files(find_parts(other).tensors["unet"], find_parts(tiny_folder).tensors["unet"])
    assert len(found.tensors) == 8
    again = merged(found, tensors(tiny_parts))
    (file,) = find_parts(other).tensors["unet"]
    with safe_open(file, "pt") as opened:
        for key in found.tensors:
            same(again[key], opened.get_tensor(key), 1e-6)


def test_differences_for_another_architecture_are_refused(tiny_parts: Parts, changes: Changes) -> None:
    key, value = next(iter(changes.tensors.items()))
    wider = {**changes.tensors, key: torch.zeros(value.shape[0] * 2, value.shape[1])}
    fewer = {name: each for name, each in changes.tensors.items() if name != key}
    more = {**changes.tensors, key.replace("down_blocks.0", "down_blocks.1"): value}
    for odd in (wider, fewer, more):
        with pytest.raises(BadRequest, match="for another architecture"):
            check_changes(Changes(odd), tiny_parts.unet)
    with pytest.raises(BadRequest, match="for another architecture"):
        changes_between(fewer, tensors(tiny_parts))


def test_a_whole_u_net_is_no_file_of_differences(tiny_folder: Path) -> None:
    (file,) = find_parts(tiny_folder).tensors["unet"]
    with pytest.raises(BadRequest, match="a whole U-Net"):
        load_changes(file)


def test_other_files_are_no_differences(tmp_path: Path, changes: Changes) -> None:
    save_file({"conv.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(BadRequest, match="no differences"):
        load_changes(tmp_path / "other.safetensors")
    (tmp_path / "tuned.pt").write_bytes(b"anything")
    with pytest.raises(BadRequest, match="no safetensors file"):
        load_changes(tmp_path / "tuned.pt")
    with pytest.raises(BadRequest, match="damaged"):
        load_changes(tmp_path / "none.safetensors")
    write_changes(tmp_path / "cut.safetensors", changes)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-100])
    with pytest.raises(BadRequest, match="damaged"):
        load_changes(tmp_path / "cut.safetensors")


def test_differences_that_are_no_numbers_are_refused(tmp_path: Path, changes: Changes) -> None:
    key = next(iter(changes.tensors))
    broken = {**changes.tensors, key: torch.full_like(changes.tensors[key], float("nan"))}
    write_changes(tmp_path / "tuned.safetensors", Changes(broken))
    with pytest.raises(BadRequest, match="no numbers"):
        load_changes(tmp_path / "tuned.safetensors")
