"""One client's connection: who it is, what it asks, and what ends with it."""

from __future__ import annotations

import logging
import os
import re
import uuid
from multiprocessing.connection import Connection
from typing import Any, Callable, Dict, List, Mapping, Protocol

from kairos import __version__
from kairos.errors import BadRequest, EngineError, KairosError, ServiceError
from kairos_nodes.client.protocol import LARGEST, PROTOCOL, Message, decode, error_to, sever

from .board import Board, JobRecord
from .lending import Lent, lend, listed, take_back
from .outbox import Outbox
from .picture import picture_of
from .queues import Devices

log = logging.getLogger("kairos.service")

_JOB_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")


class House(Protocol):
    """What all sessions of a service share."""

    board: Board
    devices: Devices

    @property
    def log(self) -> str:
        """The log file."""

    @property
    def closing(self) -> bool:
        """True once the service takes no new jobs."""

    def shutdown(self, now: bool) -> None:
        """Ends the service."""


class Session:
    """An authenticated client.

    Args:
        connection: after the handshake.
        house: the service.
    """

    def __init__(self, connection: Connection, house: House) -> None:
        self._connection, self._house = connection, house
        self.client = uuid.uuid4().hex[:8]
        self.host = "a client"
        self._outbox = Outbox(connection, f"kairos-out-{self.client}")
        self._folders = lend()
        self._lent = Lent(self._folders)
        self._own: List[JobRecord] = []
        self._followed: List[JobRecord] = []
        self._in_memory: Dict[str, Any] = {}
        self._requests: Mapping[str, Callable[[Message], Dict[str, Any]]] = {
            "hello": self._hello,
            "submit": self._submit,
            "cancel": self._cancel,
            "events": self._events,
            "jobs": self._jobs,
            "engines": self._engines,
            "echo": self._echo,
            "release": self._release,
            "shutdown": self._shutdown,
        }

    def serve(self) -> None:
        """Answers until the client hangs up or dies; then ends its jobs."""
        try:
            while True:
                data = self._connection.recv_bytes(LARGEST)
                try:
                    message = decode(data)
                except ServiceError as error:
                    self._outbox.answer({"id": None, "error": error_to(error)})
                    continue
                self._answer(message)
        except (EOFError, OSError, TypeError, ValueError) as error:
            log.info("client %s (%s) is gone: %s", self.client, self.host, type(error).__name__)
        finally:
            self._leave()

    def hang_up(self) -> None:
        """Lets the client go: it hears nothing more."""
        self._outbox.close()
        sever(self._connection)
        take_back(self._folders)

    def _answer(self, message: Message) -> None:
        """Answers one request; whatever it is, the session goes on."""
        number = message.get("id")
        if not isinstance(number, (int, str)) or isinstance(number, bool):
            number = None
        try:
            request = self._requests.get(str(message.get("request")))
            if request is None:
                known = ", ".join(self._requests)
                raise BadRequest(f"There is no request {str(message.get('request'))[:60]!r}.", f"Use one of {known}.")
            answer: Message = {"id": number, "result": request(message)}
        except KairosError as error:
            answer = {"id": number, "error": error_to(error)}
        except Exception as error:
            log.exception("client %s: a request failed unexpectedly", self.client)
            what = f"The request cannot be: {type(error).__name__}: {error}"[:500]
            answer = {"id": number, "error": error_to(BadRequest(what, "The runtime's log has the details."))}
        if number is not None or "error" in answer:
            self._outbox.answer(answer)

    def _hello(self, message: Message) -> Dict[str, Any]:
        host = str(message.get("host") or "a client")[:80]
        self.host = f"{host} (process {str(message.get('pid'))[:20]})"
        log.info("client %s is %s", self.client, self.host)
        return {
            "version": __version__,
            "protocol": PROTOCOL,
            "pid": os.getpid(),
            "log": self._house.log,
            "folders": listed(self._folders),
        }

    def _submit(self, message: Message) -> Dict[str, Any]:
        # torch is loaded by the first job, so that a service starts, and refuses, at once.
        from .work import InMemory, device_of, job_of, on_files

        if self._house.closing:
            raise EngineError("The runtime is shutting down.", "Submit again in a moment; a new one starts.")
        name = message.get("name", uuid.uuid4().hex)
        if not isinstance(name, str) or not _JOB_NAME.fullmatch(name):
            raise BadRequest(f"The job's name {str(name)[:60]!r} cannot be.", "Use letters and digits.")
        job, detached = job_of(message.get("job")), bool(message.get("detached", False))
        work = on_files(job)
        in_memory = None
        if "frames" in message:
            if detached:
                raise BadRequest("A job on frames in memory cannot outlive its host.", "Submit it with files.")

            def send(frame: Message) -> None:
                self._outbox.put({"job": name, "frame": frame})

            work = in_memory = InMemory(job, message["frames"], self._lent, send)
        record = JobRecord(name, job.kind, self.client, self.host, device_of(job), detached, work)
        self._house.board.add(record)
        if in_memory is not None:
            self._in_memory[name] = in_memory
        self._own = [one for one in self._own if not one.over] + [record]
        live = {one.id for one in self._own}
        self._in_memory = {id: one for id, one in self._in_memory.items() if id in live}
        self._follow(record)
        self._house.devices.put(record)
        return {"job": name, "device": record.device}

    def _cancel(self, message: Message) -> Dict[str, Any]:
        record = self._house.board.get(message.get("job"))
        self._house.devices.cancel(record)
        return {"job": record.id, "state": record.state}

    def _events(self, message: Message) -> Dict[str, Any]:
        record = self._house.board.get(message.get("job"))
        record.leave(self._outbox.put)
        self._follow(record)
        return record.describe()

    def _follow(self, record: JobRecord) -> None:
        record.follow(self._outbox.put)
        self._followed = [one for one in self._followed if not one.over] + [record]

    def _jobs(self, message: Message) -> Dict[str, Any]:
        return {"jobs": [record.describe() for record in self._house.board.all()]}

    def _engines(self, message: Message) -> Dict[str, Any]:
        from .work import engine_rows

        return {"engines": engine_rows()}

    def _echo(self, message: Message) -> Dict[str, Any]:
        pictures = message.get("pictures")
        if not isinstance(pictures, list):
            raise BadRequest("The message has no pictures.", "Hand over a list of frames.")
        for index, said in enumerate(pictures):
            picture_of(said, self._lent, index)
        return {"pictures": [{"segment": said["segment"]} for said in pictures]}

    def _release(self, message: Message) -> Dict[str, Any]:
        in_memory = self._in_memory.get(str(message.get("job")))
        if in_memory is not None:
            in_memory.release(message.get("name"))
        return {}

    def _shutdown(self, message: Message) -> Dict[str, Any]:
        self._house.shutdown(bool(message.get("now", False)))
        return {}

    def _leave(self) -> None:
        for record in self._followed:
            record.leave(self._outbox.put)
        for record in self._own:
            if not record.detached and not record.over:
                log.info("job %s ends with its client", record.id)
                self._house.devices.cancel(record)
        self.hang_up()
