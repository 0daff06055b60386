"""What a training leaves on disk: the state to continue from, and weights with their provenance."""

from __future__ import annotations

import io
import json
import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from kairos.errors import BadRequest
from kairos.training.files import written_whole
from kairos_nodes import __version__

STATE, LAST, BEST = "state.pt", "last.safetensors", "best.safetensors"
FORMAT = 1
"""Of ``state.pt``; raised when an older one can no longer be continued."""

_PARTS: Mapping[str, type] = {
    "format": int,
    "task": str,
    "step": int,
    "samples": int,
    "skipped": int,
    "elapsed": float,
    "seed": int,
    "first_step": int,
    "warm_up": int,
    "updates": int,
    "best": float,
    "validate_count": int,
    "model": dict,
    "ema": dict,
    "optimizer": dict,
    "rng": dict,
    "sums": dict,
    "figures": dict,
    "history": str,
}
"""What ``state.pt`` holds, by name."""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Writes ``state.pt``, whole or not at all. Raises KairosError."""
    # Torch itself would say of a full disk that it came upon an unexpected position.
    made = io.BytesIO()
    torch.save(dict(state), made)
    with written_whole(path) as temporary:
        temporary.write_bytes(made.getbuffer())


def load_state(path: Path) -> Dict[str, Any]:
    """Reads ``state.pt`` without running anything in it.

    Raises:
        BadRequest: there is none, or it is damaged, foreign or of another version.
    """
    advice = "Give the folder of a training, or .safetensors weights."
    if not path.is_file():
        raise BadRequest(f"There is no training state {path}.", advice)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # The restricted unpickler fails in a dozen ways, by the kind of damage.
        raise BadRequest(f"{path} is damaged or no training state of Kairos.", advice) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise BadRequest(f"{path} is no training state of this version of Kairos.", advice)
    for name, kind in _PARTS.items():
        if not isinstance(state.get(name), kind):
            raise BadRequest(f"{path} is no training state of Kairos: {name} is missing or wrong.", advice)
    return state


def save_weights(path: Path, model: torch.nn.Module, record: Mapping[str, str], half: bool = False) -> None:
    """Writes a network's weights with their provenance record as safetensors metadata.

    Args:
        path: ``.safetensors``, written whole or not at all.
        model: the network.
        record: see :func:`machine_record` and the trainer.
        half: floating-point weights in half precision.

    Raises:
        KairosError: the file cannot be written.
    """
    save_tensors(path, model.state_dict(), record, half)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], record: Mapping[str, str], half: bool = False) -> None:
    """Writes tensors as :func:`save_weights` does a network's."""
    made = {}
    for name, tensor in tensors.items():
        kept = tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else None)
        made[name] = kept.contiguous().clone()
    with written_whole(path) as temporary:
        temporary.write_bytes(save(made, metadata={"format": "pt", **record}))


def load_weights(path: Path) -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """Weights by name, on the CPU, floating-point ones in float32, and their provenance record.

    Raises:
        BadRequest: there is no such file, or it is no safetensors file.
    """
    if not path.is_file():
        raise BadRequest(f"There are no weights {path}.", "Check the path.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            record = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise BadRequest(f"{path} is damaged or no safetensors file.", "Choose other weights.") from error
    return {name: one.float() if one.is_floating_point() else one for name, one in tensors.items()}, record


def put_weights(model: torch.nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Puts weights into a network. Raises BadRequest where they are another network's."""
    try:
        model.load_state_dict(dict(weights))
    except (RuntimeError, AttributeError, TypeError) as error:
        raise BadRequest(f"{path} holds the weights of another network.", "Choose weights of this one.") from error


def put_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Puts a saved state into an optimiser; its settings stay its own.

    Raises:
        ValueError: the state is another network's. KeyError, TypeError and others: it is damaged.
    """
    own = optimizer.state_dict()["param_groups"]
    if [group["params"] for group in state["param_groups"]] != [group["params"] for group in own]:
        raise ValueError("the optimiser's parameters differ")
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for index, moments in state["state"].items():
        for name in ("exp_avg", "exp_avg_sq"):
            if moments[name].shape != weights[index].shape:
                raise ValueError(f"{name} of parameter {index} is {tuple(moments[name].shape)}")
    optimizer.load_state_dict({"state": state["state"], "param_groups": own})


def machine_record(device: torch.device) -> Dict[str, str]:
    """Which code and machine: ``kairos``, ``torch``, ``device``, and ``commit`` where Kairos runs from a repository."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    record = {
        "kairos": __version__,
        "torch": str(torch.__version__),
        "device": f"{device.type}, {name}" + (f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""),
    }
    commit = _commit()
    return {**record, "commit": commit} if commit else record


def whole(record: Mapping[str, str], name: str) -> float:
    """A number of a provenance record; 0 where it is missing or no number."""
    try:
        return float(record.get(name, "0"))
    except ValueError:
        return 0.0


def history(record: Mapping[str, str]) -> list[Any]:
    """The runs that a provenance record tells of, its own last."""
    try:
        earlier = json.loads(record.get("history", "[]"))
    except ValueError:
        earlier = []
    own = {name: value for name, value in record.items() if name not in ("history", "format")}
    return [*(earlier if isinstance(earlier, list) else []), own] if own else []


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _commit() -> str:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
