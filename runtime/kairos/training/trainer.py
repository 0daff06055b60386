"""The trainer: AdamW, a running mean of the weights, validation, and everything saved so that it can go on.

``train`` is the whole of it. In its folder it keeps ``state.pt`` (to go on exactly), ``last.safetensors`` and
``best.safetensors`` (running mean of the weights now and at the best validation, with their provenance), ``log.jsonl``
and ``curve.png``.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from kairos.errors import BadRequest, EngineError
from kairos.events import Event, Listener
from kairos.training import checkpoint
from kairos.training.batches import Ahead, Batches, Inline, samples, untouched_randomness
from kairos.training.ema import Ema
from kairos.training.files import written_whole
from kairos.training.log import Log
from kairos.training.plot import draw_curve
from kairos.training.schedule import Clock, rate
from kairos.training.settings import TrainSettings, where_and_how
from kairos.training.stopping import Stop
from kairos.training.task import VALIDATION_SEED, Conditioned, Provenanced, Task, Written

SHORT_WARM_UP = 100
"""Steps of warm-up for weights that are trained already: AdamW has to find its scales anew."""

PATIENCE = 20
"""So many steps in a row without a finite loss and gradient, and training has diverged."""

_TOLD = 0.5
"""Seconds between progress events."""


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        steps, samples: in all, resumed ones included.
        seconds: spent in all, resumed ones included.
        score: best validation score; -inf without one.
        figures: of the last validation.
        skipped: steps without a finite loss and gradient.
        stopped: the schedule was cut short, by a signal or ``stop_at``; the folder can be resumed.
        best, last: the weights.
    """

    steps: int
    samples: int
    seconds: float
    score: float
    figures: Mapping[str, float]
    skipped: int
    stopped: bool
    best: Path
    last: Path


