"""The explicit list of what Kairos can train."""

from __future__ import annotations

from typing import Callable, Dict, Optional

from kairos.errors import BadRequest
from kairos.training.task import Task


def _swift(batch: Optional[int]) -> Task:
    # Only when asked: an engine and its scenes need not load for another's training.
    from kairos.training.swift import SwiftTask

    return SwiftTask() if batch is None else SwiftTask(batch)


TASKS: Dict[str, Callable[[Optional[int]], Task]] = {"swift": _swift}
"""Name on the command line, and what makes the task from its scenes per step (None: the task's own number)."""


def task(id: str, batch: Optional[int] = None) -> Task:
    """The task of that name.

    Args:
        id: one of :data:`TASKS`.
        batch: scenes per step; None takes the task's own number.

    Raises:
        BadRequest: there is no such task, or ``batch`` is below 1.
    """
    if id not in TASKS:
        raise BadRequest(f"There is no training of {id!r}.", f"Choose one of: {', '.join(TASKS)}.")
    if batch is not None and batch < 1:
        raise BadRequest(f"--batch {batch} is too small.", "Give 1 or more.")
    return TASKS[id](batch)
