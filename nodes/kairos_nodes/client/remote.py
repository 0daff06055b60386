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

    Its events end with ``done`` or ``failed``, however it ends; a host's timer need only :meth:`poll`.

    Args:
        id: its name in the runtime.
        cancel: asks the runtime to stop it, without waiting.

    Attributes:
        stopping: True once this host asked for its end.
    """

    def __init__(self, id: str, cancel: Callable[[RemoteJob], object]) -> None:
        self.id = id
        self.stopping = False
        self._cancel = cancel
        self._events: Deque[Event] = deque(maxlen=MOST_EVENTS)
        self._changed = threading.Condition()
        self._last = ""
        self._ended: Optional[Message] = None
        self._trouble: Optional[KairosError] = None

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id} {self.state}>"

    @property
    def state(self) -> str:
        """``running`` (or on its way there, or waiting for its turn), ``done``, ``failed``, ``cancelled`` or ``lost``.

        A lost job is one whose runtime died, or could not be started or reached.
        """
        if self._trouble is not None:
            kinds = {Cancelled: "cancelled", ServiceError: "lost"}
            return next((state for kind, state in kinds.items() if isinstance(self._trouble, kind)), "failed")
        return "running" if self._ended is None else str(self._ended.get("state"))

    @property
    def ended(self) -> bool:
        """True once it is over, however it ended."""
        return self._ended is not None or self._trouble is not None

    def poll(self) -> List[Event]:
        """Events since the last call, never waiting: what a host's timer asks."""
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
        """Asks for its end without waiting: it comes after the frame under way. One that has ended stays as it is."""
        self.stopping = True
        if not self.ended:
            self._cancel(self)

    def take(self, message: Message) -> None:
        """A message of the runtime about this job."""
        with self._changed:
            event = message.get("event")
            if isinstance(event, dict) and event.get("event") in KINDS:
                data = dict(event)
                self._tell(Event(data.pop("event"), data))
            if "ended" in message and not self.ended:
                self._ended = message["ended"]
                if self._ended.get("error"):
                    self._fail(error_from(self._ended["error"]))
            self._changed.notify_all()

    def stage(self, stage: str, detail: str = "") -> None:
        """It is on its way to the runtime, and this far."""
        told = {"done": 0, "total": 0, "rate": 0.0, "eta": None, "stage": stage}
        with self._changed:
            if not self.ended:
                self._tell(Event("progress", {**told, "detail": detail} if detail else told))
                self._changed.notify_all()

    def end(self, trouble: KairosError) -> None:
        """It is over without the runtime saying so: the runtime is gone, or it never got there."""
        with self._changed:
            if not self.ended:
                self._trouble = trouble
                self._fail(trouble)
            self._changed.notify_all()

    def _fail(self, error: KairosError) -> None:
        if self._last != "failed":
            self._tell(Event("failed", {"message": error.message, "remedy": error.remedy}))

    def _tell(self, event: Event) -> None:
        self._last = event.kind
        self._events.append(event)
