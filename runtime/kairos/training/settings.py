"""How a training runs, checked before anything is computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import torch

from kairos.errors import BadRequest
from kairos.training.task import VALIDATION_SEED

FLAG: Dict[str, str] = {"validate_steps": "validate-every", "validate_minutes": "validate-every", "warm_up": "warm-up"}
"""Command line flags whose names differ from the setting's."""


@dataclass(frozen=True)
class TrainSettings:
    """How a training runs. Exactly one of ``steps`` and ``minutes`` is given.

    Attributes:
        steps: length of the whole schedule, resumed steps included. Deterministic on the CPU.
        minutes: length of the whole schedule by the clock, earlier time of a resumed training included.
        seed: of the fresh network and of the scenes; None takes a resumed training's own, else 0.
        size: side of the square crop, pixels.
        lr: peak learning rate of AdamW, reached after ``warm_up`` steps and let down to a hundredth along a cosine.
        constant: it stays at its peak instead.
        warm_up: steps; a training that starts from plain weights warms up over 100 at most.
        weight_decay: of AdamW, on matrices and kernels only.
        ema_decay: of the running mean of the weights, itself warmed up: min(decay, (1 + n) / (10 + n)) at update n.
        clip: greatest norm of the whole gradient.
        validate_steps, validate_minutes: how often to validate; where both are None, ten times over ``steps``, or
            every five minutes.
        validate_count: scenes of one validation.
        validate_first: also validate before the first step: the figure that training has to beat.
        save_minutes: how often to save the whole state between validations.
        log_every: steps averaged in one line of the log.
        device: ``auto``, ``cuda``, ``mps``, ``cpu``.
        precision: ``auto`` (bf16 on a CUDA card), ``bf16`` (CUDA only), ``fp32``.
        threads: of the CPU; None leaves torch's own.
        workers: 0 makes each batch in the training process, 1 makes them ahead in a second process, on the CPU. The
            result is the same.
        resume_from: folder or ``state.pt`` of a training to continue, or ``.safetensors`` weights to start from.
        half_weights: write the ``.safetensors`` files in half precision.
        stop_at: stop, saved, after this step without changing the schedule.

    Raises:
        BadRequest: an impossible value.
    """

    steps: Optional[int] = None
    minutes: Optional[float] = None
    seed: Optional[int] = None
    size: int = 256
    lr: float = 3e-4
    constant: bool = False
    warm_up: int = 500
    weight_decay: float = 1e-4
    ema_decay: float = 0.999
    clip: float = 1.0
    validate_steps: Optional[int] = None
    validate_minutes: Optional[float] = None
    validate_count: int = 64
    validate_first: bool = True
    save_minutes: float = 5.0
    log_every: int = 20
    device: str = "auto"
    precision: str = "auto"
    threads: Optional[int] = None
    workers: int = 0
    resume_from: Optional[Path] = None
    half_weights: bool = False
    stop_at: Optional[int] = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise BadRequest("A training needs a length.", "Give either --steps or --minutes.")
        least = {"steps": 1, "size": 16, "warm_up": 0, "validate_steps": 1, "validate_count": 1, "log_every": 1}
        least.update({"threads": 1, "workers": 0, "stop_at": 0, "seed": 0})
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise BadRequest(f"--{_flag(name)} {value} is too small.", f"Give {bound} or more.")
        for name in ("minutes", "lr", "clip", "validate_minutes"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadRequest(f"--{_flag(name)} {value} makes no training.", "Give a number above 0.")
        for name in ("weight_decay", "save_minutes"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise BadRequest(f"--{_flag(name)} {getattr(self, name)} is below 0.", "Give 0 or more.")
        if not 0 <= self.ema_decay < 1:
            raise BadRequest(f"--ema-decay {self.ema_decay} is outside 0..1.", "Give 0.999 or so.")
        if self.workers > 1:
            raise BadRequest(f"--workers {self.workers}: one process makes batches ahead.", "Give 0 or 1.")
        if self.seed == VALIDATION_SEED:
            raise BadRequest(f"--seed {self.seed} is that of the validation scenes.", "Choose another.")

    def record(self) -> Dict[str, Any]:
        """The settings as JSON values; of paths the last part alone: whose machine it was is nobody's business."""
        return {name: value.name if isinstance(value, Path) else value for name, value in asdict(self).items()}


def where_and_how(settings: TrainSettings) -> Tuple[torch.device, bool]:
    """The device, and whether the forward pass runs in bf16.

    Raises:
        BadRequest: a device that is not there, or a precision that it cannot do.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = settings.device
    if name == "auto":
        name = next(each for each, there in has.items() if there)
    if not has.get(name.partition(":")[0], False):
        raise BadRequest(f"--device {settings.device}: there is no such device here.", "Use auto or cpu.")
    device = torch.device(name)
    if settings.precision not in ("auto", "bf16", "fp32"):
        raise BadRequest(f"--precision {settings.precision} is unknown.", "Choose auto, bf16 or fp32.")
    if settings.precision == "bf16" and device.type != "cuda":
        raise BadRequest(f"--precision bf16 needs a CUDA card, not {device.type}.", "Use --precision fp32.")
    return device, device.type == "cuda" and settings.precision != "fp32"


def _flag(name: str) -> str:
    return FLAG.get(name, name.replace("_", "-"))
