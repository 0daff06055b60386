"""The explicit list of what Kairos can train."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, Optional

from kairos.errors import BadRequest
from kairos.training.losses import KINDS, FilmLoss
from kairos.training.task import Task


def _swift(batch: Optional[int], part: Optional[str], film: Optional[FilmLoss] = None) -> Task:
    # Only when asked: an engine and its scenes need not load for another's training.
    from kairos.training.swift import BATCH, PARTS, SwiftTask

    if part is not None and part not in PARTS:
        raise BadRequest(f"swift has no part {part!r}.", f"Choose one of: {', '.join(PARTS)}.")
    return SwiftTask(batch or BATCH, part or PARTS[0], film)


def _gimm(batch: Optional[int], part: Optional[str]) -> Task:
    from kairos.training.gimm import BATCH, GimmTask

    if part is not None:
        raise BadRequest(f"gimm has no part {part!r}.", "Leave --part away: it is trained as a whole.")
    return GimmTask(batch or BATCH)


def _hierarchical(batch: Optional[int], part: Optional[str]) -> Task:
    from kairos.engines.hierarchical.blocks import PARTS
    from kairos.training.hierarchical import BATCH, HierarchicalTask

    if part is not None and part not in PARTS:
        raise BadRequest(f"hierarchical has no part {part!r}.", f"Choose one of: {', '.join(PARTS)}.")
    return HierarchicalTask(batch or BATCH, PARTS if part is None else (part,))


TASKS: Dict[str, Callable[[Optional[int], Optional[str]], Task]] = {
    "swift": _swift,
    "gimm": _gimm,
    "hierarchical": _hierarchical,
}
"""Name on the command line, and what makes the task from its scenes per step (None: the task's own number) and the part
of the network that it is about (None: all of it).
"""


OWN_SHOTS = "inbetween"
"""The training that learns from the user's own shots: it needs them, and is made where they are read."""


def judge(losses: Optional[str], vgg: Optional[Path]) -> Optional[FilmLoss]:
    """FILM's losses where a training is to have them.

    Args:
        losses: ``own``, or one of :data:`kairos.training.losses.KINDS`; None is ``own``.
        vgg: file of VGG-19's weights.

    Raises:
        BadRequest: there are no such losses; VGG-19 is missing, or not asked for, or the file is another network's.
    """
    if losses in (None, "own"):
        if vgg is not None:
            raise BadRequest(f"--vgg {vgg} is of no use without --losses.", f"Add --losses {' or '.join(KINDS)}.")
        return None
    if losses not in KINDS:
        raise BadRequest(f"There are no losses {losses!r}.", f"Choose one of: own, {', '.join(KINDS)}.")
    if vgg is None:
        raise BadRequest(
            f"--losses {losses} needs the weights of VGG-19.",
            "Download torchvision's vgg19-dcbb9e9d.pth and give it with --vgg FILE.",
        )
    return FilmLoss.load(vgg, losses)


def task(id: str, batch: Optional[int] = None, part: Optional[str] = None, film: Optional[FilmLoss] = None) -> Task:
    """The task of that name.

    Args:
        id: one of :data:`TASKS`.
        batch: scenes per step; None takes the task's own number.
        part: of the network, to train alone; None trains all of it.
        film: judges the picture, from :func:`judge`.

    Raises:
        BadRequest: there is no such task or part, it makes no picture for ``film`` to judge, or ``batch`` is below 1.
    """
    if id not in TASKS:
        raise BadRequest(f"There is no training of {id!r}.", f"Choose one of: {', '.join((*TASKS, OWN_SHOTS))}.")
    if batch is not None and batch < 1:
        raise BadRequest(f"--batch {batch} is too small.", "Give 1 or more.")
    if film is None:
        return TASKS[id](batch, part)
    if id != "swift" or part == "motion":
        what = f"--part {part}" if id == "swift" else id
        raise BadRequest(f"--losses {film.kind} judges pictures, and {what} makes none.", "Leave it out.")
    return _swift(batch, part, film)
