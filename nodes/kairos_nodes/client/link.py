"""One connection to a running runtime: requests and their answers, and messages that come by themselves."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from multiprocessing import connection as pipes
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Callable, Dict, Optional

from kairos_nodes import __version__
from kairos_nodes.client.protocol import (
    HANDSHAKE_SECONDS,
    LARGEST,
    Message,
    decode,
    encode,
    error_from,
    prove_to_server,
    sever,
)
from kairos_nodes.client.rendezvous import Rendezvous, log_file, read_rendezvous
from kairos_nodes.errors import KairosError, ServiceError

ANSWER_SECONDS = 300.0
"""How long a request may take; the first job after a start waits until the runtime has loaded torch."""


class Gone(ServiceError):
    """Nobody listens at the address: no runtime runs, or the one that ran has died."""


class Link:
    """An authenticated connection. Thread-safe.

    Args:
        found: from the rendezvous file.
        host: who connects, for the runtime's log.
        heard: told of every message that answers no request, on the link's own thread.
        lost: told once when the runtime is gone, on the link's own thread.

    Raises:
        Gone: nobody listens.
        ServiceError: refused, or the other side does not answer.
    """

    def __init__(
        self, found: Rendezvous, host: str, heard: Callable[[Message], None], lost: Callable[[KairosError], None]
    ) -> None:
        self.found = found
        self._heard, self._lost = heard, lost
        self._answers: Dict[int, SimpleQueue[Message]] = {}
        self._numbers = itertools.count(1)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._closed = False
        self._trouble: Optional[KairosError] = None
        self._connection = self._connect()
        self._reader = threading.Thread(target=self._read, name="kairos-link", daemon=True)
        self._reader.start()
        try:
            self.welcome = self.request("hello", HANDSHAKE_SECONDS, host=host, pid=os.getpid())
        except BaseException:
            self.close()
            raise

    def _connect(self) -> Connection:
        try:
            connection = pipes.Client(self.found.address, family="AF_PIPE" if sys.platform == "win32" else "AF_UNIX")
        except OSError as error:
            raise Gone(
                f"No runtime listens at {self.found.address}: {error.strerror}.", "It is started anew."
            ) from None
        try:
            prove_to_server(connection, bytes.fromhex(self.found.key), __version__)
        except (EOFError, OSError) as error:
            connection.close()
            raise Gone("The runtime hung up.", f"Its log is {self.found.log}.") from error
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def alive(self) -> bool:
        """False once the runtime is gone or the link closed."""
        return self._trouble is None and not self._closed

    def request(self, name: str, /, seconds: float = ANSWER_SECONDS, **fields: Any) -> Message:
        """Asks, and waits for the answer.

        Raises:
            KairosError: what the runtime answered.
            ServiceError: it is gone, or does not answer.
        """
        number = next(self._numbers)
        answers: SimpleQueue[Message] = SimpleQueue()
        with self._lock:
            if self._trouble is not None:
                raise self._trouble
            self._answers[number] = answers
        try:
            self.send({"id": number, "request": name, **fields})
            answer = answers.get(timeout=seconds)
        except Empty:
            raise ServiceError(
                f"The runtime (process {self.found.pid}) does not answer.", f"Its log is {self.found.log}."
            ) from None
        finally:
            with self._lock:
                self._answers.pop(number, None)
        if "error" in answer:
            raise error_from(answer["error"])
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    def send(self, message: Message) -> None:
        """Sends without waiting for an answer. Raises ServiceError where the runtime is gone."""
        data = encode(message)
        try:
            with self._writing:
                self._connection.send_bytes(data)
        except OSError:
            raise self._died() from None

    def close(self) -> None:
        """Hangs up; the runtime ends this host's jobs."""
        self._closed = True
        sever(self._connection)
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout=5)
        self._connection.close()

    def _read(self) -> None:
        while True:
            try:
                message = decode(self._connection.recv_bytes(LARGEST))
            except (EOFError, OSError, ServiceError, TypeError):
                break
            number = message.get("id")
            if number is None:
                self._heard(message)
                continue
            with self._lock:
                answers = self._answers.get(number)
            if answers is not None:
                answers.put(message)
        trouble = self._died()
        with self._lock:
            self._trouble = trouble
            waiting = list(self._answers.values())
        for answers in waiting:
            answers.put({"error": {"kind": "ServiceError", "message": trouble.message, "remedy": trouble.remedy}})
        self._lost(trouble)

    def _died(self) -> ServiceError:
        if self._closed:
            return ServiceError("The connection to the runtime was closed.", "Connect again.")
        return ServiceError(
            f"The Kairos runtime (process {self.found.pid}) ended unexpectedly.",
            f"Its log is {self.found.log}; the next request starts a new one. Run kairos doctor if it happens again.",
        )


def find_link(
    folder: Path, host: str, heard: Callable[[Message], None], lost: Callable[[KairosError], None]
) -> Optional[Link]:
    """A link to the user's runtime; None where none runs (a stale rendezvous file counts as none).

    Raises:
        ServiceError: another user's, refused, another protocol, or silent.
    """
    found = read_rendezvous(folder)
    if found is None:
        return None
    try:
        return Link(found, host, heard, lost)
    except Gone:
        return None


def stop_runtime(folder: Path, now: bool = False, seconds: float = 30.0) -> bool:
    """Ends the user's runtime and waits until it is gone; False where none runs.

    Raises:
        ServiceError: it refuses, or does not end.
    """
    link = find_link(folder, "stop", lambda message: None, lambda error: None)
    if link is None:
        return False
    try:
        link.request("shutdown", now=now)
    except ServiceError:
        # It may be gone before it could answer.
        if link.alive:
            raise
    end = time.monotonic() + seconds
    while link.alive and time.monotonic() < end:
        time.sleep(0.02)
    gone = not link.alive
    link.close()
    if not gone:
        raise ServiceError("The runtime still finishes its jobs.", f"Wait, or use --now. Its log: {log_file(folder)}.")
    return True
