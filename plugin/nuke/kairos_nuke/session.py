"""The runtime as this Nuke knows it: one connection for the whole session, which ends with it."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict, Optional

import nuke

from kairos_nodes.client import Client
from kairos_nodes.events import Listener
from kairos_nodes.jobs import Job

_PAUSE = 0.1
"""Seconds between two looks at a job."""

_lock = threading.Lock()
_client: Optional[Client] = None


def client() -> Client:
    """The session's client; it connects, and starts the runtime, with its first job."""
    global _client
    with _lock:
        if _client is None:
            _client = Client(f"Nuke {nuke.NUKE_VERSION_STRING}")
        return _client


def run_job(job: Job, listen: Listener, stop: Callable[[], bool]) -> Dict[str, Any]:
    """Hands a job to the runtime and waits for its end. When Nuke dies, the runtime ends the job.

    Args:
        job: what to do.
        listen: hears every event, from this thread.
        stop: asked about ten times a second; True ends the job after the frame under way.

    Returns:
        What the job did, as :meth:`kairos_nodes.client.RemoteJob.wait` has it.

    Raises:
        KairosError: the job failed, in the runtime's own words, or was cancelled, or the runtime cannot be reached.
    """
    remote = client().begin(job)
    asked = False
    try:
        while not remote.ended:
            for event in remote.poll():
                listen(event)
            if not asked and stop():
                remote.cancel()
                asked = True
            time.sleep(_PAUSE)
        for event in remote.poll():
            listen(event)
    finally:
        # An interrupt in a terminal Nuke leaves nothing running behind it.
        remote.cancel()
    return remote.result()
