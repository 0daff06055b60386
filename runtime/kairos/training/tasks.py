"""The explicit list of what Kairos can train."""

from __future__ import annotations

from typing import Callable, Dict, Optional

from kairos.errors import BadRequest
from kairos.training.task import Task


def _swift(batch: Optional[int], part: Optional[str]) -> Task:
    # Only when asked: an engine and its scenes need not load for another's training.
    from kairos.training.swift import BATCH, PARTS, SwiftTask

    if part is not None and part not in PARTS:
        raise BadRequest(f"swift has no part {part!r}.", f"Choose one of: {', '.join(PARTS)}.")
    return SwiftTask(batch or BATCH, part or PARTS[0])


def _gimm(batch: Optional[int], part: Optional[str]) -> Task:
    from kairos.training.gimm import BATCH, GimmTask

    if part is not None:
        raise BadRequest(f"gimm has no part {part!r}.", "Leave --part away: it is trained as a whole.")
    return GimmTask(batch or BATCH)


TASKS: Dict[str, Callable[[Optional[int], Optional[str]], Task]] = {"swift": _swift, "gimm": _gimm}
"""Name on the command line, and what makes the task from its scenes per step (None: the task's own number) and the part
of the network that it is about (None: all of it).
"""


def task(id: str, batch: Optional[int] = None, part: Optional[str] = None) -> Task:
    """The task of that name.

    Args:
        id: one of :data:`TASKS`.
        batch: scenes per step; None takes the task's own number.
        part: of the network, to train alone; None trains all of it.

    Raises:
        BadRequest: there is no such task or part, or ``batch`` is below 1.
    """
    if id not in TASKS:
        raise BadRequest(f"There is no training of {id!r}.", f"Choose one of: {', '.join(TASKS)}.")
    if batch is not None and batch < 1:
        raise BadRequest(f"--batch {batch} is too small.", "Give 1 or more.")
    return TASKS[id](batch, part)
