"""The one exception family of Kairos, in an artist's words.

Every error says what was wrong (naming the file, frame or knob) and what to do about it. The command line prints
``message`` and ``remedy`` on one line and ends with ``exit_status``; a host shows the same two sentences.
"""

from __future__ import annotations


class KairosError(Exception):
    """Something went wrong that an artist can act on.

    Args:
        message: what was wrong, naming the file, frame or knob.
        remedy: what to do about it; empty where there is nothing to do.
    """

    exit_status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class BadRequest(KairosError):
    """The request itself cannot be carried out: an impossible knob value, a missing input, clashing options."""

    exit_status = 2


class ImageError(KairosError):
    """A file cannot be read or written: damaged, truncated, unsupported, or the disk is full."""


class FrameError(KairosError):
    """Frames do not fit together: a changed resolution, missing channels, a missing frame."""


class EngineError(KairosError):
    """A model cannot run here, or failed while it ran."""


class Cancelled(KairosError):
    """The artist stopped the job; finished frames stay on disk."""

    exit_status = 130


class ServiceError(KairosError):
    """The runtime cannot be started or reached, refuses, or died in the middle of something."""
