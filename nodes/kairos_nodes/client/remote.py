"""A job that runs in the runtime, as its host sees it."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional

from kairos_nodes.client.protocol import Message, error_from
from kairos_nodes.errors import Cancelled, KairosError, ServiceError
from kairos_nodes.events import KINDS, Event

MOST_EVENTS = 20_000
"""Events kept until they are asked for; older ones are forgotten."""


class RemoteJob:
    """A job in the runtime. Thread-safe.

    Args:
        id: its name in the runtime.
        cancel: asks the runtime to stop it.
    """

    def __init__(self, id: str, cancel: Callable[[str], object]) -> None:
        self.id = id
        self._cancel = cancel
        self._events: Deque[Event] = deque(maxlen=MOST_EVENTS)
        self._changed = threading.Condition()
        self._ended: Optional[Message] = None
        self._trouble: Optional[KairosError] = None

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id} {self.state}>"

    @property
    def state(self) -> str:
        """``running`` (or waiting for its device), ``done``, ``failed``, ``cancelled`` or ``lost``."""
        if self._trouble is not None:
            return "lost"
        return "running" if self._ended is None else str(self._ended.get("state"))

    @property
    def ended(self) -> bool:
        """True once it is over, however it ended."""
        return self._ended is not None or self._trouble is not None

    def poll(self) -> List[Event]:
        """Events since the last call, without waiting: what a host's timer asks."""
        with self._changed:
            found = list(self._events)
            self._events.clear()
            return found

    def events(self) -> Iterator[Event]:
        """Events as they happen, until the job has ended."""
        while True:
            with self._changed:
                while not self._events and not self.ended:
                    self._changed.wait(0.5)
                found = list(self._events)
                self._events.clear()
                over = self.ended
            yield from found
            if over and not self._events:
                return

    def wait(self, seconds: Optional[float] = None) -> Dict[str, Any]:
        """Waits until it is over.

        Returns:
            What the job did: ``rendered``, ``skipped``, ``missing``, ``seconds``, ``engine``, ``warnings``,
            ``exit_status``.

        Raises:
            Cancelled: it was.
            KairosError: what it failed of.
            ServiceError: the runtime died, or ``seconds`` are over.
        """
        end = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not self.ended:
                left = 0.5 if end is None else min(0.5, end - time.monotonic())
                if left <= 0:
                    raise ServiceError(f"The job {self.id} still runs after {seconds:g} s.", "Wait longer, or cancel.")
                self._changed.wait(left)
        return self.result()

    def result(self) -> Dict[str, Any]:
        """What :meth:`wait` answers, for a job that has ended."""
        if self._trouble is not None:
            raise self._trouble
        if self._ended is None:
            raise ServiceError(f"The job {self.id} has not ended.", "Wait for it.")
        if self._ended.get("state") == "cancelled":
            raise Cancelled("Cancelled.", "Finished frames are kept; the same job goes on from there.")
        if self._ended.get("error"):
            raise error_from(self._ended["error"])
        outcome = self._ended.get("outcome")
        return outcome if isinstance(outcome, dict) else {}

    def cancel(self) -> None:
        """Asks the runtime to stop it; it ends after the frame under way. Nothing happens to one that has ended."""
        if not self.ended:
            self._cancel(self.id)

    def take(self, message: Message) -> None:
        """A message of the runtime about this job."""
        with self._changed:
            event = message.get("event")
            if isinstance(event, dict) and event.get("event") in KINDS:
                data = dict(event)
                self._events.append(Event(data.pop("event"), data))
            if "ended" in message:
                self._ended = message["ended"]
            self._changed.notify_all()

    def lose(self, trouble: KairosError) -> None:
        """The runtime is gone."""
        with self._changed:
            if self._ended is None:
                self._trouble = trouble
            self._changed.notify_all()
