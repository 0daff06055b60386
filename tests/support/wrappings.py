"""Every way in which checkpoints are wrapped, made from one state dict; and a network small enough to make many."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kairos.engines.architecture import Architecture, Shapes, Value

State = Dict[str, Tensor]


class Small(nn.Module):
    """Two convolutions and a normalisation: parameters, float buffers and a whole number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3)
        self.inner = nn.Sequential(nn.BatchNorm2d(width), nn.PReLU(width), nn.Conv2d(width, 2, 1))

    def forward(self, planes: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 2, H - 2, W - 2)."""
        answer: Tensor = self.inner(self.first(planes))
        return answer


def _recognise(shapes: Shapes) -> Optional[Dict[str, Value]]:
    first = shapes.get("first.weight", ())
    return {"variant": f"small-{first[0]}", "width": first[0]} if len(first) == 4 else None


SMALL = Architecture(
    id="small",
    title="A network for tests",
    paper="none",
    code_licence="MIT",
    weights_licence="CC-BY-4.0",
    non_commercial=False,
    recognise=_recognise,
    spelled=lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith("teacher.")},
    build=lambda values: Small(values["width"]),
)


def small_state(width: int = 4, seed: int = 0) -> State:
    """A state dict of :class:`Small`."""
    torch.manual_seed(seed)
    network = Small(width)
    network.train()(torch.randn(2, 3, 8, 8))
    return dict(network.state_dict())


def _old(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def _scripted(state: State, path: Path) -> None:
    network = Small(len(state["first.weight"]))
    network.load_state_dict(state)
    torch.jit.script(network).save(str(path))


def _traced(state: State, path: Path) -> None:
    network = Small(len(state["first.weight"]))
    network.load_state_dict(state)
    torch.jit.trace(network.eval(), torch.zeros(1, 3, 8, 8)).save(str(path))


def _packed(state: State, path: Path) -> None:
    inside = path.with_suffix(".inside")
    torch.save(state, inside)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inside, "train_log/flownet.pkl")
        archive.writestr("train_log/model.py", "raise SystemExit('nobody runs this')")
    inside.unlink()


def prefixed(state: Mapping[str, Tensor], prefix: str) -> State:
    """The state dict as a wrapper names it."""
    return {prefix + name: tensor for name, tensor in state.items()}


def zeros(state: Mapping[str, Tensor]) -> State:
    """The same names, other numbers: what must not be taken."""
    return {name: torch.zeros_like(tensor) for name, tensor in state.items()}


def training(state: State) -> Dict[str, Any]:
    """What trainings keep beside their weights: an optimizer's state by number, random numbers, settings."""
    means = {index: {"step": torch.tensor(9.0), "exp_avg": torch.ones(3)} for index in range(len(state))}
    optimizer = {"state": means, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": list(means)}]}
    return {"optimizer": optimizer, "rng": torch.get_rng_state(), "epoch": 3, "args": {"lr": 1e-4}}


WRAPPINGS: Mapping[str, Callable[[State, Path], None]] = {
    "safetensors": lambda state, path: save_file(state, path),
    "zip": lambda state, path: torch.save(state, path),
    "old": lambda state, path: _old(state, path),
    "parameters": lambda state, path: torch.save(
        {name: nn.Parameter(t) if t.is_floating_point() else t for name, t in state.items()}, path
    ),
    "several-gpus": lambda state, path: torch.save(prefixed(state, "module."), path),
    "old-several-gpus": lambda state, path: _old(prefixed(state, "module."), path),
    "compiled": lambda state, path: torch.save(prefixed(state, "module._orig_mod."), path),
    "state_dict": lambda state, path: torch.save({"state_dict": state, **training(state)}, path),
    "model": lambda state, path: torch.save({"model": prefixed(state, "module."), **training(state)}, path),
    "params": lambda state, path: torch.save({"params": state}, path),
    "params_ema": lambda state, path: torch.save({"params": zeros(state), "params_ema": state}, path),
    "ema": lambda state, path: torch.save({"model": zeros(state), "ema": {"decay": 0.999, "shadow": state}}, path),
    "ema-beside": lambda state, path: torch.save(
        {**prefixed(zeros(state), "online_model."), **prefixed(state, "ema_model."), "step": torch.tensor(9)}, path
    ),
    "averaged": lambda state, path: torch.save({**prefixed(state, "module."), "n_averaged": torch.tensor(9)}, path),
    "scripted": _scripted,
    "traced": _traced,
    "packed": _packed,
}
"""Of the right weights, whatever else the file holds."""
