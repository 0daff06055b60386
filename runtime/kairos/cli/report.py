"""Events for people: a progress bar on a terminal, plain lines in a log, JSON lines for programs."""

from __future__ import annotations

import sys
import threading
from typing import IO, Optional

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kairos.events import Event


class JsonLines:
    """Every event as one JSON line."""

    def __init__(self, stream: Optional[IO[str]] = None) -> None:
        self._stream = stream or sys.stdout
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._stream.write(event.to_json() + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


_STAGES = {
    "fit": ("steps", ", fitting the clip"),
    "generate": ("runs", ", generating"),
    "decode": ("pictures", ", decoding"),
    "match": ("estimates", ", matching with the keys"),
}
"""What is counted while no frames are, and what is done meanwhile."""


class Bar:
    """A progress bar with rate and time left; warnings above it. Off a terminal: a line every tenth of the way."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False)
        self._title = title
        self._task: Optional[TaskID] = None
        self._told, self._stage, self._sheet = 0, "", ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.2f} {task.fields[unit]}/s"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __call__(self, event: Event) -> None:
        handler = getattr(self, f"_on_{event.kind}", None)
        if handler is not None:
            handler(event)

    def _on_planned(self, event: Event) -> None:
        data = event.data
        skipped = f", {data['skipped']} already done" if data.get("skipped") else ""
        self._console.print(f"{self._title}: {data['frames']} frames{skipped}, {data['engine']} on {data['device']}")
        moves = ", ".join(f"{layer} {policy}" for layer, policy in data.get("layers", {}).items())
        self._console.print(f"layers: {moves}")
        self._bar.start()
        self._task = self._bar.add_task(self._title, total=data["frames"], rate=0.0, unit="frames")

    def _on_progress(self, event: Event) -> None:
        data = event.data
        stage = data.get("stage", "")
        if stage == "plan":
            self._console.print(data["detail"], soft_wrap=True)
            return
        unit, doing = _STAGES.get(stage, ("frames", ""))
        title = f"{self._title}{doing}"
        if "step" in data:
            title += f" (step {data['step']} of {data['steps']})"
        if stage != self._stage:
            self._told, self._stage = 0, stage
        if data.get("preview", self._sheet) != self._sheet:
            self._sheet = data["preview"]
            self._console.print(f"how it comes along: {self._sheet}", soft_wrap=True)
        if self._task is not None:
            # A job that waits for the runtime counts nothing yet: the total stays.
            told = {"completed": data["done"], "total": data["total"] or None, "rate": data["rate"]}
            self._bar.update(self._task, unit=unit, description=title, **told)
        tenth = 10 * data["done"] // max(1, data["total"])
        if not self._console.is_terminal and tenth > self._told:
            self._told = tenth
            self._console.print(f"{data['done']}/{data['total']} {unit}, {data['rate']:.2f}/s, {data['eta']} s left")

    def _on_warning(self, event: Event) -> None:
        self._console.print(f"warning: {event.data['message']} {event.data.get('remedy', '')}".rstrip(), style="yellow")

    def _on_done(self, event: Event) -> None:
        self.close()
        self._console.print(f"{self._title}: done, {event.data['frames']} frames in {event.data['seconds']:.1f} s")

    def close(self) -> None:
        """Takes the bar down."""
        self._bar.stop()
