"""What a job tells the world while it runs: one stream for progress bar, host, studio, farm and log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Callable, Dict

KINDS = ("planned", "progress", "frame_done", "warning", "failed", "done")


@dataclass(frozen=True)
class Event:
    """One thing that happened in a job.

    ``kind`` is one of KINDS; ``data`` holds JSON values:

    - planned: ``frames`` (to render), ``skipped`` (finished by an earlier run), ``engine``, ``device``, ``layers``
      (layer name to the policy it moves by).
    - progress: ``done``, ``total``, ``rate`` (frames per second), ``eta`` (seconds or null), ``stage``; for a
      job on its way to the runtime both counts are 0, and ``detail`` may say more. An engine that generates tells
      its ``stage`` ``plan`` first, with what it needs of the machine in ``detail`` and in figures in ``needs``; while
      its stage is ``generate`` also ``step`` and ``steps``, and the file ``preview`` once there is one.
    - frame_done: ``frame`` (output number), ``file``, ``source_time`` (a fraction as text).
    - warning, failed: ``message``, ``remedy``; ``frame`` or ``file`` where one is to blame.
    - done: ``frames``, ``seconds``, ``missing`` (frames that could not be made).
    """

    kind: str
    data: Dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown event kind {self.kind!r}; one of {', '.join(KINDS)}")

    def to_json(self) -> str:
        """One JSON line, without the newline."""
        return json.dumps({"event": self.kind, **self.data}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """The inverse of :meth:`to_json`. Raises ValueError for a line that is no event."""
        data = json.loads(line)
        if not isinstance(data, dict) or "event" not in data:
            raise ValueError(f"not an event: {line[:80]!r}")
        return cls(data.pop("event"), data)


Listener = Callable[[Event], None]
"""Whoever wants to hear: called from the job's own thread, must return quickly."""
