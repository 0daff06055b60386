"""What a host talks to."""

from __future__ import annotations

import os
import threading
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Callable, Deque, Dict, List, Mapping, Optional, Sequence, Tuple, Type

from kairos_nodes.client.buffers import FrameBuffer
from kairos_nodes.client.connecting import Connector, Ears, closed
from kairos_nodes.client.link import Link
from kairos_nodes.client.memory import NAME, Frames, Gathered, OnFrame, request_of
from kairos_nodes.client.protocol import Message
from kairos_nodes.client.remote import RemoteJob
from kairos_nodes.client.rendezvous import log_file, service_folder
from kairos_nodes.client.starting import START_SECONDS, Launcher
from kairos_nodes.errors import BadRequest, Cancelled, KairosError, ServiceError
from kairos_nodes.events import Listener
from kairos_nodes.jobs import VERSION, Job, RetimeJob, VectorsJob
from kairos_nodes.parameters import PARAMETERS, parameters_of
from kairos_nodes.regions import from_here


def _never() -> bool:
    return False


class Client:
    """A host's connection to the user's runtime. Thread-safe; connects with the first request.

    The runtime is started where none runs. When it dies, running jobs end with a ServiceError that names the log, and
    the next request starts a new one. Closing the client (or the host's death) ends its jobs, unless detached.

    Args:
        host: who asks, for the runtime's log, such as ``Blender 4.5``.
        launcher: Kairos' folder, its launcher or a whole command; None finds the one that belongs to this plugin.
        folder: of the rendezvous file; None is the user's own.
        start: False only takes a runtime that runs.
        start_seconds: how long a start may take.
        waiting: told what a start that takes long is doing.
    """

    def __init__(
        self,
        host: str = "",
        *,
        launcher: Launcher = None,
        folder: Optional[Path] = None,
        start: bool = True,
        start_seconds: float = START_SECONDS,
        waiting: Optional[Callable[[str], None]] = None,
    ) -> None:
        self.folder = service_folder() if folder is None else Path(folder)
        ears = Ears(self._heard, self._lost, self._tell_waiting)
        self._way = Connector(self.folder, host, ears, launcher, start, start_seconds)
        self._waiting = waiting
        self._lock = threading.Lock()
        self._begun: Deque[Tuple[RemoteJob, Message]] = deque()
        self._handing_over = False
        self._jobs: Dict[str, RemoteJob] = {}
        self._frames: Dict[str, Queue[Message]] = {}

    def __enter__(self) -> Client:
        self.connect()
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """The runtime's log."""
        return log_file(self.folder)

    def connect(self) -> Mapping[str, Any]:
        """Connects where not connected, starting the runtime where none runs.

        Returns:
            The runtime's ``version``, ``protocol``, ``pid``, ``log`` and ``folders`` for frames.

        Raises:
            ServiceError: it cannot be started or reached, or refuses: why, where the log is, what to do.
        """
        return self._way.link().welcome

    def close(self) -> None:
        """Hangs up: the client's jobs end unless detached, the runtime lives on. No start is waited for."""
        with self._lock:
            begun = [job for job, _ in self._begun]
        for job in begun:
            job.end(closed())
        self._way.close()

    def request(self, name: str, /, **fields: Any) -> Message:
        """Any request of the protocol. Raises KairosError."""
        return self._way.link().request(name, **fields)

    def engines(self) -> List[Dict[str, Any]]:
        """What can run there: the rows of ``kairos engines --json``."""
        return list(self.request("engines")["engines"])

    def jobs(self) -> List[Dict[str, Any]]:
        """The runtime's jobs of all hosts: ``id``, ``kind``, ``state``, ``host``, ``device``, ``detached``."""
        return list(self.request("jobs")["jobs"])

    def shutdown(self, now: bool = False) -> None:
        """Ends the runtime: after its jobs, or ``now`` by cancelling them."""
        self.request("shutdown", now=now)

    def submit(self, job: Job, *, detached: bool = False) -> RemoteJob:
        """Hands over a job on files. Relative paths are the host's own.

        Args:
            job: what to do.
            detached: it goes on when this host ends; any client can :meth:`follow` it.

        Raises:
            KairosError: the job cannot be, or the runtime cannot be reached.
        """
        message, remote = _submission(job, detached), self._new_job()
        self._hand_over(self._way.link(), remote, message)
        return remote

    def begin(self, job: Job, *, detached: bool = False) -> RemoteJob:
        """:meth:`submit` without waiting, for a thread that draws a user interface.

        The job is there at once; connecting, and starting the runtime where none runs, go on in the background. Jobs
        get there in the order in which they were begun. Ask :meth:`RemoteJob.poll` from a timer: until the runtime
        reports, ``progress`` events with a total of 0 tell the ``stage`` (such as ``starting the runtime``) and, where
        there is more to say, a ``detail``.

        Nothing is raised: whatever goes wrong ends the job, its last event is ``failed`` and
        :meth:`RemoteJob.result` raises.
        """
        remote = self._new_job()
        try:
            message = _submission(job, detached)
        except KairosError as error:
            remote.end(error)
            return remote
        with self._lock:
            remote.stage("connecting to the runtime")
            self._begun.append((remote, message))
            if not self._handing_over:
                self._handing_over = True
                threading.Thread(target=self._hand_over_begun, name="kairos-begin", daemon=True).start()
        return remote

    def follow(self, id: str) -> RemoteJob:
        """A job that this or another client submitted: its events from the first one kept. Raises BadRequest."""
        link = self._way.link()
        with self._lock:
            if id in self._jobs:
                return self._jobs[id]
            job = self._jobs[id] = RemoteJob(id, self._call_off)
        try:
            link.request("events", job=id)
        except BaseException:
            self._forget(id)
            raise
        return job

    def cancel(self, id: str) -> None:
        """Asks for any job's end; it ends after the frame under way. Raises BadRequest for an unknown one."""
        self.request("cancel", job=id)

    def retime(
        self,
        buffers: Sequence[FrameBuffer],
        *,
        rate: Optional[str] = None,
        colorspace: str = "",
        pixel_aspect: float = 1.0,
        into: Optional[Sequence[Any]] = None,
        on_frame: Optional[OnFrame] = None,
        on_event: Optional[Listener] = None,
        cancelled: Callable[[], bool] = _never,
        **settings: Any,
    ) -> List[FrameBuffer]:
        """Retimes frames in memory: the same pixels as through float (or half) EXR files, bit for bit.

        Args:
            buffers: the whole shot in order, numbered consecutively or not at all.
            rate: frames per second, such as ``24000/1001``.
            colorspace: OCIO colour space of the pixels; empty for the scene_linear role.
            pixel_aspect: of the plate.
            into: writable buffers to fill, one per output frame; new ones are made where None.
            on_frame: told of each frame as it is finished, in place of keeping them; the answer is then empty.
            on_event: told of the job's events, on this thread.
            cancelled: asked a few times a second.
            settings: fields of RetimeJob (``speed="0.5"``, ``engine=…``, ``vectors=…``), ``start`` and so on.

        Returns:
            Finished frames, float, laid out as the first source frame is; extra channels (vectors, masks) come last.

        Raises:
            KairosError: the request cannot be, the job failed, was cancelled, or the runtime died.
        """
        job = RetimeJob(input=NAME, output=f"{NAME}.exr", **_checked("retime", settings))
        return self._in_memory(job, buffers, rate, colorspace, pixel_aspect, into, on_frame, on_event, cancelled)

    def vectors(
        self,
        buffers: Sequence[FrameBuffer],
        *,
        rate: Optional[str] = None,
        colorspace: str = "",
        pixel_aspect: float = 1.0,
        into: Optional[Sequence[Any]] = None,
        on_frame: Optional[OnFrame] = None,
        on_event: Optional[Listener] = None,
        cancelled: Callable[[], bool] = _never,
        **settings: Any,
    ) -> List[FrameBuffer]:
        """Motion vectors and masks for every frame in memory, beside its pixels (``channels="none"``: alone).

        Arguments, answer and errors as of :meth:`retime`; ``settings`` are fields of VectorsJob.
        """
        job = VectorsJob(input=NAME, output=f"{NAME}.exr", **_checked("vectors", settings))
        return self._in_memory(job, buffers, rate, colorspace, pixel_aspect, into, on_frame, on_event, cancelled)

    def echo(self, buffers: Sequence[FrameBuffer], into: Sequence[Any]) -> None:
        """Hands frames over and takes them back, without an engine: what the way itself costs. Raises KairosError."""
        link = self._way.link()
        frames = Frames(link, self._way.pool, buffers)
        try:
            answer = link.request("echo", pictures=frames.described)
            for index, target in enumerate(into):
                memoryview(target).cast("B")[:] = frames.lent(answer["pictures"][index]["segment"]["name"]).view
        finally:
            frames.close()

    def _in_memory(
        self,
        job: Job,
        buffers: Sequence[FrameBuffer],
        rate: Optional[str],
        colorspace: str,
        pixel_aspect: float,
        into: Optional[Sequence[Any]],
        on_frame: Optional[OnFrame],
        on_event: Optional[Listener],
        cancelled: Callable[[], bool],
    ) -> List[FrameBuffer]:
        job.validate()
        link, pool = self._way.link(), self._way.pool
        frames = Frames(link, pool, buffers)
        remote: Optional[RemoteJob] = None
        gathered = Gathered(into)
        try:
            footage = {"rate": rate, "colorspace": colorspace, "pixel_aspect": pixel_aspect}
            message = request_of(_as_seen_from_here(job), frames.described, **footage)
            remote = self._new_job()
            self._hand_over(link, remote, message, frames.ready)
            frames.collect(remote, on_frame or gathered, on_event, cancelled)
            return gathered.frames
        finally:
            if remote is not None and not remote.ended and link.alive:
                remote.cancel()
            frames.close()

    def _tell_waiting(self, line: str) -> None:
        """What a start that takes long is doing, to everyone who waits for it."""
        with self._lock:
            for job, _ in self._begun:
                job.stage("starting the runtime", line)
        if self._waiting is not None:
            self._waiting(line)

    def _new_job(self) -> RemoteJob:
        # Named here, so that nothing the runtime says about it can come too early.
        return RemoteJob(uuid.uuid4().hex, self._call_off)

    def _hand_over(self, link: Link, job: RemoteJob, message: Message, ready: Optional[Queue[Message]] = None) -> None:
        with self._lock:
            if job.ended:
                return
            self._jobs[job.id] = job
            if ready is not None:
                self._frames[job.id] = ready
        try:
            link.request("submit", name=job.id, **message)
        except BaseException:
            self._forget(job.id)
            raise
        if job.stopping:
            # The runtime may have heard of its end before it heard of the job.
            self._call_off(job)

    def _hand_over_begun(self) -> None:
        """The thread behind :meth:`begin`: hands jobs over in order, and ends when there are no more."""
        while True:
            with self._lock:
                if not self._begun:
                    self._handing_over = False
                    return
                job, message = self._begun[0]
            try:
                if not job.ended:
                    link = self._way.link()
                    job.stage("waiting for its turn")
                    self._hand_over(link, job, message)
            except KairosError as error:
                job.end(error)
            except Exception as error:
                job.end(ServiceError(f"The job cannot be handed over: {error}.", "Run kairos doctor."))
            finally:
                with self._lock:
                    self._begun.popleft()

    def _call_off(self, job: RemoteJob) -> None:
        """Asks for the end of a job of this client, without waiting."""
        with self._lock:
            if job.id not in self._jobs:
                job.end(Cancelled("Cancelled.", "It had not begun."))
                return
        link = self._way.current
        with suppress(ServiceError):
            # Where the runtime has died, the job is about to hear of that.
            if link is not None:
                link.send({"request": "cancel", "job": job.id})

    def _forget(self, id: str) -> None:
        with self._lock:
            self._jobs.pop(id, None)
            self._frames.pop(id, None)

    def _heard(self, message: Message) -> None:
        id = str(message.get("job"))
        with self._lock:
            job, ready = self._jobs.get(id), self._frames.get(id)
        if job is None:
            return
        if ready is not None and "frame" in message:
            ready.put(message["frame"])
        job.take(message)
        if "ended" in message:
            self._forget(id)

    def _lost(self, trouble: KairosError) -> None:
        with self._lock:
            jobs = list(self._jobs.values())
            self._jobs.clear()
            self._frames.clear()
        for job in jobs:
            job.end(trouble)


