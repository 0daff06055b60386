"""What an artist reads while the runtime is being made, and what went wrong in one line."""

from __future__ import annotations

import re
import sys
import time
from typing import Optional, Sequence, TextIO

_CAUSES = (
    (r"no space left on device|disk quota exceeded|errno 28|os error 28|not enough space", "The disk is full."),
    (
        r"certificate_verify_failed|invalid peer certificate|ssl: |sslerror",
        "The network's certificate is not trusted: name the studio's own in PIP_CERT.",
    ),
    (
        r"name resolution|name or service not known|failed to establish a new connection|connection refused|"
        r"network is unreachable|getaddrinfo|dns error|connecttimeout|read timed out|proxyerror|connection reset|"
        r"max retries exceeded|newconnectionerror",
        "The package index cannot be reached: check the network, or PIP_INDEX_URL and PIP_PROXY.",
    ),
    (r"permission denied|errno 13|os error 13", "Permission was denied."),
    (r"memoryerror|cannot allocate memory|errno 12|killed$", "Memory ran out."),
)


def explain(output: str) -> str:
    """One line that says why a command failed, from what it printed."""
    for pattern, cause in _CAUSES:
        if re.search(pattern, output, re.IGNORECASE | re.MULTILINE):
            return cause
    missing = re.search(r"requirement (\S+) \(from versions: none\)", output)
    if missing is not None:
        return f"No {missing[1]} was found: the package index cannot be reached or does not have it."
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(error|fatal)\b", line, re.IGNORECASE)]
    return (errors or lines or ["It ended without a word."])[-1][:300]


class Progress:
    """Stages on the terminal: one line each, with a running clock where somebody watches.

    Args:
        stages: titles, in order.
        stream: where to write; standard error by default, so that a command's output stays clean.
    """

    def __init__(self, stages: Sequence[str], stream: Optional[TextIO] = None) -> None:
        self._stages = list(stages)
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._begun = 0.0
        self._title = ""

    def begin(self, stage: int) -> None:
        """Stage number ``stage`` (from 0) starts."""
        self._begun = time.monotonic()
        self._title = f"[{stage + 1}/{len(self._stages)}] {self._stages[stage]}"
        self._write(self._title if self._live else self._title + "\n")

    def tick(self, word: str = "") -> None:
        """Still at it; ``word`` is the latest thing that the command said."""
        if self._live:
            self._write(f"\r\x1b[K{self._title}  {self._clock()}  {word[:60]}")

    def end(self, done: bool = True) -> None:
        """The stage is over."""
        state = "done" if done else "failed"
        if self._live:
            self._write(f"\r\x1b[K{self._title}  {state} in {self._clock()}\n")
        else:
            self._write(f"      {state} in {self._clock()}\n")

    def say(self, text: str) -> None:
        """A line of its own."""
        self._write(f"kairos: {text}\n")

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._begun), 60)
        return f"{minutes}:{seconds:02d}"

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