def train(task: Task, settings: TrainSettings, out: Path, listener: Listener) -> TrainResult:
    """Trains until the schedule is over, or until SIGINT or SIGTERM: then the step is finished and all is saved.

    On the CPU the result depends on the task, the settings and the number of threads alone: a training cut short
    anywhere and resumed gives, in steps mode, the same weights bit for bit as one that was not.

    Args:
        task: what is trained.
        settings: how.
        out: folder of the training; made where missing.
        listener: told of progress (``done`` and ``total`` steps or seconds, ``rate`` in samples per second, ``eta``,
            ``stage``, ``step``, ``loss``, ``score``) and warnings.

    Raises:
        BadRequest: impossible settings, a folder that holds another training, or nothing to resume from.
        EngineError: training diverged.
        KairosError: the folder cannot be written.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with Stop() as stop:
        return _Training(task, settings, out, listener).run(stop)


class _Training:
    def __init__(self, task: Task, settings: TrainSettings, out: Path, listener: Listener) -> None:
        self.task, self.settings, self.out, self.listener = task, settings, out, listener
        self.device, self.half = where_and_how(settings)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        self.step = self.samples = self.skipped = self.in_a_row = self.first_step = 0
        self.best = -math.inf
        self.figures: Dict[str, float] = {}
        self.sums: Dict[str, float] = {}
        self.seed, self.warm_up = settings.seed or 0, settings.warm_up
        self.history: List[Any] = []
        elapsed = self._begin()
        self.clock = Clock(settings.steps, settings.minutes, elapsed)
        if self.clock.over(self.step):
            length = f"--steps {settings.steps}" if settings.steps else f"--minutes {settings.minutes}"
            raise BadRequest(
                f"This training has had {self.step} steps and {elapsed / 60:.1f} minutes: {length} is over.",
                "Give it more, or start another from its weights.",
            )
        self.log = Log(out, self.step)
        self.saved = self.validated = self.clock.elapsed
        self.validated_at = -1
        self.told = -math.inf
        self.rate = 0.0
        self.since: Optional[Tuple[float, int]] = None

    # How it starts.

    def _begin(self) -> float:
        """Makes or loads model, running mean and optimiser. Answers with the seconds already spent."""
        source = self.settings.resume_from
        if source is not None and source.is_dir():
            source = source / checkpoint.STATE
        going_on = source is not None and source.suffix != ".safetensors"
        own = self.out / checkpoint.STATE
        if own.exists() and not (going_on and source is not None and source.resolve() == own.resolve()):
            raise BadRequest(
                f"{self.out} holds a training already.",
                f"Go on with --resume-from {self.out}, or choose another --out.",
            )
        state = checkpoint.load_state(source) if source is not None and going_on else None
        if state is not None:
            self._agree(state, source)
        torch.manual_seed(self.seed)
        self.model = self.task.model()
        if source is not None and state is None:
            weights, record = checkpoint.load_weights(source)
            kept = self.task.read(weights) if isinstance(self.task, Written) else weights
            checkpoint.put_weights(self.model, kept, source)
            self.history = checkpoint.history(record)
            self.first_step = int(sum(checkpoint.whole(each, "steps") for each in self.history))
            self.warm_up = min(self.warm_up, SHORT_WARM_UP)
        self.model.to(self.device).train()
        self.ema = Ema(self.model, self.settings.ema_decay)
        self.optimizer = _optimizer(self.model, self.settings, self.device)
        return 0.0 if state is None or source is None else self._restore(state, source)

    def _agree(self, state: Mapping[str, Any], path: Optional[Path]) -> None:
        if state["task"] != self.task.id:
            raise BadRequest(f"{path} is a training of {state['task']}, not of {self.task.id}.", "Choose another.")
        if self.settings.seed not in (None, state["seed"]) or state["seed"] == VALIDATION_SEED:
            raise BadRequest(
                f"{path} was trained with --seed {state['seed']}.", "Leave --seed away, or start another training."
            )
        kept, own = str(state.get("conditions", "")), self._conditions()
        if kept != own:
            raise BadRequest(
                f"{path} was trained with {kept or 'the losses of the task itself'}"
                + (f", not with {own}." if own else "."),
                "Give the same again, or start another training from its weights.",
            )
        self.seed = state["seed"]

    def _conditions(self) -> str:
        return self.task.conditions() if isinstance(self.task, Conditioned) else ""

    def _restore(self, state: Mapping[str, Any], path: Path) -> float:
        checkpoint.put_weights(self.model, state["model"], path)
        checkpoint.put_weights(self.ema.model, state["ema"], path)
        try:
            checkpoint.put_optimizer(self.optimizer, state["optimizer"])
            torch.set_rng_state(state["rng"]["cpu"])
            if self.device.type == "cuda" and "cuda" in state["rng"]:
                torch.cuda.set_rng_state(state["rng"]["cuda"], self.device)
            self.sums = {str(name): float(value) for name, value in state["sums"].items()}
            self.figures = {str(name): float(value) for name, value in state["figures"].items()}
            self.history = list(json.loads(state["history"]))
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise BadRequest(f"{path} is damaged.", "Start another training from its weights.") from error
        self.step, self.samples, self.skipped = state["step"], state["samples"], state["skipped"]
        self.first_step, self.warm_up, self.ema.updates = state["first_step"], state["warm_up"], state["updates"]
        kept = path.parent / checkpoint.BEST
        # A score over other scenes cannot be compared, and one whose weights are gone is of no use.
        if state["validate_count"] == self.settings.validate_count and kept.is_file():
            self.best = state["best"]
            if kept.resolve() != (self.out / checkpoint.BEST).resolve():
                with written_whole(self.out / checkpoint.BEST) as temporary:
                    shutil.copyfile(kept, temporary)
        return float(state["elapsed"])

    # The loop.

    def run(self, stop: Stop) -> TrainResult:
        """Steps until the schedule is over or somebody stops it."""
        machine = checkpoint.machine_record(self.device)
        self.log.add("run", self.step, self.clock.elapsed, {**machine, "settings": self.settings.record()})
        if self.step == 0 and self.settings.validate_first:
            self._validate()
        self._save()
        first = self.first_step + self.step
        making = Ahead if self.settings.workers else Inline
        batches: Batches = making(self.task, self.seed, first, self.settings.size, self.device)
        try:
            while not (stop.asked or self.step == self.settings.stop_at or self.clock.over(self.step)):
                self._step(batches)
                self._housekeeping()
        finally:
            batches.close()
        stopped = not self.clock.over(self.step)
        # Stopped, one validation more would keep whoever stopped it waiting, and put the log out of step.
        if not stopped and self.validated_at != self.step:
            self._validate()
        self._save()
        self._tell("done")
        return TrainResult(
            self.step,
            self.samples,
            self.clock.elapsed,
            self.best,
            self.figures,
            self.skipped,
            stopped,
            self.out / checkpoint.BEST,
            self.out / checkpoint.LAST,
        )

    def _step(self, batches: Batches) -> None:
        progress = self.clock.progress(self.step)
        factor = rate(self.step, 0.0 if self.settings.constant else progress, self.warm_up)
        batch = batches.take()
        if self.since is None:
            # The first batch may have had to wait for its process to start.
            self.since = self.clock.elapsed, self.samples
        count = samples(self.task, batch)
        # What a batch leaves in them (running statistics, say) goes with it if it has to be skipped.
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss, parts = self.task.loss(self.model, batch, progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        batches.prepare()
        values = _numbers({"loss": loss, "gradient": norm, **parts})
        self.step += 1
        self.samples += count
        if math.isfinite(values["loss"]) and math.isfinite(values["gradient"]):
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.lr * factor
            self.optimizer.step()
            self.ema.update(self.model)
            self.in_a_row = 0
            clipped = float(values["gradient"] > self.settings.clip)
            for name, value in {**values, "clipped": clipped, "steps": 1.0}.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
        else:
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            self._skip(values)
        if self.step % self.settings.log_every == 0:
            self._log_steps(factor)
        if time.monotonic() - self.told >= _TOLD:
            self._tell("training")

    def _skip(self, values: Mapping[str, float]) -> None:
        self.skipped += 1
        self.in_a_row += 1
        what = "loss" if not math.isfinite(values["loss"]) else "gradient"
        message = f"Step {self.step}: the {what} is not finite; the step is skipped ({self.skipped} so far)."
        self.listener(Event("warning", {"message": message, "remedy": ""}))
        if self.in_a_row >= PATIENCE:
            raise EngineError(
                f"Training diverged: no finite {what} in {PATIENCE} steps up to {self.step}.",
                "Start again from best.safetensors with a lower --lr.",
            )

    def _log_steps(self, factor: float) -> None:
        count = self.sums.pop("steps", 0.0)
        if count:
            values = {name: value / count for name, value in self.sums.items()}
            seconds, done = self.since or (0.0, 0)
            values["lr"] = self.settings.lr * factor
            self.rate = (self.samples - done) / max(1e-9, self.clock.elapsed - seconds)
            values["samples_per_second"] = round(self.rate, 3)
            self.log.add("train", self.step, self.clock.elapsed, values)
        self.sums = {}
        self.since = self.clock.elapsed, self.samples

    # What happens between steps.

    def _housekeeping(self) -> None:
        if self._validation_due():
            self._validate()
            self._save()
        elif self.clock.elapsed - self.saved >= 60 * self.settings.save_minutes:
            self._save()

    def _validation_due(self) -> bool:
        steps, minutes = self.settings.validate_steps, self.settings.validate_minutes
        if steps is None and minutes is None:
            if self.settings.steps is not None:
                steps = max(1, self.settings.steps // 10)
            else:
                minutes = 5.0
        if steps is not None and self.step % steps == 0:
            return True
        return minutes is not None and self.clock.elapsed - self.validated >= 60 * minutes

    def _validate(self) -> None:
        """Judges the running mean; keeps it where it is the best so far."""
        self._tell("validation")
        with torch.no_grad(), untouched_randomness(self.device):
            figures = self.task.validate(self.ema.model, self.settings.validate_count, self.device)
        self.ema.model.eval()
        if "score" not in figures:
            raise EngineError(f"The validation of {self.task.id} gives no score.", "It is a fault of the task.")
        self.figures = {name: float(value) for name, value in figures.items()}
        score = self.figures["score"]
        if not math.isfinite(score):
            message = f"Step {self.step}: the validation score is not finite."
            self.listener(Event("warning", {"message": message, "remedy": ""}))
        better = math.isfinite(score) and score > self.best
        if better:
            self.best = score
            self._save_weights(checkpoint.BEST)
        self.validated = self.clock.elapsed
        self.validated_at = self.step
        self.since = None
        self.log.add("validation", self.step, self.clock.elapsed, {**self.figures, "best": better})
        self._tell("training")

    def _save(self) -> None:
        rng = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.device)
        self._save_weights(checkpoint.LAST)
        state = {
            "format": checkpoint.FORMAT,
            "task": self.task.id,
            "conditions": self._conditions(),
            "step": self.step,
            "samples": self.samples,
            "skipped": self.skipped,
            "elapsed": self.clock.elapsed,
            "seed": self.seed,
            "first_step": self.first_step,
            "warm_up": self.warm_up,
            "updates": self.ema.updates,
            "best": self.best,
            "validate_count": self.settings.validate_count,
            "model": dict(self.model.state_dict()),
            "ema": dict(self.ema.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "rng": rng,
            "sums": self.sums,
            "figures": self.figures,
            "history": json.dumps(self.history),
        }
        checkpoint.save_state(self.out / checkpoint.STATE, state)
        draw_curve(self.out)
        self.saved = self.clock.elapsed

    def _save_weights(self, name: str) -> None:
        model = self.ema.model
        tensors = self.task.written(model) if isinstance(self.task, Written) else model.state_dict()
        checkpoint.save_tensors(self.out / name, tensors, self._record(), self.settings.half_weights)

    def _record(self) -> Dict[str, str]:
        """Where the weights come from. ``steps``, ``samples`` and ``hours`` are this training's, ``total_...`` include
        those of the trainings it started from, which ``history`` lists."""
        own = {"steps": float(self.step), "samples": float(self.samples), "hours": self.clock.elapsed / 3600}
        record = {
            "task": self.task.id,
            **(dict(self.task.provenance()) if isinstance(self.task, Provenanced) else {}),
            **checkpoint.machine_record(self.device),
            "seed": str(self.seed),
            "settings": json.dumps(self.settings.record()),
            "validation": json.dumps(self.figures),
            "history": json.dumps(self.history),
        }
        for name, value in own.items():
            total = value + sum(checkpoint.whole(each, name) for each in self.history)
            record[name], record[f"total_{name}"] = f"{value:.8g}", f"{total:.8g}"
        return record

    def _tell(self, stage: str) -> None:
        self.told = time.monotonic()
        spent, progress = self.clock.elapsed, self.clock.progress(self.step)
        by_steps = self.settings.steps is not None
        data = {
            "done": self.step if by_steps else int(spent),
            "total": self.settings.steps if by_steps else int(60 * (self.settings.minutes or 0)),
            "rate": self.rate,
            "eta": round(spent / progress - spent) if progress > 0.01 else None,
            "stage": stage,
            "step": self.step,
            "loss": self.sums.get("loss", 0.0) / self.sums["steps"] if self.sums.get("steps") else None,
            "score": self.figures.get("score"),
        }
        self.listener(Event("progress", data))


def _optimizer(model: torch.nn.Module, settings: TrainSettings, device: torch.device) -> torch.optim.AdamW:
    """AdamW; biases, scales and other vectors do not decay."""
    weights = [each for each in model.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in weights if each.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [each for each in weights if each.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], settings.lr, fused=device.type == "cuda")


def _numbers(values: Mapping[str, Any]) -> Dict[str, float]:
    """Plain numbers, fetched from the card in one go."""
    tensors = {name: value.detach().float() for name, value in values.items() if isinstance(value, Tensor)}
    fetched = dict(zip(tensors, torch.stack(list(tensors.values())).tolist()))
    return {name: fetched[name] if name in fetched else float(value) for name, value in values.items()}
