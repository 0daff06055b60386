"""The service itself: one per user and machine, found by its rendezvous file, alive until told or left alone."""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import sys
import tempfile
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import List, Optional

from kairos import __version__
from kairos.errors import KairosError, ServiceError
from kairos_nodes.client.protocol import PROTOCOL, encode, error_to, prove_to_client
from kairos_nodes.client.rendezvous import (
    Rendezvous,
    log_file,
    make_private,
    read_rendezvous,
    rendezvous_file,
    write_rendezvous,
)

from . import lending, single
from .board import Board
from .queues import Devices
from .session import Session

log = logging.getLogger("kairos.service")

MOST_CLIENTS = 64
LONGEST_ADDRESS = 90
"""Characters of a socket's path; systems stop at 104 or 108."""

_UPKEEP_SECONDS = 15.0
_ENDING_SECONDS = 20.0
_GRACE_SECONDS = 0.1


class Taken(ServiceError):
    """Another runtime serves this folder, or is about to."""


class Service:
    """The runtime service.

    Args:
        folder: of rendezvous file, socket and log.
        idle_minutes: without clients and jobs, after which it ends by itself; 0 is never.

    Raises:
        Taken: another runtime serves this folder.
        ServiceError: the folder is another user's.
    """

    def __init__(self, folder: Path, idle_minutes: float = 0.0) -> None:
        self.board, self.devices = Board(), Devices()
        self._folder, self._idle = folder, idle_minutes * 60
        self._sessions: List[Session] = []
        self._clients = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._refusing = False
        self._used = time.monotonic()
        make_private(folder)
        self._hold = single.hold(folder / "lock")
        if self._hold is None:
            raise Taken(f"A runtime serves {folder} already.", "Hosts use that one; kairos serve --stop ends it.")
        lending.sweep()
        with suppress(KairosError):
            stale = read_rendezvous(folder)
            if stale is not None and sys.platform != "win32":
                Path(stale.address).unlink(missing_ok=True)
        self._key = secrets.token_bytes(32)
        self._listener = self._listen()
        address = str(self._listener.address)
        self._rendezvous = Rendezvous(address, self._key.hex(), os.getpid(), self.log, PROTOCOL, __version__)
        write_rendezvous(folder, self._rendezvous)

    @property
    def log(self) -> str:
        """The log file."""
        return str(log_file(self._folder))

    @property
    def closing(self) -> bool:
        """True once no new job is taken."""
        return self._refusing

    def shutdown(self, now: bool) -> None:
        """Ends the service: after its jobs, or now by cancelling them."""
        self._refusing = True
        if now:
            for job in self.board.all():
                if not job.over:
                    self.devices.cancel(job)
        log.info("shutting down%s", " now" if now else " when the jobs are done")

        def finish() -> None:
            # Whoever asked for this still gets an answer.
            time.sleep(_GRACE_SECONDS)
            end = time.monotonic() + (_ENDING_SECONDS if now else 1e9)
            while self.board.busy() and time.monotonic() < end:
                time.sleep(0.02)
            self._over.set()

        threading.Thread(target=finish, name="kairos-ending", daemon=True).start()

    def run(self) -> None:
        """Serves until it is over."""
        threading.Thread(target=self._accept, name="kairos-accept", daemon=True).start()
        # torch takes seconds to load: while the host still gathers its first frames, not after.
        threading.Thread(target=_warm, name="kairos-warm", daemon=True).start()
        log.info("kairos %s serves at %s (process %d)", __version__, self._rendezvous.address, os.getpid())
        try:
            while not self._over.wait(min(_UPKEEP_SECONDS, self._idle / 4 or _UPKEEP_SECONDS)):
                self._upkeep()
        finally:
            self.close()

    def close(self) -> None:
        """Takes the rendezvous down and lets clients go."""
        with suppress(KairosError, OSError):
            if read_rendezvous(self._folder) == self._rendezvous:
                rendezvous_file(self._folder).unlink(missing_ok=True)
        self._over.set()
        with suppress(OSError):
            self._listener.close()
            place = Path(self._rendezvous.address).parent
            if sys.platform != "win32" and place != self._folder:
                place.rmdir()
        self.devices.close(1.0)
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.hang_up()
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None
        log.info("over")

    def _listen(self) -> Listener:
        if sys.platform == "win32":
            return Listener(rf"\\.\pipe\kairos-{secrets.token_hex(16)}", family="AF_PIPE")
        place = self._folder / f"{os.getpid()}.sock"
        if len(str(place)) > LONGEST_ADDRESS:
            place = Path(tempfile.mkdtemp(prefix="kairos-")) / "sock"
        place.unlink(missing_ok=True)
        return Listener(str(place), family="AF_UNIX", backlog=MOST_CLIENTS)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection = self._listener.accept()
            except OSError:
                if self._over.is_set():
                    return
                # A client that hung up before it was taken, or no handles left for a moment.
                time.sleep(0.05)
                continue
            threading.Thread(target=self._serve, args=(connection,), name="kairos-client", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        session: Optional[Session] = None
        with self._lock:
            self._clients += 1
        try:
            if self._clients > MOST_CLIENTS:
                full = ServiceError(f"The runtime has {MOST_CLIENTS} clients already.", "Close some hosts.")
                connection.send_bytes(encode({"error": error_to(full)}))
                raise full
            prove_to_client(connection, self._key, __version__)
            session = Session(connection, self)
            with self._lock:
                self._sessions.append(session)
            session.serve()
        except ServiceError as error:
            log.warning("a client was refused: %s", error)
        except (EOFError, OSError, TypeError, ValueError) as error:
            log.warning("a client hung up before it said who it is: %s", type(error).__name__)
        except Exception:
            log.exception("a client's connection failed unexpectedly")
        finally:
            with self._lock:
                self._clients -= 1
                self._used = time.monotonic()
                if session is not None:
                    self._sessions.remove(session)
            with suppress(OSError):
                connection.close()

    def _upkeep(self) -> None:
        """Keeps the rendezvous alive (a temporary folder may be swept), and ends a service that nobody uses."""
        if self.board.busy() or self._clients:
            self._used = time.monotonic()
        elif self._idle and time.monotonic() - self._used > self._idle:
            log.info("nobody uses it")
            self._refusing = True
            self._over.set()
            return
        try:
            found = read_rendezvous(self._folder)
            if found is None:
                make_private(self._folder)
                write_rendezvous(self._folder, self._rendezvous)
            elif found != self._rendezvous:
                # The folder was swept, lock and all, and another runtime has begun: hosts find that one.
                log.info("another runtime (process %d) serves here now", found.pid)
                self.shutdown(now=False)
                return
            os.utime(rendezvous_file(self._folder))
        except (KairosError, OSError) as error:
            log.warning("the rendezvous file cannot be kept: %s", error)


def _warm() -> None:
    try:
        importlib.import_module("kairos.service.work")
    except Exception:
        log.exception("the engines cannot be loaded; run kairos doctor")
