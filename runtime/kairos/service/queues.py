"""One queue and one worker per device; between clients the turn goes round."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from typing import Deque, Dict, List, Optional

from kairos.errors import Cancelled, EngineError, KairosError

from .board import JobRecord

log = logging.getLogger("kairos.service")


class FairQueue:
    """Jobs that wait for one device. The client served least recently comes first, and its oldest job. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Deque[JobRecord]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, job: JobRecord) -> None:
        """Adds a job behind its client's others."""
        with self._changed:
            self._waiting.setdefault(job.client, deque()).append(job)
            self._changed.notify()

    def take(self) -> Optional[JobRecord]:
        """The next job, waiting for one; None once closed."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            client, jobs = self._waiting.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                # To the end of the round.
                self._waiting[client] = jobs
            return job

    def remove(self, job: JobRecord) -> bool:
        """Takes a waiting job out; False where it does not wait."""
        with self._changed:
            jobs = self._waiting.get(job.client)
            if jobs is None or job not in jobs:
                return False
            jobs.remove(job)
            if not jobs:
                del self._waiting[job.client]
            return True

    def close(self) -> None:
        """Lets the worker end when nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Devices:
    """The queues and workers of all devices, made as they are needed."""

    def __init__(self) -> None:
        self._queues: Dict[str, FairQueue] = {}
        self._threads: List[threading.Thread] = []
        self._lock = threading.Lock()

    def put(self, job: JobRecord) -> None:
        """Queues a job on its device."""
        with self._lock:
            queue = self._queues.get(job.device)
            if queue is None:
                queue = self._queues[job.device] = FairQueue()
                worker = threading.Thread(target=work_through, args=(queue,), name=f"kairos-{job.device}", daemon=True)
                self._threads.append(worker)
                worker.start()
        queue.put(job)

    def cancel(self, job: JobRecord) -> None:
        """Ends a job: at once where it waits, after the frame under way where it runs."""
        job.stop()
        with self._lock:
            queue = self._queues.get(job.device)
        if queue is not None and queue.remove(job):
            job.end(None, Cancelled("Cancelled.", "It had not begun."))

    def close(self, seconds: float) -> None:
        """Waits for the workers, for so long at most."""
        with self._lock:
            queues, threads = list(self._queues.values()), list(self._threads)
        for queue in queues:
            queue.close()
        for thread in threads:
            thread.join(seconds)


def work_through(queue: FairQueue) -> None:
    """A worker: runs jobs until the queue is closed. Whatever a job does, the next one runs."""
    while True:
        job = queue.take()
        if job is None:
            return
        if job.stopping():
            job.end(None, Cancelled("Cancelled.", "It had not begun."))
            continue
        job.state = "running"
        log.info("job %s: %s for %s on %s", job.id, job.kind, job.host, job.device)
        try:
            outcome = job.work(job.tell, job.stopping)
        except KairosError as error:
            log.info("job %s: %s", job.id, error, exc_info=error.__cause__ is not None)
            job.end(None, error)
        except BaseException as error:
            log.exception("job %s failed unexpectedly", job.id)
            what = f"Something unexpected went wrong: {type(error).__name__}: {error}"[:500]
            job.end(None, EngineError(what, "The runtime's log has the details; run kairos doctor."))
        else:
            log.info("job %s: done", job.id)
            job.end(outcome, None)
