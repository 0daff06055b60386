"""Weights are read from every wrapping, bit by bit, and the moving average is preferred."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kairos.weights.containers import open_container
from kairos.weights.recognise import recognised
from support.wrappings import SMALL, WRAPPINGS, small_state


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_come_out_of_every_wrapping_bit_by_bit(wrapping: str, tmp_path: Path) -> None:
    state, path = small_state(), tmp_path / f"{wrapping}.bin"
    WRAPPINGS[wrapping](state, path)
    with open_container(path) as container:
        found = recognised(container, (SMALL,))
    assert found.match.architecture is SMALL and found.match.values["width"] == 4
    assert set(found.match.tensors) == set(state)
    for name, tensor in state.items():
        own = found.match.tensors[name]
        assert own.dtype == tensor.dtype and torch.equal(own, tensor) and own.is_contiguous(), name


@pytest.mark.parametrize("wrapping", ["params_ema", "ema", "ema-beside"])
def test_the_moving_average_is_taken_and_told(wrapping: str, tmp_path: Path) -> None:
    path = tmp_path / "training.pth"
    WRAPPINGS[wrapping](small_state(), path)
    with open_container(path) as container:
        taken = recognised(container, (SMALL,)).taken
    assert "moving average" in taken and "left" in taken, taken


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("old", [False, True], ids=["zip", "old"])
def test_other_precisions_are_kept(dtype: torch.dtype, old: bool, tmp_path: Path) -> None:
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in small_state().items()}
    torch.save(state, tmp_path / "half.pth", _use_new_zipfile_serialization=not old)
    with open_container(tmp_path / "half.pth") as container:
        tensors = container.tensors(container.candidates[0])
    assert all(
        torch.equal(tensors[name], tensor) and tensors[name].dtype == tensor.dtype for name, tensor in state.items()
    )


def test_transposed_and_shared_tensors_are_read_as_they_were(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {"whole": base, "turned": base.t(), "part": base[1:3, 2:5], "again": base, "empty": torch.empty(0, 3)}
    torch.save(state, tmp_path / "views.pth")
    with open_container(tmp_path / "views.pth") as container:
        tensors = container.tensors(container.candidates[0])
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())
