"""The jobs of a service: who submitted them, how they stand, what they told, and who listens."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Any, Callable, Deque, Dict, List, Optional, Set

from kairos.errors import BadRequest, Cancelled, KairosError
from kairos.events import Event
from kairos_nodes.client.protocol import Message, error_to

KEPT_JOBS = 200
"""Ended jobs that can still be asked about."""

KEPT_EVENTS = 5000
"""Events of one job that a late follower still hears; progress keeps its last one alone."""

Tell = Callable[[Message], None]
"""How a follower hears; returns at once."""


class JobRecord:
    """One job. Thread-safe.

    Args:
        id: named by its client.
        kind: ``retime``, ``vectors`` or ``inbetween``.
        client: who submitted it, unique per connection.
        host: who that is, for people.
        device: where it runs.
        detached: it outlives its client.
        work: what it does, given an event listener and a question whether to stop; answers with JSON values.
    """

    def __init__(
        self,
        id: str,
        kind: str,
        client: str,
        host: str,
        device: str,
        detached: bool,
        work: Callable[[Callable[[Event], None], Callable[[], bool]], Dict[str, Any]],
    ) -> None:
        self.id, self.kind, self.client, self.host = id, kind, client, host
        self.device, self.detached, self.work = device, detached, work
        self.state = "queued"
        self._events: Deque[Message] = deque(maxlen=KEPT_EVENTS)
        self._progress: Optional[Message] = None
        self._ended: Optional[Message] = None
        self._followers: Set[Tell] = set()
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def describe(self) -> Dict[str, Any]:
        """A row of the answer to ``jobs``."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "host": self.host,
            "device": self.device,
            "detached": self.detached,
        }

    def follow(self, tell: Tell) -> None:
        """Tells everything kept so far, then everything that happens."""
        with self._lock:
            for message in [*self._events, self._progress, self._ended]:
                if message is not None:
                    tell(message)
            if self._ended is None:
                self._followers.add(tell)

    def leave(self, tell: Tell) -> None:
        """Tells this follower nothing more."""
        with self._lock:
            self._followers.discard(tell)

    def stop(self) -> None:
        """Asks it to end."""
        self._stop.set()

    def stopping(self) -> bool:
        """True once it was asked to end."""
        return self._stop.is_set()

    def tell(self, event: Event) -> None:
        """An event of the running job."""
        message = {"job": self.id, "event": {"event": event.kind, **event.data}}
        with self._lock:
            if event.kind == "progress":
                self._progress = message
            else:
                self._events.append(message)
            self._say(message)

    def end(self, outcome: Optional[Dict[str, Any]], error: Optional[KairosError]) -> None:
        """It is over; whoever follows is told, once."""
        with self._lock:
            if self._ended is not None:
                return
            self.state = "done" if error is None else "cancelled" if isinstance(error, Cancelled) else "failed"
            ended = {"state": self.state, "outcome": outcome, "error": None if error is None else error_to(error)}
            self._ended = {"job": self.id, "ended": ended}
            self._say(self._ended)
            self._followers.clear()

    @property
    def over(self) -> bool:
        """True once it has ended."""
        return self._ended is not None

    def _say(self, message: Message) -> None:
        for tell in self._followers:
            tell(message)


class Board:
    """All jobs by name. Thread-safe."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, JobRecord] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, job: JobRecord) -> None:
        """Takes a new job. Raises BadRequest where the name is taken."""
        with self._lock:
            if job.id in self._jobs:
                raise BadRequest(f"There is a job {job.id} already.", "Give each job a name of its own.")
            self._jobs[job.id] = job
            over = [old.id for old in self._jobs.values() if old.over]
            for id in over[: max(0, len(over) - KEPT_JOBS)]:
                del self._jobs[id]

    def get(self, id: object) -> JobRecord:
        """The job of that name. Raises BadRequest for an unknown one."""
        with self._lock:
            job = self._jobs.get(id) if isinstance(id, str) else None
        if job is None:
            raise BadRequest(f"There is no job {str(id)[:60]!r}.", "It ended long ago, or in another runtime.")
        return job

    def all(self) -> List[JobRecord]:
        """Every job kept, oldest first."""
        with self._lock:
            return list(self._jobs.values())

    def busy(self) -> bool:
        """True while a job waits or runs."""
        return any(not job.over for job in self.all())
