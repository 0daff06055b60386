"""The runtime service: jobs of several clients, faults on either side, and who is let in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from multiprocessing import connection as pipes
from pathlib import Path
from typing import List

import pytest

from kairos_nodes.client import Client, protocol
from kairos_nodes.client.link import Link
from kairos_nodes.client.rendezvous import rendezvous_file, write_rendezvous
from kairos_nodes.errors import BadRequest, Cancelled, KairosError, ServiceError
from kairos_nodes.jobs import RetimeJob
from support import service
from support.process import environment
from support.service import long_job, plate, quick_job


def _link(folder: Path, **changes: object) -> Link:
    found = replace(service.rendezvous(folder), **changes)  # type: ignore[arg-type]
    return Link(found, "a test", lambda message: None, lambda error: None)


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
            job.wait(30)
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


def test_eight_clients_with_fifty_jobs_all_end_right(runtime: Path, tmp_path: Path) -> None:
    source = plate(tmp_path, 1, size=8)
    clients = [Client(f"host {index}", folder=runtime, start=False) for index in range(8)]
    order: List[int] = []
    gate = clients[0].submit(long_job(plate(tmp_path / "gate"), tmp_path, "gate"))
    jobs = []
    for number in range(50):
        owner = number % 8 if number < 40 else 0
        jobs.append((owner, clients[owner].submit(quick_job(source, tmp_path, f"j{number}"))))
    # The first client has 15 jobs, every other one five.
    gate.cancel()
    watchers = [threading.Thread(target=lambda o=o, j=j: (j.wait(120), order.append(o))) for o, j in jobs]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join(150)
    assert len(order) == 50
    assert all((tmp_path / f"j{number}" / "o.0001.exr").exists() for number in range(50))
    # Round by round: when the others' five are through, the first client has had about as many (threads may tell of
    # two ends in the other order).
    assert order[-8:].count(0) == 8
    for one in clients:
        one.close()


def test_jobs_end_with_their_host_unless_detached_and_the_runtime_lives_on(runtime: Path, tmp_path: Path) -> None:
    source = plate(tmp_path)
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom kairos_nodes.client import Client\n"
        "from kairos_nodes.jobs import job_from_json\n"
        "client = Client('doomed', folder=Path(sys.argv[1]), start=False)\n"
        "ids = [client.submit(job_from_json(text), detached=text == sys.argv[3]).id for text in sys.argv[2:]]\n"
        "print(*ids, flush=True)\ntime.sleep(600)\n"
    )
    texts = [
        long_job(source, tmp_path, "bound").to_json(),
        quick_job(source, tmp_path, "free", between=1, speed=None).to_json(),
    ]
    command = [sys.executable, "-c", script, str(runtime), *texts]
    host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    assert host.stdout is not None
    bound, free = host.stdout.readline().split()
    with Client("a test", folder=runtime, start=False) as watcher:
        followed = watcher.follow(bound)
        next(event for event in followed.events() if event.kind == "frame_done")
        service.kill(host.pid)
        host.wait()
        with pytest.raises(Cancelled):
            followed.wait(30)
        assert watcher.follow(free).wait(60)["rendered"] == [1, 2, 3]


def test_a_runtime_killed_in_the_middle_is_reported_and_the_next_job_starts_a_new_one(
    empty: Path, tmp_path: Path
) -> None:
    source = plate(tmp_path)
    with service.client(empty) as client:
        first = client.connect()["pid"]
        job = client.submit(long_job(source, tmp_path, "a"))
        next(event for event in job.events() if event.kind == "frame_done")
        service.kill(first)
        with pytest.raises(ServiceError, match=rf"process {first}\) ended unexpectedly.*{empty}/runtime.log"):
            job.wait(30)
        assert client.submit(quick_job(source, tmp_path, "b")).wait(120)["rendered"] == [1, 2]
        assert client.connect()["pid"] != first


def test_a_wrong_key_is_refused(runtime: Path) -> None:
    with pytest.raises(ServiceError, match="key is wrong"):
        _link(runtime, key="00" * 32)
    assert _link(runtime).request("jobs") is not None


def test_an_older_protocol_is_refused_by_either_side(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = service.rendezvous(runtime)
    with pipes.Client(found.address, family="AF_UNIX") as old:
        old.recv_bytes()
        old.send_bytes(protocol.encode({"protocol": 0, "oldest": 0, "version": "0.0.1", "nonce": "", "proof": ""}))
        told = protocol.error_from(protocol.decode(old.recv_bytes())["error"])
    assert "speaks protocol 0" in told.message
    assert "kairos serve --stop" in told.remedy
    monkeypatch.setattr(protocol, "OLDEST", 2)
    monkeypatch.setattr(protocol, "PROTOCOL", 2)
    with pytest.raises(ServiceError, match="speaks protocol 1, this one speaks 2"):
        _link(runtime)


def test_a_stale_rendezvous_is_no_runtime(empty: Path) -> None:
    stale = service.Rendezvous(str(empty / "gone.sock"), "00" * 32, 2**22 - 1, "a log", 1, "0.1.0")
    write_rendezvous(empty, stale)
    with pytest.raises(ServiceError, match="No runtime runs"):
        Client(folder=empty, start=False).connect()
    rendezvous_file(empty).write_text("{half a fi", encoding="utf-8")
    with pytest.raises(ServiceError, match="No runtime runs"):
        Client(folder=empty, start=False).connect()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["folder", "file", "socket"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, what: str) -> None:
    import socket

    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    place = folder / "s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))
        write_rendezvous(folder, service.Rendezvous(str(place), "00" * 32, 1, "a log", 1, "0.1.0"))
        os.chown({"folder": folder, "file": rendezvous_file(folder), "socket": place}[what], 12345, -1)
        with pytest.raises(ServiceError, match=rf"The {what} .* belongs to another user \(id 12345\)"):
            Client(folder=folder, start=False).connect()


def test_a_rendezvous_that_others_can_read_is_refused(empty: Path) -> None:
    write_rendezvous(empty, service.Rendezvous(str(empty / "s"), "00" * 32, 1, "a log", 1, "0.1.0"))
    rendezvous_file(empty).chmod(0o644)
    with pytest.raises(ServiceError, match="open to other users"):
        Client(folder=empty, start=False).connect()
    rendezvous_file(empty).unlink()


def test_only_the_owner_can_read_the_key(runtime: Path) -> None:
    assert rendezvous_file(runtime).stat().st_mode & 0o777 == 0o600
    assert runtime.stat().st_mode & 0o777 == 0o700


def test_two_hosts_that_start_it_at_once_share_one_runtime(empty: Path) -> None:
    pids: List[int] = []

    def host() -> None:
        with service.client(empty) as one:
            pids.append(one.connect()["pid"])

    threads = [threading.Thread(target=host) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(pids) == 2
    assert len(set(pids)) == 1


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
