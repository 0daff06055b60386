"""Frame ranges as people write them: ``1001-1048`` and ``1-40,55,60-70x2``."""

from __future__ import annotations

import re
from typing import Iterable, List, Tuple

from kairos_nodes.errors import BadRequest

MOST_FRAMES = 10_000_000
"""More frames than this in one list is a slip of the keyboard (nearly five days at 24 frames per second)."""

_RANGE = re.compile(r"(-?\d{1,9})(?:-(-?\d{1,9}))?")
_STEPPED = re.compile(r"(-?\d{1,9})(?:-(-?\d{1,9})(?:x(\d{1,9}))?)?")


def parse_range(text: str, what: str = "--range") -> Tuple[int, int]:
    """First and last frame, both included; a single number is a range of one frame.

    Raises:
        BadRequest: not ``FIRST-LAST``, or the last frame lies before the first.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise BadRequest(f"{what}: {text!r} is not a frame range.", "Write FIRST-LAST, such as 1001-1048.")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise BadRequest(
            f"{what}: {text.strip()} ends before it begins.",
            f"Write {last}-{first}; a negative speed plays a range backwards.",
        )
    return first, last


def parse_frames(text: str, what: str = "--frames") -> Tuple[int, ...]:
    """Every frame of a list such as ``1-40,55,60-70x2`` (``x2`` is every second one), ascending, each once.

    Raises:
        BadRequest: a piece is no frame or range, runs backwards, has step 0, or the list is absurdly long.
    """
    frames: set[int] = set()
    for piece in text.split(","):
        match = _STEPPED.fullmatch(piece.strip())
        if match is None:
            raise BadRequest(
                f"{what}: {piece.strip()!r} is neither a frame nor a range.", "Write a list such as 1-40,55,60-70x2."
            )
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        step = 1 if match[3] is None else int(match[3])
        if last < first:
            raise BadRequest(f"{what}: {piece.strip()} ends before it begins.", f"Write {last}-{first}.")
        if step == 0:
            raise BadRequest(f"{what}: {piece.strip()} has a step of 0.", "Write a step of 1 or more, such as x2.")
        if (last - first) // step + len(frames) >= MOST_FRAMES:
            raise BadRequest(f"{what}: {text[:60]} names more than {MOST_FRAMES} frames.", "Check the numbers.")
        frames.update(range(first, last + 1, step))
    return tuple(sorted(frames))


def frames_text(frames: Iterable[int]) -> str:
    """The shortest plain list for some frames, such as ``1-40,55``: the inverse of :func:`parse_frames`."""
    runs: List[List[int]] = []
    for frame in sorted(set(frames)):
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
