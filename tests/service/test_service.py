"""The runtime service: jobs of one client and of several, and its own end."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import List

import pytest

from kairos_nodes.client import Client
from kairos_nodes.client.link import Link
from kairos_nodes.client.protocol import Message
from kairos_nodes.client.rendezvous import rendezvous_file
from kairos_nodes.errors import BadRequest, Cancelled, KairosError, ServiceError
from kairos_nodes.jobs import RetimeJob
from support import service
from support.process import environment
from support.service import eventually, long_job, plate, quick_job


def test_a_job_on_files_runs_and_tells_its_events(client: Client, tmp_path: Path) -> None:
    job = client.submit(quick_job(plate(tmp_path, 3), tmp_path, "out"))
    kinds = [event.kind for event in job.events()]
    assert kinds[0] == "planned"
    assert kinds[-1] == "done"
    assert kinds.count("frame_done") == 3
    assert job.wait()["rendered"] == [1, 2, 3]
    assert len(list((tmp_path / "out").glob("*.exr"))) == 3


def test_relative_paths_are_the_hosts(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plate(tmp_path)
    monkeypatch.chdir(tmp_path)
    job = RetimeJob(input="plate/p.%04d.exr", output="out/o.%04d.exr", speed="1", engine="classic", device="cpu")
    client.submit(job).wait(60)
    assert (tmp_path / "out" / "o.0001.exr").exists()


def test_a_failed_job_says_why_with_the_same_error_as_the_command_line(client: Client, tmp_path: Path) -> None:
    with pytest.raises(KairosError, match=r"nothere") as caught:
        client.submit(quick_job(str(tmp_path / "nothere.%04d.exr"), tmp_path, "out")).wait(60)
    assert not isinstance(caught.value, ServiceError)
    assert client.jobs()[-1]["state"] == "failed"


def test_a_running_job_and_a_waiting_one_are_cancelled(client: Client, tmp_path: Path) -> None:
    source = plate(tmp_path)
    running, waiting = client.submit(long_job(source, tmp_path, "a")), client.submit(long_job(source, tmp_path, "b"))
    next(event for event in running.events() if event.kind == "frame_done")
    for job in (waiting, running):
        job.cancel()
        with pytest.raises(Cancelled):
            job.wait(90)
    assert not (tmp_path / "b").exists()


def test_a_small_job_need_not_wait_for_all_of_anothers(runtime: Path, tmp_path: Path) -> None:
    source = plate(tmp_path)
    ended: List[str] = []
    with Client("many", folder=runtime, start=False) as many, Client("one", folder=runtime, start=False) as one:
        block = many.submit(long_job(source, tmp_path, "block"))
        next(event for event in block.events() if event.kind == "planned")
        jobs = {f"many{index}": many.submit(quick_job(source, tmp_path, f"m{index}")) for index in range(4)}
        jobs["one"] = one.submit(quick_job(source, tmp_path, "one"))
        threads = []
        for name, job in jobs.items():
            thread = threading.Thread(target=lambda name=name, job=job: (job.wait(60), ended.append(name)))
            thread.start()
            threads.append(thread)
        block.cancel()
        for thread in threads:
            thread.join(90)
    # The blocking job was the first client's turn; the round then goes to whoever has waited, so `one` is second at
    # the latest, though four jobs were submitted before it.
    assert ended.index("one") <= 1
    assert sorted(ended) == sorted(jobs)


def test_eight_hosts_with_fifty_jobs_take_turns_and_all_end_right(runtime: Path, tmp_path: Path) -> None:
    # Fair: nobody is served again before everyone who waits was served as often; each host's jobs keep their order.
    source = plate(tmp_path, 1, size=8)
    counts = [15, 5, 5, 5, 5, 5, 5, 5]
    jobs = [[quick_job(source, tmp_path, f"h{host}j{each}") for each in range(n)] for host, n in enumerate(counts)]
    told: List[Message] = []
    with Client("gate", folder=runtime, start=False) as gate, ExitStack() as ending:
        block = gate.submit(long_job(plate(tmp_path / "gate"), tmp_path, "gate"))
        next(event for event in block.events() if event.kind == "planned")
        hosts = [ending.enter_context(service.host(runtime, *each)) for each in jobs]
        submitted = [service.said_by(host).split() for host in hosts]
        link = Link(service.rendezvous(runtime), "watcher", told.append, lambda error: None)
        for id in itertools.chain(*submitted):
            link.request("events", job=id)
        block.cancel()
        assert [service.said_by(host).strip() for host in hosts] == ["all done"] * 8
        assert eventually(lambda: sum("ended" in message for message in told) == 50)
        link.close()
    ended = [message["job"] for message in told if "ended" in message]
    owner = {id: host for host, ids in enumerate(submitted) for id in ids}
    served, left = Counter[int](), Counter(owner.values())
    for id in ended:
        host = owner[id]
        assert served[host] == min(served[other] for other in left)
        served[host] += 1
        left -= Counter([host])
    for ids in submitted:
        assert [id for id in ended if id in ids] == ids
    assert all(Path(job.output % 1).exists() for job in itertools.chain(*jobs))


def test_stopping_ends_the_process_and_takes_the_rendezvous_down(empty: Path) -> None:
    with service.client(empty) as one:
        pid = one.connect()["pid"]
        one.shutdown()
        assert service.eventually(lambda: not service.alive(pid))
        assert not rendezvous_file(empty).exists()


def test_a_runtime_that_nobody_uses_ends_itself(empty: Path) -> None:
    command = [*service.LAUNCHER, "serve", "--idle", "0.02"]
    with subprocess.Popen(command, env={**environment(), "KAIROS_SERVICE": str(empty)}) as process:
        assert process.wait(60) == 0
    assert not rendezvous_file(empty).exists()


def test_requests_name_what_is_wrong(client: Client) -> None:
    for name, fields, complaint in [
        ("submit", {}, "holds no job"),
        ("submit", {"job": {"job": "retime", "version": 99}}, "version 99"),
        ("submit", {"job": json.loads(RetimeJob("a", "b", speed="1").to_json()), "name": "../x"}, "name"),
        ("cancel", {"job": "unknown"}, "no job 'unknown'"),
        ("events", {"job": ["a"]}, "no job"),
        ("dance", {}, "no request 'dance'"),
        ("echo", {"pictures": [{"width": -1}]}, "width -1"),
        ("echo", {"pictures": 7}, "no pictures"),
    ]:
        with pytest.raises(BadRequest, match=complaint):
            client.request(name, **fields)
