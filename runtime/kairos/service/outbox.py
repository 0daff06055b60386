"""Messages on their way to one client; what a job says is written by a thread of its own: no slow host holds it up."""

from __future__ import annotations

import logging
import threading
from collections import deque
from multiprocessing.connection import Connection
from typing import Deque, Optional

from kairos.errors import KairosError
from kairos_nodes.client.protocol import Message, encode, sever

log = logging.getLogger("kairos.service")

MOST_WAITING = 20_000
"""A client that lets more than this pile up has hung, and is hung up on."""


class Outbox:
    """Writes to one connection. Thread-safe.

    Args:
        connection: written to by nobody else.
        name: of the thread.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._waiting: Deque[Message] = deque()
        self._changed, self._writing = threading.Condition(), threading.Lock()
        self._closing = False
        self._thread = threading.Thread(target=self._write, name=name, daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Sends, later; returns at once. What can no longer be sent is dropped."""
        with self._changed:
            if self._closing:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._closing = True
                self._waiting.clear()
                sever(self._connection)
            else:
                self._waiting.append(message)
            self._changed.notify()

    def answer(self, message: Message) -> None:
        """Sends now, before what waits. For the thread that reads this client's requests: it has nothing else to do."""
        self._send(message)

    def close(self, seconds: float = 2.0) -> None:
        """Sends what waits, for so long at most, and no more."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds)

    def _next(self) -> Optional[Message]:
        with self._changed:
            while not self._waiting:
                if self._closing:
                    return None
                self._changed.wait()
            return self._waiting.popleft()

    def _write(self) -> None:
        while True:
            message = self._next()
            if message is None:
                return
            self._send(message)

    def _send(self, message: Message) -> None:
        try:
            data = encode(message)
        except (KairosError, RecursionError):
            log.exception("a message to a client cannot be sent")
            return
        try:
            with self._writing:
                self._connection.send_bytes(data)
        except (OSError, ValueError):
            with self._changed:
                self._closing = True
                self._waiting.clear()
