"""The way to the user's runtime: a link to the one that runs, or to one that is started for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Optional

from kairos_nodes.client.buffers import Pool
from kairos_nodes.client.link import Link, find_link
from kairos_nodes.client.protocol import Message
from kairos_nodes.client.starting import Launcher, start_runtime
from kairos_nodes.errors import KairosError, ServiceError

_CLOSING_SECONDS = 1.0


@dataclass(frozen=True)
class Ears:
    """Who is told of what comes over a link; called on threads of the link's own.

    Attributes:
        heard: every message that answers no request.
        lost: once, when the runtime is gone.
        waiting: what a start that takes long is doing, in the log's words.
    """

    heard: Callable[[Message], None]
    lost: Callable[[KairosError], None]
    waiting: Callable[[str], None]


class Connector:
    """Connects when it is needed. Thread-safe.

    Args:
        folder: of the rendezvous file.
        host: who asks, for the runtime's log.
        ears: told of what comes.
        launcher: what starts a runtime.
        start: False only takes a runtime that runs.
        seconds: how long a start may take.

    Attributes:
        current: the link in use, which may be dead; None before the first and after :meth:`close`.
        pool: segments in the folders that the runtime of that link lends.
    """

    def __init__(self, folder: Path, host: str, ears: Ears, launcher: Launcher, start: bool, seconds: float) -> None:
        self._folder, self._host, self._ears = folder, host, ears
        self._launcher, self._start, self._seconds = launcher, start, seconds
        self._lock = threading.Lock()
        self._closes = 0
        self.current: Optional[Link] = None
        self.pool = Pool(())

    def link(self) -> Link:
        """A link that lives, starting the runtime where none runs. Raises ServiceError."""
        with self._lock:
            if self.current is None or not self.current.alive:
                self.pool.close()
                closes = self._closes
                link = self._find() or self._started(closes)
                if self._closes != closes:
                    link.close()
                    raise closed()
                self.current, self.pool = link, Pool(link.welcome.get("folders", ()))
            return self.current

    def close(self) -> None:
        """Hangs up, at once. Whoever is connecting is sent away; a runtime that starts goes on."""
        self._closes += 1
        if not self._lock.acquire(timeout=_CLOSING_SECONDS):
            # Somebody is connecting to a runtime that does not answer, and hangs up when that is over.
            return
        try:
            link, self.current = self.current, None
            if link is not None:
                link.close()
            self.pool.close()
        finally:
            self._lock.release()

    def _find(self) -> Optional[Link]:
        return find_link(self._folder, self._host, self._ears.heard, self._ears.lost)

    def _started(self, closes: int) -> Link:
        if not self._start:
            raise ServiceError(f"No runtime runs (looked in {self._folder}).", "Start one: kairos serve.")
        found: List[Link] = []

        def reachable() -> bool:
            if self._closes != closes:
                raise closed()
            link = self._find()
            if link is not None:
                found.append(link)
            return bool(found)

        start_runtime(self._folder, self._launcher, reachable, seconds=self._seconds, waiting=self._ears.waiting)
        return found[0]


def closed() -> ServiceError:
    """What a job hears whose client hung up."""
    return ServiceError("The connection to the runtime was closed.", "Connect again.")