def _checked(kind: str, settings: Mapping[str, Any]) -> Dict[str, Any]:
    """Settings in canonical form. Raises BadRequest naming the knob."""
    table = {parameter.name: parameter for parameter in parameters_of(kind) if parameter.in_job}
    unknown = sorted(set(settings) - (set(table) - {"input", "output"}) - {"exposure"})
    if unknown:
        raise BadRequest(f"{kind} has no setting {', '.join(unknown)}.", "See the node reference.")
    return {name: table[name].check(value) if name in table else value for name, value in settings.items()}


def _submission(job: Job, detached: bool) -> Message:
    """What ``submit`` says of a job on files. Raises BadRequest."""
    job = _as_seen_from_here(job)
    job.validate()
    return {"job": {"job": job.kind, "version": VERSION, **job.to_dict()}, "detached": detached}


def _as_seen_from_here(job: Job) -> Job:
    """The job with the host's own folder and colour configuration in place of the runtime's."""
    found: Dict[str, Any] = {}
    for name, value in job.to_dict().items():
        known = PARAMETERS.get(name)
        if known is None or known.kind != "path" or not isinstance(value, str) or not value:
            continue
        if value.startswith("ocio://") or value in _IN_MEMORY:
            continue
        if name == "weights" and not os.path.exists(value):  # noqa: PTH110
            # A name of kept weights, which is the same everywhere.
            continue
        found[name] = os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - specs are no plain paths
    kind, colon, file = str(getattr(job, "engine", "")).partition(":")
    if colon:
        found["engine"] = f"{kind}:{os.path.abspath(os.path.expanduser(file))}"  # noqa: PTH100, PTH111
    matte = getattr(job, "matte", "")
    if matte and (os.sep in matte or "/" in matte or os.path.exists(matte)):  # noqa: PTH110
        found["matte"] = os.path.abspath(matte)  # noqa: PTH100
    regions = getattr(job, "regions", "")
    if regions:
        found["regions"] = from_here(regions)
    if not getattr(job, "ocio", "") and os.environ.get("OCIO"):
        found["ocio"] = os.environ["OCIO"]
    return replace(job, **found)


_IN_MEMORY: Tuple[str, ...] = (NAME, f"{NAME}.exr")
