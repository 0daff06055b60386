"""From a published checkpoint, wrapped in any way, to a retimed frame of a real clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Mapping, Tuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from kairos.cli import main
from kairos.engines.architectures import ARCHITECTURES
from kairos.weights.adding import licence
from support.parity import recipe_weights
from support.shared import shared_data
from support.wrappings import WRAPPINGS

NETWORKS: Tuple[Tuple[str, str], ...] = (
    ("ifrnet-s", "ifrnet"),
    ("rife-4.6", "rife"),
    ("rife-4.25", "rife"),
    ("rife-paper", "rife"),
    ("ema-vfi-small", "ema"),
    ("rife-paper-m", "rife"),
    ("amt-s", "amt"),
)
"""Folders of the parity data and engines: taken in turns, so that every wrapping meets a network and they all a job."""


class Tree(nn.Module):
    """A module whose tensors have the names of a state dict, whatever they mean."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        below: Dict[str, Dict[str, Tensor]] = {}
        for name, tensor in state.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = tensor
            else:
                self.register_parameter(first, nn.Parameter(tensor))
        for first, tensors in below.items():
            self.add_module(first, Tree(tensors))

    def forward(self, planes: Tensor) -> Tensor:
        """The same."""
        return planes


def wrapped(kind: str, state: Dict[str, Tensor], path: Path) -> None:
    """Writes a checkpoint; the wrappings that hold a module have one of those names."""
    if kind == "scripted":
        torch.jit.script(Tree(state)).save(str(path))
    elif kind == "traced":
        torch.jit.trace(Tree(state), torch.zeros(1)).save(str(path))
    else:
        WRAPPINGS[kind](state, path)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of this test's own."""
    monkeypatch.setenv("KAIROS_WEIGHTS", str(tmp_path / "store"))


CASES = [(kind, *NETWORKS[number % len(NETWORKS)]) for number, kind in enumerate(WRAPPINGS)]


@pytest.mark.parametrize(("kind", "folder", "engine"), [*CASES, ("scripted", "film", "film")])
def test_a_checkpoint_is_added_listed_with_its_licence_and_retimes_a_real_clip(
    kind: str, folder: str, engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "official.pth"
    wrapped(kind, recipe_weights(folder), checkpoint)
    assert main(["weights", "add", str(checkpoint), "--accept-licence", "--name", "mine"]) == 0
    capsys.readouterr()
    assert main(["weights", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["licence"] == licence(next(each for each in ARCHITECTURES if each.id == engine))
    clip, out = shared_data("mobfgsr", "view") / "%04d.png", tmp_path / "out.%04d.png"
    job = ["retime", str(clip), str(out), "--between", "1", "--frames", "11", "--proxy", "4", "--device", "cpu"]
    assert main([*job, "--engine", engine, "--weights", "mine"]) == 0
    (file,) = tmp_path.glob("out.*.png")
    picture = np.asarray(Image.open(file))
    assert picture.shape == (135, 240, 3) and picture.std() > 10
