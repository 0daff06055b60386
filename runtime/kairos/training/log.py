"""The log of a training: one JSON object per line, read back for the plot and by people's own tools."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Dict, List, Mapping

from kairos.training.files import unwritable, written_whole

NAME = "log.jsonl"


class Log:
    """Lines of one training, in its folder.

    Each has ``kind``: ``run`` (a start or resumption: settings and machine), ``train`` (means over the steps since the
    last one) or ``validation``; and ``step`` (steps done) and ``seconds`` (spent, over all resumptions).

    Args:
        folder: of the training.
        step: where the training stands; lines beyond, of a run that died before it saved them, are dropped.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / NAME
        kept = [line for line in read_log(self.path) if line.get("step", 0) <= step] if step else []
        with written_whole(self.path) as temporary:
            temporary.write_text("".join(_text(line) for line in kept), encoding="utf-8")

    def add(self, kind: str, step: int, seconds: float, values: Mapping[str, Any]) -> None:
        """Adds a line; it is on its way to disk when this returns. Raises KairosError where it cannot be written."""
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(_text({"kind": kind, "step": step, "seconds": round(seconds, 3), **values}))
        except OSError as error:
            raise unwritable(self.path, error) from error


def read_log(path: Path) -> List[Dict[str, Any]]:
    """The lines of a log, without those that a crash cut short; empty where there is no log."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    lines = []
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("step"), int):
            lines.append(value)
    return lines


def _text(line: Mapping[str, Any]) -> str:
    # JSON knows no NaN and no Inf.
    clean = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()}
    return json.dumps(clean, ensure_ascii=False) + "\n"
