"""Jobs on frames in memory: pixels go over through segments, finished frames come back one by one."""

from __future__ import annotations

from queue import Empty, Queue
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from kairos_nodes.client.buffers import FrameBuffer, Pool, Segment, frame_from
from kairos_nodes.client.link import Link
from kairos_nodes.client.protocol import Message
from kairos_nodes.client.remote import RemoteJob
from kairos_nodes.errors import BadRequest
from kairos_nodes.events import Listener
from kairos_nodes.jobs import VERSION, Job

NAME = "memory"
"""Stands for input and output of a job whose frames are in memory."""

OnFrame = Callable[[FrameBuffer], None]
"""Told of every finished frame. Its data is valid during the call alone; copy what is kept."""


class Frames:
    """Frames handed to the runtime for one job, and the ones that come back.

    Args:
        link: to the runtime.
        pool: segments.
        buffers: source frames in order.
    """

    def __init__(self, link: Link, pool: Pool, buffers: Iterable[FrameBuffer]) -> None:
        self._link, self._pool = link, pool
        self.ready: Queue[Message] = Queue()
        self._lent: List[Segment] = []
        self._opened: Dict[str, Segment] = {}
        self.described: List[Dict[str, Any]] = []
        try:
            for buffer in buffers:
                if not isinstance(buffer, FrameBuffer):
                    raise BadRequest(f"{type(buffer).__name__} is no frame.", "Pass FrameBuffer objects.")
                segment = pool.take(buffer.nbytes)
                self._lent.append(segment)
                segment.view[:] = buffer.bytes()
                self.described.append({**buffer.describe(), "segment": segment.reference()})
        except BaseException:
            self.close()
            raise

    def collect(self, job: RemoteJob, take: OnFrame, on_event: Optional[Listener], stop: Callable[[], bool]) -> None:
        """Takes every finished frame until the job is over. Raises what the job raises."""
        hear = on_event or (lambda event: None)
        while True:
            # Asked first: what was told before the end has then come, too.
            over = job.ended
            for event in job.poll():
                hear(event)
            if not job.stopping and stop():
                job.cancel()
            try:
                message = self.ready.get(timeout=0.0 if over else 0.05)
            except Empty:
                if over:
                    break
                continue
            if not job.stopping:
                self._take(job.id, message, take)
        job.result()

    def _take(self, job: str, message: Mapping[str, Any], take: OnFrame) -> None:
        reference = message["segment"]
        name = reference["name"]
        if name not in self._opened:
            try:
                self._opened[name] = self._pool.open(reference)
            except FileNotFoundError:
                # The job failed meanwhile and its frames are gone; its end says why.
                return
        take(frame_from(message, self._opened[name].view))
        self._link.send({"request": "release", "job": job, "name": name})

    def lent(self, name: str) -> Segment:
        """The segment of that name, of those handed over."""
        return next(segment for segment in self._lent if segment.path.name == name)

    def close(self) -> None:
        """Gives all segments back."""
        for segment in self._lent:
            self._pool.give(segment)
        self._lent.clear()
        for segment in self._opened.values():
            segment.close()
        self._opened.clear()


class Gathered:
    """Keeps finished frames: in the host's own buffers where given, else in new ones.

    Args:
        into: writable buffers, one per output frame in order, or None.
    """

    def __init__(self, into: Optional[Sequence[Any]]) -> None:
        self._into = into
        self.frames: List[FrameBuffer] = []

    def __call__(self, frame: FrameBuffer) -> None:
        source = frame.bytes()
        index = len(self.frames)
        if self._into is None:
            data: Any = bytearray(source)
        else:
            data = self._own(index)
            target = memoryview(data).cast("B")
            if target.readonly or target.nbytes != source.nbytes:
                raise BadRequest(
                    f"Buffer {index} of 'into' cannot take {source.nbytes} bytes: it has {target.nbytes}"
                    f"{', read-only' if target.readonly else ''}.",
                    f"The frame is {frame.width}x{frame.height} with {len(frame.channels)} float channels.",
                )
            target[:] = source
        self.frames.append(frame_from(frame.describe(), data))

    def _own(self, index: int) -> Any:
        assert self._into is not None
        if index >= len(self._into):
            raise BadRequest(f"The job makes more frames than the {len(self._into)} buffers of 'into'.", "Give more.")
        given = self._into[index]
        return given.data if isinstance(given, FrameBuffer) else given


def request_of(job: Job, described: Sequence[Mapping[str, Any]], **footage: Any) -> Dict[str, Any]:
    """What ``submit`` says of a job on frames in memory."""
    return {
        "job": {"job": job.kind, "version": VERSION, **job.to_dict()},
        "frames": {"pictures": list(described), **footage},
    }
