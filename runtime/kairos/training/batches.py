"""Batches in order, made where they are used or ahead of time in a second process."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import queue
import signal
import traceback
from typing import Any, List, Optional, Protocol, Tuple

import torch
from torch import Tensor

from kairos.errors import EngineError
from kairos.training.task import Sampling, Task

AHEAD = 2
"""Batches that wait in the queue; one more is in the making."""

_PATIENCE = 2.0
"""Seconds between looks at whether the other process still lives."""


class Batches(Protocol):
    """A source of batches."""

    def take(self) -> Any:
        """The next one."""

    def prepare(self) -> None:
        """A moment to begin the next one: the card is busy with this one."""

    def close(self) -> None:
        """No more are needed."""


class Inline:
    """Makes each batch on the training device, when asked."""

    def __init__(self, task: Task, seed: int, first: int, size: int, device: torch.device) -> None:
        self._task, self._seed, self._step, self._size, self._device = task, seed, first, size, device
        self._ready: List[Any] = []

    def take(self) -> Any:
        """The next batch. Raises what the task raises."""
        return self._ready.pop() if self._ready else self._make()

    def prepare(self) -> None:
        """A card computes on its own: the next batch's work is queued before anybody waits for this one's."""
        if self._device.type != "cpu" and not self._ready:
            self._ready.append(self._make())

    def close(self) -> None:
        """Nothing runs on."""

    def _make(self) -> Any:
        with untouched_randomness(self._device):
            batch = self._task.batch(self._seed, self._step, self._size, self._device)
        self._step += 1
        return batch


class Ahead:
    """Makes batches on the CPU in a second process, in order, a few ahead.

    They travel as bytes through a pipe, not through shared memory, which is small in containers. The process ends when
    this one does, even if killed.
    """

    def __init__(self, task: Task, seed: int, first: int, size: int, device: torch.device) -> None:
        context = multiprocessing.get_context("spawn")
        self._device = device
        self._queue: Any = context.Queue(AHEAD)
        self._process = context.Process(
            target=_make_ahead,
            args=(self._queue, pickle.dumps(task), seed, first, size, torch.get_num_threads()),
            name="kairos-batches",
            daemon=True,
        )
        self._process.start()

    def take(self) -> Any:
        """The next batch. Raises EngineError where the other process failed or died."""
        while True:
            try:
                made, payload = self._queue.get(timeout=_PATIENCE)
                break
            except queue.Empty:
                if not self._process.is_alive():
                    raise EngineError(
                        f"The process that makes batches died (status {self._process.exitcode}).",
                        "Is the memory full? --workers 0 makes them in the training process.",
                    ) from None
        if not made:
            raise EngineError("The process that makes batches failed.", "--workers 0 shows where.") from RuntimeError(
                payload
            )
        return moved(pickle.loads(payload), self._device)

    def prepare(self) -> None:
        """The other process is at it already."""

    def close(self) -> None:
        """Ends the other process."""
        self._process.kill()
        self._process.join()
        self._queue.close()
        self._queue.cancel_join_thread()


def _make_ahead(line: Any, task: bytes, seed: int, first: int, size: int, threads: int) -> None:
    """The second process' work."""
    # Ctrl-C, and on some systems a request to end, reaches both processes; the training one decides.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()
    try:
        maker: Task = pickle.loads(task)
        step = first
        while _hand_over(line, (True, pickle.dumps(maker.batch(seed, step, size, torch.device("cpu")), 5)), parent):
            step += 1
    except Exception:
        _hand_over(line, (False, traceback.format_exc()), parent)
        return
    # Nobody reads any more: do not wait until somebody does.
    line.cancel_join_thread()


def _hand_over(line: Any, item: Tuple[bool, Any], parent: Optional[Any]) -> bool:
    """Puts an item in the queue; False where the training process is gone."""
    while parent is None or parent.is_alive():
        try:
            line.put(item, timeout=_PATIENCE)
        except queue.Full:
            continue
        return True
    return False


def moved(batch: Any, device: torch.device) -> Any:
    """The same batch with its tensors on ``device``; containers and dataclasses are entered."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        fields = {field.name: moved(getattr(batch, field.name), device) for field in dataclasses.fields(batch)}
        return dataclasses.replace(batch, **fields)
    if isinstance(batch, dict):
        return {name: moved(value, device) for name, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(moved(value, device) for value in batch)
    return batch


def samples(task: Task, batch: Any) -> int:
    """How many samples a batch holds: the task's own word, else the first tensor's first side."""
    if isinstance(task, Sampling):
        return task.samples(batch)
    first = _first_tensor(batch)
    return 1 if first is None or first.dim() == 0 else first.shape[0]


def untouched_randomness(device: torch.device) -> Any:
    """A context after which torch's random numbers go on as if it had not been."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _first_tensor(batch: Any) -> Optional[Tensor]:
    if isinstance(batch, Tensor):
        return batch
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        batch = [getattr(batch, field.name) for field in dataclasses.fields(batch)]
    if isinstance(batch, dict):
        batch = list(batch.values())
    if isinstance(batch, (list, tuple)):
        return next((found for found in map(_first_tensor, batch) if found is not None), None)
    return None
