"""What goes wrong on either side, with real processes: deaths, strangers, leftovers, other versions, no room."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from multiprocessing import connection as pipes
from pathlib import Path
from typing import Callable, Iterator, List, Set

import pytest

from kairos.service import Service, Taken
from kairos_nodes.client import Client, protocol
from kairos_nodes.client.link import Link
from kairos_nodes.client.rendezvous import rendezvous_file, write_rendezvous
from kairos_nodes.errors import Cancelled, ServiceError
from support import service
from support.process import environment
from support.service import eventually, long_job, plate, quick_job, shot

STRANGER = 12345
"""A user id that nobody has."""

as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="only root can become, or give files to, another user"
)


def _link(folder: Path, **changes: object) -> Link:
    found = replace(service.rendezvous(folder), **changes)  # type: ignore[arg-type]
    return Link(found, "a test", lambda message: None, lambda error: None)


def _lent(pid: int) -> Set[Path]:
    """Folders that a runtime lends to clients now."""
    places = {Path("/dev/shm"), Path(tempfile.gettempdir())}
    return {folder for place in places for folder in place.glob(f"kairos-frames-{pid}-*")}


def test_a_runtime_killed_in_the_middle_is_reported_and_the_next_job_starts_a_new_one(
    empty: Path, tmp_path: Path
) -> None:
    source = plate(tmp_path)
    with service.client(empty) as client:
        first = client.connect()
        job = client.submit(long_job(source, tmp_path, "a"))
        next(event for event in job.events() if event.kind == "frame_done")
        service.kill(first["pid"])
        with pytest.raises(ServiceError, match=rf"process {first['pid']}\) ended unexpectedly.*{empty}/runtime.log"):
            job.wait(90)
        assert job.poll()[-1].kind == "failed"
        assert client.submit(quick_job(source, tmp_path, "b")).wait(120)["rendered"] == [1, 2]
        assert client.connect()["pid"] != first["pid"]
        assert not any(Path(folder).exists() for folder in first["folders"])


def test_a_runtime_killed_while_frames_in_memory_are_retimed_is_reported_and_the_next_call_works(empty: Path) -> None:
    settings = {"engine": "classic", "device": "cpu"}
    with service.client(empty) as client:
        pid = client.connect()["pid"]
        with pytest.raises(ServiceError, match=rf"process {pid}\) ended unexpectedly.*{empty}/runtime.log"):
            client.retime(shot(2), between=200, on_frame=lambda frame: service.kill(pid), **settings)
        assert len(client.retime(shot(2), speed="0.5", **settings)) == 3


def test_jobs_end_with_their_host_unless_detached_and_the_runtime_lives_on(runtime: Path, tmp_path: Path) -> None:
    source, pid = plate(tmp_path), service.rendezvous(runtime).pid
    before = _lent(pid)
    free = quick_job(source, tmp_path, "free", between=1, speed=None)
    with (
        Client("a test", folder=runtime, start=False) as watcher,
        service.host(runtime, long_job(source, tmp_path, "bound"), long_job(source, tmp_path, "waiting")) as doomed,
        service.host(runtime, free, detached=True) as detached,
    ):
        running, waiting = (watcher.follow(id) for id in service.said_by(doomed).split())
        freed = watcher.follow(service.said_by(detached).strip())
        next(event for event in running.events() if event.kind == "frame_done")
        for host in (detached, doomed):
            service.kill(host.pid)
        for job in (running, waiting):
            with pytest.raises(Cancelled):
                job.wait(90)
        assert freed.wait(60)["rendered"] == [1, 2, 3]
        assert watcher.connect()["pid"] == pid
    assert eventually(lambda: _lent(pid) == before)


def test_a_wrong_key_is_refused(runtime: Path) -> None:
    with pytest.raises(ServiceError, match="key is wrong"):
        _link(runtime, key="00" * 32)
    assert _link(runtime).request("jobs") is not None


def test_a_host_of_an_older_protocol_is_told_what_to_do(runtime: Path) -> None:
    with pipes.Client(service.rendezvous(runtime).address, family="AF_UNIX") as old:
        old.recv_bytes()
        old.send_bytes(protocol.encode({"protocol": 0, "oldest": 0, "version": "0.0.1", "nonce": "", "proof": ""}))
        told = protocol.error_from(protocol.decode(old.recv_bytes())["error"])
    assert "speaks protocol 0" in told.message
    assert "kairos serve --stop" in told.remedy


def test_a_runtime_of_an_older_protocol_is_refused_and_left_alone(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "OLDEST", 2)
    monkeypatch.setattr(protocol, "PROTOCOL", 2)
    newer = service.client(runtime)
    with pytest.raises(ServiceError, match=r"speaks protocol 1, this one speaks 2.*kairos serve --stop"):
        newer.connect()
    assert service.alive(service.rendezvous(runtime).pid)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2", b'{"hello": "world"}', b'{"protocol": "one"}'])
def test_a_socket_that_is_not_kairos_is_refused(empty: Path, greeting: bytes) -> None:
    place = str(empty / "s")
    with pipes.Listener(place, family="AF_UNIX") as other:
        write_rendezvous(empty, service.Rendezvous(place, "00" * 32, os.getpid(), "a log", 1, "0.1.0"))
        talking = threading.Thread(target=lambda: other.accept().send_bytes(greeting))
        talking.start()
        with pytest.raises(ServiceError, match=r"no message|not Kairos"):
            service.client(empty).connect()
        talking.join(10)
    rendezvous_file(empty).unlink()


def test_a_runtime_that_hangs_stops_neither_a_job_nor_the_end_of_its_host(empty: Path, tmp_path: Path) -> None:
    with service.client(empty) as client:
        pid = client.connect()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        client = service.client(empty)
        job = client.begin(quick_job(plate(tmp_path), tmp_path, "out"))
        time.sleep(0.5)
        began = time.monotonic()
        job.cancel()
        client.close()
        assert time.monotonic() - began < 5
        assert job.state == "cancelled"
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("left", ["nothing", "a socket", "half a file", "another format"])
def test_a_stale_rendezvous_is_no_runtime_and_a_new_one_takes_its_place(empty: Path, left: str) -> None:
    place = empty / "gone.sock"
    if left == "a socket":
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(place))
    write_rendezvous(empty, service.Rendezvous(str(place), "00" * 32, 2**22 - 1, "a log", 1, "0.1.0"))
    if left == "half a file":
        rendezvous_file(empty).write_text("{half a fi", encoding="utf-8")
    if left == "another format":
        rendezvous_file(empty).write_text('{"socket": "/a/b"}', encoding="utf-8")
    with pytest.raises(ServiceError, match="No runtime runs"):
        Client(folder=empty, start=False).connect()
    fresh = Service(empty)
    try:
        assert service.rendezvous(empty).pid == os.getpid()
        assert not place.exists() or left in ("half a file", "another format")
    finally:
        fresh.close()


def _as_a_stranger(action: Callable[[], object]) -> str:
    """What a process of another user is told when it does this."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            action()
            told = "let in"
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(write, told.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as said:
        return said.read()


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder for a runtime, with a way to it that other users can go."""
    way = Path(tempfile.mkdtemp(prefix="kairos-test-", dir="/tmp"))
    way.chmod(0o755)
    yield way / "service"
    shutil.rmtree(way)


@as_root
def test_another_user_gets_neither_the_key_nor_the_socket(reachable: Path) -> None:
    served = Service(reachable)
    try:
        found = service.rendezvous(reachable)
        refused = _as_a_stranger(Client(folder=reachable, start=False).connect)
        assert f"{reachable} belongs to another user (id 0)" in refused
        refused = _as_a_stranger(service.client(reachable).connect)
        assert f"{reachable} belongs to another user (id 0)" in refused
        assert "PermissionError" in _as_a_stranger(rendezvous_file(reachable).read_bytes)
        assert "PermissionError" in _as_a_stranger(lambda: pipes.Client(found.address, family="AF_UNIX"))
    finally:
        served.close()


@as_root
@pytest.mark.parametrize("what", ["folder", "file", "socket"])
def test_what_belongs_to_another_user_is_refused(tmp_path: Path, what: str) -> None:
    folder = tmp_path / "service"
    folder.mkdir(mode=0o700)
    place = folder / "s"
    with pipes.Listener(str(place), family="AF_UNIX"):
        write_rendezvous(folder, service.Rendezvous(str(place), "00" * 32, 1, "a log", 1, "0.1.0"))
        os.chown({"folder": folder, "file": rendezvous_file(folder), "socket": place}[what], STRANGER, -1)
        with pytest.raises(ServiceError, match=rf"The {what} .* belongs to another user \(id {STRANGER}\)"):
            service.client(folder).connect()


def test_a_rendezvous_that_others_can_read_is_refused(empty: Path) -> None:
    write_rendezvous(empty, service.Rendezvous(str(empty / "s"), "00" * 32, 1, "a log", 1, "0.1.0"))
    rendezvous_file(empty).chmod(0o644)
    with pytest.raises(ServiceError, match="open to other users"):
        service.client(empty).connect()
    rendezvous_file(empty).unlink()


def test_only_the_owner_can_read_the_key(runtime: Path) -> None:
    assert rendezvous_file(runtime).stat().st_mode & 0o777 == 0o600
    assert runtime.stat().st_mode & 0o777 == 0o700


def test_hosts_that_start_it_at_once_share_one_runtime(empty: Path) -> None:
    pids: List[int] = []

    def host() -> None:
        with service.client(empty) as one:
            pids.append(one.connect()["pid"])

    threads = [threading.Thread(target=host) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(pids) == 4
    assert len(set(pids)) == 1
    with pytest.raises(Taken, match=r"serves .* already"):
        Service(empty)


_LITTLE_ROOM = """
import os, sys
from pathlib import Path
from kairos_nodes.client import Client, FrameBuffer
from kairos_nodes.errors import ServiceError

def shot(width, height):
    return [FrameBuffer(bytearray(width * height * 4), width, height, ("Y",)) for _ in range(2)]

def told(frames, **timing):
    try:
        return len(client.retime(frames, engine="classic", device="cpu", **timing))
    except ServiceError as error:
        return error.message

client = Client("a test", folder=Path(sys.argv[1]), launcher=[sys.executable, "-m", "kairos"])
shared, disk = map(Path, client.connect()["folders"])
assert (shared.parent, disk.parent) == (Path("/dev/shm"), Path(sys.argv[2])), (shared, disk)
print(told(shot(64, 64), speed="1"))
print(told(shot(640, 640), speed="1"))
# What is free holds the client's two idle frames of 1.6 MiB besides: new ones replace them, and do not both fit.
filler, room = Path(sys.argv[2]) / "filler", os.statvfs(sys.argv[2])
filler.write_bytes(bytes(room.f_bavail * room.f_bsize - (1 << 17)))
print(told(shot(704, 704), speed="1"))
# Both frames of 1 MiB fit; one that is finished has five times as many channels.
print(told(shot(512, 512), speed="1", vectors="nuke"))
filler.unlink()
print(told(shot(704, 704), speed="1"))
client.shutdown()
"""


@as_root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare gives a process a shared memory of its own")
def test_full_shared_memory_falls_back_to_disk_and_a_full_disk_is_said(empty: Path, tmp_path: Path) -> None:
    # A real /dev/shm of 1 MiB, and a temporary folder of 12 MiB, seen by this process and its runtime alone.
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=1m none /dev/shm && mount -t tmpfs -o size=12m none {disk}"
    command = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    script = [sys.executable, "-c", _LITTLE_ROOM, str(empty), str(disk)]
    result = subprocess.run(
        [*command, *script], env={**environment(), "TMPDIR": str(disk)}, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    fits, on_disk, no_room, no_room_back, fits_again = result.stdout.splitlines()
    assert (fits, on_disk, fits_again) == ("2", "2", "2")
    assert no_room == "There is no room for a frame of 2 MiB: No space left on device."
    assert no_room_back == "There is no room for a finished frame: No space left on device."
