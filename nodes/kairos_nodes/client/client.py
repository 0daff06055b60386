"""What a host talks to."""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Type

from kairos_nodes.client.buffers import FrameBuffer, Pool
from kairos_nodes.client.link import Link, find_link
from kairos_nodes.client.memory import NAME, Frames, Gathered, OnFrame, request_of
from kairos_nodes.client.protocol import Message
from kairos_nodes.client.remote import RemoteJob
from kairos_nodes.client.rendezvous import log_file, service_folder
from kairos_nodes.client.starting import START_SECONDS, Launcher, start_runtime
from kairos_nodes.errors import BadRequest, KairosError, ServiceError
from kairos_nodes.events import Listener
from kairos_nodes.jobs import VERSION, Job, RetimeJob, VectorsJob
from kairos_nodes.parameters import PARAMETERS, parameters_of


def _never() -> bool:
    return False


class Client:
    """A host's connection to the user's runtime. Thread-safe; connects with the first request.

    The runtime is started where none runs. When it dies, running jobs end with a ServiceError that names the log, and
    the next request starts a new one. Closing the client (or the host's death) ends its jobs, unless detached.

    Args:
        host: who asks, for the runtime's log, such as ``Blender 4.5``.
        launcher: Kairos' folder, its launcher or a whole command; None is where this package lies.
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
        self._host, self._launcher, self._start = host, launcher, start
        self._start_seconds, self._waiting = start_seconds, waiting
        self._connecting, self._lock = threading.Lock(), threading.Lock()
        self._link: Optional[Link] = None
        self._pool = Pool(())
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
        return self._linked().welcome

    def close(self) -> None:
        """Hangs up. The client's jobs end unless detached; the runtime lives on."""
        with self._connecting:
            link, self._link = self._link, None
            if link is not None:
                link.close()
            self._pool.close()

    def request(self, name: str, /, **fields: Any) -> Message:
        """Any request of the protocol. Raises KairosError."""
        return self._linked().request(name, **fields)

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
        job = _as_seen_from_here(job)
        message = {"job": job.kind, "version": VERSION, **job.to_dict()}
        return self._remote(self._linked(), {"job": message, "detached": detached})

    def follow(self, id: str) -> RemoteJob:
        """A job that this or another client submitted: its events from the first one kept. Raises BadRequest."""
        link = self._linked()
        with self._lock:
            if id in self._jobs:
                return self._jobs[id]
            job = self._jobs[id] = RemoteJob(id, self.cancel)
        try:
            link.request("events", job=id)
        except BaseException:
            self._forget(id)
            raise
        return job

    def cancel(self, id: str) -> None:
        """Asks for a job's end; it ends after the frame under way. Raises BadRequest for an unknown one."""
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
        link = self._linked()
        frames = Frames(link, self._pool, buffers)
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
        link, pool = self._linked(), self._pool
        frames = Frames(link, pool, buffers)
        remote: Optional[RemoteJob] = None
        gathered = Gathered(into)
        try:
            footage = {"rate": rate, "colorspace": colorspace, "pixel_aspect": pixel_aspect}
            message = request_of(_as_seen_from_here(job), frames.described, **footage)
            remote = self._remote(link, message, frames.ready)
            frames.collect(remote, on_frame or gathered, on_event, cancelled)
            return gathered.frames
        finally:
            if remote is not None and not remote.ended and link.alive:
                remote.cancel()
            frames.close()

    def _linked(self) -> Link:
        with self._connecting:
            if self._link is not None and self._link.alive:
                return self._link
            self._pool.close()
            link = self._find()
            if link is None:
                if not self._start:
                    raise ServiceError(f"No runtime runs (looked in {self.folder}).", "Start one: kairos serve.")
                start_runtime(
                    self.folder,
                    self._launcher,
                    self._reachable,
                    seconds=self._start_seconds,
                    waiting=self._waiting,
                )
                link, self._link = self._link, None
            assert link is not None
            self._pool = Pool(link.welcome.get("folders", ()))
            self._link = link
            return link

    def _reachable(self) -> bool:
        self._link = self._find()
        return self._link is not None

    def _find(self) -> Optional[Link]:
        return find_link(self.folder, self._host, self._heard, self._lost)

    def _remote(self, link: Link, message: Message, ready: Optional[Queue[Message]] = None) -> RemoteJob:
        # Named here, so that nothing the runtime says about it can come too early.
        id = uuid.uuid4().hex
        job = RemoteJob(id, self.cancel)
        with self._lock:
            self._jobs[id] = job
            if ready is not None:
                self._frames[id] = ready
        try:
            link.request("submit", name=id, **message)
        except BaseException:
            self._forget(id)
            raise
        return job

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
            job.lose(trouble)


def _checked(kind: str, settings: Mapping[str, Any]) -> Dict[str, Any]:
    """Settings in canonical form. Raises BadRequest naming the knob."""
    table = {parameter.name: parameter for parameter in parameters_of(kind) if parameter.in_job}
    unknown = sorted(set(settings) - (set(table) - {"input", "output"}) - {"exposure"})
    if unknown:
        raise BadRequest(f"{kind} has no setting {', '.join(unknown)}.", "See the node reference.")
    return {name: table[name].check(value) if name in table else value for name, value in settings.items()}


def _as_seen_from_here(job: Job) -> Job:
    """The job with the host's own folder and colour configuration in place of the runtime's."""
    found: Dict[str, Any] = {}
    for name, value in job.to_dict().items():
        known = PARAMETERS.get(name)
        if known is None or known.kind != "path" or not isinstance(value, str) or not value:
            continue
        if value.startswith("ocio://") or value in _IN_MEMORY:
            continue
        found[name] = os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - specs are no plain paths
    matte = getattr(job, "matte", "")
    if matte and (os.sep in matte or "/" in matte or os.path.exists(matte)):  # noqa: PTH110
        found["matte"] = os.path.abspath(matte)  # noqa: PTH100
    if not getattr(job, "ocio", "") and os.environ.get("OCIO"):
        found["ocio"] = os.environ["OCIO"]
    return replace(job, **found)


_IN_MEMORY: Tuple[str, ...] = (NAME, f"{NAME}.exr")
