"""Jobs begun from a thread that draws a user interface: nothing waits, and everything is told through the job."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import List

import pytest

from kairos_nodes.client import Client, RemoteJob
from kairos_nodes.errors import BadRequest, Cancelled, ServiceError
from kairos_nodes.events import Event
from support import service
from support.service import eventually, long_job, plate, quick_job

AT_ONCE = 0.5
"""Seconds: a start takes several times that, a thread that has to wait for a busy machine's attention does not."""


def _timer(job: RemoteJob, seconds: float = 60.0) -> List[Event]:
    """What a host's timer hears, until the job has ended."""
    heard: List[Event] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        over = job.ended
        began = time.monotonic()
        heard += job.poll()
        assert time.monotonic() - began < AT_ONCE
        if over:
            return heard
        time.sleep(0.02)
    raise AssertionError(f"{job} still runs after {seconds} s; heard {heard}")


def test_a_job_begun_where_no_runtime_runs_starts_one_and_tells_so(empty: Path, tmp_path: Path) -> None:
    client, wanted = service.client(empty), quick_job(plate(tmp_path), tmp_path, "out")
    began = time.monotonic()
    job = client.begin(wanted)
    assert time.monotonic() - began < AT_ONCE
    assert job.state == "running"
    heard = _timer(job, 120)
    stages = [event.data["stage"] for event in heard if event.kind == "progress"]
    assert stages[0] == "connecting to the runtime"
    assert stages.index("starting the runtime") < stages.index("waiting for its turn") < stages.index("render")
    assert heard[-1].kind == "done"
    assert job.result()["rendered"] == [1, 2]
    client.close()


def test_jobs_begun_together_run_in_that_order(client: Client, tmp_path: Path) -> None:
    source = plate(tmp_path)
    jobs = [client.begin(quick_job(source, tmp_path, f"o{index}"), detached=index == 3) for index in range(4)]
    for job in jobs:
        job.wait(60)
    rows = client.jobs()[-4:]
    assert [row["id"] for row in rows] == [job.id for job in jobs]
    assert [row["detached"] for row in rows] == [False, False, False, True]


@pytest.mark.parametrize(
    ("launcher", "complaint"),
    [
        ("/nowhere", "it is not at /nowhere"),
        ([sys.executable, "-c", "import sys; sys.exit('no module named torch')"], "no module named torch"),
    ],
)
def test_a_runtime_that_cannot_start_ends_the_job_with_the_reason(
    empty: Path, tmp_path: Path, launcher: object, complaint: str
) -> None:
    client = Client(launcher=launcher, folder=empty)  # type: ignore[arg-type]
    job = client.begin(quick_job("no/such/plate.%04d.exr", tmp_path, "out"))
    last = _timer(job)[-1]
    assert last.kind == "failed"
    assert job.state == "lost"
    with pytest.raises(ServiceError, match=complaint) as caught:
        job.result()
    assert (last.data["message"], last.data["remedy"]) == (caught.value.message, caught.value.remedy)


def test_a_job_that_cannot_be_says_so_through_the_job(client: Client, tmp_path: Path) -> None:
    job = client.begin(quick_job("plate.%04d.exr", tmp_path, "out", speed="0"))
    assert job.ended
    assert job.poll()[-1].kind == "failed"
    assert job.state == "failed"
    with pytest.raises(BadRequest, match="0 would never reach"):
        job.result()


def test_what_the_runtime_refuses_is_told_through_the_job(client: Client, tmp_path: Path) -> None:
    job = client.begin(quick_job(str(tmp_path / "nothere.%04d.exr"), tmp_path, "out"))
    heard = _timer(job)
    assert [event.kind for event in heard].count("failed") == 1
    assert heard[-1].kind == "failed"
    assert "nothere" in heard[-1].data["message"]


def test_a_job_is_cancelled_on_its_way_to_the_runtime(empty: Path, tmp_path: Path) -> None:
    slow = [sys.executable, "-c", "import time; time.sleep(30)"]
    client = Client(launcher=slow, folder=empty)
    job = client.begin(quick_job("plate.%04d.exr", tmp_path, "out"))
    assert eventually(lambda: any(event.data.get("stage") == "starting the runtime" for event in job.poll()))
    began = time.monotonic()
    job.cancel()
    assert time.monotonic() - began < AT_ONCE
    assert job.state == "cancelled"
    with pytest.raises(Cancelled):
        job.result()
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 2


def test_cancelling_at_once_never_leaves_a_job_running(client: Client, tmp_path: Path) -> None:
    source = plate(tmp_path)
    for index in range(6):
        job = client.begin(long_job(source, tmp_path, f"o{index}"))
        time.sleep(0.001 * index)
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait(90)
    assert eventually(lambda: all(row["state"] != "running" for row in client.jobs()))


def test_closing_while_the_runtime_starts_waits_for_nothing(empty: Path, tmp_path: Path) -> None:
    slow = [sys.executable, "-c", "import time; time.sleep(30)"]
    client = Client(launcher=slow, folder=empty)
    jobs = [client.begin(quick_job("plate.%04d.exr", tmp_path, f"o{index}")) for index in range(2)]
    assert eventually(lambda: any(event.data.get("stage") == "starting the runtime" for event in jobs[0].poll()))
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 2
    for job in jobs:
        assert job.state == "lost"
        assert job.poll()[-1].kind == "failed"
